//! What holds for every layer.

use std::io::{self, BufRead, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use layer_fs::Dir;
use layer_testkit::tree::{Kind, Tree, differences, gnu_tar_reference};
use layer_unpack::{Applied, apply};
use proptest::prelude::*;

use crate::sandbox::{Sandbox, chain, is_whiteout};
use crate::strategy::{changed, changes, config, hostile, proper, tar_of};

/// A stream that comes in pieces of these sizes, over and over.
struct Pieces<'a> {
    rest: &'a [u8],
    sizes: &'a [usize],
    next: usize,
    /// What is left of the current piece.
    left: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = self.fill_buf()?.read(into)?;
        self.consume(len);
        Ok(len)
    }
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            self.left = self.sizes[self.next % self.sizes.len()].min(self.rest.len());
            self.next += 1;
        }
        Ok(&self.rest[..self.left])
    }

    fn consume(&mut self, len: usize) {
        self.left -= len;
        self.rest = &self.rest[len..];
    }
}

fn in_pieces(tar: &[u8], sizes: &[usize]) -> (Applied, Tree) {
    let sandbox = Sandbox::new();
    let root = Dir::open(&sandbox.root()).unwrap();
    let applied = apply(Pieces { rest: tar, sizes, next: 0, left: 0 }, &root).unwrap();
    (applied, sandbox.tree())
}

/// The state of a folder after any layer that was taken: nothing that the layer said about overlayfs, and what was said of it is true.
fn check_invariants(applied: &Applied, tree: &Tree) {
    let entry = |path: &[u8]| {
        let path = if path.is_empty() { b"." } else { path };
        tree.entries.get(Path::new(std::ffi::OsStr::from_bytes(path)))
    };
    for (path, entry) in &tree.entries {
        let name = path.file_name().map(|name| name.as_encoded_bytes()).unwrap_or_default();
        assert!(!name.starts_with(b".wh."), "{path:?}");
        for (name, value) in &entry.xattrs {
            let text = String::from_utf8_lossy(name);
            assert!(
                !text.contains(".overlay.")
                    || text == "trusted.overlay.opaque" && value == b"y" && entry.kind == Kind::Folder
                    || text == "trusted.overlay.origin" && value.is_empty() && entry.kind == Kind::Folder
            );
        }
        assert!(!is_whiteout(entry) || entry.mode == 0);
    }
    for path in &applied.implied_parents {
        let folder = entry(path).unwrap_or_else(|| panic!("no implied {:?}", String::from_utf8_lossy(path)));
        assert_eq!((folder.kind, folder.mtime), (Kind::Folder, (0, 0)));
        assert_eq!((folder.mode, folder.uid, folder.gid), (0o755, 0, 0));
    }
    for link in &applied.foreign_links {
        assert!(entry(&link.path).is_some_and(is_whiteout), "{:?}", String::from_utf8_lossy(&link.path));
        assert_ne!(link.path, link.target);
    }
}

proptest! {
    #![proptest_config(config(48))]

    #[test]
    fn pieces_do_not_matter(entries in proper(), sizes in prop::collection::vec(prop_oneof![Just(1usize), 1..600usize, Just(512), 1..5000usize], 1..6)) {
        let tar = tar_of(&entries);
        let (whole, tree) = in_pieces(&tar, &[usize::MAX]);
        let (applied, other) = in_pieces(&tar, &sizes);
        prop_assert_eq!(whole, applied);
        let lines = differences(&tree, &other);
        prop_assert!(lines.is_empty(), "{:#?}", lines);
    }

    #[test]
    fn a_proper_layer_is_what_gnu_tar_makes_of_it(entries in proper()) {
        let tar = tar_of(&entries);
        let sandbox = Sandbox::new();
        let applied = sandbox.apply(&tar).unwrap();
        let reference = tempfile::tempdir().unwrap();
        gnu_tar_reference(&[tar], reference.path()).unwrap();
        let tree = sandbox.tree();
        let lines = differences(&Tree::read(reference.path()).unwrap(), &tree);
        prop_assert!(lines.is_empty(), "{:#?}", lines);
        prop_assert!(applied.foreign_links.is_empty());
        check_invariants(&applied, &tree);
    }

    #[test]
    fn twice_is_the_same(entries in proper()) {
        // A layer over itself changes nothing: every name is replaced by what it was.
        let once = tar_of(&entries);
        let sandbox = Sandbox::new();
        sandbox.apply(&once).unwrap();
        let twice = [&once[..once.len() - 1024], &once].concat();
        let other = Sandbox::new();
        other.apply(&twice).unwrap();
        let lines = differences(&sandbox.tree(), &other.tree());
        prop_assert!(lines.is_empty(), "{:#?}", lines);
    }
}

proptest! {
    #![proptest_config(config(128))]

    #[test]
    fn changed_layers_harm_nobody(entries in proper(), changes in changes()) {
        let sandbox = Sandbox::new();
        // Any outcome will do that is one.
        let _ = sandbox.apply(changed(tar_of(&entries), &changes));
    }

    #[test]
    fn hostile_layers_harm_nobody(entries in hostile("/tmp"), changes in changes(), change in any::<bool>()) {
        let sandbox = Sandbox::new();
        let tar = tar_of(&entries);
        let tar = if change { changed(tar, &changes) } else { tar };
        match sandbox.apply(tar) {
            Ok(applied) => check_invariants(&applied, &sandbox.tree()),
            Err(error) => prop_assert!(chain(&error).len() < 700),
        }
    }
}

/// The same with names that hit the canary of this very sandbox.
#[test]
fn hostile_layers_with_an_aim_harm_nobody() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::new(config(128));
    let (mut taken, cases) = (0, runner.config().cases);
    for _ in 0..cases {
        let sandbox = Sandbox::new();
        let entries = hostile(&sandbox.outside()).new_tree(&mut runner).unwrap().current();
        if let Ok(applied) = sandbox.apply(tar_of(&entries)) {
            check_invariants(&applied, &sandbox.tree());
            taken += 1;
        }
    }
    // If none is taken, nothing was tried.
    assert!(taken > 0);
}
