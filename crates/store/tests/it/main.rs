//! The store through its public API.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod fixture;
mod format;
mod holdings;
mod names;
mod recover;
mod recovery;
mod removal;
mod start;

use std::path::Path;
use std::sync::Arc;

use layer_digest::{BlobId, DiffId, Digest, Verifier};
use layer_fs::Dir;
use layer_oci::Descriptor;
use layer_reference::Reference;
use layer_store::{ImageRecord, LayerFiles, LayerRecord, StagedLayer, Store};

/// A folder in memory where there is one: what these tests look at doesn't depend on the disk.
fn memory() -> &'static Path {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() { shm } else { Path::new("/tmp") }
}

/// A store at `root`.
fn open(root: &Path) -> Arc<Store> {
    Arc::new(Store::open(root).unwrap())
}

fn name(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

/// The folder that a layer is unpacked into.
fn files(stage: &StagedLayer) -> &Dir {
    match stage.files() {
        LayerFiles::Folder(folder) => folder,
        LayerFiles::Image(_) => panic!("these stores keep folders"),
    }
}

/// Keeps a layer that holds one file, as a pull would: the blob stands for itself, being a tar that isn't compressed.
fn keep_layer(store: &Arc<Store>, content: &[u8]) -> (Descriptor, DiffId) {
    let stage = store.stage_layer().unwrap();
    files(&stage).write_atomic("file", content, 0o644).unwrap();
    commit(store, stage, content, None)
}

/// Commits a layer whose files are there.
fn commit(store: &Arc<Store>, stage: StagedLayer, content: &[u8], image: Option<ImageRecord>) -> (Descriptor, DiffId) {
    let digest = Digest::sha256(content);
    let mut verifier = Verifier::new(BlobId(digest), None);
    verifier.update(content).unwrap();
    let blob = verifier.finish().unwrap();
    let mut verifier = Verifier::new(DiffId(digest), None);
    verifier.update(content).unwrap();
    let diff = verifier.finish().unwrap();
    let mut ingest = store.ingest(blob.id()).unwrap();
    ingest.append(content).unwrap();
    let record = LayerRecord {
        diff_id: diff.id(),
        blob: blob.id(),
        tar_size: content.len() as u64,
        size: content.len() as u64,
        entries: 1,
        implied_parents: Vec::new(),
        foreign_links: Vec::new(),
        image,
    };
    stage.commit(&diff, &record, Some((ingest, &blob))).unwrap();
    (Descriptor::new("application/vnd.oci.image.layer.v1.tar", digest, content.len() as u64), diff.id())
}

/// Keeps an image of such layers, and gives it a name.
fn keep_image(store: &Arc<Store>, reference: &str, layers: &[&[u8]]) -> Descriptor {
    let kept: Vec<_> = layers.iter().map(|content| keep_layer(store, content)).collect();
    let diff_ids: Vec<_> = kept.iter().map(|(_, diff)| diff).collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let keep = |media_type: &str, value: &serde_json::Value| {
        let bytes = serde_json::to_vec(value).unwrap();
        let digest = Digest::sha256(&bytes);
        store.put_blob(BlobId(digest), &bytes).unwrap();
        Descriptor::new(media_type, digest, bytes.len() as u64)
    };
    let config = keep("application/vnd.oci.image.config.v1+json", &config);
    let layers: Vec<_> = kept.iter().map(|(layer, _)| layer).collect();
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = serde_json::json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers});
    let manifest = keep(media_type, &manifest);
    store.set_name(&name(reference), &manifest).unwrap();
    manifest
}
