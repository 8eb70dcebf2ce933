//! Archives of every kind, loaded.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use layer_digest::BlobId;
use layer_oci::Platform;
use layer_testkit::image::{Image, ImageBuilder, IndexBuilder};
use layer_testkit::layer::{Compression, Layer, LayerBuilder};
use layer_testkit::sha256;
use layer_transfer::{LoadError, LoadEvent, LoadRequest};

use crate::archive::{blobs, layout, old, plain};
use crate::load_hostile::refused;
use crate::setup::{Setup, chain, image, layer};

pub(crate) type Loaded = Result<Vec<(String, Option<String>)>, Arc<LoadError>>;

/// Loads an archive that comes in pieces of a certain size.
async fn load_for(setup: &Setup, bytes: Vec<u8>, piece: usize, platforms: &[&str]) -> Loaded {
    let request = LoadRequest { platforms: platforms.iter().map(|text| text.parse::<Platform>().unwrap()).collect() };
    let pieces: Vec<_> = bytes.chunks(piece).map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece))).collect();
    let mut load = setup.transfer.load(request, stream::iter(pieces));
    let mut loaded = Vec::new();
    let mut failure = None;
    while let Some(event) = load.next().await {
        match event {
            LoadEvent::Layer { done, total, .. } => assert!(done <= total),
            LoadEvent::Loaded { image, name } => loaded.push((image.to_string(), name.map(|name| name.familiar()))),
            LoadEvent::Failed(error) => failure = Some(error),
        }
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(loaded),
    }
}

pub(crate) async fn load(setup: &Setup, bytes: Vec<u8>) -> Loaded {
    load_for(setup, bytes, 60_000, &[]).await
}

fn named(image: &str, names: &[&str]) -> Vec<(String, Option<String>)> {
    names.iter().map(|&name| (image.to_owned(), Some(name.to_owned()))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_layout_gives_the_image_that_went_in_however_it_is_cut() {
    let image = image([layer(1, 200_000), plain("two"), LayerBuilder::new().file("z", "3").pack(Compression::Zstd)]);
    let bytes = layout(&[(&image, Some("docker.io/lab/app:1")), (&image, Some("docker.io/lab/app:2"))], |_| {});
    for piece in [1000, 4096, 70_001, 10_000_000] {
        let setup = Setup::new();
        let loaded = load_for(&setup, bytes.clone(), piece, &[]).await.unwrap();
        assert_eq!(loaded, named(image.digest(), &["lab/app:1", "lab/app:2"]));
        for layer in &image.layers {
            assert_eq!(
                setup.store.known_diff(layer.blob.digest.parse().unwrap()),
                Some(layer.diff_id.parse().unwrap())
            );
            let kept = setup.store.read_blob(layer.blob.digest.parse().unwrap(), 1 << 30).unwrap();
            assert_eq!(kept, layer.blob.content.to_vec().unwrap());
        }
        let second = setup.store.layer(image.layers[1].diff_id.parse().unwrap()).unwrap().unwrap();
        assert_eq!(std::fs::read(second.files.as_path().join("data/file")).unwrap(), b"two");
        setup.assert_clean();
        // Once more, all of it is there.
        assert_eq!(load(&setup, bytes.clone()).await.unwrap().len(), 2);
        setup.assert_clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_an_archive_may_be_packed() {
    let image = image([plain("packed")]);
    let bytes = layout(&[(&image, Some("lab/app:1"))], |_| {});
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tar");
    std::fs::write(&path, &bytes).unwrap();
    for program in ["gzip", "zstd", "xz", "bzip2"] {
        let packed = std::process::Command::new(program).arg("-c").arg(&path).output().unwrap();
        assert!(packed.status.success(), "{program}");
        let setup = Setup::new();
        let mut cut = packed.stdout.clone();
        cut.truncate(cut.len() - 3);
        refused(&setup, cut).await;
        assert_eq!(load(&setup, packed.stdout).await.unwrap(), named(image.digest(), &["lab/app:1"]), "{program}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_an_old_docker_archive_becomes_the_same_image_each_time() {
    let same = || plain("same");
    let image = ImageBuilder::docker().layers([same(), layer(2, 50_000), same()]).build();
    let setup = Setup::new();
    let first = load(&setup, old(&image, &["old:1", "old"]).tar()).await.unwrap();
    let id = first[0].0.clone();
    assert_eq!(first, named(&id, &["old:1", "old:latest"]));
    setup.assert_clean();
    let manifest = setup.store.read_blob(id.parse().unwrap(), 1 << 20).unwrap();
    let size = |layer: &Layer| layer.tar.to_vec().unwrap().len();
    let parts: Vec<String> = image
        .layers
        .iter()
        .map(|layer| {
            let (digest, size) = (&layer.diff_id, size(layer));
            format!(
                r#"{{"mediaType":"application/vnd.docker.image.rootfs.diff.tar","digest":"{digest}","size":{size}}}"#
            )
        })
        .collect();
    let config = &image.blobs[0];
    let expected = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"{}","size":{}}},"layers":[{}]}}"#,
        config.digest,
        config.size(),
        parts.join(",")
    );
    assert_eq!(String::from_utf8(manifest).unwrap(), expected);
    assert_eq!(id, sha256(expected.as_bytes()));
    let other = Setup::new();
    assert_eq!(load(&other, old(&image, &["old:1"]).tar()).await.unwrap(), named(&id, &["old:1"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn root_of_an_index_what_is_there_is_loaded_and_what_is_asked_for() {
    let one = ImageBuilder::new().platform("linux/amd64").layer(plain("amd64")).build();
    let two = ImageBuilder::new().platform("linux/arm64").layer(plain("arm64")).build();
    let both = IndexBuilder::new().image(&one).attestation(&one).image(&two).build();
    let name = Some("lab/both:1");
    let has =
        |setup: &Setup, image: &Image| setup.store.layer(image.layers[0].diff_id.parse().unwrap()).unwrap().is_some();

    let setup = Setup::new();
    assert_eq!(load(&setup, layout(&[(&both, name)], |_| {})).await.unwrap(), named(both.digest(), &["lab/both:1"]));
    assert!(has(&setup, &one) && has(&setup, &two));
    assert_eq!(setup.count("blobs/sha256"), blobs(&both).len());

    let setup = Setup::new();
    let loaded = load_for(&setup, layout(&[(&both, name)], |_| {}), 9999, &["linux/arm64"]).await.unwrap();
    assert_eq!(loaded, named(both.digest(), &["lab/both:1"]));
    assert!(!has(&setup, &one) && has(&setup, &two));
    setup.assert_clean();

    // An archive of a store that has one platform alone: the manifest of the other, or its layer, is missing.
    for missing in [&two.top.digest, &two.layers[0].blob.digest] {
        let setup = Setup::new();
        let bytes = layout(&[(&both, name)], |files| files.retain(|(name, _)| !name.ends_with(&missing[7..])));
        assert_eq!(load(&setup, bytes.clone()).await.unwrap(), named(both.digest(), &["lab/both:1"]));
        assert!(has(&setup, &one) && !has(&setup, &two));
        let error = load_for(&setup, bytes, 9999, &["linux/arm64"]).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "image with reference lab/both:1 was found but does not provide the specified platform (linux/arm64)"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_what_has_no_name_is_kept_without_one() {
    let setup = Setup::new();
    let image = image([plain("nameless")]);
    let loaded = load(&setup, layout(&[(&image, None)], |_| {})).await.unwrap();
    assert_eq!(loaded, [(image.digest().to_owned(), None)]);
    let dangling = || {
        assert!(setup.store.names().is_empty());
        setup.store.images().iter().map(|image| image.target.digest.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(dangling(), [image.digest()]);
    load(&setup, layout(&[(&image, None)], |_| {})).await.unwrap();
    assert_eq!(dangling(), [image.digest()]);
    // A name takes it out of those that have none, and coming again without one changes nothing.
    load(&setup, layout(&[(&image, Some("lab/named:1"))], |_| {})).await.unwrap();
    load(&setup, layout(&[(&image, None)], |_| {})).await.unwrap();
    assert_eq!((setup.store.names().len(), setup.store.images().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn root_what_belongs_to_no_image_is_removed_and_what_the_store_has_need_not_come() {
    let setup = Setup::new();
    let (wanted, other) = (image([layer(1, 1000)]), image([layer(2, 1000)]));
    let mut extra = blobs(&other);
    extra.push(("notes/README".to_owned(), b"text".to_vec()));
    extra.push(("other.tar".to_owned(), LayerBuilder::new().file("x", "y").tar()));
    let bytes = layout(&[(&wanted, Some("lab/wanted:1"))], |files| files.splice(0..0, extra).for_each(drop));
    load(&setup, bytes).await.unwrap();
    assert_eq!(setup.count("blobs/sha256"), 3);
    assert_eq!(setup.store.layer_ids().unwrap().len(), 1);
    setup.assert_clean();
    let layer = &wanted.layers[0].blob.digest;
    let bytes =
        layout(&[(&wanted, Some("lab/wanted:2"))], |files| files.retain(|(name, _)| !name.ends_with(&layer[7..])));
    assert_eq!(load(&setup, bytes).await.unwrap(), named(wanted.digest(), &["lab/wanted:2"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_body_that_breaks_off_anywhere_leaves_nothing() {
    let setup = Setup::new();
    let image = image([layer(1, 40_000), layer(2, 40_000)]);
    let bytes = layout(&[(&image, Some("lab/app:1"))], |_| {});
    for part in 1..16 {
        let cut = bytes[..bytes.len() * part / 16].to_vec();
        let pieces = stream::iter([Ok(Bytes::from(cut)), Err("the client has gone")]);
        let mut load = setup.transfer.load(LoadRequest::default(), pieces);
        let mut last = None;
        while let Some(event) = load.next().await {
            last = Some(event);
        }
        let Some(LoadEvent::Failed(error)) = last else { panic!("{last:?}") };
        assert!(chain(&*error).contains("the body of the request broke off"), "{}", chain(&*error));
        setup.assert_clean();
        assert!(setup.store.names().is_empty() && setup.store.layer_ids().unwrap().is_empty());
    }
    assert!(setup.store.blob_size(image.layers[0].blob.digest.parse::<BlobId>().unwrap()).unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn root_who_leaves_a_load_stops_it() {
    let setup = Setup::new();
    let bytes = layout(&[(&image([layer(1, 400_000)]), Some("lab/app:1"))], |_| {});
    // Half of the archive, and then nothing for ever.
    let half = Bytes::copy_from_slice(&bytes[..bytes.len() / 2]);
    let (sent, has_sent) = tokio::sync::oneshot::channel();
    let pieces = stream::once(async move { Ok::<_, Infallible>(half) }).chain(stream::once(async move {
        sent.send(()).unwrap();
        std::future::pending().await
    }));
    let load = setup.transfer.load(LoadRequest::default(), pieces);
    has_sent.await.unwrap();
    drop(load);
    while setup.count("staging") > 0 {
        tokio::task::yield_now().await;
    }
    assert!(setup.store.names().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_blob_that_is_marked_as_damaged_is_replaced() {
    let setup = Setup::new();
    let image = image([plain("marked")]);
    let bytes = layout(&[(&image, Some("lab/app:1"))], |_| {});
    load(&setup, bytes.clone()).await.unwrap();
    let layer = &image.layers[0].blob;
    let id: BlobId = layer.digest.parse().unwrap();
    let descriptor = layer_oci::Descriptor::new("", id.0, layer.size());
    setup.store.distrust_blob(id).unwrap();
    assert!(!setup.store.has_blob(&descriptor).unwrap());
    load(&setup, bytes).await.unwrap();
    assert!(setup.store.has_blob(&descriptor).unwrap());
    setup.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn root_what_is_being_loaded_is_not_removed() {
    let setup = Setup::new();
    let (shared, own) = (layer(1, 300_000), layer(2, 300_000));
    // A layer that the store has already, of an image that goes meanwhile.
    let other = image([shared.clone()]);
    let name = setup.registry.put_image("lab/other", "1", &other);
    setup.pull(&name).await.unwrap();
    let loaded = image([shared, own]);
    let bytes = layout(&[(&loaded, Some("lab/app:1"))], |_| {});
    let (feed, body) = tokio::sync::mpsc::channel(1);
    let body = stream::unfold(body, |mut body| async move { Some((Ok::<_, Infallible>(body.recv().await?), body)) });
    let mut load = setup.transfer.load(LoadRequest::default(), body);
    // All but the tables, which are at the end.
    let (most, rest) = bytes.split_at(bytes.len() - 4096);
    for piece in most.chunks(50_000) {
        feed.send(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    let shared: BlobId = other.layers[0].blob.digest.parse().unwrap();
    while !setup.store.is_leased(shared) {
        tokio::task::yield_now().await;
    }
    let target = setup.store.name(&name.parse().unwrap()).unwrap().target;
    let naming = setup.store.naming();
    naming.remove_names(&[name.parse().unwrap()]).unwrap();
    drop(naming.sweep(std::slice::from_ref(&target)).unwrap());
    drop(naming);
    drop(setup.store.sweep_leftovers(jiff::Timestamp::MAX).unwrap());
    feed.send(Bytes::copy_from_slice(rest)).await.unwrap();
    drop(feed);
    let mut names = Vec::new();
    while let Some(event) = load.next().await {
        match event {
            LoadEvent::Loaded { name, .. } => names.push(name.unwrap().familiar()),
            LoadEvent::Failed(error) => panic!("{}", chain(&*error)),
            LoadEvent::Layer { .. } => {}
        }
    }
    assert_eq!(names, ["lab/app:1"]);
    for layer in &loaded.layers {
        assert!(setup.store.has_layer(layer.diff_id.parse().unwrap()).unwrap());
        assert!(setup.store.blob_size(layer.blob.digest.parse().unwrap()).unwrap().is_some());
    }
    setup.assert_clean();
}
