//! Which crate may see which. A crate sees those of lower rows alone; what is not in the table may not be in the workspace.

use std::collections::BTreeMap;

use cargo_metadata::{DependencyKind, MetadataCommand};

/// The rows, lowest first.
const ROWS: [&[&str]; 6] = [
    &["layer-digest", "layer-fs", "layer-compression", "layer-erofs", "layer-proto"],
    &["layer-reference", "layer-oci", "layer-unpack", "layer-mount"],
    &["layer-registry", "layer-archive", "layer-store"],
    &["layer-transfer"],
    &["layer-engine"],
    &["layerd", "layer"],
];
/// The wire contract, which both programs see and nobody else.
const PROTO: &str = "layer-proto";
/// The client, which sees the wire contract alone.
const CLIENT: &str = "layer";
/// What proves the product and is no part of it. These may see each other and what they need to.
const BESIDE: [&str; 3] = ["layer-testkit", "xtask", "layer-tests"];

fn row(name: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&name))
}

/// What is wrong with the dependencies of the crates, each with the crates of the workspace that it is built with.
fn faults(crates: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, seen) in crates {
        let Some(own) = row(name) else {
            if !BESIDE.contains(&name.as_str()) {
                faults.push(format!("`{name}` has no row"));
            }
            continue;
        };
        for other in seen {
            let allowed = match row(other) {
                None => false,
                Some(_) if name == CLIENT => other == PROTO,
                Some(_) if other == PROTO => name == "layerd",
                Some(theirs) => theirs < own,
            };
            if !allowed {
                faults.push(format!("`{name}` may not see `{other}`"));
            }
        }
    }
    faults
}

#[test]
fn crates_see_lower_rows_alone() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec().unwrap();
    let packages = metadata.workspace_packages();
    let names: Vec<String> = packages.iter().map(|package| package.name.to_string()).collect();
    let mut crates = BTreeMap::new();
    for package in &packages {
        let built_with = package.dependencies.iter().filter(|seen| seen.kind != DependencyKind::Development);
        let own = built_with.map(|seen| seen.name.clone()).filter(|name| names.contains(name)).collect();
        crates.insert(package.name.to_string(), own);
    }
    assert_eq!(faults(&crates), [""; 0]);
    let gone: Vec<&str> = ROWS.concat().into_iter().chain(BESIDE).filter(|name| !crates.contains_key(*name)).collect();
    assert_eq!(gone, [""; 0], "they have a row, and don't exist");
}

#[test]
fn each_fault_is_found() {
    for (name, seen, is_fault) in [
        ("layer-store", "layer-digest", false),
        ("layer-digest", "layer-store", true),
        ("layer-store", "layer-registry", true),
        ("layerd", "layer-engine", false),
        ("layerd", "layer-proto", false),
        ("layer", "layer-proto", false),
        ("layer", "layer-digest", true),
        ("layer-engine", "layer-proto", true),
        ("layer-engine", "layer-testkit", true),
        ("layerd", "layer", true),
        ("layer", "layerd", true),
        ("layerd", "xtask", true),
        ("layer-testkit", "layer-digest", false),
        ("xtask", "layer-testkit", false),
    ] {
        let crates = BTreeMap::from([(name.to_owned(), vec![seen.to_owned()])]);
        assert_eq!(!faults(&crates).is_empty(), is_fault, "{name} sees {seen}");
    }
    let stranger = BTreeMap::from([("layer-new".to_owned(), Vec::new())]);
    assert_eq!(faults(&stranger), ["`layer-new` has no row"]);
}
