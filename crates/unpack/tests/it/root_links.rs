//! Hard links, in every order with what they link to.

use layer_testkit::layer::{Entry, LayerBuilder};
use layer_testkit::tree::{Kind, Tree};
use layer_unpack::Applied;

use crate::sandbox::{at, content, is_opaque, is_whiteout, names, refused, unpacked};

/// The names that are one file with `path`.
fn same_file(tree: &Tree, path: &str) -> Vec<String> {
    let first = at(tree, path).linked_to.clone();
    assert!(first.is_some(), "`{path}` has one name only");
    let names = tree.entries.iter().filter(|(_, entry)| entry.linked_to == first);
    names.map(|(name, _)| name.to_str().unwrap().to_owned()).collect()
}

fn foreign(applied: &Applied) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    applied.foreign_links.iter().map(|link| (text(&link.path), text(&link.target))).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(path, target)| ((*path).to_owned(), (*target).to_owned())).collect()
}

#[test]
fn before_and_behind_the_target_and_however_it_is_spelled() {
    let file = || Entry::file("d/f", "text").mode(0o4755).owner(7, 8).mtime(9);
    let (applied, tree) = unpacked(
        LayerBuilder::new()
            .hard_link("early", "d/f")
            .hard_link("early-absolute", "/d/f")
            .hard_link("d/early", "./d/./f")
            .entry(file())
            .hard_link("late", "d/f")
            .hard_link("new/deep/late", "///d/../d/f"),
    );
    assert_eq!(same_file(&tree, "late"), ["d/early", "d/f", "early", "early-absolute", "late", "new/deep/late"]);
    assert_eq!((applied.foreign_links.len(), applied.entries, applied.bytes), (0, 6, 4));
    let entry = at(&tree, "early");
    assert_eq!((entry.mode, entry.uid, entry.gid, entry.mtime), (0o4755, 7, 8, (9, 0)));
}

#[test]
fn to_things_that_are_no_files() {
    let (_, tree) = unpacked(
        LayerBuilder::new()
            .symlink("link", "nowhere")
            .hard_link("link2", "link")
            .entry(Entry::fifo("pipe"))
            .hard_link("pipe2", "pipe")
            .hard_link("null2", "null")
            .entry(Entry::char_device("null", 1, 3)),
    );
    for (one, other, kind) in
        [("link", "link2", Kind::Symlink), ("pipe", "pipe2", Kind::Fifo), ("null", "null2", Kind::CharDevice)]
    {
        assert_eq!(same_file(&tree, one), [one, other]);
        assert_eq!(at(&tree, other).kind, kind);
    }
    assert_eq!(refused(LayerBuilder::new().dir("d").hard_link("l", "d")), "entry `l`: it is a hard link to a folder");
    assert_eq!(refused(LayerBuilder::new().hard_link("l", "d").dir("d")), "entry `l`: it is a hard link to a folder");
    assert_eq!(
        refused(LayerBuilder::new().file("d/f", "").hard_link("l", "d")),
        "entry `l`: it is a hard link to a folder"
    );
}

#[test]
fn through_links_of_the_layer() {
    let (_, tree) = unpacked(
        LayerBuilder::new()
            .file("usr/lib/f", "1")
            .symlink("lib", "usr/lib")
            .hard_link("lib/g", "lib/f")
            .hard_link("h", "/lib/g"),
    );
    assert_eq!(same_file(&tree, "h"), ["h", "usr/lib/f", "usr/lib/g"]);
}

#[test]
fn to_itself() {
    assert_eq!(refused(LayerBuilder::new().hard_link("a", "a")), "entry `a`: it is a hard link to itself");
    assert_eq!(refused(LayerBuilder::new().hard_link("a", "./b/../a")), "entry `a`: it is a hard link to itself");
    // To a name that is there it's another word for nothing.
    let (_, tree) =
        unpacked(LayerBuilder::new().file("a", "1").hard_link("a", "a").hard_link("b", "a").hard_link("a", "b"));
    assert_eq!((same_file(&tree, "a"), at(&tree, "a").content.clone()), (vec!["a".into(), "b".into()], content("1")));
}

#[test]
fn to_files_of_the_layers_below() {
    let (applied, tree) = unpacked(
        LayerBuilder::new()
            .dir("d")
            .hard_link("d/new", "usr/bin/old")
            .hard_link("x/y/z", "/etc/passwd")
            .file("own", "1"),
    );
    assert_eq!(foreign(&applied), pairs(&[("d/new", "usr/bin/old"), ("x/y/z", "etc/passwd")]));
    // Nothing stands in their place, and the folders they lie in are there.
    assert_eq!(names(&tree), ["d", "own", "x", "x/y"]);
    assert_eq!(applied.implied_parents, [&b""[..], b"x", b"x/y"]);
}

#[test]
fn over_what_is_there() {
    let (_, tree) = unpacked(
        LayerBuilder::new()
            .file("target", "1")
            .file("file", "old")
            .symlink("link", "target")
            .dir("folder")
            .file("folder/f", "old")
            .whiteout("gone")
            .hard_link("file", "target")
            .hard_link("link", "target")
            .hard_link("folder", "target")
            .hard_link("gone", "target"),
    );
    assert_eq!(same_file(&tree, "target"), ["file", "folder", "gone", "link", "target"]);
    // A link that can't be made yet makes way as well.
    let (applied, tree) = unpacked(
        LayerBuilder::new()
            .file("file", "old")
            .dir("folder")
            .file("folder/f", "")
            .hard_link("file", "x")
            .hard_link("folder", "x"),
    );
    assert_eq!(foreign(&applied), pairs(&[("file", "x"), ("folder", "x")]));
    assert_eq!(names(&tree), [""; 0]);
    assert_eq!(
        refused(LayerBuilder::new().file("d/f", "1").hard_link("d", "d/f")),
        "entry `d`: it is a hard link to a file in the folder that it replaces"
    );
}

#[test]
fn what_comes_later_replaces_one_name_only() {
    let (_, tree) = unpacked(LayerBuilder::new().file("a", "first").hard_link("b", "a").file("a", "second"));
    assert_eq!((at(&tree, "a").content.clone(), at(&tree, "b").content.clone()), (content("second"), content("first")));
    let (_, tree) = unpacked(LayerBuilder::new().file("a", "first").hard_link("b", "a").file("b", "second"));
    assert_eq!((at(&tree, "a").content.clone(), at(&tree, "b").content.clone()), (content("first"), content("second")));
    // Also where the link wasn't made yet.
    for later in
        [Entry::file("a", "own"), Entry::dir("a"), Entry::symlink("a", "x"), Entry::fifo("a"), Entry::file("a/in", "")]
    {
        let (applied, tree) = unpacked(LayerBuilder::new().dir("other").hard_link("a/l", "x").entry(later.clone()));
        let replaced = at(&tree, "a").kind != Kind::Folder;
        assert_eq!(foreign(&applied), if replaced { vec![] } else { pairs(&[("a/l", "x")]) }, "{later:?}");
    }
    for later in [Entry::file("a", "own"), Entry::dir("a"), Entry::symlink("a", "x"), Entry::fifo("a")] {
        let (applied, tree) = unpacked(LayerBuilder::new().hard_link("a", "x").entry(later.clone()).file("x", "1"));
        assert_eq!(foreign(&applied), [], "{later:?}");
        assert_eq!(at(&tree, "a").linked_to, None, "{later:?}");
        // The file that the link stood for hid what lies below; so must the folder that replaces it.
        assert_eq!(is_opaque(at(&tree, "a")), at(&tree, "a").kind == Kind::Folder);
    }
    assert_eq!(
        refused(LayerBuilder::new().hard_link("a", "x").file("a/f", "")),
        "entry `a/f`: its folder `a` is no folder"
    );
    // A folder that was replaced doesn't come back with the links that were in it.
    let (applied, tree) = unpacked(
        LayerBuilder::new().hard_link("d/l", "x").file("d", "").dir("d").hard_link("e/l", "x").symlink("e", "d"),
    );
    assert_eq!((foreign(&applied), names(&tree)), (vec![], vec!["d", "e"]));
}

#[test]
fn links_to_links_that_wait() {
    // In each order the names end up as one file, or as links to the same file of another layer.
    let links = [("a", "b"), ("b", "c"), ("c", "d")];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let layer = || order.iter().fold(LayerBuilder::new(), |layer, at| layer.hard_link(links[*at].0, links[*at].1));
        let (applied, tree) = unpacked(layer().file("d", "1"));
        assert_eq!((same_file(&tree, "a").join(""), foreign(&applied)), ("abcd".into(), vec![]), "{order:?}");
        let (applied, tree) = unpacked(layer());
        assert_eq!(foreign(&applied), pairs(&[("a", "d"), ("b", "d"), ("c", "d")]), "{order:?}");
        assert_eq!(names(&tree), [""; 0]);
        let error = refused(layer().hard_link("d", "a"));
        assert_eq!(error, "entry `d`: it is a hard link to itself", "{order:?}");
    }
    let chain = |count: usize| {
        (0..count).fold(LayerBuilder::new(), |layer, at| layer.hard_link(format!("{at:03}"), format!("{:03}", at + 1)))
    };
    let (_, tree) = unpacked(chain(40).file("040", "1"));
    assert_eq!(same_file(&tree, "000").len(), 41);
    assert!(
        refused(chain(100).file("100", "1"))
            .ends_with("it is behind more than 40 hard links that come before what they link to")
    );
}

#[test]
fn with_whiteouts_of_either_name() {
    // A whiteout takes from the layers below, so the link is there in either order.
    for layer in [
        LayerBuilder::new().whiteout("l").hard_link("l", "x"),
        LayerBuilder::new().hard_link("l", "x").whiteout("l"),
        LayerBuilder::new().whiteout("l").hard_link("l", "x").whiteout("l"),
    ] {
        let tar = layer.tar();
        let (applied, tree) = unpacked(LayerBuilder::new().raw(&tar[..tar.len() - 1024]).file("x", "1"));
        assert_eq!((same_file(&tree, "l").join(""), foreign(&applied)), ("lx".into(), vec![]));
        let (applied, tree) = unpacked(LayerBuilder::new().raw(&tar[..tar.len() - 1024]));
        assert_eq!((foreign(&applied), names(&tree)), (pairs(&[("l", "x")]), vec![]));
    }
    // A target that is taken away lies in a layer below, where the link finds it.
    for layer in
        [LayerBuilder::new().whiteout("x").hard_link("l", "x"), LayerBuilder::new().hard_link("l", "x").whiteout("x")]
    {
        let (applied, tree) = unpacked(layer);
        assert_eq!(foreign(&applied), pairs(&[("l", "x")]));
        assert!(is_whiteout(at(&tree, "x")));
    }
    // And one that is taken away and made anew is the new one.
    let (_, tree) = unpacked(LayerBuilder::new().whiteout("x").hard_link("l", "x").file("x", "1"));
    assert_eq!(same_file(&tree, "l").join(""), "lx");
}

#[test]
fn many_that_wait_are_bounded() {
    let target = ["x"; 2000].join("/");
    let links =
        |count: usize| (0..count).fold(LayerBuilder::new(), |layer, at| layer.hard_link(format!("{at}"), &target));
    let (applied, _) = unpacked(links(1000));
    assert_eq!(applied.foreign_links.len(), 1000);
    let error = refused(links(5000));
    assert!(error.ends_with("unresolved hard links take more than 16 MiB of memory"), "{error}");
}
