//! Archives, as others write them.

use layer_testkit::image::Image;
use layer_testkit::layer::{Compression, Layer, LayerBuilder};
use layer_testkit::{Blob, sha256};
use serde_json::{Value, json};

/// The files of an archive.
pub(crate) type Files = Vec<(String, Vec<u8>)>;

const FULL_NAME: &str = "io.containerd.image.name";

pub(crate) fn plain(text: &str) -> Layer {
    LayerBuilder::new().dir("data").file("data/file", text).pack(Compression::Plain)
}

/// The bytes of all blobs and documents of an image, under the names that they have in a layout.
pub(crate) fn blobs(image: &Image) -> Files {
    let name = |digest: &str| format!("blobs/{}", digest.replacen(':', "/", 1));
    let blob = |blob: &Blob| (name(&blob.digest), blob.content.to_vec().unwrap());
    let documents = image.documents.iter().chain([&image.top]);
    let mut all: Vec<_> = image.blobs.iter().map(blob).collect();
    all.extend(documents.map(|document| (name(&document.digest), document.bytes.clone())));
    all.sort();
    all.dedup();
    all
}

fn index(images: &[(&Image, Option<&str>)]) -> Value {
    let entry = |(image, name): &(&Image, Option<&str>)| {
        let mut entry = image.top.descriptor();
        if let Some(name) = name {
            entry["annotations"] = json!({ FULL_NAME: name });
        }
        entry
    };
    json!({"schemaVersion": 2, "manifests": images.iter().map(entry).collect::<Vec<_>>()})
}

/// An OCI image-layout with these images; `change` may leave files out or change them.
pub(crate) fn layout(images: &[(&Image, Option<&str>)], change: impl FnOnce(&mut Files)) -> Vec<u8> {
    let mut files: Vec<_> = images.iter().flat_map(|(image, _)| blobs(image)).collect();
    files.sort();
    files.dedup();
    files.push(("index.json".to_owned(), index(images).to_string().into_bytes()));
    files.push(("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()));
    change(&mut files);
    tar(&files)
}

fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    files.iter().fold(LayerBuilder::new(), |tar, (name, bytes)| tar.file(name, bytes)).tar()
}

/// An archive as docker wrote it before version 25: layers as uncompressed tars in folders of their own, one of them linked to from another.
pub(crate) fn old(image: &Image, tags: &[&str]) -> LayerBuilder {
    let config = image.blobs[0].content.to_vec().unwrap();
    let name = format!("{}.json", &image.blobs[0].digest["sha256:".len()..]);
    let mut tar = LayerBuilder::new();
    let mut paths: Vec<String> = Vec::new();
    for (number, layer) in image.layers.iter().enumerate() {
        let folder = sha256(format!("{number}").as_bytes())["sha256:".len()..].to_owned();
        tar = tar.dir(format!("{folder}/")).file(format!("{folder}/VERSION"), "1.0");
        tar = tar.file(format!("{folder}/json"), json!({"id": folder}).to_string());
        let path = format!("{folder}/layer.tar");
        let twin = image.layers[..number].iter().position(|other| other.diff_id == layer.diff_id);
        tar = match twin {
            Some(twin) => tar.symlink(&path, format!("../{}", paths[twin])),
            None => tar.file(&path, layer.tar.to_vec().unwrap()),
        };
        paths.push(path);
    }
    let manifest = json!([{"Config": name, "RepoTags": tags, "Layers": paths}]);
    tar.file(name, config).file("manifest.json", manifest.to_string()).file("repositories", r#"{"old":{"1":"x"}}"#)
}
