//! Names and what they lead to.

use std::collections::BTreeMap;
use std::process::Command;

use jiff::Timestamp;
use layer_digest::{BlobId, ImageId};
use layer_store::{OpenError, Store, recover};
use proptest::prelude::*;

use super::{keep_image, name, open};

#[test]
fn root_names_survive_a_restart_and_other_tools_can_read_them() {
    let tmp = tempfile::tempdir().unwrap();
    let store = open(tmp.path());
    let target = keep_image(&store, "docker.io/library/app:1", &[b"one", b"two"]);
    store.set_name(&name("localhost:5000/x/y:latest"), &target).unwrap();
    let before = store.names();
    drop(store);
    // An entry as it always was: stores go from version to version, in both directions.
    let text = std::fs::read(tmp.path().join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let want = serde_json::json!({
        "mediaType": target.media_type, "digest": target.digest, "size": target.size,
        "annotations": {
            "org.opencontainers.image.ref.name": "docker.io/library/app:1",
            "dev.layerd.tagged": before[0].tagged.to_string(),
        },
    });
    assert_eq!((&index["manifests"][0], index["manifests"].as_array().unwrap().len()), (&want, 2));

    let listed = Command::new("skopeo")
        .args(["inspect", "--raw", &format!("oci:{}:docker.io/library/app:1", tmp.path().display())])
        .output()
        .unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    assert_eq!(layer_digest::Digest::sha256(&listed.stdout), target.digest);

    let store = open(tmp.path());
    assert_eq!(store.names(), before);
    assert_eq!(store.name(&name("localhost:5000/x/y:latest")).unwrap().target, target);
}

#[test]
fn what_another_tool_wrote_into_the_index_is_kept() {
    let tmp = tempfile::tempdir().unwrap();
    let target = keep_image(&open(tmp.path()), "app:1", &[]);
    let path = tmp.path().join("index.json");
    let mut index: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let entry = serde_json::json!({"mediaType": "x/y", "digest": target.digest, "size": 1, "annotations": {"a": "b"}});
    index["manifests"].as_array_mut().unwrap().push(entry.clone());
    std::fs::write(&path, serde_json::to_vec(&index).unwrap()).unwrap();
    let store = open(tmp.path());
    store.set_name(&name("app:2"), &target).unwrap();
    assert_eq!(store.names().len(), 2);
    let index: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert!(index["manifests"].as_array().unwrap().contains(&entry));
}

#[test]
fn entries_of_other_tools_stay_to_the_byte_with_what_they_lead_to() {
    let tmp = tempfile::tempdir().unwrap();
    let theirs = keep_image(&open(tmp.path()), "theirs:1", &[b"x"]);
    let (media_type, digest, size) = (&theirs.media_type, theirs.digest, theirs.size);
    let odd = [
        format!(r#"{{"mediaType":"{media_type}","size":1,"digest":"{digest}","size":{size}}}"#),
        "null".to_owned(),
        "[1,  2]".to_owned(),
        "12345678901234567890123".to_owned(),
        "{\n \"new\": {\"b\":1, \"a\":\"\\u00e9\\/\"}}".to_owned(),
    ];
    let path = tmp.path().join("index.json");
    std::fs::write(&path, format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, odd.join(","))).unwrap();
    let store = open(tmp.path());
    assert!(store.names().is_empty());
    drop(store.sweep_leftovers(Timestamp::MAX).unwrap());
    assert!(store.blob_size(BlobId(digest)).unwrap().is_some());
    keep_image(&store, "mine:1", &[b"y"]);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(odd.iter().all(|entry| text.contains(entry)), "{text}");
    drop(store);
    assert_eq!(open(tmp.path()).names().len(), 1);
}

#[test]
fn of_a_member_that_is_there_twice_the_last_one_counts() {
    let tmp = tempfile::tempdir().unwrap();
    let target = keep_image(&open(tmp.path()), "app:1", &[]);
    let path = tmp.path().join("index.json");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("\"size\":"), "{text}");
    std::fs::write(&path, text.replacen("\"size\":", "\"size\":1,\"size\":", 1)).unwrap();
    assert_eq!(open(tmp.path()).name(&name("app:1")).unwrap().target, target);
}

#[test]
fn what_cannot_be_opened_is_what_recover_calls_damaged() {
    let nested = format!(r#"{{"a":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    let whole = r#"{"a":"\ud83d\ude00"}"#;
    for (entry, is_whole) in [(whole, true), (r#"{"a":"\ud83d"}"#, false), (r#"{"a":1e999}"#, false), (&nested, false)]
    {
        let tmp = tempfile::tempdir().unwrap();
        drop(open(tmp.path()));
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}"#);
        std::fs::write(tmp.path().join("index.json"), text).unwrap();
        assert_eq!(Store::open(tmp.path()).is_ok(), is_whole, "{entry}");
        assert_eq!(recover(tmp.path()).unwrap().index.is_none(), is_whole, "{entry}");
        assert!(Store::open(tmp.path()).is_ok(), "{entry}");
    }
}

#[test]
fn a_pin_that_was_written_comes_off_on_the_disk_too() {
    let tmp = tempfile::tempdir().unwrap();
    keep_image(&open(tmp.path()), "app:1", &[]);
    for pinned in [true, false, true] {
        let store = open(tmp.path());
        let naming = store.naming();
        assert!(if pinned { naming.pin_name(&name("app:1")) } else { naming.unpin_name(&name("app:1")) }.unwrap());
        drop(naming);
        drop(store);
        assert_eq!(open(tmp.path()).name(&name("app:1")).unwrap().pinned.is_some(), pinned);
    }
}

#[test]
fn an_image_whose_uses_are_not_known_counts_as_used_when_it_got_its_name() {
    let tmp = tempfile::tempdir().unwrap();
    let store = open(tmp.path());
    let image = keep_image(&store, "app:1", &[]);
    assert_eq!(store.last_used(ImageId(image.digest)), Some(store.name(&name("app:1")).unwrap().tagged));
    store.remove_names(&[name("app:1")]).unwrap();
    assert_eq!(store.last_used(ImageId(image.digest)), None);
}

#[test]
fn a_damaged_index_is_not_taken_for_an_empty_one() {
    let tmp = tempfile::tempdir().unwrap();
    keep_image(&open(tmp.path()), "app:1", &[]);
    let path = tmp.path().join("index.json");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = Store::open(tmp.path()).unwrap_err();
    assert!(matches!(&error, OpenError::Damaged { .. }), "{error}");
    assert!(error.hint().unwrap().contains("layerd recover --root"), "{:?}", error.hint());
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(open(tmp.path()).names().len(), 1);
}

#[test]
fn root_an_image_that_loses_its_last_name_stays_without_one() {
    let tmp = tempfile::tempdir().unwrap();
    let store = open(tmp.path());
    let (old, new) = (keep_image(&store, "app:1", &[b"old"]), keep_image(&store, "app:2", &[b"new"]));
    store.set_name(&name("app:1"), &new).unwrap();
    let of = |store: &Store, digest| store.images().into_iter().find(|image| image.target.digest == digest).unwrap();
    let dangling = of(&store, old.digest);
    assert!(dangling.names.is_empty() && dangling.dangling.is_some() && !dangling.is_pinned());
    assert_eq!(of(&store, new.digest).names.len(), 2);
    drop(store);
    let store = open(tmp.path());
    assert_eq!(of(&store, old.digest), dangling);
    // Other tools see an entry without a name.
    let index = std::fs::read_to_string(tmp.path().join("index.json")).unwrap();
    assert!(index.contains("dev.layerd.dangling"));
    // A new name, and it is an image as any other.
    store.set_name(&name("app:3"), &old).unwrap();
    assert_eq!(of(&store, old.digest).dangling, None);
    // To give the name that it has changes nothing.
    let before = store.name(&name("app:3"));
    assert_eq!(store.set_name(&name("app:3"), &old).unwrap(), Some(old.clone()));
    assert_eq!(store.name(&name("app:3")), before);
    // Taking a name away is something else: then the image is gone.
    store.remove_names(&[name("app:3")]).unwrap();
    assert_eq!(store.images().len(), 1);
}

#[test]
fn root_pins_stay_with_what_was_pinned() {
    let tmp = tempfile::tempdir().unwrap();
    let store = open(tmp.path());
    let (old, new) = (keep_image(&store, "app:1", &[b"old"]), keep_image(&store, "app:2", &[b"new"]));
    let naming = store.naming();
    assert!(naming.pin_name(&name("app:1")).unwrap() && naming.pin_image(&old).unwrap());
    assert!(!naming.pin_name(&name("app:1")).unwrap() && !naming.pin_image(&old).unwrap());
    assert!(!naming.pin_name(&name("nosuch")).unwrap());
    naming.set_name(&name("app:1"), &new).unwrap();
    drop(naming);
    drop(store);
    let store = open(tmp.path());
    let of = |digest| store.images().into_iter().find(|image| image.target.digest == digest).unwrap();
    assert!(of(old.digest).pinned.is_some() && of(old.digest).dangling.is_some());
    assert!(of(new.digest).pinned.is_none() && of(new.digest).is_pinned(), "the name is pinned");
    let naming = store.naming();
    assert!(naming.unpin_name(&name("app:1")).unwrap() && naming.unpin_image(old.digest).unwrap());
    assert!(!naming.unpin_name(&name("app:1")).unwrap() && !naming.unpin_image(old.digest).unwrap());
    assert!(store.images().iter().all(|image| !image.is_pinned()));
    assert_eq!(store.images().len(), 2);
    naming.remove_images(&[old.digest, new.digest]).unwrap();
    assert!(store.images().is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    Set(u8, u8),
    Remove(u8),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..6u8, 0..3u8).prop_map(|(name, image)| Step::Set(name, image)),
        2 => (0..6u8).prop_map(Step::Remove),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever is done to the names, they are those of a plain map.
    #[test]
    fn names_are_a_map(steps in steps()) {
        let tmp = tempfile::tempdir().unwrap();
        let mut store = open(tmp.path());
        let images: Vec<_> = (0..3u8).map(|n| keep_image(&store, "seed:1", &[&[n]])).collect();
        store.remove_names(&[name("seed:1")]).unwrap();
        let mut model = BTreeMap::new();
        for step in steps {
            match step {
                Step::Set(key, image) => {
                    let target = &images[usize::from(image)];
                    let old = store.set_name(&name(&format!("app:{key}")), target).unwrap();
                    prop_assert_eq!(old, model.insert(key, target.clone()));
                }
                Step::Remove(key) => {
                    store.remove_names(&[name(&format!("app:{key}"))]).unwrap();
                    model.remove(&key);
                }
                Step::Restart => {
                    drop(store);
                    store = open(tmp.path());
                }
            }
            let seen: Vec<_> = store.names().into_iter().map(|named| (named.reference.to_string(), named.target)).collect();
            let want: Vec<_> = model.iter().map(|(key, target)| (format!("docker.io/library/app:{key}"), target.clone())).collect();
            prop_assert_eq!(seen, want);
            for image in store.images() {
                prop_assert_eq!(store.image(image.target.digest), Some(image.clone()));
                for named in &image.names {
                    prop_assert_eq!(store.image_named(&named.reference), Some(image.clone()));
                }
            }
        }
    }
}
