use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::mount::MountFlags as Ms;

use super::*;
use crate::testing::{Place, names};
use crate::{MountFlags, Overlay, mount};

fn mounted(place: &Place) -> PathBuf {
    let lowers = [place.layer("top", &["d sub", "f file 1"]), place.layer("bottom", &["f other 2"])];
    let target = place.folder("m");
    mount(&Overlay { lowers: &lowers, upper: None, flags: MountFlags::default() }, &target).unwrap();
    target
}

#[test]
fn root_only_the_mount_point_itself_counts_as_mounted() {
    let place = Place::new();
    let target = mounted(&place);
    assert!(is_mounted(&target).unwrap());
    assert!(is_mounted(&place.path("./m/")).unwrap());
    assert!(!is_mounted(&target.join("sub")).unwrap());
    assert!(!is_mounted(&target.join("file")).unwrap());
    assert!(!is_mounted(&place.path("top")).unwrap());
    assert!(!is_mounted(&place.path("none")).unwrap());
    assert!(!is_mounted(&place.path("m/file/none")).unwrap());
    std::os::unix::fs::symlink(&target, place.path("link")).unwrap();
    assert!(!is_mounted(&place.path("link")).unwrap());
}

#[test]
fn root_unmounting_leaves_everything_else_alone() {
    let place = Place::new();
    let target = mounted(&place);
    for other in [place.path("top"), place.path("none"), target.join("sub")] {
        assert!(matches!(unmount(&other), Err(MountError::NotMounted { target }) if target == other));
    }
    std::os::unix::fs::symlink(&target, place.path("link")).unwrap();
    assert!(matches!(unmount(&place.path("link")), Err(MountError::NotMounted { .. })));

    let memory = place.folder("tmpfs");
    rustix::mount::mount(c"tmpfs", &memory, c"tmpfs", Ms::empty(), None).unwrap();
    assert!(matches!(unmount(&memory), Err(MountError::NotMounted { .. })));
    assert!(is_mounted(&memory).unwrap());
    assert!(is_mounted(&target).unwrap());

    unmount(&target).unwrap();
    assert!(matches!(unmount(&target), Err(MountError::NotMounted { .. })));
}

#[test]
fn root_an_open_file_keeps_the_mount_and_its_holder_is_named() {
    let place = Place::new();
    let target = mounted(&place);
    let file = File::open(target.join("file")).unwrap();
    let error = unmount(&target).unwrap_err();
    let MountError::Busy { holders, .. } = &error else { panic!("{error}") };
    let pid = std::process::id();
    assert!(holders.iter().any(|holder| holder.ends_with(&format!("(pid {pid}) has a file of it open"))), "{error}");
    assert!(error.to_string().starts_with(&format!("`{}` is busy: `", target.display())), "{error}");
    // Nothing happened.
    assert_eq!(names(&target), ["file", "other", "sub"]);
    drop(file);
    unmount(&target).unwrap();
}

#[test]
fn root_what_is_detached_is_seen_by_nobody_but_its_users() {
    let place = Place::new();
    let target = mounted(&place);
    let folder = layer_fs::Dir::open(&target).unwrap();
    detach(&target).unwrap();
    assert!(!is_mounted(&target).unwrap());
    assert!(folder.stat("file").unwrap().is_some());
    assert!(matches!(detach(&target), Err(MountError::NotMounted { .. })));
}

#[test]
fn root_a_working_folder_keeps_the_mount_and_its_holder_is_named() {
    let place = Place::new();
    let target = mounted(&place);
    let mut child = Command::new("cat").current_dir(target.join("sub")).stdin(Stdio::piped()).spawn().unwrap();
    let error = unmount(&target).unwrap_err();
    drop(child.stdin.take());
    child.wait().unwrap();
    assert!(error.to_string().contains(&format!("(pid {}) works in it", child.id())), "{error}");
    unmount(&target).unwrap();
}

#[test]
fn root_a_mount_inside_keeps_the_outer_one() {
    let place = Place::new();
    let target = mounted(&place);
    let inner = target.join("sub");
    rustix::mount::mount(c"tmpfs", &inner, c"tmpfs", Ms::empty(), None).unwrap();
    let error = unmount(&target).unwrap_err();
    let inner = fs::canonicalize(&inner).unwrap();
    assert!(error.to_string().contains(&format!("`{}` is mounted in it", inner.display())), "{error}");
    rustix::mount::unmount(&inner, UnmountFlags::empty()).unwrap();
    unmount(&target).unwrap();
}
