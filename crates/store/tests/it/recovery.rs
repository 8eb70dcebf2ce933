//! What the next start finds, whatever happened before.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;

use layer_digest::BlobId;
use layer_store::{OpenError, Store};

use super::{files, keep_image, keep_layer, open};

#[test]
fn root_what_was_half_done_is_cleared_and_partials_are_kept() {
    let tmp = tempfile::tempdir().unwrap();
    let store = open(tmp.path());
    let image = keep_image(&store, "app:1", &[b"whole"]);
    let id = BlobId(layer_digest::Digest::sha256(b"a blob on its way"));
    store.ingest(id).unwrap().append(b"a blob").unwrap();
    drop(store);
    // As a crash would leave them.
    fs::create_dir_all(tmp.path().join("staging/7/fs/deep/er")).unwrap();
    fs::write(tmp.path().join("staging/7/fs/deep/file"), "x").unwrap();
    fs::write(tmp.path().join(".index.json.3.tmp"), "half").unwrap();
    fs::write(tmp.path().join("blobs/sha256/.0123.4.tmp"), "half").unwrap();

    let store = open(tmp.path());
    assert_eq!(fs::read_dir(tmp.path().join("staging")).unwrap().count(), 0);
    assert!(!tmp.path().join(".index.json.3.tmp").exists());
    assert!(!tmp.path().join("blobs/sha256/.0123.4.tmp").exists());
    assert_eq!(store.partial_size(id).unwrap(), 6);
    assert_eq!(store.names()[0].target, image);
}

#[test]
fn root_a_staged_layer_that_is_dropped_is_gone() {
    let tmp = tempfile::tempdir().unwrap();
    let store = open(tmp.path());
    let stage = store.stage_layer().unwrap();
    files(&stage).write_atomic("file", b"x", 0o600).unwrap();
    assert_eq!(fs::read_dir(tmp.path().join("staging")).unwrap().count(), 1);
    drop(stage);
    assert_eq!(fs::read_dir(tmp.path().join("staging")).unwrap().count(), 0);
    assert!(store.layer_ids().unwrap().is_empty());
}

#[test]
fn root_a_lost_or_damaged_database_is_filled_anew() {
    for damage in ["lost", "damaged"] {
        let tmp = tempfile::tempdir().unwrap();
        let store = open(tmp.path());
        let (layer, diff) = keep_layer(&store, b"content");
        assert_eq!(store.known_diff(BlobId(layer.digest)), Some(diff));
        drop(store);
        let db = tmp.path().join("db");
        match damage {
            "lost" => fs::remove_dir_all(&db).unwrap(),
            _ => {
                for entry in fs::read_dir(&db).unwrap() {
                    let path = entry.unwrap().path();
                    if path.is_file() {
                        fs::write(path, vec![0xa5; 4096]).unwrap();
                    }
                }
            }
        }
        let store = open(tmp.path());
        assert!(store.is_proven(BlobId(layer.digest), diff).unwrap(), "{damage}");
        Store::refill(&Arc::downgrade(&store));
        assert_eq!(store.known_diff(BlobId(layer.digest)), Some(diff), "{damage}");
    }
}

#[test]
fn root_two_have_the_store_at_no_time() {
    let tmp = tempfile::tempdir().unwrap();
    let store = open(tmp.path());
    let error = Store::open(tmp.path()).unwrap_err();
    assert!(matches!(error, OpenError::Locked { holder: Some(pid), .. } if pid == std::process::id()), "{error}");
    drop(store);
    open(tmp.path());
}

#[test]
fn root_nobody_else_gets_into_the_store() {
    let tmp = tempfile::tempdir().unwrap();
    fs::set_permissions(tmp.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let root = tmp.path().join("store");
    fs::create_dir(&root).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o777)).unwrap();
    let store = open(&root);
    keep_image(&store, "app:1", &[b"content"]);
    for folder in ["", "blobs", "blobs/sha256", "layers", "layers/sha256", "ingest", "staging", "mounts"] {
        let mode = root.join(folder).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700, "{folder}");
    }
    let list = Command::new("ls").arg(&root).uid(65534).gid(65534).output().unwrap();
    assert!(!list.status.success(), "nobody could list the store");
}

#[test]
fn root_a_damaged_document_is_replaced_by_one_that_is_right() {
    let tmp = tempfile::tempdir().unwrap();
    let store = open(tmp.path());
    let bytes = b"a document";
    let id = BlobId(layer_digest::Digest::sha256(bytes));
    store.put_blob(id, bytes).unwrap();
    let path = tmp.path().join("blobs/sha256").join(id.0.hex());
    fs::write(&path, b"a d0cument").unwrap();
    assert!(store.read_blob(id, 100).is_err());
    store.put_blob(id, bytes).unwrap();
    assert_eq!(store.read_blob(id, 100).unwrap(), bytes);
}

#[test]
fn root_sealed_content_is_seen_when_it_is_published_and_gone_when_it_is_not() {
    use layer_digest::{Algorithm, DiffId, Verifier};
    use layer_store::LayerRecord;
    let tmp = tempfile::tempdir().unwrap();
    let store = open(tmp.path());
    let seal = |content: &[u8]| {
        let (mut wire, mut tar) = (Verifier::naming(Algorithm::Sha256), Verifier::<DiffId>::naming(Algorithm::Sha256));
        wire.update(content).unwrap();
        tar.update(content).unwrap();
        let (mut blob, layer) = (store.stage_blob().unwrap(), store.stage_layer().unwrap());
        blob.append(content).unwrap();
        files(&layer).write_atomic("file", content, 0o600).unwrap();
        let (blob, diff) = (blob.seal(wire.finish().unwrap()), tar.finish().unwrap());
        let record = LayerRecord {
            diff_id: diff.id(),
            blob: blob.id(),
            tar_size: diff.size(),
            size: diff.size(),
            entries: 1,
            implied_parents: Vec::new(),
            foreign_links: Vec::new(),
            image: None,
        };
        (blob, layer.seal(diff, &record).unwrap())
    };
    let (blob, layer) = seal(b"wanted");
    let unwanted = seal(b"unwanted");
    let (id, diff) = (blob.id(), layer.id());
    assert_eq!((store.blob_size(id).unwrap(), store.layer(diff).unwrap().is_none()), (None, true));
    store.publish(vec![blob], vec![layer]).unwrap();
    assert_eq!(store.read_blob(id, 100).unwrap(), b"wanted");
    assert_eq!(fs::read(store.layer(diff).unwrap().unwrap().files.as_path().join("file")).unwrap(), b"wanted");
    assert_eq!(store.known_diff(id), Some(diff));
    drop(unwanted);
    // Of what was published before, a second one is as good as the first.
    let (blob, layer) = seal(b"wanted");
    store.publish(vec![blob], vec![layer]).unwrap();
    assert_eq!(fs::read_dir(tmp.path().join("staging")).unwrap().count(), 0);
    assert_eq!(store.layer_ids().unwrap(), [diff]);
}

#[test]
fn root_a_list_without_its_sums_is_none_yet() {
    let tmp = tempfile::tempdir().unwrap();
    let store = open(tmp.path());
    let (_, diff) = keep_layer(&store, b"old");
    assert!(matches!(store.layer_list(diff).unwrap(), layer_store::LayerList::None));
    let folder = tmp.path().join("layers/sha256").join(diff.0.hex());
    fs::write(folder.join("tree"), "a list").unwrap();
    assert!(matches!(store.layer_list(diff).unwrap(), layer_store::LayerList::None));
    fs::write(folder.join("SHA256SUMS"), "wrong").unwrap();
    assert!(matches!(store.layer_list(diff).unwrap(), layer_store::LayerList::Damaged(_)));
}
