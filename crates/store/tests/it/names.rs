//! Names and what they lead to.

use std::collections::BTreeMap;
use std::process::Command;

use layer_store::{OpenError, Store};
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
        }
    }
}
