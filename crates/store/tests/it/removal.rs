//! What goes with an image, and what stays.

use std::fs;

use layer_digest::{BlobId, DiffId};
use layer_store::StoreError;

use std::sync::Arc;

use layer_oci::Descriptor;
use layer_store::{Store, Swept};

use super::{keep_image, name, open};

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
