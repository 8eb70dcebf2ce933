//! Names that come again, as something else: the last one wins, whole.

use layer_testkit::layer::{Entry, LayerBuilder};
use layer_testkit::tree::Kind;

use crate::sandbox::{at, content, is_opaque, names, refused, unpacked};

/// One of each, with attributes that must not be left behind, and its kind.
fn things() -> Vec<(Entry, Kind)> {
    let dressed = |entry: Entry, number: i64| {
        let entry = entry.owner(number, number + 1).mtime(number);
        entry.mode(0o4751).xattr(format!("trusted.x{number}"), "1")
    };
    vec![
        (dressed(Entry::file("x", "content"), 10), Kind::File),
        (dressed(Entry::dir("x"), 20), Kind::Folder),
        (dressed(Entry::symlink("x", "nowhere"), 30), Kind::Symlink),
        (dressed(Entry::symlink("x", "folder"), 40), Kind::Symlink),
        (dressed(Entry::fifo("x"), 50), Kind::Fifo),
        (dressed(Entry::char_device("x", 5, 6), 60), Kind::CharDevice),
        (Entry::hard_link("x", "own"), Kind::File),
    ]
}

#[test]
fn the_last_of_three_wins() {
    let things = things();
    let base = || LayerBuilder::new().file("own", "own").dir("folder").file("folder/f", "1");
    let alone: Vec<_> = things.iter().map(|(thing, _)| unpacked(base().entry(thing.clone())).1).collect();
    // What comes first may also be there only because something lies in it.
    let firsts = [things.as_slice(), &[(Entry::file("x/inside", "content"), Kind::Folder)]].concat();
    for (first, first_kind) in &firsts {
        for (second, second_kind) in &things {
            for ((third, kind), alone) in things.iter().zip(&alone) {
                let case = format!("{first:?}\n{second:?}\n{third:?}");
                let (_, tree) = unpacked(base().entry(first.clone()).entry(second.clone()).entry(third.clone()));
                let (got, want) = (at(&tree, "x"), at(alone, "x"));
                assert_eq!(got.kind, *kind, "{case}");
                assert_eq!(
                    (got.mode, got.uid, got.gid, got.mtime),
                    (want.mode, want.uid, want.gid, want.mtime),
                    "{case}"
                );
                assert_eq!(
                    (&got.content, &got.target, got.device),
                    (&want.content, &want.target, want.device),
                    "{case}"
                );
                // A folder hides what the thing that it replaces hid.
                let hides = *kind == Kind::Folder && (*first_kind, *second_kind) != (Kind::Folder, Kind::Folder);
                assert_eq!(is_opaque(got), hides, "{case}");
                let mut xattrs = got.xattrs.clone();
                xattrs.remove(&b"trusted.overlay.opaque"[..]);
                assert_eq!(xattrs, want.xattrs, "{case}");
                // What the names in between were linked to is as it was.
                let content_of = |path| at(&tree, path).content.clone();
                assert_eq!((content_of("own"), content_of("folder/f")), (content("own"), content("1")), "{case}");
            }
        }
    }
}

#[test]
fn a_folder_goes_with_all_that_is_in_it() {
    let full = || {
        LayerBuilder::new().dir("x").file("x/a/b/c", "1").symlink("x/l", "a").entry(Entry::fifo("x/p")).whiteout("x/w")
    };
    let (applied, tree) = unpacked(full().file("x", "now a file"));
    assert_eq!((names(&tree), at(&tree, "x").content.clone()), (vec!["x"], content("now a file")));
    assert_eq!(applied.implied_parents, [b""]);
    let (applied, tree) = unpacked(full().file("x", "").dir("x").file("x/a/d", "2"));
    assert_eq!(names(&tree), ["x", "x/a", "x/a/d"]);
    assert!(is_opaque(at(&tree, "x")));
    assert_eq!(applied.implied_parents, [&b""[..], b"x/a"]);
}

#[test]
fn a_folder_over_a_folder_keeps_the_content() {
    let (_, tree) = unpacked(
        LayerBuilder::new()
            .entry(Entry::dir("x").mode(0o2770).owner(1, 2).mtime(3).xattr("user.first", "1").xattr("user.both", "1"))
            .file("x/f", "1")
            .entry(Entry::dir("x").mode(0o705).owner(0, 0).mtime(4).xattr("user.both", "2")),
    );
    let folder = at(&tree, "x");
    assert_eq!((folder.mode, folder.uid, folder.gid, folder.mtime), (0o705, 0, 0, (4, 0)));
    assert_eq!(folder.xattrs.iter().collect::<Vec<_>>(), [(&b"user.both".to_vec(), &b"2".to_vec())]);
    assert_eq!(names(&tree), ["x", "x/f"]);
}

#[test]
fn what_lies_in_no_folder_is_refused() {
    for thing in things().into_iter().filter(|(_, kind)| !matches!(kind, Kind::Folder | Kind::Symlink)) {
        for inside in [
            Entry::file("x/y", ""),
            Entry::dir("x/y/z"),
            Entry::whiteout("x/y"),
            Entry::opaque("x"),
            Entry::hard_link("x/y", "own"),
        ] {
            let error = refused(LayerBuilder::new().file("own", "1").entry(thing.0.clone()).entry(inside));
            assert!(error.ends_with(": its folder `x` is no folder"), "{error}");
        }
    }
    let error = refused(LayerBuilder::new().file("f", "").symlink("l", "f").file("l/x", ""));
    assert_eq!(error, "entry `l/x`: its folder `f` is no folder");
}

#[test]
fn folders_that_change_while_they_are_open() {
    // Handles of what is gone, or is a link now, must not be used for what comes next.
    let (_, tree) = unpacked(
        LayerBuilder::new()
            .file("a/b/c/f", "1")
            .symlink("a", "z")
            .file("a/b/c/f", "2")
            .file("z", "gone")
            .symlink("z", "y")
            .file("a/b/c/f", "3"),
    );
    assert_eq!(at(&tree, "y/b/c/f").content, content("3"));
    assert_eq!(names(&tree), ["a", "y", "y/b", "y/b/c", "y/b/c/f", "z"]);
    let (_, tree) = unpacked(
        LayerBuilder::new()
            .dir("one")
            .dir("two")
            .symlink("l", "one")
            .file("l/f", "1")
            .symlink("l", "two")
            .file("l/f", "2"),
    );
    assert_eq!((at(&tree, "one/f").content.clone(), at(&tree, "two/f").content.clone()), (content("1"), content("2")));
}
