//! What folders get at the end, and what they must not hand down before.

use std::io::Cursor;
use std::os::unix::fs::PermissionsExt as _;
use std::{fs, process};

use layer_fs::Dir;
use layer_testkit::layer::{Entry, LayerBuilder};
use layer_testkit::tree::{Kind, Tree};
use layer_unpack::apply;

use crate::sandbox::{Sandbox, at, unpacked};

/// A default access list as the kernel has it: `rwx` for the owner and for user 7, `---` for the others.
fn access_list() -> Vec<u8> {
    let entries: [(u16, u16, u32); 5] =
        [(1, 7, u32::MAX), (2, 7, 7), (4, 7, u32::MAX), (0x10, 7, u32::MAX), (0x20, 0, u32::MAX)];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, bits, id) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&bits.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
    }
    bytes
}

const DEFAULT: &[u8] = b"system.posix_acl_default";

/// The root is given its list again and again, while files that came before it may still be on their way.
#[test]
fn no_file_takes_over_what_the_root_gets_after_it() {
    let root = || Entry::dir(".").xattr(str::from_utf8(DEFAULT).unwrap(), access_list());
    let layer = (0..400).fold(LayerBuilder::new(), |layer, at| {
        layer.file(format!("{at}"), "1").file(format!("{at}.too"), "1").entry(root())
    });
    let sandbox = Sandbox::new();
    sandbox.apply(layer.tar()).unwrap();
    let tree = sandbox.tree();
    assert!(tree.entries.values().filter(|entry| entry.kind == Kind::File).all(|entry| entry.xattrs.is_empty()));
    assert_eq!(at(&tree, ".").xattrs[DEFAULT], access_list());
}

/// More folders than handles are kept open, so that the first ones are closed and opened again.
fn crowd(layer: LayerBuilder) -> LayerBuilder {
    (0..300).fold(layer, |layer, at| layer.file(format!("crowd/{at}/f"), "1"))
}

/// A folder, content in it at once and after a crowd, a second crowd, and once more.
fn worked_in(folder: Entry) -> Tree {
    let content = |layer: LayerBuilder, round: u32| {
        layer
            .entry(Entry::file(format!("d/file{round}"), "1").mode(0o644))
            .entry(Entry::dir(format!("d/folder{round}")).mode(0o755).mtime(5))
            .file(format!("d/implied{round}/f"), "1")
            .entry(Entry::fifo(format!("d/pipe{round}")).mode(0o600))
            .symlink(format!("d/link{round}"), "x")
            .hard_link(format!("d/hard{round}"), "own")
            .whiteout(format!("d/gone{round}"))
            .entry(Entry::file("d/again", "1").mode(0o606))
    };
    let mut layer = LayerBuilder::new().file("own", "1").entry(folder);
    for round in 0..3 {
        layer = crowd(content(layer, round));
    }
    unpacked(layer).1
}

/// Nothing in `d` has taken anything over from it.
fn check_children(tree: &Tree) {
    for (path, entry) in tree.entries.iter().filter(|(path, _)| path.starts_with("d/") && path.as_os_str() != "d") {
        let path = path.to_str().unwrap();
        let mode = match entry.kind {
            Kind::Folder => 0o755,
            Kind::Fifo => 0o600,
            Kind::Symlink => 0o777,
            Kind::CharDevice => 0,
            _ if path == "d/again" => 0o606,
            _ => 0o644,
        };
        // A whiteout is never seen, so nobody cares whose it is.
        let gid = if entry.kind == Kind::CharDevice { 0 } else { entry.gid };
        assert_eq!((entry.mode, entry.uid, gid), (mode, 0, 0), "{path}");
        assert!(entry.xattrs.is_empty(), "{path}: {:?}", entry.xattrs);
    }
}

#[test]
fn times_survive_what_comes_later() {
    let tree = worked_in(Entry::dir("d").mtime_nanos(-3, 250_000_000));
    assert_eq!(at(&tree, "d").mtime, (-3, 250_000_000));
    for round in 0..3 {
        assert_eq!(at(&tree, format!("d/folder{round}")).mtime, (5, 0));
        assert_eq!(at(&tree, format!("d/implied{round}")).mtime, (0, 0));
    }
    assert_eq!((at(&tree, "crowd").mtime, at(&tree, ".").mtime), ((0, 0), (0, 0)));
    check_children(&tree);
    // Links that are made at the end, and things that are removed, change no time either.
    let layer = LayerBuilder::new()
        .entry(Entry::dir("./").mtime(1))
        .entry(Entry::dir("a").mtime(2))
        .hard_link("a/link", "b/f")
        .file("a/gone/f", "")
        .file("a/gone", "");
    let (_, tree) = unpacked(crowd(layer).entry(Entry::dir("b").mtime(3)).file("b/f", "1").symlink("a/gone", "x"));
    assert_eq!([at(&tree, ".").mtime.0, at(&tree, "a").mtime.0, at(&tree, "b").mtime.0], [1, 2, 3]);
    assert!(at(&tree, "a/link").linked_to.is_some());
}

#[test]
fn a_set_group_is_not_handed_down() {
    let tree = worked_in(Entry::dir("d").mode(0o2775).owner(3, 4).mtime(9));
    let folder = at(&tree, "d");
    assert_eq!((folder.mode, folder.uid, folder.gid, folder.mtime), (0o2775, 3, 4, (9, 0)));
    check_children(&tree);
    for mode in [0o7777, 0o6000, 0o4700, 0o1000, 0] {
        let tree = worked_in(Entry::dir("d").mode(mode));
        assert_eq!(at(&tree, "d").mode, mode);
        check_children(&tree);
    }
}

#[test]
fn a_default_access_list_is_not_handed_down() {
    let tree = worked_in(Entry::dir("d").mode(0o2770).owner(3, 4).mtime(9).xattr(DEFAULT, access_list()));
    let folder = at(&tree, "d");
    assert_eq!((folder.mode, folder.gid, folder.mtime), (0o2770, 4, (9, 0)));
    assert_eq!(folder.xattrs.iter().collect::<Vec<_>>(), [(&DEFAULT.to_vec(), &access_list())]);
    check_children(&tree);
    // One that comes again without it has none.
    let (_, tree) = unpacked(
        crowd(LayerBuilder::new().entry(Entry::dir("d").xattr(DEFAULT, access_list()))).dir("d").file("d/f", "1"),
    );
    assert!(at(&tree, "d").xattrs.is_empty() && at(&tree, "d/f").xattrs.is_empty());
}

#[test]
fn an_access_list_goes_with_its_mode() {
    let mut list = access_list();
    // The group's bits of the mode are the mask's.
    list[4 + 3 * 8 + 2] = 5;
    let (_, tree) = unpacked(
        crowd(
            LayerBuilder::new()
                .entry(Entry::dir("d").mode(0o2750).owner(1, 2).xattr("system.posix_acl_access", &list))
                .entry(Entry::file("f", "1").mode(0o4750).owner(1, 2).xattr("system.posix_acl_access", &list)),
        )
        .file("d/f", "1"),
    );
    for (path, mode) in [("d", 0o2750), ("f", 0o4750)] {
        assert_eq!(at(&tree, path).mode, mode, "{path}");
        assert_eq!(at(&tree, path).xattrs[&b"system.posix_acl_access"[..]], list, "{path}");
    }
}

#[test]
fn the_machine_hands_nothing_down() {
    let sandbox = Sandbox::new();
    let root = Dir::open(&sandbox.root()).unwrap();
    rustix::fs::fchown(&root, None, Some(rustix::fs::Gid::from_raw(77))).unwrap();
    fs::set_permissions(sandbox.root(), fs::Permissions::from_mode(0o2755)).unwrap();
    rustix::fs::fsetxattr(&root, c"system.posix_acl_default", &access_list(), rustix::fs::XattrFlags::empty()).unwrap();
    let tar =
        LayerBuilder::new().dir("d").file("d/f", "1").entry(Entry::fifo("p")).file("i/f", "").symlink("l", "x").tar();
    apply(Cursor::new(tar), &root).unwrap();
    let tree = sandbox.tree();
    for (path, entry) in tree.entries.iter().filter(|(path, _)| path.as_os_str() != ".") {
        assert_eq!((entry.gid, entry.mode & 0o2000, entry.xattrs.len()), (0, 0, 0), "{}", path.display());
    }
    assert_eq!((at(&tree, "d/f").mode, at(&tree, "d").mode), (0o644, 0o755));
}

#[test]
fn modes_are_exact() {
    let modes = [0, 0o1, 0o222, 0o644, 0o777, 0o1777, 0o2755, 0o4711, 0o6555, 0o7777];
    let layer = modes.iter().fold(LayerBuilder::new(), |layer, mode| {
        layer
            .entry(Entry::file(format!("file{mode:o}"), "1").mode(*mode))
            .entry(Entry::file(format!("owned{mode:o}"), "1").mode(*mode).owner(5, 6))
            .entry(Entry::dir(format!("dir{mode:o}")).mode(*mode))
            .entry(Entry::dir(format!("again{mode:o}")).mode(!*mode & 0o7777))
            .entry(Entry::dir(format!("again{mode:o}")).mode(*mode).owner(5, 6))
            .entry(Entry::fifo(format!("pipe{mode:o}")).mode(*mode).owner(5, 6))
            .entry(Entry::char_device(format!("device{mode:o}"), 1, 3).mode(*mode))
    });
    let (_, tree) = unpacked(layer.file("implied/f", "1").whiteout("gone").entry(Entry::dir("./").mode(0o7751)));
    for mode in modes {
        for name in ["file", "owned", "dir", "again", "pipe", "device"] {
            assert_eq!(at(&tree, format!("{name}{mode:o}")).mode, mode, "{name}");
        }
    }
    assert_eq!((at(&tree, "implied").mode, at(&tree, "gone").mode, at(&tree, ".").mode), (0o755, 0, 0o7751));
}

#[test]
fn the_umask_of_the_process_does_not_matter() {
    let program = std::env::current_exe().unwrap();
    for umask in ["0000", "0027", "0777"] {
        // A process of its own: the umask is the whole process's, and other tests run in this one.
        let output = process::Command::new("sh")
            .args(["-c", "umask \"$1\"; shift; exec \"$@\"", "sh", umask])
            .arg(&program)
            .args([
                "--exact",
                "root_folders::modes_are_exact",
                "root_folders::a_default_access_list_is_not_handed_down",
            ])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("2 passed"), "umask {umask}: {text}");
    }
}

#[test]
fn the_group_of_the_process_does_not_matter() {
    // As under a service with a group of its own.
    let output = process::Command::new("setpriv")
        .args(["--regid", "1234", "--clear-groups", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "root_folders::times_survive_what_comes_later", "root_folders::modes_are_exact"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("2 passed"), "{text}");
}
