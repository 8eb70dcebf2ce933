mod copies;
mod links;
mod model;

use std::ffi::OsStr;
use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use layer_fs::Dir;

use super::*;
use crate::testing::{Place, names, read, set_time, set_xattr, whiteout, xattrs};
use crate::{MountFlags, Overlay, mount};

/// A layer with its gaps.
struct Layer {
    path: PathBuf,
    implied: Vec<Vec<u8>>,
    links: Vec<ForeignLink>,
}

fn layer(path: PathBuf, implied: &[&str], links: &[(&str, &str)]) -> Layer {
    // As unpacking leaves it: folders that nobody named have no time, and nothing was where a foreign link goes.
    for (link, _) in links {
        let link = path.join(link);
        if link.parent().unwrap().exists() && link.symlink_metadata().is_err() {
            whiteout(&link);
        }
    }
    for folder in implied {
        set_time(&path.join(folder), 0);
    }
    let link = |(path, target): &(&str, &str)| ForeignLink { path: (*path).into(), target: (*target).into() };
    Layer {
        path,
        implied: implied.iter().map(|path| path.as_bytes().to_vec()).collect(),
        links: links.iter().map(link).collect(),
    }
}

/// Closes the gaps into `thin`.
fn close(place: &Place, layers: &[Layer]) -> Result<Closed, StackError> {
    let gaps = |layer: &Layer| (layer.path.clone(), layer.implied.clone(), layer.links.clone());
    let owned: Vec<_> = layers.iter().map(gaps).collect();
    let layers: Vec<_> = owned
        .iter()
        .map(|(path, implied, links)| (path.clone(), Gaps { implied_parents: implied, foreign_links: links }))
        .collect();
    close_gaps(&layers, Dir::open(&place.folder("thin")).unwrap().as_fd())
}

/// Closes the gaps and mounts all at `m`.
fn show(place: &Place, layers: &[Layer]) -> (Closed, PathBuf) {
    let closed = close(place, layers).unwrap();
    let mut lowers = vec![place.path("thin")];
    lowers.extend(layers.iter().map(|layer| layer.path.clone()));
    let target = place.folder("m");
    mount(&Overlay { lowers: &lowers, upper: None, flags: MountFlags::default() }, &target).unwrap();
    (closed, target)
}

/// Gives a folder looks that are told by `n`.
fn dress(path: &Path, n: u32) {
    chown(path, Some(n), Some(n + 1)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o700 + n % 64)).unwrap();
    set_time(path, -i64::from(n));
}

/// The `n` of [`dress`], or nothing for a folder that no layer described.
fn looks(path: &Path) -> Option<u32> {
    let stat = path.symlink_metadata().unwrap();
    assert!(stat.is_dir(), "{}", path.display());
    let n = stat.uid();
    if n == 0 {
        assert_eq!((stat.gid(), stat.mode() & 0o7777, stat.mtime()), (0, 0o755, 0), "{}", path.display());
        return None;
    }
    let seen = (stat.gid(), stat.mode() & 0o7777, stat.mtime(), stat.mtime_nsec());
    assert_eq!(seen, (n + 1, 0o700 + n % 64, -i64::from(n), 0), "{}", path.display());
    Some(n)
}

fn same_file(one: &Path, other: &Path) -> bool {
    let [one, other] = [one, other].map(|path| path.symlink_metadata().unwrap());
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[test]
fn root_an_implied_folder_looks_as_in_the_highest_layer_that_names_it() {
    let place = Place::new();
    let layers = [
        layer(place.layer("0", &["f a/b/c 0", "f own/x 0"]), &["", "a", "a/b"], &[]),
        layer(place.layer("1", &["f a/y 1"]), &["", "a"], &[]),
        layer(place.layer("2", &["d a/b", "f a/b/z 2"]), &[""], &[]),
        layer(place.layer("3", &["d a/b"]), &[], &[]),
    ];
    for (path, n) in [("0/own", 10), ("2/a", 20), ("2/a/b", 21), ("3/a", 30), ("3/a/b", 31), ("3", 32)] {
        dress(&place.path(path), n);
    }
    let (closed, target) = show(&place, &layers);
    assert_eq!(closed, Closed { folders: 3, links: 0 });
    assert_eq!(looks(&target), Some(32));
    assert_eq!(looks(&target.join("a")), Some(20));
    assert_eq!(looks(&target.join("a/b")), Some(21));
    assert_eq!(looks(&target.join("own")), Some(10));
    assert_eq!(names(&target.join("a")), ["b", "y"]);
    assert_eq!(names(&target.join("a/b")), ["c", "z"]);
    // The layers themselves are as they were.
    assert_eq!(looks(&layers[0].path.join("a")), None);
    // Only what was needed is there.
    assert_eq!(names(&place.path("thin")), ["a"]);
}

#[test]
fn root_folders_on_the_way_look_as_before() {
    let place = Place::new();
    let layers = [
        layer(place.layer("0", &["f a/b/c/x 0"]), &["a/b/c"], &[]),
        layer(place.layer("1", &["d a/b/c", "f f 1"]), &[], &[]),
    ];
    for (path, n) in [("0", 1), ("0/a", 2), ("0/a/b", 3), ("1", 11), ("1/a", 12), ("1/a/b", 13), ("1/a/b/c", 14)] {
        dress(&place.path(path), n);
    }
    let (closed, target) = show(&place, &layers);
    assert_eq!(closed, Closed { folders: 1, links: 0 });
    let seen = ["", "a", "a/b", "a/b/c"].map(|path| looks(&target.join(path)));
    assert_eq!(seen, [Some(1), Some(2), Some(3), Some(14)]);
}

#[test]
fn root_what_is_hidden_gives_no_looks() {
    let place = Place::new();
    let layers = [
        layer(
            place.layer("0", &["f gone/x 0", "f open/in/x 0", "f file/x 0", "f kept/x 0", "f link/x 0"]),
            &["gone", "open", "open/in", "file", "kept", "link"],
            &[],
        ),
        layer(
            place.layer("1", &["w gone", "o open", "f file 1", "f some 1", "o kept"]),
            &["kept"],
            &[("link", "below")],
        ),
        layer(place.layer("2", &["d gone", "d open/in", "d file", "d kept", "d link", "f below 2"]), &[], &[]),
    ];
    dress(&place.path("1/open"), 10);
    for (n, path) in ["2/gone", "2/open", "2/open/in", "2/file", "2/kept", "2/link"].into_iter().enumerate() {
        dress(&place.path(path), 20 + u32::try_from(n).unwrap());
    }
    let (closed, target) = show(&place, &layers);
    assert_eq!(looks(&target.join("gone")), None, "whited out");
    assert_eq!(looks(&target.join("open")), Some(10), "named by the opaque folder");
    assert_eq!(looks(&target.join("open/in")), None, "hidden by the opaque folder");
    assert_eq!(looks(&target.join("file")), None, "replaced by a file");
    assert_eq!(looks(&target.join("link")), None, "replaced by a foreign link");
    assert_eq!(looks(&target.join("kept")), Some(24), "emptied, but never removed");
    assert_eq!(closed, Closed { folders: 2, links: 0 });
    assert_eq!(names(&target.join("link")), ["x"]);
}

#[test]
fn root_a_folder_that_some_higher_layer_names_is_no_gap() {
    let place = Place::new();
    let layers = [
        layer(place.layer("0", &["d a"]), &[], &[]),
        layer(place.layer("1", &["f a/x 1", "f b/x 1", "f c/x 1"]), &["", "a", "b", "c"], &[]),
        layer(place.layer("2", &["d a", "f b 2"]), &[""], &[]),
    ];
    dress(&place.path("0/a"), 3);
    dress(&place.path("2/a"), 23);
    dress(&place.path("0"), 4);
    let (closed, target) = show(&place, &layers);
    assert!(closed.is_empty());
    assert_eq!(looks(&target.join("a")), Some(3));
    assert_eq!((looks(&target.join("b")), looks(&target.join("c"))), (None, None));
    // The thin layer is empty, but fit to be the topmost one.
    assert_eq!(names(&place.path("thin")), [""; 0]);
    assert_eq!(looks(&place.path("thin")), Some(4));
}

#[test]
fn root_attributes_come_along_and_inherited_ones_do_not() {
    let place = Place::new();
    let layers = [
        layer(place.layer("0", &["f a/b/x 0", "f plain/x 0"]), &["a", "a/b", "plain"], &[]),
        layer(place.layer("1", &["d a/b", "d plain 2775"]), &[], &[]),
    ];
    let a = place.path("1/a");
    set_xattr(&a, "user.mine", b"\0\xff");
    set_xattr(&a, "trusted.theirs", b"t");
    set_xattr(&a, "security.other", b"s");
    // Marks of overlayfs say something of that folder in that layer only.
    set_xattr(&a, "trusted.overlay.origin", b"");
    // An access list that new folders inherit: u::rwx g::rwx m::rwx o::r-x, and user 5 rwx.
    let entry =
        |tag: u16, bits: u16, id: u32| [&tag.to_le_bytes()[..], &bits.to_le_bytes(), &id.to_le_bytes()].concat();
    let none = u32::MAX;
    let list = [
        vec![2, 0, 0, 0],
        entry(1, 7, none),
        entry(2, 7, 5),
        entry(4, 7, none),
        entry(16, 7, none),
        entry(32, 5, none),
    ];
    set_xattr(&a, "system.posix_acl_default", &list.concat());
    set_xattr(&a, "system.posix_acl_access", &list.concat());
    // And one on the very folder of the thin layer.
    set_xattr(&place.folder("thin"), "system.posix_acl_default", &list.concat());
    for path in ["1", "1/a", "1/a/b", "1/plain"] {
        set_time(&place.path(path), 77);
    }

    let (closed, target) = show(&place, &layers);
    assert_eq!(closed, Closed { folders: 3, links: 0 });
    let attributes = |path: &str| xattrs(Dir::open(&target.join(path)).unwrap());
    let expected = xattrs(Dir::open(&a).unwrap());
    assert_eq!(
        expected.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["security.other", "system.posix_acl_access", "system.posix_acl_default", "trusted.theirs", "user.mine",]
    );
    assert_eq!(attributes("a"), expected);
    let stat = target.join("a").metadata().unwrap();
    assert_eq!((stat.mode() & 0o7777, stat.mtime()), (a.metadata().unwrap().mode() & 0o7777, 77));
    for path in ["", "a/b", "plain"] {
        assert_eq!(attributes(path), [], "{path}");
    }
    assert_eq!(target.join("plain").metadata().unwrap().mode() & 0o7777, 0o2775);
    let marks = layer_fs::list_xattrs(Dir::open(&place.path("thin/a")).unwrap()).unwrap();
    assert!(!marks.iter().any(|(name, _)| name.to_bytes().starts_with(b"trusted.overlay")));
}

#[test]
fn root_names_are_any_bytes_and_paths_of_any_length() {
    let place = Place::new();
    let name = OsStr::from_bytes(b"\xff\n \\");
    let long: Vec<u8> = vec!["n".repeat(250); 20].join("/").into_bytes();
    let mut layers = Vec::new();
    for n in ["0", "1"] {
        let path = place.folder(n);
        fs::create_dir_all(path.join(name).join("in")).unwrap();
        let mut here = Dir::open(&path).unwrap();
        for part in long.split(|byte| *byte == b'/') {
            here = here.create_dir(std::str::from_utf8(part).unwrap(), 0o755).unwrap();
        }
        here.open_or_create(n, 0o600).unwrap();
        let implied = if n == "0" { vec![name.as_bytes().to_vec(), long.clone()] } else { Vec::new() };
        rustix::fs::fchmod(&here, rustix::fs::Mode::from_raw_mode(0o751)).unwrap();
        layers.push(Layer { path, implied, links: Vec::new() });
    }
    rustix::fs::fchmod(
        path::open_folder(&Dir::open(&layers[0].path).unwrap(), &long).unwrap(),
        rustix::fs::Mode::from_raw_mode(0o755),
    )
    .unwrap();
    dress(&place.path("1").join(name), 9);
    let mut link = long.clone();
    link.extend_from_slice(b"/link");
    let mut target = long.clone();
    target.extend_from_slice(b"/1");
    layers[0].links.push(ForeignLink { path: link.clone(), target: target.clone() });

    let (closed, tree) = show(&place, &layers);
    assert_eq!(closed, Closed { folders: 2, links: 1 });
    assert_eq!(looks(&tree.join(name)), Some(9));
    let deep = path::open_folder(&Dir::open(&tree).unwrap(), &long).unwrap();
    assert_eq!(rustix::fs::fstat(&deep).unwrap().st_mode & 0o7777, 0o751);
    let [one, other] = ["link", "1"].map(|name| deep.stat(name).unwrap().unwrap().st_ino);
    assert_eq!(one, other);
}

#[test]
fn root_paths_that_are_none_are_refused() {
    let place = Place::new();
    for bad in ["/a", "a/../b", "a//b", "..", "a/"] {
        let mut top = layer(place.folder("0"), &[], &[]);
        top.implied.push(bad.into());
        assert!(matches!(close(&place, &[top]), Err(StackError::BadPath { path }) if path == bad.as_bytes()));
        let mut top = layer(place.folder("0"), &[], &[]);
        top.links.push(ForeignLink { path: bad.into(), target: "f".into() });
        assert!(matches!(close(&place, &[top]), Err(StackError::BadPath { path }) if path == bad.as_bytes()));
    }
    let mut top = layer(place.folder("0"), &[], &[]);
    top.links.push(ForeignLink { path: Vec::new(), target: "f".into() });
    assert!(matches!(close(&place, &[top]), Err(StackError::BadPath { .. })));
    let missing = Layer { path: place.path("none"), implied: Vec::new(), links: Vec::new() };
    assert!(matches!(close(&place, &[missing]), Err(StackError::Layer { path, .. }) if path == place.path("none")));
}

#[test]
fn root_a_stack_without_layers_has_a_plain_root() {
    let place = Place::new();
    fs::set_permissions(place.folder("thin"), fs::Permissions::from_mode(0o700)).unwrap();
    assert!(close(&place, &[]).unwrap().is_empty());
    assert_eq!(looks(&place.path("thin")), None);
}
