use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use proptest::prelude::*;

use super::*;
use crate::testing::{Place, set_time, set_xattr, whiteout};
use crate::{MountFlags, Overlay, mount, unmount};

fn open(layers: &[PathBuf]) -> Stack {
    Stack::open(layers).unwrap()
}

fn index(stack: &Stack, path: &str) -> Option<usize> {
    stack.lookup(path.as_bytes()).unwrap().map(|found| found.index)
}

#[test]
fn root_looks_up_by_the_rules_of_overlayfs() {
    let place = Place::new();
    let stack = open(&[
        place.layer("0", &["w gone", "o opaque", "f file/over/folder 0", "d merged", "w merged/gone"]),
        place.layer("1", &["f merged/x 1", "f opaque/hidden 1", "f gone/inside 1", "f folder 1", "l link merged"]),
        place.layer("2", &["f merged/y 2", "f merged/gone 2", "f folder/hidden 2", "f file 2", "w nothing"]),
    ]);
    for (path, expected) in [
        ("", Some(0)),
        ("gone", None),
        ("gone/inside", None),
        ("opaque", Some(0)),
        ("opaque/hidden", None),
        ("file/over", Some(0)),
        ("file", Some(0)),
        ("merged", Some(0)),
        ("merged/x", Some(1)),
        ("merged/y", Some(2)),
        ("merged/gone", None),
        ("folder", Some(1)),
        ("folder/hidden", None),
        ("link", Some(1)),
        ("link/x", None),
        ("nothing", None),
        ("none/at/all", None),
    ] {
        assert_eq!(index(&stack, path), expected, "{path}");
    }
    for (path, expected) in
        [("", &[0, 1, 2][..]), ("merged", &[0, 1, 2]), ("opaque", &[0]), ("file", &[0]), ("folder", &[]), ("none", &[])]
    {
        assert_eq!(stack.providers(path.as_bytes()).unwrap(), expected, "{path}");
    }
}

#[test]
fn root_an_opaque_root_ends_the_stack() {
    let place = Place::new();
    let layers = [place.layer("0", &["f a 0"]), place.layer("1", &["o .", "f b 1"]), place.layer("2", &["f c 2"])];
    let stack = open(&layers);
    assert_eq!((index(&stack, "b"), index(&stack, "c")), (Some(1), None));
    assert_eq!(stack.providers(b"").unwrap(), [0, 1]);
}

#[test]
fn root_refuses_what_is_no_path_and_finds_nothing_at_names_too_long() {
    let place = Place::new();
    let stack = open(&[place.layer("0", &["f a 0"])]);
    for path in ["/a", "a/", "..", "a/../a", "./a", "a\0"] {
        assert_eq!(stack.lookup(path.as_bytes()).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{path:?}");
        assert_eq!(stack.providers(path.as_bytes()).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{path:?}");
    }
    for path in ["x".repeat(300), "x".repeat(5000), format!("{}y", "x/".repeat(3000)), format!("a/{}", "x".repeat(300))]
    {
        assert!(stack.lookup(path.as_bytes()).unwrap().is_none());
    }
    let none = Stack::open(&[]).unwrap();
    assert!(none.lookup(b"").unwrap().is_none() && none.lookup(b"a").unwrap().is_none());
}

/// One entry of a random layer.
#[derive(Clone, Debug)]
enum Make {
    Folder,
    Opaque,
    File,
    Link,
    Whiteout,
}

const NAMES: [&str; 3] = ["a", "b", "\u{e4}"];

fn paths(depth: usize) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut level = vec![String::new()];
    for _ in 0..depth {
        let child =
            |folder: &String, name| if folder.is_empty() { String::from(name) } else { format!("{folder}/{name}") };
        level = level.iter().flat_map(|folder| NAMES.map(|name| child(folder, name))).collect();
        all.extend(level.iter().cloned());
    }
    all
}

fn entry() -> impl Strategy<Value = (String, Make)> {
    let kind = prop_oneof![
        3 => Just(Make::Folder),
        2 => Just(Make::Opaque),
        3 => Just(Make::File),
        1 => Just(Make::Link),
        2 => Just(Make::Whiteout),
    ];
    (prop::sample::select(paths(3)), kind)
}

/// Puts an entry into a layer, unless something is in its way. Each gets a mode and a time of its own.
fn add(root: &Path, path: &str, kind: &Make, number: u16) {
    let path = root.join(path);
    if path != root && fs::create_dir_all(path.parent().unwrap()).is_err() {
        return;
    }
    // A link to a folder must not lead us elsewhere in the layer.
    let parent = path.ancestors().skip(1).take_while(|folder| *folder != root && path != root);
    if parent.into_iter().any(Path::is_symlink) {
        return;
    }
    let made = match kind {
        Make::Folder => fs::create_dir_all(&path).is_ok() && !path.is_symlink(),
        Make::Opaque => {
            let made = fs::create_dir_all(&path).is_ok() && !path.is_symlink();
            if made {
                set_xattr(&path, "trusted.overlay.opaque", b"y");
            }
            made
        }
        Make::File => path.symlink_metadata().is_err() && fs::write(&path, vec![b'x'; number.into()]).is_ok(),
        Make::Link => symlink("a", &path).is_ok(),
        Make::Whiteout => {
            if path.symlink_metadata().is_err() {
                whiteout(&path);
            }
            false
        }
    };
    if made {
        if !matches!(kind, Make::Link) {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700 | u32::from(number % 64))).unwrap();
        }
        set_time(&path, i64::from(number) * 1000);
    }
}

/// What the mounted tree has at a path, links on the way not followed.
fn mounted(root: &Dir, path: &str) -> Option<Stat> {
    match path.rsplit_once('/') {
        None if path.is_empty() => rustix::fs::fstat(root).ok(),
        None => root.stat(path).unwrap(),
        Some((folder, name)) => root.open_dir(folder).ok()?.stat(name).unwrap(),
    }
}

/// What both ways must agree on.
fn essence(stat: &Stat) -> (u32, i64, Option<u64>) {
    let folder = FileType::from_raw_mode(stat.st_mode).is_dir();
    // A merged folder may have the number of the overlay.
    (stat.st_mode, stat.st_mtime, (!folder).then_some(stat.st_ino))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn root_sees_what_the_mounted_overlay_shows(
        layers in prop::collection::vec(prop::collection::vec(entry(), 0..8), 1..5)
    ) {
        let place = Place::new();
        // Something to merge with at either end: overlayfs wants two folders even if a root is opaque.
        let mut folders = vec![place.folder("top")];
        for (n, entries) in layers.iter().enumerate() {
            let root = place.folder(&n.to_string());
            for (m, (path, kind)) in entries.iter().enumerate() {
                add(&root, path, kind, u16::try_from(n * 10 + m + 1).unwrap());
            }
            folders.push(root);
        }
        folders.push(place.folder("bottom"));

        let target = place.folder("m");
        mount(&Overlay { lowers: &folders, upper: None, flags: MountFlags::default() }, &target).unwrap();
        let tree = Dir::open(&target).unwrap();
        let stack = open(&folders);
        let mut seen = BTreeSet::new();
        for path in paths(4) {
            let found = stack.lookup(path.as_bytes()).unwrap();
            let shown = mounted(&tree, &path);
            prop_assert_eq!(found.as_ref().map(|found| essence(&found.stat)), shown.as_ref().map(essence), "{}", path);
            let is_folder = shown.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir());
            let providers = stack.providers(path.as_bytes()).unwrap();
            prop_assert_eq!(!providers.is_empty(), is_folder, "{}", path);
            if found.is_some() {
                seen.insert(path);
            }
        }
        // And the folders list no more than can be looked up.
        for folder in &seen {
            let Ok(dir) = path::open_folder(&tree, folder.as_bytes()) else { continue };
            for (name, _) in dir.entries().unwrap() {
                let path = path::join(folder.as_bytes(), name.to_bytes());
                prop_assert!(seen.contains(OsStr::from_bytes(&path).to_str().unwrap()), "{:?}", name);
            }
        }
        drop(tree);
        unmount(&target).unwrap();
    }
}
