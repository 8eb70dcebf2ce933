use std::error::Error as _;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, symlink};

use rustix::fs::StatVfsMountFlags;

use super::*;
use crate::support::{Support, support};
use crate::testing::{DISK, Place, mounts, names, read, set_xattr};
use crate::{is_mounted, unmount};

const METHODS: [Method; 3] = [Method::AppendFd, Method::AppendPath, Method::Classic];

fn lowers(lowers: &[PathBuf]) -> Overlay<'_> {
    Overlay { lowers, upper: None, flags: MountFlags::default() }
}

/// `count` layers, topmost first: each has a file of its own and one that all have.
fn many(place: &Place, count: usize) -> Vec<PathBuf> {
    (0..count).map(|n| place.layer(&format!("l{n}"), &[&format!("f only{n} {n}"), &format!("f same {n}")])).collect()
}

#[test]
fn root_stacks_by_every_method_and_the_topmost_wins() {
    for count in [2, 120, 500] {
        let place = Place::new();
        let layers = many(&place, count);
        for method in METHODS {
            let target = place.folder("m");
            mount_by(method, &lowers(&layers), &target).unwrap();
            assert!(is_mounted(&target).unwrap());
            assert_eq!(names(&target).len(), count + 1, "{method:?}");
            assert_eq!(read(target.join("same")), "0");
            for n in 0..count {
                assert_eq!(read(target.join(format!("only{n}"))), n.to_string());
            }
            assert_eq!(fs::write(target.join("new"), "").unwrap_err().raw_os_error(), Some(30), "read-only");
            unmount(&target).unwrap();
            assert!(!is_mounted(&target).unwrap());
        }
    }
}

#[test]
fn root_the_number_of_folders_is_checked() {
    let place = Place::new();
    let target = place.folder("m");
    let error = mount(&lowers(&[]), &target).unwrap_err();
    assert!(matches!(error, MountError::TooFew { folders: 0 }));
    let one = many(&place, 1);
    assert!(matches!(mount(&lowers(&one), &target), Err(MountError::TooFew { folders: 1 })));

    let mut layers = many(&place, 500);
    layers.push(place.folder("bottom"));
    let error = mount(&lowers(&layers), &target).unwrap_err();
    assert_eq!(error.to_string(), "an overlay of 501 folders: the kernel stacks 500 at most");
    assert!(!is_mounted(&target).unwrap());

    // One layer with an empty folder, or with a writable one, is enough.
    let padded = [one[0].clone(), place.folder("empty")];
    let upper = Some(Upper { upper: place.folder("u"), work: place.folder("w") });
    for method in METHODS {
        mount_by(method, &lowers(&padded), &target).unwrap();
        assert_eq!(names(&target), ["only0", "same"]);
        unmount(&target).unwrap();
        let overlay = Overlay { lowers: &one, upper: upper.clone(), flags: MountFlags::default() };
        mount_by(method, &overlay, &target).unwrap();
        assert_eq!(names(&target), ["only0", "same"]);
        unmount(&target).unwrap();
    }
}

#[test]
fn root_whiteouts_and_opaque_folders_hide_what_is_below() {
    let place = Place::new();
    let layers = [
        place.layer("top", &["w gone", "o folder", "f folder/new 1", "d merged"]),
        place.layer("bottom", &["f gone 2", "f folder/old 2", "f merged/old 2", "f kept 2"]),
    ];
    for method in METHODS {
        let target = place.folder("m");
        mount_by(method, &lowers(&layers), &target).unwrap();
        assert_eq!(names(&target), ["folder", "kept", "merged"]);
        assert_eq!(names(&target.join("folder")), ["new"]);
        assert_eq!(names(&target.join("merged")), ["old"]);
        unmount(&target).unwrap();
    }
}

#[test]
fn root_an_opaque_root_hides_all_layers_below() {
    let place = Place::new();
    let layers =
        [place.layer("top", &["f a 1"]), place.layer("middle", &["o .", "f b 2"]), place.layer("bottom", &["f c 3"])];
    for method in METHODS {
        let target = place.folder("m");
        mount_by(method, &lowers(&layers), &target).unwrap();
        assert_eq!(names(&target), ["a", "b"]);
        unmount(&target).unwrap();
    }
    let error = mount(&lowers(&layers[1..]), &place.folder("m")).unwrap_err();
    assert!(matches!(error, MountError::TooFew { folders: 1 }));
}

#[test]
fn root_changes_go_to_the_writable_folder() {
    let place = Place::new();
    let layers = [place.layer("top", &["f a 1"]), place.layer("bottom", &["f b 2", "f d/x 2"])];
    let upper = Upper { upper: place.folder("u"), work: place.folder("w") };
    for method in METHODS {
        let target = place.folder("m");
        let overlay = Overlay { lowers: &layers, upper: Some(upper.clone()), flags: MountFlags::default() };
        mount_by(method, &overlay, &target).unwrap();
        fs::write(target.join("new"), "n").unwrap();
        fs::write(target.join("d/x"), "changed").unwrap();
        fs::remove_file(target.join("a")).unwrap();
        assert_eq!(names(&target), ["b", "d", "new"]);
        unmount(&target).unwrap();
        assert_eq!(read(upper.upper.join("d/x")), "changed");
        assert_eq!(names(&upper.upper), ["a", "d", "new"]);
        assert_eq!(upper.upper.join("a").symlink_metadata().unwrap().rdev(), 0);
        for name in ["a", "new", "d/x"] {
            fs::remove_file(upper.upper.join(name)).unwrap();
        }
        fs::remove_dir(upper.upper.join("d")).unwrap();
    }
    assert_eq!((read(layers[0].join("a")), read(layers[1].join("d/x"))), ("1".into(), "2".into()));
}

#[test]
fn root_markers_of_strangers_are_not_followed() {
    let place = Place::new();
    let layers =
        [place.layer("top", &["d moved", "f thin 1"]), place.layer("bottom", &["f secret/x 2", "f thin 2222"])];
    set_xattr(&layers[0].join("moved"), "trusted.overlay.redirect", b"/secret");
    set_xattr(&layers[0].join("thin"), "trusted.overlay.metacopy", b"");
    for method in METHODS {
        for upper in [None, Some(Upper { upper: place.folder("u"), work: place.folder("w") })] {
            let target = place.folder("m");
            let overlay = Overlay { lowers: &layers, upper, flags: MountFlags::default() };
            mount_by(method, &overlay, &target).unwrap();
            // The kernel may show the folder without the one it points to, or refuse it, but never follow.
            let seen = fs::read_dir(target.join("moved")).map(|entries| entries.count());
            assert!(!matches!(seen, Ok(1..)), "{method:?}: followed to {seen:?}");
            let seen = fs::read_to_string(target.join("thin"));
            assert!(!seen.as_ref().is_ok_and(|content| content.contains('2')), "{method:?}: followed to {seen:?}");
            unmount(&target).unwrap();
        }
    }
}

#[test]
fn root_flags_forbid_what_they_say() {
    let place = Place::new();
    let layers = many(&place, 2);
    let all = StatVfsMountFlags::NODEV | StatVfsMountFlags::NOSUID | StatVfsMountFlags::NOEXEC;
    let cases = [
        (MountFlags::default(), StatVfsMountFlags::NODEV | StatVfsMountFlags::NOSUID),
        (MountFlags { nodev: false, nosuid: false, noexec: false }, StatVfsMountFlags::empty()),
        (MountFlags { nodev: false, nosuid: false, noexec: true }, StatVfsMountFlags::NOEXEC),
    ];
    for method in METHODS {
        for (flags, expected) in cases {
            let target = place.folder("m");
            mount_by(method, &Overlay { lowers: &layers, upper: None, flags }, &target).unwrap();
            let seen = rustix::fs::statvfs(&target).unwrap().f_flag;
            assert_eq!(seen & (all | StatVfsMountFlags::RDONLY), expected | StatVfsMountFlags::RDONLY, "{method:?}");
            unmount(&target).unwrap();
        }
    }
}

#[test]
fn root_paths_may_be_long_or_strange() {
    let place = Place::new();
    let deep = place.path("p").join(["x".repeat(100), "y".repeat(100), "z".repeat(100)].join("/"));
    let strange = place.path("a:b,c\\d e");
    let raw = place.path("p").join(OsStr::from_bytes(b"\xff\xfe"));
    let layers = [deep, strange, raw];
    for (n, layer) in layers.iter().enumerate() {
        fs::create_dir_all(layer).unwrap();
        fs::write(layer.join(format!("f{n}")), "").unwrap();
    }
    let upper = Upper { upper: place.folder("up:per,\\"), work: place.folder("wo\\rk,") };
    for method in METHODS {
        for upper in [None, Some(upper.clone())] {
            let target = place.folder("m, \\t");
            mount_by(method, &Overlay { lowers: &layers, upper, flags: MountFlags::default() }, &target).unwrap();
            assert_eq!(names(&target), ["f0", "f1", "f2"], "{method:?}");
            unmount(&target).unwrap();
        }
    }
}

#[test]
fn root_the_classic_call_leaves_the_working_folder_alone() {
    let place = Place::new();
    let before = std::env::current_dir().unwrap();
    let target = place.folder("m");
    mount_by(Method::Classic, &lowers(&many(&place, 2)), &target).unwrap();
    unmount(&target).unwrap();
    assert_eq!(std::env::current_dir().unwrap(), before);
}

#[test]
fn root_a_mount_covers_what_is_there() {
    let place = Place::new();
    let layers = many(&place, 3);
    let target = place.layer("m", &["f own 1"]);
    mount(&lowers(&layers[..2]), &target).unwrap();
    mount(&lowers(&layers[1..]), &target).unwrap();
    assert_eq!(names(&target), ["only1", "only2", "same"]);
    unmount(&target).unwrap();
    assert_eq!(names(&target), ["only0", "only1", "same"]);
    unmount(&target).unwrap();
    assert_eq!(names(&target), ["own"]);
}

#[test]
fn root_errors_name_the_folder() {
    let place = Place::new();
    let layers = many(&place, 2);
    let target = place.folder("m");

    let missing = [layers[0].clone(), place.path("none")];
    let error = mount(&lowers(&missing), &target).unwrap_err();
    assert_eq!(error.to_string(), format!("open the layer folder `{}`", missing[1].display()));
    assert!(error.source().unwrap().to_string().contains("No such file"));

    let file = [layers[0].clone(), layers[0].join("same")];
    assert!(matches!(mount(&lowers(&file), &target), Err(MountError::Folder { path, .. }) if path == file[1]));

    let error = mount(&lowers(&layers), &place.path("none")).unwrap_err();
    assert!(matches!(error, MountError::Target { path, .. } if path == place.path("none")));

    symlink("m", place.path("link")).unwrap();
    let error = mount(&lowers(&layers), &place.path("link")).unwrap_err();
    assert!(matches!(error, MountError::Target { .. }));
    assert_eq!(error.source().unwrap().to_string(), "it is a symbolic link");
    assert!(!is_mounted(&target).unwrap());

    // A link on the way is fine.
    symlink(place.path("m"), place.path("way")).unwrap();
    fs::create_dir(target.join("inner")).unwrap();
    mount(&lowers(&layers), &place.path("way/inner")).unwrap();
    assert!(is_mounted(&target.join("inner")).unwrap());
    unmount(&place.path("way/inner")).unwrap();
}

#[test]
fn root_the_kernels_own_words_are_told() {
    let place = Place::new();
    // The work folder must not lie in the writable one.
    let upper = Upper { upper: place.folder("u"), work: place.folder("u/w") };
    let layers = many(&place, 2);
    for method in METHODS {
        let overlay = Overlay { lowers: &layers, upper: Some(upper.clone()), flags: MountFlags::default() };
        let target = place.folder("m");
        let error = mount_by(method, &overlay, &target).unwrap_err();
        assert!(matches!(error, MountError::Mount { folders: 2, .. }), "{error}");
        let text = format!("mount an overlay of 2 folders on `{}`", target.display());
        assert!(error.to_string().starts_with(&text), "{error}");
        assert!(!is_mounted(&target).unwrap());
    }
    let context = rustix::mount::fsopen(c"overlay", rustix::mount::FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
    let error = append::set(&context, "nonsense", "1").unwrap_err();
    assert_eq!(error.to_string(), "set up an overlay: option `nonsense=1` (overlay: Unknown parameter 'nonsense')");
}

#[test]
fn root_support_is_told_without_leaving_anything() {
    let _ = Place::new();
    // Other tests mount below the folders for temporary files meanwhile.
    let temporary = [std::env::temp_dir(), DISK.into()];
    let is_elsewhere = |place: &String| !temporary.iter().any(|folder| Path::new(place).starts_with(folder));
    let elsewhere = || mounts().into_iter().filter(is_elsewhere).collect::<Vec<_>>();
    let before = elsewhere();
    assert_eq!(support(), Support { overlay: true, lowerdir_append: true });
    assert_eq!(elsewhere(), before);
}
