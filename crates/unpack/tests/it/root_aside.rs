//! Layers of many small files, which other threads help to make. [`Sandbox::apply`] holds what comes of a layer against what one thread alone makes of it.

use std::fs;
use std::io::Cursor;

use layer_fs::Dir;
use layer_testkit::layer::{Entry, LayerBuilder};
use layer_unpack::manifest::Contents;
use layer_unpack::{UnpackError, Writers, apply_noting};

use crate::sandbox::{Sandbox, at, chain, content, names};

/// So many files in each of so many folders, with what lies between them in real layers.
fn many(folders: usize, files: usize) -> LayerBuilder {
    let mut layer = LayerBuilder::new();
    for folder in 0..folders {
        let within = format!("{}/{folder}", ["lib", "share/doc", "lib/deep/er"][folder % 3]);
        layer = layer.entry(Entry::dir(&within).mode(0o2750).owner(7, 8).mtime(folder as i64));
        for file in 0..files {
            let text = "x".repeat(file * 97 % 3000);
            let entry = Entry::file(format!("{within}/{file}"), text).mode(0o4644).owner(folder as i64, 0).mtime(5);
            layer = layer.entry(entry);
        }
        layer = layer.symlink(format!("{within}/link"), "0").hard_link(format!("{within}/hard"), format!("{within}/1"));
    }
    layer
}

#[test]
fn all_of_a_large_layer_is_there() {
    let sandbox = Sandbox::new();
    // More folders than are kept open.
    let applied = sandbox.apply(many(300, 6).tar()).unwrap();
    assert_eq!(applied.entries, 300 * 9);
    let tree = sandbox.tree();
    assert_eq!(names(&tree).len(), 300 * 9 + 5);
    let file = at(&tree, "lib/deep/er/299/5");
    assert_eq!((file.mode, file.uid, file.gid, file.mtime), (0o4644, 299, 0, (5, 0)));
    assert_eq!(file.content, content("x".repeat(485)));
    assert_eq!(at(&tree, "share/doc/298").mtime, (298, 0));
}

#[test]
fn what_was_put_aside_is_there_when_it_matters() {
    for (late, want) in [
        (many(3, 40).file("lib/0/39", "again"), Ok("again")),
        (many(3, 40).entry(Entry::dir("lib/0/39")).file("lib/0/39/inner", ""), Ok("")),
        (many(3, 40).symlink("lib/0/39", "38"), Ok("")),
        (many(3, 40).whiteout("lib/0/39"), Ok("x")),
        (many(3, 40).hard_link("first", "lib/0/39").file("lib/0/39", "other"), Ok("other")),
        (many(3, 40).file("lib/0/new", "").hard_link("new", "lib/0/new"), Ok("x")),
        (many(3, 40).file("a", "").file("a/b", ""), Err("entry `a/b`: its folder `a` is no folder")),
        (
            many(3, 40).file("a", "").symlink("l", "a/b").file("l/c", ""),
            Err("entry `l/c`: its folder `a` is no folder"),
        ),
    ] {
        let sandbox = Sandbox::new();
        match (sandbox.apply(late.tar()), want) {
            (Ok(_), Ok("x")) => {
                assert_eq!(at(&sandbox.tree(), "lib/0/39").content, content("x".repeat(39 * 97 % 3000)))
            }
            (Ok(_), Ok("")) => assert_eq!(at(&sandbox.tree(), "lib/0/39").content, None),
            (Ok(_), Ok(text)) => assert_eq!(at(&sandbox.tree(), "lib/0/39").content, content(text)),
            (Err(error), Err(want)) => assert_eq!(chain(&error), want),
            (came, want) => panic!("{came:?}, and not {want:?}"),
        }
    }
}

#[test]
fn what_cannot_be_made_is_told_and_nothing_is_made_after_that() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody may have put anything there, so that there is no telling what it is.
    fs::create_dir_all(folder.path().join("lib/0")).unwrap();
    (0..40).for_each(|number| fs::write(folder.path().join(format!("lib/0/{number}")), "").unwrap());
    let root = Dir::open(folder.path()).unwrap();
    let writers = Writers::new(2).by(1);
    let error = apply_noting(Cursor::new(many(50, 40).tar()), &root, &mut Contents::default(), &writers).unwrap_err();
    assert!(matches!(&error, UnpackError::Write { path, .. } if path.starts_with(b"lib/0/")), "{error:?}");
    assert!(chain(&error).ends_with(": File exists (os error 17)"), "{}", chain(&error));
    // What still comes would be found by whoever removes it.
    fs::remove_dir_all(folder.path()).unwrap();
}
