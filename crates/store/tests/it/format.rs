//! Stores of other formats.

use std::fs;

use layer_digest::{BlobId, DiffId};
use layer_store::{OpenError, Store};

use super::{fixture, keep_image, name, open};

#[test]
fn root_a_store_of_the_first_format_is_migrated_in_place() {
    let tmp = tempfile::tempdir().unwrap();
    fixture::write_first_format(tmp.path());
    let store = open(tmp.path());
    assert_eq!(store.started().migrated_from, Some(1));
    let named = store.name(&name(fixture::NAME)).unwrap();
    assert_eq!(named.target.digest.hex(), fixture::MANIFEST_HEX);
    let diff: DiffId = format!("sha256:{}", fixture::LAYER_HEX).parse().unwrap();
    let layer = store.layer(diff).unwrap().unwrap();
    assert_eq!(fs::read_to_string(layer.files.as_path().join("file")).unwrap(), fixture::LAYER);
    assert!(store.is_proven(BlobId(diff.0), diff).unwrap());
    drop(store);
    assert_eq!(fs::read_to_string(tmp.path().join("format")).unwrap(), "2\n");
    assert_eq!(fs::read(tmp.path().join("index.json.bak")).unwrap(), fs::read(tmp.path().join("index.json")).unwrap());
    // Once.
    let store = open(tmp.path());
    assert_eq!(store.started().migrated_from, None);
    assert_eq!(store.names().len(), 1);
}

#[test]
fn root_a_store_of_a_newer_format_is_refused_and_left_as_it_is() {
    let tmp = tempfile::tempdir().unwrap();
    keep_image(&open(tmp.path()), "app:1", &[]);
    fs::write(tmp.path().join("format"), "3\n").unwrap();
    fs::write(tmp.path().join("staging/what-a-newer-one-keeps-here"), "").unwrap();
    for error in [Store::open(tmp.path()).unwrap_err(), layer_store::recover(tmp.path()).unwrap_err()] {
        assert!(matches!(error, OpenError::Newer { found: 3, known: 2, .. }), "{error}");
        assert!(error.to_string().contains("has format 3, and this layerd knows none beyond 2"), "{error}");
        assert!(error.hint().unwrap().contains("newer"));
    }
    assert!(tmp.path().join("staging/what-a-newer-one-keeps-here").exists());
}

#[test]
fn root_a_format_that_cannot_be_read_is_told_and_can_be_recovered() {
    let tmp = tempfile::tempdir().unwrap();
    keep_image(&open(tmp.path()), "app:1", &[]);
    fs::write(tmp.path().join("format"), "two").unwrap();
    let error = Store::open(tmp.path()).unwrap_err();
    assert!(error.to_string().contains("it says `two`, and not a number"), "{error}");
    layer_store::recover(tmp.path()).unwrap();
    assert_eq!(open(tmp.path()).names().len(), 1);
}
