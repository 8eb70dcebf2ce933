//! What was pulled or loaded, saved, and loaded again elsewhere.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Read as _;

use bytes::Bytes;
use futures_util::stream;
use layer_oci::Descriptor;
use layer_testkit::image::{ImageBuilder, IndexBuilder};
use layer_testkit::layer::{Compression, LayerBuilder};
use layer_transfer::{LoadEvent, LoadRequest, SaveImage, SavePlan};
use serde_json::{Value, json};

use crate::setup::{Setup, image, layer};

fn target(setup: &Setup, name: &str) -> Descriptor {
    setup.store.names().into_iter().find(|named| named.reference.familiar() == name).unwrap().target
}

fn saved(setup: &Setup, names: &[&str]) -> SaveImage {
    let target = target(setup, names[0]);
    let names = names.iter().map(|name| name.parse().unwrap()).collect();
    SaveImage { target, names, only: Vec::new(), shown: None }
}

/// Saves to the end.
async fn save(setup: &Setup, images: &[SaveImage]) -> Result<Vec<u8>, String> {
    let plan = SavePlan::new(&setup.store, images).map_err(|error| error.to_string())?;
    let mut save = setup.transfer.save(plan);
    let mut bytes = Vec::new();
    while let Some(piece) = save.next().await {
        bytes.extend(piece.map_err(|error| error.to_string())?);
    }
    Ok(bytes)
}

/// The files of an archive, by another reader.
fn files(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(bytes).entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.header().entry_type().is_file() {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            assert!(files.insert(entry.path().unwrap().display().to_string(), bytes).is_none());
        }
    }
    files
}

fn json_of(files: &BTreeMap<String, Vec<u8>>, name: &str) -> Value {
    serde_json::from_slice(&files[name]).unwrap()
}

fn blob(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}

async fn load(setup: &Setup, bytes: Vec<u8>) -> Vec<(String, String)> {
    let mut load = setup.transfer.load(LoadRequest::default(), stream::iter([Ok::<_, Infallible>(Bytes::from(bytes))]));
    let mut loaded = Vec::new();
    while let Some(event) = load.next().await {
        match event {
            LoadEvent::Loaded { image, name } => loaded.push((image.to_string(), name.unwrap().familiar())),
            LoadEvent::Failed(error) => panic!("{error}"),
            LoadEvent::Layer { .. } => {}
        }
    }
    loaded
}

#[tokio::test(flavor = "multi_thread")]
async fn root_several_images_share_their_blobs_and_come_back_as_they_were() {
    let (here, there) = (Setup::new(), Setup::new());
    let base = layer(1, 100_000);
    let zstd = LayerBuilder::new().file("z", "z").pack(Compression::Zstd);
    let (one, two) = (image([base.clone()]), ImageBuilder::docker().layers([base, layer(2, 50)]).build());
    let three = image([zstd]);
    let names: Vec<String> = [("one", &one), ("two", &two), ("three", &three)]
        .map(|(name, image)| here.registry.put_image(&format!("lab/{name}"), "1", image))
        .into();
    for name in &names {
        here.pull(name).await.unwrap();
    }
    let other = "mine:2";
    here.store.set_name(&other.parse().unwrap(), &target(&here, &names[0])).unwrap();
    let images = [saved(&here, &[&names[0], other]), saved(&here, &[&names[1]]), saved(&here, &[&names[2]])];
    let bytes = save(&here, &images).await.unwrap();
    assert_eq!(bytes, save(&here, &images).await.unwrap(), "the same images make the same archive");

    let files = files(&bytes);
    // Three manifests, three configs, three layers; three tables.
    assert_eq!(files.len(), 12);
    for content in one.blobs.iter().chain(&two.blobs).chain(&three.blobs) {
        assert_eq!(files[&blob(&content.digest)], content.content.to_vec().unwrap());
    }
    assert_eq!(files[&blob(two.digest())], two.top.bytes);
    let index = json_of(&files, "index.json");
    let annotations = |at: usize| index["manifests"][at]["annotations"].clone();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 4);
    assert_eq!(index["manifests"][0]["digest"], one.digest());
    assert_eq!(index["manifests"][2]["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
    let full = json!({"io.containerd.image.name": names[0], "org.opencontainers.image.ref.name": "1"});
    assert_eq!(annotations(0), full);
    assert_eq!(annotations(1)["io.containerd.image.name"], "docker.io/library/mine:2");
    let manifest = json_of(&files, "manifest.json");
    assert_eq!(manifest[0]["RepoTags"], json!([names[0], other]));
    assert_eq!(manifest[1]["Config"], blob(two.config.as_ref().unwrap()));
    let layers: Vec<String> = two.layers.iter().map(|layer| blob(&layer.blob.digest)).collect();
    assert_eq!(manifest[1]["Layers"], json!(layers));

    let loaded = load(&there, bytes).await;
    let expected = [
        (one.digest(), names[0].as_str()),
        (one.digest(), other),
        (two.digest(), &names[1]),
        (three.digest(), &names[2]),
    ];
    assert_eq!(loaded, expected.map(|(image, name)| (image.to_owned(), name.to_owned())));
    there.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn root_of_an_index_what_is_here_is_saved() {
    let (here, there) = (Setup::new(), Setup::new());
    let variant = |platform: &str| {
        ImageBuilder::new().platform(platform).layer(LayerBuilder::new().file(platform, "").gzip()).build()
    };
    let (one, two) = (variant("linux/amd64"), variant("linux/s390x"));
    let both = IndexBuilder::new().image(&one).image(&two).build();
    let name = here.registry.put_image("lab/both", "1", &both);
    crate::setup::finish(here.start_for(&name, Some("linux/amd64"))).await.1.unwrap();
    let image = saved(&here, &[&name]);
    let part = save(&here, std::slice::from_ref(&image)).await.unwrap();
    assert_eq!(files(&part).len(), 4 + 3);
    assert_eq!(load(&there, part).await, [(both.digest().to_owned(), name.clone())]);

    // What isn't here can't be asked for.
    let absent = two.digest().parse().unwrap();
    let told = save(&here, &[SaveImage { only: vec![absent], ..image.clone() }]).await.unwrap_err();
    assert_eq!(told, format!("blob `{absent}` is not in the store"));

    crate::setup::finish(here.start_for(&name, Some("linux/s390x"))).await.1.unwrap();
    let whole = save(&here, &[SaveImage { shown: Some(absent), ..image.clone() }]).await.unwrap();
    assert_eq!(files(&whole).len(), 7 + 3);
    assert_eq!(json_of(&files(&whole), "manifest.json")[0]["Config"], blob(two.config.as_ref().unwrap()));
    let alone = save(&here, &[SaveImage { only: vec![absent], ..image }]).await.unwrap();
    assert_eq!(files(&alone).len(), 4 + 3);
    assert!(files(&alone).contains_key(&blob(two.digest())));
}

#[tokio::test(flavor = "multi_thread")]
async fn root_nothing_makes_an_archive_without_images() {
    let setup = Setup::new();
    let bytes = save(&setup, &[]).await.unwrap();
    let names: Vec<String> = files(&bytes).into_keys().collect();
    assert_eq!(names, ["index.json", "oci-layout"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_damaged_blob_ends_the_archive() {
    let setup = Setup::new();
    let image = image([layer(1, 300_000)]);
    let name = setup.registry.put_image("lab/app", "1", &image);
    setup.pull(&name).await.unwrap();
    let path = setup.store.path().join(blob(&image.layers[0].blob.digest));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[200_000] ^= 1;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let told = save(&setup, &[saved(&setup, &[&name])]).await.unwrap_err();
    assert!(told.contains("digest mismatch"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn root_what_is_being_saved_is_not_removed() {
    let setup = Setup::new();
    let image = image([layer(1, 3_000_000)]);
    let name = setup.registry.put_image("lab/app", "1", &image);
    setup.pull(&name).await.unwrap();
    let saved = saved(&setup, &[&name]);
    let plan = SavePlan::new(&setup.store, std::slice::from_ref(&saved)).unwrap();
    let mut save = setup.transfer.save(plan);
    let mut bytes = save.next().await.unwrap().unwrap().to_vec();
    let naming = setup.store.naming();
    naming.remove_names(&saved.names).unwrap();
    drop(naming.sweep(std::slice::from_ref(&saved.target)).unwrap());
    drop(naming);
    while let Some(piece) = save.next().await {
        bytes.extend(piece.unwrap());
    }
    assert_eq!(files(&bytes)[&blob(&image.layers[0].blob.digest)], image.layers[0].blob.content.to_vec().unwrap());
    // A reader who leaves lets go of it.
    let plan = SavePlan::new(&setup.store, &[saved]).unwrap();
    drop(setup.transfer.save(plan));
}
