//! What goes with an image, and what stays.

use std::fs;
use std::sync::Arc;

use jiff::Timestamp;
use layer_digest::{BlobId, DiffId};
use layer_oci::Descriptor;
use layer_store::{Store, StoreError, Swept};

use super::{keep_image, keep_layer, name, open};

/// Sweeps one image, and clears what was removed.
fn sweep(store: &Arc<Store>, image: &Descriptor) -> Result<Swept, StoreError> {
    store.naming().sweep(std::slice::from_ref(image)).map(|(swept, _rubbish)| swept)
}

#[test]
fn root_a_sweep_takes_what_only_that_image_needs() {
    let tmp = tempfile::tempdir().unwrap();
    let store = open(tmp.path());
    let one = keep_image(&store, "one:1", &[b"shared", b"own"]);
    let two = keep_image(&store, "two:1", &[b"shared", b"other"]);
    let diff = |content: &[u8]| DiffId(layer_digest::Digest::sha256(content));
    store.remove_names(&[name("one:1")]).unwrap();
    assert_eq!(sweep(&store, &one).unwrap().gone, [one.digest]);
    assert!(store.layer(diff(b"own")).unwrap().is_none());
    assert!(store.layer(diff(b"shared")).unwrap().is_some());
    assert_eq!(store.blob_size(BlobId(one.digest)).unwrap(), None);
    // With a name left, nothing goes.
    assert_eq!(sweep(&store, &two).unwrap(), Swept::default());
    assert!(store.layer(diff(b"other")).unwrap().is_some());
    store.remove_names(&[name("two:1")]).unwrap();
    assert_eq!(sweep(&store, &two).unwrap().gone, [two.digest]);
    for folder in ["blobs/sha256", "layers/sha256", "staging"] {
        assert_eq!(fs::read_dir(tmp.path().join(folder)).unwrap().count(), 0, "{folder}");
    }
}

#[test]
fn root_what_is_leased_stays() {
    let tmp = tempfile::tempdir().unwrap();
    let store = open(tmp.path());
    let image = keep_image(&store, "one:1", &[b"held", b"free"]);
    let (held, free) = (layer_digest::Digest::sha256(b"held"), layer_digest::Digest::sha256(b"free"));
    let mut lease = store.lease();
    lease.hold_layer(DiffId(held));
    lease.hold_blob(BlobId(held));
    // Held twice, it stays until both have let go.
    let mut second = store.lease();
    second.hold_layer(DiffId(held));
    drop(second);
    store.remove_names(&[name("one:1")]).unwrap();
    sweep(&store, &image).unwrap();
    assert!(store.layer(DiffId(held)).unwrap().is_some() && store.blob_size(BlobId(held)).unwrap().is_some());
    assert!(store.layer(DiffId(free)).unwrap().is_none() && store.blob_size(BlobId(free)).unwrap().is_none());
    drop(lease);
}

#[test]
fn root_nothing_is_removed_while_another_image_cannot_be_read() {
    let tmp = tempfile::tempdir().unwrap();
    let store = open(tmp.path());
    let one = keep_image(&store, "one:1", &[b"shared"]);
    let two = keep_image(&store, "two:1", &[b"shared", b"other"]);
    drop(store);
    let blob = tmp.path().join("blobs/sha256").join(two.digest.hex());
    let bytes = fs::read(&blob).unwrap();
    fs::write(&blob, vec![b'x'; bytes.len()]).unwrap();
    let store = open(tmp.path());
    store.remove_names(&[name("one:1")]).unwrap();
    assert!(matches!(sweep(&store, &one), Err(StoreError::Damaged(digest)) if digest == two.digest));
    assert!(store.layer(DiffId(layer_digest::Digest::sha256(b"shared"))).unwrap().is_some());
}

#[test]
fn root_what_pulls_have_left_behind_goes_when_it_is_old_and_nobody_holds_it() {
    let tmp = tempfile::tempdir().unwrap();
    let store = open(tmp.path());
    let image = keep_image(&store, "one:1", &[b"needed"]);
    let (orphan, diff) = keep_layer(&store, b"given up");
    let (held, held_diff) = keep_layer(&store, b"held");
    let part = |content: &[u8]| BlobId(layer_digest::Digest::sha256(content));
    for content in [b"one" as &[u8], b"two"] {
        store.ingest(part(content)).unwrap().append(content).unwrap();
    }
    let mut lease = store.lease();
    lease.hold_blob(BlobId(held.digest));
    lease.hold_layer(held_diff);
    lease.hold_blob(part(b"two"));

    let long_ago = Timestamp::from_second(1_000_000).unwrap();
    assert_eq!(store.leftovers(long_ago).unwrap(), Swept::default());
    let would = store.leftovers(Timestamp::MAX).unwrap();
    assert_eq!((would.blobs, would.layers, would.partials), (1, 1, 1));
    let before = store.holdings().unwrap().bytes();
    let (swept, rubbish) = store.sweep_leftovers(Timestamp::MAX).unwrap();
    drop(rubbish);
    assert_eq!(swept, would);
    assert_eq!(store.holdings().unwrap().bytes(), before - swept.bytes);
    assert_eq!(store.blob_size(BlobId(orphan.digest)).unwrap(), None);
    assert!(store.layer(diff).unwrap().is_none());
    assert_eq!((store.partial_size(part(b"one")).unwrap(), store.partial_size(part(b"two")).unwrap()), (0, 3));
    assert!(store.layer(held_diff).unwrap().is_some());
    drop(lease);
    let (swept, rubbish) = store.sweep_leftovers(Timestamp::MAX).unwrap();
    drop(rubbish);
    assert_eq!((swept.blobs, swept.layers, swept.partials), (1, 1, 1));
    assert!(store.closure(&image).unwrap().layers.iter().all(|id| store.layer(*id).unwrap().is_some()));
    assert_eq!(fs::read_dir(tmp.path().join("staging")).unwrap().count(), 0);
}

#[test]
fn root_what_another_tool_has_put_into_the_store_stays() {
    let tmp = tempfile::tempdir().unwrap();
    let source = tempfile::tempdir().unwrap();
    drop(keep_image(&open(source.path()), "theirs:1", &[b"their layer"]));
    let mine = keep_image(&open(tmp.path()), "mine:1", &[b"my layer"]);
    let from = format!("oci:{}:docker.io/library/theirs:1", source.path().display());
    let to = format!("oci:{}:theirs", tmp.path().display());
    let copied =
        std::process::Command::new("skopeo").args(["copy", "--preserve-digests", &from, &to]).output().unwrap();
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    let store = open(tmp.path());
    assert_eq!(store.leftovers(Timestamp::MAX).unwrap(), Swept::default());
    store.remove_names(&[name("mine:1")]).unwrap();
    assert_eq!(sweep(&store, &mine).unwrap().gone, [mine.digest]);
    assert_eq!(fs::read_dir(tmp.path().join("blobs/sha256")).unwrap().count(), 3);
}

#[test]
fn root_an_image_whose_config_is_damaged_keeps_everything_from_going() {
    let tmp = tempfile::tempdir().unwrap();
    let store = open(tmp.path());
    let image = keep_image(&store, "one:1", &[b"layer"]);
    let blobs = store.closure(&image).unwrap().blobs;
    drop(store);
    let layer = layer_digest::Digest::sha256(b"layer");
    let config = blobs.iter().find(|id| id.0 != image.digest && id.0 != layer).unwrap();
    fs::write(tmp.path().join("blobs/sha256").join(config.0.hex()), "x").unwrap();
    let store = open(tmp.path());
    assert!(matches!(store.sweep_leftovers(Timestamp::MAX), Err(StoreError::Damaged(digest)) if digest == config.0));
    assert!(store.layer(DiffId(layer)).unwrap().is_some());
}

#[test]
fn root_an_index_that_calls_anything_a_manifest_keeps_nobody_from_sweeping() {
    let tmp = tempfile::tempdir().unwrap();
    let store = open(tmp.path());
    let one = keep_image(&store, "one:1", &[b"own"]);
    let two = keep_image(&store, "two:1", &[b"two"]);
    let manifest: serde_json::Value =
        serde_json::from_slice(&store.read_blob(BlobId(two.digest), 1 << 20).unwrap()).unwrap();
    let called = |descriptor: &serde_json::Value| {
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        serde_json::json!({"mediaType": media_type, "digest": descriptor["digest"], "size": descriptor["size"]})
    };
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = serde_json::json!({"schemaVersion": 2, "mediaType": media_type, "manifests": [
        two, called(&manifest["config"]), called(&manifest["layers"][0]),
        {"mediaType": two.media_type, "digest": two.digest, "size": 5u64 << 20},
    ]});
    let bytes = serde_json::to_vec(&index).unwrap();
    let digest = layer_digest::Digest::sha256(&bytes);
    store.put_blob(BlobId(digest), &bytes).unwrap();
    store.set_name(&name("two:1"), &Descriptor::new(media_type, digest, bytes.len() as u64)).unwrap();
    store.remove_names(&[name("one:1")]).unwrap();
    assert_eq!(sweep(&store, &one).unwrap().gone, [one.digest]);
    store.sweep_leftovers(Timestamp::MAX).map(drop).unwrap();
    assert!(store.layer(DiffId(layer_digest::Digest::sha256(b"two"))).unwrap().is_some());
    assert!(store.blob_size(BlobId(two.digest)).unwrap().is_some());
}

#[test]
fn root_an_image_that_others_name_as_something_else_keeps_its_layers() {
    let tmp = tempfile::tempdir().unwrap();
    let store = open(tmp.path());
    let manifest = keep_image(&store, "z:1", &[b"own"]);
    // Images are looked at in the order of their digests: each is made to come before another.
    let keep = |mut value: serde_json::Value, before: &Descriptor| {
        let (bytes, digest) = (0..)
            .map(|number: u32| {
                value["annotations"] = serde_json::json!({"number": number.to_string()});
                let bytes = serde_json::to_vec(&value).unwrap();
                let digest = layer_digest::Digest::sha256(&bytes);
                (bytes, digest)
            })
            .find(|(_, digest)| *digest < before.digest || before.digest.hex().starts_with("00"))
            .unwrap();
        store.put_blob(BlobId(digest), &bytes).unwrap();
        Descriptor::new(value["mediaType"].as_str().unwrap(), digest, bytes.len() as u64)
    };
    let index = |entry: &Descriptor, before: &Descriptor| {
        let media_type = "application/vnd.oci.image.index.v1+json";
        keep(serde_json::json!({"schemaVersion": 2, "mediaType": media_type, "manifests": [entry]}), before)
    };
    let target = index(&manifest, &manifest);
    store.set_name(&name("z:1"), &target).unwrap();
    store.naming().remove_images(&[manifest.digest]).unwrap();
    let called = |media_type: &str| Descriptor::new(media_type, target.digest, target.size);
    // As the layer of another, as another kind of document, and where indexes are too deep to be followed any further.
    let others: [&dyn Fn() -> Descriptor; 3] = [
        &|| {
            let (media_type, layer) = (&manifest.media_type, called("application/vnd.oci.image.layer.v1.tar"));
            let config = keep(serde_json::json!({"mediaType": "application/x-other"}), &target);
            let other = serde_json::json!({
                "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer],
            });
            keep(other, &target)
        },
        &|| index(&called(&manifest.media_type), &target),
        &|| (0..4).fold(target.clone(), |inner, _| index(&inner, &target)),
    ];
    for (number, other) in others.iter().enumerate() {
        let (other, named) = (other(), name(&format!("a{number}:1")));
        store.set_name(&named, &other).unwrap();
        store.sweep_leftovers(Timestamp::MAX).map(drop).unwrap();
        assert!(store.layer(DiffId(layer_digest::Digest::sha256(b"own"))).unwrap().is_some(), "{number}");
        store.remove_names(&[named]).unwrap();
        sweep(&store, &other).unwrap();
        assert!(store.layer(DiffId(layer_digest::Digest::sha256(b"own"))).unwrap().is_some(), "{number}");
        assert!(store.blob_size(BlobId(manifest.digest)).unwrap().is_some(), "{number}");
    }
}

#[test]
fn root_an_image_whose_config_is_missing_keeps_its_layers() {
    let tmp = tempfile::tempdir().unwrap();
    let store = open(tmp.path());
    let one = keep_image(&store, "one:1", &[b"own"]);
    let manifest: serde_json::Value =
        serde_json::from_slice(&store.read_blob(BlobId(one.digest), 1 << 20).unwrap()).unwrap();
    let config: layer_digest::Digest = manifest["config"]["digest"].as_str().unwrap().parse().unwrap();
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = serde_json::json!({"schemaVersion": 2, "mediaType": media_type, "manifests": [one]});
    let bytes = serde_json::to_vec(&index).unwrap();
    let digest = layer_digest::Digest::sha256(&bytes);
    store.put_blob(BlobId(digest), &bytes).unwrap();
    fs::remove_file(tmp.path().join("blobs/sha256").join(config.hex())).unwrap();
    // By itself, and as a platform of an index.
    for target in [one, Descriptor::new(media_type, digest, bytes.len() as u64)] {
        store.set_name(&name("one:1"), &target).unwrap();
        // The one before has lost its name, and must not be what the second round is refused for.
        let others = store.images().into_iter().map(|image| image.target.digest).filter(|it| *it != target.digest);
        store.naming().remove_images(&others.collect::<Vec<_>>()).unwrap();
        let swept = store.sweep_leftovers(Timestamp::MAX).map(drop);
        assert!(matches!(swept, Err(StoreError::NoBlob(missing)) if missing == config));
        assert!(store.layer(DiffId(layer_digest::Digest::sha256(b"own"))).unwrap().is_some());
    }
}
