//! The unpacker from outside: every layer that a registry could send, and what may become of it.
//!
//! What is named `root_…` makes devices and owners, and needs root.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should end where it stands")]

mod bounds;
mod differential;
mod malformed;
mod root_aside;
mod root_attributes;
mod root_escape;
mod root_folders;
mod root_image;
mod root_links;
mod root_manifest;
mod root_marks;
mod root_names;
mod root_properties;
mod root_types;
mod root_writers;
mod sandbox;
mod strategy;

/// A test in a file that nobody lists would never run.
#[test]
fn every_file_is_listed() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it");
    for file in std::fs::read_dir(folder).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let module = name.strip_suffix(".rs").unwrap();
        assert!(module == "main" || include_str!("main.rs").contains(&format!("\nmod {module};\n")), "{name}");
    }
}
