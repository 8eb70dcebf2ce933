//! Every way in which a layer could reach beyond its folder.

use layer_testkit::layer::{Entry, LayerBuilder};
use layer_testkit::tree::Kind;

use crate::sandbox::{Sandbox, at, chain, content, is_whiteout, names, refused, take_placeholders, unpacked};

/// One entry of each type, under this name.
fn each_type(path: &str) -> Vec<Entry> {
    vec![
        Entry::file(path, "evil"),
        Entry::dir(path).mode(0o777),
        Entry::symlink(path, "anywhere"),
        Entry::hard_link(path, "own"),
        Entry::char_device(path, 1, 3),
        Entry::block_device(path, 1, 3),
        Entry::fifo(path),
    ]
}

#[test]
fn names_that_climb_out_are_refused() {
    for path in [
        "..",
        "../outside/x",
        "./../outside/x",
        "a/../../outside/x",
        "/../outside/canary",
        "a/b/../../../x",
        "../layer/x",
    ] {
        for entry in each_type(path) {
            let error = refused(LayerBuilder::new().file("own", "1").entry(entry));
            assert!(error.ends_with(": its name leads out of the image by `..`"), "{error}");
            assert!(error.starts_with(&format!("entry `{path}")), "{error}");
        }
        let error = refused(LayerBuilder::new().hard_link("own", path));
        assert_eq!(error, "entry `own`: the target of the link: its name leads out of the image by `..`");
        let error = refused(LayerBuilder::new().file(format!("{path}/.wh.canary"), ""));
        assert!(error.contains("leads out of the image"), "{error}");
    }
}

#[test]
fn names_that_only_look_so_stay_inside() {
    let sandbox = Sandbox::new();
    let outside = sandbox.outside();
    let layer = LayerBuilder::new()
        .file(format!("{outside}/canary"), "inside")
        .file("//etc///./passwd", "inside")
        .file("a/../b", "inside")
        .file("...", "inside")
        .file("..a/..", "");
    let error = chain(&sandbox.apply(layer.tar()).unwrap_err());
    assert_eq!(error, "entry `..a/..`: the root of an image can only be a folder");
    let tree = sandbox.tree();
    for path in [&outside[1..], "etc"] {
        assert_eq!(at(&tree, path).kind, Kind::Folder);
    }
    for path in [&format!("{}/canary", &outside[1..]), "etc/passwd", "b", "..."] {
        assert_eq!(at(&tree, path).content, content("inside"));
    }
}

/// Where a link may lead out of the folder: up, and down again; by an absolute name; through the kernel's magic links.
fn ways_out(outside: &str) -> Vec<String> {
    vec![
        outside.to_owned(),
        "../outside".into(),
        "../../../../../../../../../../../../..".to_owned() + outside,
        format!("/proc/self/root{outside}"),
        "/proc/self/cwd".into(),
        "/proc/1/root".into(),
    ]
}

#[test]
fn nothing_goes_through_a_link_of_the_layer_to_the_outside() {
    for number in 0..ways_out("").len() {
        for entry in [each_type("l/canary"), each_type("l/new/deep"), each_type("l/folder")].concat() {
            let sandbox = Sandbox::new();
            let way = &ways_out(&sandbox.outside())[number];
            let layer = LayerBuilder::new().file("own", "1").symlink("l", way).entry(entry);
            sandbox.apply(layer.tar()).unwrap_or_else(|error| panic!("{way}: {}", chain(&error)));
            // The folder that the link names was made inside, as a running image would see it.
            assert_eq!(at(&sandbox.tree(), "l").kind, Kind::Symlink);
        }
        let sandbox = Sandbox::new();
        let way = &ways_out(&sandbox.outside())[number];
        let layer = LayerBuilder::new()
            .symlink("l", way)
            .symlink("chain", "l/folder")
            .entry(Entry::file("l/canary", "evil").mode(0o4777).owner(1, 1).mtime(1).xattr("user.x", "1"))
            .entry(Entry::dir("l/folder").mode(0o777).owner(1, 1).mtime(1).xattr("user.x", "1"))
            .file("chain/canary", "evil")
            .whiteout("l/canary")
            .whiteout("l/folder")
            .whiteout("chain/canary")
            .opaque("l/folder")
            .opaque("l")
            .hard_link("stolen", "l/link")
            .hard_link("l/given", "l/canary");
        sandbox.apply(layer.tar()).unwrap_or_else(|error| panic!("{way}: {}", chain(&error)));
    }
}

#[test]
fn a_link_to_the_outside_leads_to_the_same_name_inside() {
    let sandbox = Sandbox::new();
    let outside = sandbox.outside();
    let layer =
        LayerBuilder::new().symlink("l", &outside).symlink("up", "../../..").file("l/new", "1").file("up/top", "2");
    let applied = sandbox.apply(layer.tar()).unwrap();
    let tree = sandbox.tree();
    assert_eq!(at(&tree, format!("{}/new", &outside[1..])).content, content("1"));
    // `..` at the root stays there.
    assert_eq!(at(&tree, "top").content, content("2"));
    // Folders behind the dangling link are made, and nobody has named them.
    assert!(applied.implied_parents.contains(&outside.as_bytes()[1..].to_vec()), "{applied:?}");
}

#[test]
fn an_entry_replaces_a_link_and_never_what_it_leads_to() {
    for number in 0..ways_out("").len() {
        for name in ["canary", "folder"] {
            // The last two are links themselves: mode, owner and time go to neither end of the other one.
            let second = [each_type("l"), vec![Entry::symlink("l", "l"), Entry::symlink("l", "/")]].concat();
            for entry in second {
                let sandbox = Sandbox::new();
                let target = format!("{}/{name}", ways_out(&sandbox.outside())[number]);
                let entry = entry.mode(0o777).owner(9, 9).mtime(5);
                let layer = LayerBuilder::new().file("own", "1").symlink("l", &target).entry(entry);
                sandbox.apply(layer.tar()).unwrap_or_else(|error| panic!("{target}: {}", chain(&error)));
                assert_ne!(at(&sandbox.tree(), "l").target, Some(target.into()));
            }
        }
    }
}

#[test]
fn hard_links_reach_nothing_outside() {
    let sandbox = Sandbox::new();
    let outside = sandbox.outside();
    let layer = LayerBuilder::new()
        .symlink("l", &outside)
        .symlink("f", format!("{outside}/canary"))
        .hard_link("through", "l/canary")
        .hard_link("absolute", format!("{outside}/canary"))
        .hard_link("to-link", "f")
        .entry(Entry::file("to-link", "evil").mode(0o777));
    let applied = sandbox.apply(layer.tar()).unwrap();
    sandbox.check_outside();
    // What isn't in the layer can only be in one below.
    let foreign: Vec<_> =
        applied.foreign_links.iter().map(|link| (link.path.as_slice(), link.target.as_slice())).collect();
    let target = format!("{outside}/canary");
    assert_eq!(foreign, [(&b"absolute"[..], &target.as_bytes()[1..]), (b"through", b"l/canary")]);
    let mut tree = sandbox.tree();
    take_placeholders(&mut tree, &applied);
    assert_eq!(names(&tree), ["f", "l", "to-link"]);
    assert_eq!((at(&tree, "f").kind, at(&tree, "to-link").kind), (Kind::Symlink, Kind::File));
}

#[test]
fn the_root_can_only_be_a_folder() {
    for path in [".", "./", "/", "a/..", "//."] {
        for entry in each_type(path) {
            let sandbox = Sandbox::new();
            let tar = LayerBuilder::new().file("own", "1").entry(entry.exact_name(path)).tar();
            match sandbox.apply(&tar) {
                Ok(_) => assert_eq!(at(&sandbox.tree(), ".").mode, 0o777, "{path}: only the folder is taken"),
                Err(error) => {
                    let text = chain(&error);
                    let other = text.ends_with(": it is a file by its type and a folder by its name");
                    assert!(other || text.ends_with(": the root of an image can only be a folder"), "{text}");
                }
            }
        }
        let sandbox = Sandbox::new();
        let layer =
            LayerBuilder::new().entry(Entry::symlink("x", sandbox.outside()).exact_name(path)).file("canary", "evil");
        assert!(sandbox.apply(layer.tar()).is_err(), "{path}");
    }
    assert_eq!(refused(LayerBuilder::new().hard_link("x", "./")), "entry `x`: it is a hard link to the root");
}

#[test]
fn odd_whiteouts_take_nothing_away_that_is_not_theirs() {
    for name in [".wh.", ".wh..", ".wh...", "a/.wh..", "a/.wh..."] {
        let error = refused(LayerBuilder::new().dir("a").file(name, ""));
        assert_eq!(error, format!("entry `{name}`: it is a whiteout of nothing that has a name"));
    }
    assert_eq!(
        refused(LayerBuilder::new().file(".wh.a/b", "")),
        "entry `.wh.a/b`: it lies in a folder that is a whiteout"
    );
    assert_eq!(
        refused(LayerBuilder::new().symlink("l", "a/.wh.b").file("l/f", "")),
        "entry `l/f`: its folder is behind a link to a whiteout"
    );
    // Whiteouts may be of any type, and are never followed.
    let sandbox = Sandbox::new();
    let outside = sandbox.outside();
    let layer = LayerBuilder::new()
        .entry(Entry::symlink(".wh.a", &outside))
        .entry(Entry::dir(".wh.b").mode(0o777))
        .entry(Entry::hard_link(".wh.c", "/etc/passwd"))
        .entry(Entry::fifo(".wh.d"))
        .entry(Entry::file(".wh.e", "with content"))
        .symlink("l", &outside)
        .whiteout("l/canary");
    sandbox.apply(layer.tar()).unwrap();
    let tree = sandbox.tree();
    for name in ["a", "b", "c", "d", "e", &format!("{}/canary", &outside[1..])] {
        assert!(is_whiteout(at(&tree, name)), "{name}");
    }
}

#[test]
fn leftovers_of_aufs_are_skipped() {
    let (applied, tree) = unpacked(
        LayerBuilder::new()
            .dir(".wh..wh.plnk")
            .file(".wh..wh.plnk/123.456", "linked")
            .file(".wh..wh.aufs", "")
            .dir(".wh..wh.orph")
            .symlink("a/.wh..wh.other", "/etc")
            .file("kept", "1"),
    );
    assert_eq!(names(&tree), ["kept"]);
    assert_eq!((applied.entries, applied.bytes), (6, 1));
    assert_eq!(
        refused(LayerBuilder::new().hard_link("a", ".wh..wh.plnk/123.456")),
        "entry `a`: it is a hard link to a whiteout"
    );
}

#[test]
fn what_would_steer_overlayfs_is_never_stored() {
    let steering = [
        "trusted.overlay.opaque",
        "trusted.overlay.redirect",
        "trusted.overlay.metacopy",
        "trusted.overlay.origin",
        "trusted.overlay.whiteout",
        "trusted.overlay.overlay.opaque",
        "user.overlay.opaque",
        "user.overlay.redirect",
    ];
    let mark =
        |entry: Entry| steering.iter().fold(entry, |entry, name| entry.xattr(name, "y")).xattr("trusted.other", "1");
    let (_, tree) = unpacked(LayerBuilder::new().entries([
        mark(Entry::dir("./")),
        mark(Entry::dir("d")),
        mark(Entry::dir("d")),
        mark(Entry::file("d/f", "1")),
        mark(Entry::symlink("d/l", "f")),
        mark(Entry::fifo("d/p")),
    ]));
    for (path, entry) in &tree.entries {
        assert_eq!(entry.xattrs.keys().collect::<Vec<_>>(), [b"trusted.other"], "{}", path.display());
    }
    let error = refused(LayerBuilder::new().entry(Entry::char_device("a", 0, 0)));
    assert_eq!(error, "entry `a`: it is a character device 0/0, which overlayfs would take for a whiteout");
    // A block device of that number means nothing to it.
    let (_, tree) = unpacked(LayerBuilder::new().entry(Entry::block_device("a", 0, 0)));
    assert_eq!(at(&tree, "a").kind, Kind::BlockDevice);
}

#[test]
fn links_in_circles_end() {
    for layer in [
        LayerBuilder::new().symlink("a", "a"),
        LayerBuilder::new().symlink("a", "b").symlink("b", "a"),
        LayerBuilder::new().symlink("a", "b/x").symlink("b", "a/y"),
        LayerBuilder::new().symlink("a", "/b").symlink("b", "./././../a"),
    ] {
        let error = refused(layer.file("a/f", "1"));
        assert_eq!(error, "entry `a/f`: its folder is behind more than 40 symbolic links");
    }
    // 40 are taken, as by the kernel, and the 41st is not.
    let chain = |count: u32| {
        (0..count).fold(LayerBuilder::new().dir("end"), |layer, at| {
            layer.symlink(format!("l{at}"), if at == 0 { "end".to_owned() } else { format!("l{}", at - 1) })
        })
    };
    let (_, tree) = unpacked(chain(40).file("l39/f", "1"));
    assert_eq!(at(&tree, "end/f").content, content("1"));
    assert!(refused(chain(41).file("l40/f", "1")).contains("more than 40"));
}
