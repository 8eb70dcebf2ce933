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
