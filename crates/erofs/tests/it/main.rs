//! Images as the kernel shows them.
//!
//! What is named `root_…` mounts, and needs root, and a kernel that mounts EROFS from files.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should end where it stands")]

mod mounted;
mod root_kernel;

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
