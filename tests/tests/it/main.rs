//! The project from outside: the programs as users run them, and the order that its crates must keep.
//!
//! What is named `root_…` mounts or makes files of other owners, and needs root.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should end where it stands, and tell why"
)]

mod access;
mod api;
mod archive_faults;
mod archives;
mod bollard;
mod bundle;
mod client;
mod clients;
mod concurrency;
mod crash;
mod damage;
mod disk;
mod docker_cli;
mod elsewhere;
mod full_disk;
mod images;
mod layering;
mod lifecycle;
mod login;
mod manage;
mod memory;
mod network;
mod power;
mod push;
mod service;
mod skopeo;
mod trees;
mod verify;

/// A test in a file that nobody lists would never run.
#[test]
fn every_file_is_listed() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it");
    for file in std::fs::read_dir(folder).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let module = name.strip_suffix(".rs").unwrap_or(&name);
        assert!(module == "main" || include_str!("main.rs").contains(&format!("\nmod {module};\n")), "{name}");
    }
}
