//! What can be made of a store whose files were damaged.

use std::fs;
use std::path::Path;

use layer_digest::{BlobId, DiffId, Digest};
use layer_store::{OpenError, Store, recover};

use super::{keep_image, name, open};

/// A store with three names, the last of which was given last.
fn three(root: &Path) {
    let store = open(root);
    for (name, layer) in [("one:1", b"a"), ("two:1", b"b"), ("three:1", b"c")] {
        keep_image(&store, name, &[layer]);
    }
}

fn names(root: &Path) -> Vec<String> {
    open(root).names().iter().map(|named| named.reference.familiar()).collect()
}

/// Inverts a byte in the middle.
fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(path, bytes).unwrap();
}

#[test]
fn root_a_whole_store_is_left_as_it_is() {
    let tmp = tempfile::tempdir().unwrap();
    three(tmp.path());
    let index = fs::read(tmp.path().join("index.json")).unwrap();
    let found = recover(tmp.path()).unwrap();
    assert_eq!((found.index.as_deref(), found.names.len(), found.blobs, found.layers), (None, 3, 9, 3));
    assert!(found.damaged_blobs.is_empty() && found.damaged_layers.is_empty() && found.lost.is_empty());
    assert!(found.incomplete.is_empty() && found.nameless.is_empty(), "{found}");
    assert_eq!(fs::read(tmp.path().join("index.json")).unwrap(), index);
    assert!(found.to_string().contains("blobs: 9 whole, 0 damaged and removed"), "{found}");
}

#[test]
fn root_a_lost_list_of_names_comes_from_its_last_version() {
    let tmp = tempfile::tempdir().unwrap();
    three(tmp.path());
    fs::remove_file(tmp.path().join("index.json")).unwrap();
    // It is not taken for a new store.
    let error = Store::open(tmp.path()).unwrap_err();
    assert!(matches!(&error, OpenError::Damaged { .. }) && error.to_string().contains("it is gone"), "{error}");
    let found = recover(tmp.path()).unwrap();
    assert_eq!(found.index.as_deref(), Some("it was gone"));
    // The last version is from before the last name was given: that image is there, and told.
    assert_eq!(names(tmp.path()), ["one:1", "two:1"]);
    assert_eq!(found.nameless.len(), 1, "{found}");
    assert!(found.to_string().contains("is an image without a name"), "{found}");
}

#[test]
fn root_what_is_left_of_a_damaged_list_of_names_counts_too() {
    let tmp = tempfile::tempdir().unwrap();
    three(tmp.path());
    let path = tmp.path().join("index.json");
    let bytes = fs::read(&path).unwrap();
    // The end is missing, and what is before it is whole.
    fs::write(&path, &bytes[..bytes.len() - 4]).unwrap();
    let found = recover(tmp.path()).unwrap();
    assert!(found.index.is_some() && found.nameless.is_empty(), "{found}");
    assert_eq!(names(tmp.path()), ["one:1", "three:1", "two:1"]);
    assert!(tmp.path().join("index.json.damaged").exists());
    // Without the last version, too.
    fs::write(&path, &bytes[..bytes.len() - 4]).unwrap();
    fs::remove_file(tmp.path().join("index.json.bak")).unwrap();
    recover(tmp.path()).unwrap();
    assert_eq!(names(tmp.path()), ["one:1", "three:1", "two:1"]);
    // With nothing left, every image is told.
    fs::write(&path, "rubbish").unwrap();
    let _ = fs::remove_file(tmp.path().join("index.json.bak"));
    let found = recover(tmp.path()).unwrap();
    assert_eq!(found.nameless.len(), 3, "{found}");
    assert!(names(tmp.path()).is_empty());
}

#[test]
fn root_what_is_damaged_makes_way_and_is_told() {
    let tmp = tempfile::tempdir().unwrap();
    three(tmp.path());
    let store = open(tmp.path());
    let target = |text: &str| store.name(&name(text)).unwrap().target.digest.hex();
    let manifest = tmp.path().join("blobs/sha256").join(target("two:1"));
    drop(store);
    let [a, c] = [Digest::sha256(b"a"), Digest::sha256(b"c")];
    flip(&tmp.path().join("blobs/sha256").join(a.hex()));
    flip(&manifest);
    fs::write(tmp.path().join("layers/sha256").join(c.hex()).join("layer.json"), "{}").unwrap();
    let found = recover(tmp.path()).unwrap();
    assert_eq!((found.blobs, found.damaged_blobs.len(), found.layers), (7, 2, 2), "{found}");
    assert_eq!(found.damaged_layers, [DiffId(c)]);
    let told: Vec<_> = found.incomplete.iter().map(|(name, what)| (name.familiar(), what.as_str())).collect();
    let (blob, layer) = (format!("blob `{a}`"), format!("layer `{c}`"));
    assert_eq!(told, [("one:1".to_owned(), blob.as_str()), ("three:1".to_owned(), layer.as_str())]);
    assert_eq!(found.lost.len(), 1);
    assert_eq!(names(tmp.path()), ["one:1", "three:1"]);
    let store = open(tmp.path());
    assert_eq!(store.blob_size(BlobId(a)).unwrap(), None);
    assert!(store.layer(DiffId(c)).unwrap().is_none());
}

#[test]
fn root_only_a_store_that_nobody_uses_is_recovered() {
    let tmp = tempfile::tempdir().unwrap();
    let store = open(tmp.path());
    assert!(matches!(recover(tmp.path()).unwrap_err(), OpenError::Locked { .. }));
    drop(store);
    let nowhere = tmp.path().join("nowhere");
    assert!(recover(&nowhere).is_err());
    assert!(!nowhere.exists());
}

#[test]
fn root_an_image_without_a_name_that_leads_nowhere_is_none_any_more() {
    let tmp = tempfile::tempdir().unwrap();
    let store = open(tmp.path());
    let [lost, whole] = ["lost", "whole"].map(|text| keep_image(&store, "one:1", &[text.as_bytes()]));
    store.naming().pin_image(&lost).unwrap();
    let newest = keep_image(&store, "one:1", &[b"newest"]);
    drop(store);
    flip(&tmp.path().join("blobs/sha256").join(lost.digest.hex()));
    recover(tmp.path()).unwrap();
    let store = open(tmp.path());
    let mut images: Vec<_> = store.images().iter().map(|image| image.target.digest).collect();
    let mut wanted = [whole.digest, newest.digest];
    images.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(images, wanted);
    // What it has left goes like all else that nobody needs.
    store.sweep_leftovers(jiff::Timestamp::MAX).map(drop).unwrap();
    assert!(store.layer(DiffId(Digest::sha256(b"lost"))).unwrap().is_none());
    assert!(store.layer(DiffId(Digest::sha256(b"whole"))).unwrap().is_some());
}

#[test]
fn root_a_layer_that_is_marked_stays_where_something_may_show_it() {
    let tmp = tempfile::tempdir().unwrap();
    three(tmp.path());
    let a = DiffId(Digest::sha256(b"a"));
    open(tmp.path()).distrust_layer(a).unwrap();
    recover(tmp.path()).unwrap();
    let store = open(tmp.path());
    assert!(store.layer_files(a).unwrap().is_some() && !store.has_layer(a).unwrap());
}
