//! What things take on the disk.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use layer_digest::{BlobId, Digest};
use layer_store::{Form, ImageRecord, LayerFiles};

use super::{commit, keep_image, keep_layer, open};

/// What `du` counts for the parts of a store that holdings are about.
fn du(root: &Path) -> u64 {
    let folders = ["blobs", "layers", "ingest"].map(|folder| root.join(folder));
    let output = Command::new("du").args(["-s", "--block-size=1", "-c"]).args(folders).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().last().unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn root_holdings_are_what_du_counts() {
    let tmp = tempfile::tempdir().unwrap();
    let store = open(tmp.path());
    assert_eq!(store.holdings().unwrap().bytes(), du(tmp.path()));
    keep_image(&store, "one:1", &[&[1; 100_000], b"small"]);
    let part = BlobId(Digest::sha256(b"whole"));
    store.ingest(part).unwrap().append(&[7; 70_000]).unwrap();
    // A file may get blocks more when it is written.
    layer_fs::Dir::open(tmp.path()).unwrap().sync_filesystem().unwrap();
    let holdings = store.holdings().unwrap();
    assert_eq!(holdings.bytes(), du(tmp.path()));
    assert_eq!((holdings.blobs.len(), holdings.layers.len(), holdings.partials.len()), (4, 2, 1));
    assert_eq!(holdings.partials[&part].size, 70_000);
    drop(store);
    // What was written down counts: a second daemon says the same.
    assert_eq!(open(tmp.path()).holdings().unwrap().bytes(), du(tmp.path()));
}

/// A file of many pieces takes blocks that say where they are, which it has only once it is written.
#[test]
fn root_an_image_of_many_pieces_is_what_du_counts() {
    let tmp = tempfile::tempdir().unwrap();
    let store = open(tmp.path());
    let stage = store.stage_layer_as(Form::Image).unwrap();
    let LayerFiles::Image(file) = stage.files() else { panic!("an image was asked for") };
    let pieces = 1000;
    for piece in 0..pieces {
        file.write_all_at(&[1; 4096], piece * 8192).unwrap();
    }
    let image = ImageRecord { size: file.metadata().unwrap().len(), sum: Digest::sha256(b"index") };
    commit(&store, stage, b"tar", Some(image));
    assert!(store.holdings().unwrap().layers.values().next().unwrap().bytes > pieces * 4096);
    assert_eq!(store.holdings().unwrap().bytes(), du(tmp.path()));
}

#[test]
fn root_a_layer_of_an_older_store_is_measured_once() {
    let tmp = tempfile::tempdir().unwrap();
    let store = open(tmp.path());
    let (_, diff) = keep_layer(&store, &[1; 200_000]);
    drop(store);
    let folder = tmp.path().join("layers/sha256").join(diff.0.hex());
    let text = fs::read_to_string(folder.join("layer.json")).unwrap();
    let mut record: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(record.as_object_mut().unwrap().remove("allocated").unwrap().as_u64().unwrap() >= 200_000);
    fs::write(folder.join("layer.json"), record.to_string()).unwrap();
    let store = open(tmp.path());
    let held = store.holdings().unwrap().layers[&diff];
    assert_eq!(store.holdings().unwrap().bytes(), du(tmp.path()));
    drop(store);
    // Were it measured again, this would be counted.
    fs::write(folder.join("fs/other"), vec![1; 500_000]).unwrap();
    assert_eq!(open(tmp.path()).holdings().unwrap().layers[&diff].bytes, held.bytes);
}
