//! Whiteouts and opaque folders, in every order with what the layer itself has of the same name.

use layer_testkit::layer::{Entry, LayerBuilder};
use layer_testkit::tree::Kind;

use crate::sandbox::{at, content, is_opaque, is_whiteout, names, unpacked};

#[test]
fn what_is_only_taken_away() {
    let name = [b"etc/".as_slice(), &[0xff; 255]].concat();
    let (applied, tree) = unpacked(
        LayerBuilder::new()
            .dir("etc")
            .whiteout("etc/passwd")
            .whiteout("a/b/c")
            .whiteout("top")
            .whiteout("top")
            .whiteout(&name),
    );
    for name in [b"etc/passwd".as_slice(), b"a/b/c", b"top", &name] {
        assert!(is_whiteout(at(&tree, name)));
    }
    assert_eq!(applied.implied_parents, [&b""[..], b"a", b"a/b"]);
    assert!(!is_opaque(at(&tree, "etc")) && !is_opaque(at(&tree, "a/b")));
}

#[test]
fn what_the_layer_has_itself_stays() {
    let things: [(Entry, Kind); 6] = [
        (Entry::file("x", "new"), Kind::File),
        (Entry::symlink("x", "elsewhere"), Kind::Symlink),
        (Entry::hard_link("x", "own"), Kind::File),
        (Entry::fifo("x"), Kind::Fifo),
        (Entry::dir("x"), Kind::Folder),
        (Entry::file("x/in", "new"), Kind::Folder),
    ];
    for (thing, kind) in things {
        for order in ["before", "behind", "both"] {
            let mut layer = LayerBuilder::new().file("own", "1");
            if order != "behind" {
                layer = layer.whiteout("x");
            }
            layer = layer.entry(thing.clone());
            if order != "before" {
                layer = layer.whiteout("x");
            }
            let (_, tree) = unpacked(layer);
            assert_eq!(at(&tree, "x").kind, kind, "{order} {thing:?}");
            // A folder would merge with what is below; all else hides it.
            assert_eq!(is_opaque(at(&tree, "x")), kind == Kind::Folder, "{order} {thing:?}");
        }
    }
}

#[test]
fn what_is_replaced_is_still_taken_away() {
    // Whatever stood in between, what was taken away doesn't shine through the folder at the end.
    let between = [Entry::file("x", ""), Entry::dir("x"), Entry::symlink("x", "y"), Entry::hard_link("x", "y")];
    for thing in between {
        let (_, tree) = unpacked(LayerBuilder::new().whiteout("x").entry(thing.clone()).file("x2", "").dir("x"));
        assert!(is_opaque(at(&tree, "x")), "{thing:?}");
    }
    let (_, tree) = unpacked(LayerBuilder::new().dir("x").opaque("x").file("x", "").entry(Entry::dir("x")));
    assert!(is_opaque(at(&tree, "x")));
    let (_, tree) = unpacked(LayerBuilder::new().dir("x").opaque("x").entry(Entry::dir("x").mode(0o700)));
    assert!(is_opaque(at(&tree, "x")) && at(&tree, "x").mode == 0o700);
}

#[test]
fn opaque_folders_keep_what_the_layer_has_in_them() {
    for layer in [
        LayerBuilder::new().dir("d").opaque("d").file("d/f", "1").file("d/sub/f", "2"),
        LayerBuilder::new().opaque("d").dir("d").file("d/f", "1").file("d/sub/f", "2"),
        LayerBuilder::new().file("d/f", "1").file("d/sub/f", "2").dir("d").opaque("d"),
        LayerBuilder::new().file("d/f", "1").opaque("d").file("d/sub/f", "2").opaque("d").dir("d"),
    ] {
        let (applied, tree) = unpacked(layer);
        assert_eq!(names(&tree), ["d", "d/f", "d/sub", "d/sub/f"]);
        assert!(is_opaque(at(&tree, "d")) && !is_opaque(at(&tree, "d/sub")));
        assert_eq!(applied.implied_parents, [&b""[..], b"d/sub"]);
    }
    let (applied, tree) = unpacked(LayerBuilder::new().opaque("a/b"));
    assert!(is_opaque(at(&tree, "a/b")) && !is_opaque(at(&tree, "a")));
    assert_eq!(applied.implied_parents, [&b""[..], b"a", b"a/b"]);
}

#[test]
fn an_opaque_root_is_marked_for_who_stacks() {
    for layer in [
        LayerBuilder::new().opaque("").file("f", "1"),
        LayerBuilder::new().file("f", "1").entry(Entry::file("/.wh..wh..opq", "")),
        LayerBuilder::new().file("f", "1").symlink("up", "/").opaque("up"),
    ] {
        let (_, tree) = unpacked(layer);
        assert!(is_opaque(at(&tree, ".")));
        assert_eq!(at(&tree, "f").content, content("1"));
    }
}

#[test]
fn through_links_of_the_layer() {
    let (_, tree) = unpacked(
        LayerBuilder::new()
            .symlink("lib", "usr/lib")
            .whiteout("lib/gone")
            .opaque("lib/conf")
            .file("usr/lib/here", "1")
            .whiteout("lib/here"),
    );
    assert!(is_whiteout(at(&tree, "usr/lib/gone")) && is_opaque(at(&tree, "usr/lib/conf")));
    assert_eq!(at(&tree, "usr/lib/here").content, content("1"));
}

#[test]
fn a_folder_in_place_of_what_is_taken_away() {
    for layer in [
        LayerBuilder::new().whiteout("d").file("d/e/f", "1"),
        LayerBuilder::new().file("d/e/f", "1").whiteout("d"),
        LayerBuilder::new().whiteout("d").whiteout("d/e/g").file("d/e/f", "1"),
    ] {
        let (applied, tree) = unpacked(layer);
        assert!(is_opaque(at(&tree, "d")) && !is_opaque(at(&tree, "d/e")));
        assert_eq!(at(&tree, "d/e/f").content, content("1"));
        // There is nothing below `d` that could say how it looks.
        assert_eq!(applied.implied_parents, [&b""[..], b"d/e"]);
    }
}
