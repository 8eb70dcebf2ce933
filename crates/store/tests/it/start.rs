//! How much a start does.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use layer_digest::{BlobId, DiffId, Digest};
use layer_store::{LayerRecord, Store};

use super::{keep_image, keep_layer, open};

/// What is done to a file.
type Harm = fn(&Path);

const IMAGES: usize = 200;
const LAYERS: usize = 5000;

/// Writes a store with so many images and layers, file by file. Its database is not filled.
fn write_large(root: &Path) {
    drop(open(root));
    let blob = |bytes: &[u8]| {
        let digest = Digest::sha256(bytes);
        fs::write(root.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        serde_json::json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": bytes.len()})
    };
    let mut layers = Vec::new();
    for number in 0..LAYERS {
        let content = format!("layer {number}");
        let digest = Digest::sha256(content.as_bytes());
        let size = content.len() as u64;
        let record = LayerRecord {
            diff_id: DiffId(digest),
            blob: BlobId(digest),
            tar_size: size,
            size,
            entries: 1,
            implied_parents: Vec::new(),
            foreign_links: Vec::new(),
            image: None,
        };
        let folder = root.join("layers/sha256").join(digest.hex());
        fs::create_dir_all(folder.join("fs")).unwrap();
        fs::write(folder.join("layer.json"), serde_json::to_vec(&record).unwrap()).unwrap();
        layers.push(blob(content.as_bytes()));
    }
    let mut entries = Vec::new();
    for (number, own) in layers.chunks(LAYERS / IMAGES).enumerate() {
        let diff_ids: Vec<_> = own.iter().map(|layer| &layer["digest"]).collect();
        let config = serde_json::json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let mut config = blob(config.to_string().as_bytes());
        config["mediaType"] = "application/vnd.oci.image.config.v1+json".into();
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest =
            serde_json::json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": own});
        let mut entry = blob(manifest.to_string().as_bytes());
        entry["mediaType"] = media_type.into();
        entry["annotations"] = serde_json::json!({
            "org.opencontainers.image.ref.name": format!("docker.io/library/app{number}:1"),
            "dev.layerd.tagged": "2026-11-01T12:00:00Z",
        });
        entries.push(entry);
    }
    let index = serde_json::json!({"schemaVersion": 2, "manifests": entries});
    fs::write(root.join("index.json"), index.to_string()).unwrap();
}

#[test]
fn root_a_start_reads_nothing_for_each_layer() {
    let tmp = tempfile::tempdir_in(crate::memory()).unwrap();
    write_large(tmp.path());
    let store = open(tmp.path());
    assert_eq!((store.names().len(), store.layer_ids().unwrap().len()), (IMAGES, LAYERS));
    assert_eq!((store.started().records_read, store.started().is_empty), (0, false), "{:?}", store.started());
    drop(store);
    // Not even when the database is gone: that is filled behind.
    fs::remove_dir_all(tmp.path().join("db")).unwrap();
    let store = open(tmp.path());
    assert_eq!((store.started().records_read, store.started().is_empty), (0, true));
    let last = Digest::sha256(format!("layer {}", LAYERS - 1).as_bytes());
    assert!(store.is_proven(BlobId(last), DiffId(last)).unwrap());
    Store::refill(&Arc::downgrade(&store));
    for number in 0..LAYERS {
        let digest = Digest::sha256(format!("layer {number}").as_bytes());
        assert_eq!(store.known_diff(BlobId(digest)), Some(DiffId(digest)));
    }
}

/// Whatever has happened to the database's files, the store opens, names are there, and every layer is known for what it is.
#[test]
fn root_the_database_may_be_damaged_in_any_way() {
    let damage: [(&str, Harm); 6] = [
        ("removed", |path| fs::remove_file(path).unwrap()),
        ("emptied", |path| fs::write(path, "").unwrap()),
        ("cut in half", |path| {
            let len = fs::metadata(path).unwrap().len();
            fs::File::options().write(true).open(path).unwrap().set_len(len / 2).unwrap();
        }),
        ("zeroed", |path| {
            let len = fs::metadata(path).unwrap().len();
            fs::write(path, vec![0; usize::try_from(len).unwrap()]).unwrap();
        }),
        ("garbled", |path| {
            let mut bytes = fs::read(path).unwrap();
            let mut last = 7u8;
            for byte in &mut bytes {
                last = byte.wrapping_mul(31).wrapping_add(last);
                *byte = last;
            }
            fs::write(path, bytes).unwrap();
        }),
        ("flipped", |path| {
            let mut bytes = fs::read(path).unwrap();
            bytes.iter_mut().step_by(97).for_each(|byte| *byte ^= 0x10);
            fs::write(path, bytes).unwrap();
        }),
    ];
    let tmp = tempfile::tempdir_in(crate::memory()).unwrap();
    for (what, harm) in damage {
        for file in ["db", "conf", "snap"] {
            let root = tmp.path().join(format!("{what}-{file}"));
            let store = open(&root);
            keep_image(&store, "app:1", &[b"one", b"two"]);
            drop(store);
            for entry in fs::read_dir(root.join("db")).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() && path.file_name().unwrap().to_string_lossy().starts_with(file) {
                    harm(&path);
                }
            }
            let store = open(&root);
            assert_eq!(store.names().len(), 1, "{what} {file}");
            for content in [b"one", b"two"] {
                let digest = Digest::sha256(content);
                assert!(store.is_proven(BlobId(digest), DiffId(digest)).unwrap(), "{what} {file}");
            }
            // And it takes new facts.
            let (layer, diff) = keep_layer(&store, b"three");
            assert!(store.is_proven(BlobId(layer.digest), diff).unwrap(), "{what} {file}");
        }
    }
}

#[test]
fn root_a_layer_with_a_damaged_record_is_as_good_as_missing_and_makes_way() {
    for harm in ["record cut", "record of another", "record gone", "files gone"] {
        let tmp = tempfile::tempdir_in(crate::memory()).unwrap();
        let (_, diff) = keep_layer(&open(tmp.path()), b"content");
        let folder = tmp.path().join("layers/sha256").join(diff.0.hex());
        let record = fs::read_to_string(folder.join("layer.json")).unwrap();
        match harm {
            "record cut" => fs::write(folder.join("layer.json"), &record[..20]).unwrap(),
            "record of another" => {
                let other = Digest::sha256(b"other").hex();
                fs::write(folder.join("layer.json"), record.replace(&diff.0.hex(), &other)).unwrap();
            }
            "record gone" => fs::remove_file(folder.join("layer.json")).unwrap(),
            _ => fs::remove_dir_all(folder.join("fs")).unwrap(),
        }
        let store = open(tmp.path());
        assert!(store.layer(diff).unwrap().is_none(), "{harm}");
        keep_layer(&store, b"content");
        assert!(store.layer(diff).unwrap().is_some(), "{harm}");
        assert_eq!(fs::read_to_string(folder.join("fs/file")).unwrap(), "content", "{harm}");
        assert_eq!(fs::read_dir(tmp.path().join("staging")).unwrap().count(), 0, "{harm}");
    }
}

#[test]
fn root_only_partials_that_can_be_gone_on_from_are_kept() {
    let tmp = tempfile::tempdir().unwrap();
    let store = open(tmp.path());
    let [some, none] = [b"some", b"none"].map(|bytes| BlobId(Digest::sha256(bytes)));
    store.ingest(some).unwrap().append(b"so").unwrap();
    drop(store.ingest(none).unwrap());
    drop(store);
    fs::write(tmp.path().join("ingest/foreign"), "x").unwrap();
    let store = Store::open(tmp.path()).unwrap();
    assert_eq!((store.started().partials, store.started().useless), (1, 2));
    assert_eq!(store.partial_size(some).unwrap(), 2);
    assert_eq!(fs::read_dir(tmp.path().join("ingest")).unwrap().count(), 1);
}

#[test]
fn root_a_start_needs_no_room_on_the_disk_for_its_lock() {
    // The number is written over the last one, in as many bytes.
    let tmp = tempfile::tempdir().unwrap();
    drop(open(tmp.path()));
    let before = fs::metadata(tmp.path().join("lock")).unwrap().len();
    drop(open(tmp.path()));
    assert_eq!(fs::metadata(tmp.path().join("lock")).unwrap().len(), before);
}
