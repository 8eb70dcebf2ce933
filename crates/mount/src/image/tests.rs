use std::error::Error as _;
use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::process::{Command, Stdio};

use layer_fs::Dir;
use rustix::fs::StatVfsMountFlags;
use rustix::mount::MountFlags as Ms;

use super::*;
use crate::stack::{Closed, ForeignLink, Gaps, Stack, close_gaps};
use crate::testing::{Place, mounts, names, read};
use crate::{MountFlags, Overlay, Upper, mount, unmount};

fn small(place: &Place, name: &str) -> PathBuf {
    place.image(name, &[("one", 0o644, 7, b"1"), ("two", 0o600, 0, &[b'2'; 1000])])
}

/// The options and the propagation of the mount at `path`, as the kernel lists them.
fn listed(path: &Path) -> String {
    let table = fs::read("/proc/self/mountinfo").unwrap();
    let table = String::from_utf8_lossy(&table);
    let place = format!(" {} ", path.display());
    table.lines().find(|line| line.contains(&place)).unwrap().split(&place).nth(1).unwrap().to_owned()
}

#[test]
fn root_an_image_is_read_where_nobody_sees_it() {
    let place = Place::on_disk();
    let file = small(&place, "image");
    let image = LayerImage::open(&file).unwrap();
    assert_eq!(names(&image.path()), ["one", "two"]);
    assert_eq!(read(image.path().join("one")), "1");
    assert_eq!(read(image.path().join("two")), "2".repeat(1000));
    assert_eq!(fs::write(image.path().join("new"), "").unwrap_err().raw_os_error(), Some(30), "read-only");
    assert!(!mounts().iter().any(|other| other.starts_with(place.path("").to_str().unwrap())));
    // The file may go.
    fs::remove_file(&file).unwrap();
    assert_eq!(read(image.path().join("one")), "1");
}

#[test]
fn root_a_stack_is_read_and_closed_before_its_images_are_shown() {
    let place = Place::on_disk();
    let image = LayerImage::open(&small(&place, "image")).unwrap();
    let (top, thin) = (place.layer("top", &["w two", "w link"]), place.folder("thin"));
    let link = [ForeignLink { path: b"link".to_vec(), target: b"one".to_vec() }];
    let layers = [
        (top.clone(), Gaps { implied_parents: &[], foreign_links: &link }),
        (image.path(), Gaps { implied_parents: &[], foreign_links: &[] }),
    ];
    let stack = Stack::open(&[top.clone(), image.path()]).unwrap();
    assert_eq!(stack.lookup(b"one").unwrap().map(|found| found.index), Some(1));
    assert!(stack.lookup(b"two").unwrap().is_none());
    assert_eq!(close_gaps(&layers, Dir::open(&thin).unwrap().as_fd()).unwrap(), Closed { folders: 0, links: 1 });
    drop(stack);

    let attached = image.attach(&place.folder("layer")).unwrap();
    let target = place.folder("m");
    let lowers = [thin, top, attached.path().to_owned()];
    mount(&Overlay { lowers: &lowers, upper: None, flags: MountFlags::default() }, &target).unwrap();
    drop(attached);
    assert_eq!(names(&target), ["link", "one"]);
    let [link, one] = ["link", "one"].map(|name| target.join(name).metadata().unwrap());
    assert_eq!((link.ino(), link.uid(), link.len()), (one.ino(), 7, 1));
}

#[test]
fn root_an_attached_image_goes_and_leaves_the_overlay_on_it_whole() {
    let place = Place::on_disk();
    let [top, bottom] = ["top", "bottom"].map(|name| place.folder(name));
    let image = LayerImage::open(&small(&place, "image")).unwrap();
    let attached = [
        image.attach(&top).unwrap(),
        LayerImage::open(&place.image("other", &[("three", 0o644, 0, b"3")])).unwrap().attach(&bottom).unwrap(),
    ];
    assert_eq!((attached[0].path(), names(&top)), (top.as_path(), vec!["one".to_owned(), "two".to_owned()]));
    let target = place.folder("m");
    let lowers = attached.each_ref().map(|image| image.path().to_owned());
    mount(&Overlay { lowers: &lowers, upper: None, flags: MountFlags::default() }, &target).unwrap();
    drop(attached);
    for folder in [&top, &bottom] {
        assert!(!is_mounted(folder).unwrap());
        assert_eq!(names(folder), [""; 0]);
        fs::remove_dir(folder).unwrap();
    }
    assert_eq!(names(&target), ["one", "three", "two"]);
    assert_eq!(read(target.join("three")), "3");
    unmount(&target).unwrap();
}

#[test]
fn root_an_open_file_does_not_keep_an_image_attached() {
    let place = Place::on_disk();
    let target = place.folder("t");
    let attached = LayerImage::open(&small(&place, "image")).unwrap().attach(&target).unwrap();
    let _open = File::open(target.join("one")).unwrap();
    drop(attached);
    assert!(!is_mounted(&target).unwrap());
}

#[test]
fn root_a_stack_of_images_is_mounted_whether_or_not_the_kernel_has_to_see_them() {
    for is_seen in [false, true] {
        let place = Place::on_disk();
        let images = ["one", "other"].map(|name| {
            let files = [(name, 0o644, 0, name.as_bytes()), ("both", 0o644, 0, name.as_bytes())];
            Arc::new(LayerImage::open(&place.image(name, &files)).unwrap())
        });
        let (folder, target) = (place.path("shown"), place.folder("m"));
        let lowers = [images[0].path(), place.layer("layer", &["w gone"]), images[1].path()];
        let overlay = Overlay { lowers: &lowers, upper: None, flags: MountFlags::default() };
        let mounting = if is_seen { mount_shown } else { mount_images };
        mounting(&overlay, &images, &folder, &target).unwrap();
        drop(images);
        assert_eq!(names(&target), ["both", "one", "other"]);
        assert_eq!(read(target.join("both")), "one");
        // Whoever stays on one device finds all of it.
        let devices = ["", "one", "both", "other"].map(|name| target.join(name).metadata().unwrap().dev());
        assert!(devices.iter().all(|device| *device == devices[0]), "{devices:?}");
        // Nothing but the overlay is left.
        let here = place.path("").to_str().unwrap().to_owned();
        let left: Vec<_> = mounts().into_iter().filter(|mount| mount.starts_with(&here)).collect();
        assert_eq!(left, [target.to_str().unwrap()]);
        assert_eq!(folder.exists(), is_seen);
        detach_images(&folder).unwrap();
        unmount(&target).unwrap();
    }
}

#[test]
fn root_what_a_killed_process_has_left_is_detached_and_nothing_else() {
    let place = Place::on_disk();
    let folder = place.folder("images");
    for name in ["0", "1", "2"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    LayerImage::open(&small(&place, "image")).unwrap().attach(&folder.join("0")).map(std::mem::forget).unwrap();
    rustix::mount::mount_bind(place.folder("own"), folder.join("1")).unwrap();
    detach_images(&folder).unwrap();
    assert_eq!([0, 1, 2].map(|name| is_mounted(&folder.join(name.to_string())).unwrap()), [false, true, false]);
    rustix::mount::unmount(folder.join("1"), UnmountFlags::empty()).unwrap();
    detach_images(&place.path("nowhere")).unwrap();
}

#[test]
fn root_copies_in_other_places_go_with_the_image() {
    let place = Place::on_disk();
    let (shared, peer, slave) = (place.memory("shared"), place.folder("peer"), place.folder("slave"));
    rustix::mount::mount_change(&shared, MountPropagationFlags::SHARED).unwrap();
    fs::create_dir(shared.join("layer")).unwrap();
    for other in [&peer, &slave] {
        rustix::mount::mount_bind(&shared, other).unwrap();
    }
    rustix::mount::mount_change(&slave, MountPropagationFlags::DOWNSTREAM).unwrap();
    let places = [shared, peer, slave].map(|folder| folder.join("layer"));

    let image = small(&place, "image");
    let attached = LayerImage::open(&image).unwrap().attach(&places[0]).unwrap();
    for folder in &places {
        assert_eq!(read(folder.join("one")), "1");
    }
    let options = listed(&places[0]);
    assert!(options.starts_with("ro,nosuid,nodev,noexec,relatime - erofs "), "no peers, no master: {options}");
    let _open = File::open(places[1].join("one")).unwrap();
    drop(attached);
    for folder in &places {
        assert!(!is_mounted(folder).unwrap(), "{}", folder.display());
    }

    LayerImage::open(&image).unwrap().attach(&places[0]).map(std::mem::forget).unwrap();
    assert!(detach_image(&places[0]).unwrap());
    for folder in &places {
        assert!(!is_mounted(folder).unwrap(), "{}", folder.display());
    }
}

#[test]
fn root_programs_of_an_image_are_run_by_the_flags_of_the_overlay() {
    let place = Place::on_disk();
    let id = fs::read("/usr/bin/id").unwrap();
    let files: [(&str, u16, u16, &[u8]); 2] =
        [("id", 0o4755, 4321, &id), ("script", 0o755, 0, b"#!/bin/sh\necho ran\n")];
    let layer = place.folder("layer");
    let attached = LayerImage::open(&place.image("image", &files)).unwrap().attach(&layer).unwrap();
    let run = |program: &Path| {
        let output = Command::new(program).arg("-u").stderr(Stdio::null()).output()?;
        io::Result::Ok(String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
    };
    // The image's own mount is of no use to anybody.
    assert_eq!(run(&layer.join("id")).unwrap_err().kind(), io::ErrorKind::PermissionDenied);

    let lowers = [layer.clone(), place.folder("empty")];
    let upper = Upper { upper: place.folder("u"), work: place.folder("w") };
    let target = place.folder("m");
    let flags = |nosuid, noexec| MountFlags { nodev: true, nosuid, noexec };
    let cases = [(flags(false, false), Some("4321")), (flags(true, false), Some("0")), (flags(false, true), None)];
    for (flags, expected) in cases {
        for upper in [None, Some(upper.clone())] {
            mount(&Overlay { lowers: &lowers, upper, flags }, &target).unwrap();
            assert_eq!(run(&target.join("id")).ok().as_deref(), expected, "{flags:?}");
            assert_eq!(run(&target.join("script")).ok(), expected.map(|_| "ran".to_owned()), "{flags:?}");
            let seen = rustix::fs::statvfs(&target).unwrap().f_flag;
            assert_eq!(seen.contains(StatVfsMountFlags::NOSUID), flags.nosuid);
            assert_eq!(seen.contains(StatVfsMountFlags::NOEXEC), flags.noexec);
            unmount(&target).unwrap();
        }
    }
    // And so they are once the image's own mount is gone.
    mount(&Overlay { lowers: &lowers, upper: None, flags: flags(false, false) }, &target).unwrap();
    drop(attached);
    assert_eq!(run(&target.join("id")).unwrap(), "4321");
}

#[test]
fn root_only_images_are_detached() {
    let place = Place::on_disk();
    let target = place.folder("t");
    let image = small(&place, "image");
    assert!(!detach_image(&target).unwrap());
    assert!(!detach_image(&place.path("none")).unwrap());
    let leave = || LayerImage::open(&image).unwrap().attach(&target).map(std::mem::forget).unwrap();
    leave();
    symlink("t", place.path("link")).unwrap();
    assert!(!detach_image(&place.path("link")).unwrap());
    assert!(!detach_image(&target.join("one")).unwrap(), "in an image, but no mount point");
    assert!(is_mounted(&target).unwrap());
    assert!(detach_image(&target).unwrap());
    assert!(!is_mounted(&target).unwrap());

    rustix::mount::mount(c"tmpfs", &target, c"tmpfs", Ms::empty(), None).unwrap();
    fs::write(target.join("other"), "").unwrap();
    assert!(!detach_image(&target).unwrap());
    leave();
    leave();
    assert!(detach_image(&target).unwrap());
    assert_eq!(names(&target), ["other"]);
    // What covers an image keeps it.
    rustix::mount::unmount(&target, UnmountFlags::empty()).unwrap();
    leave();
    rustix::mount::mount(c"tmpfs", &target, c"tmpfs", Ms::empty(), None).unwrap();
    assert!(!detach_image(&target).unwrap());
    rustix::mount::unmount(&target, UnmountFlags::empty()).unwrap();
    assert_eq!(names(&target), ["one", "two"]);
}

#[test]
fn root_images_may_have_names_of_any_kind() {
    use std::os::unix::ffi::OsStrExt as _;

    let place = Place::on_disk();
    let long = place.folder(&format!("{}/{}", "x".repeat(200), "y".repeat(200)));
    let strange = std::ffi::OsStr::from_bytes(b"a,b \\134\xff\n=");
    for path in [long.join("image"), place.path("").join(strange)] {
        fs::rename(small(&place, "image"), &path).unwrap();
        let image = LayerImage::open(&path).unwrap();
        assert_eq!(names(&image.path()), ["one", "two"]);
    }
}

#[test]
fn root_what_is_no_image_is_refused_by_name() {
    let place = Place::on_disk();
    let garbage = place.path("garbage");
    fs::write(&garbage, vec![b'x'; 5000]).unwrap();
    symlink("garbage", place.path("link")).unwrap();
    for (path, why) in [
        (garbage, "Invalid argument"),
        (place.path("none"), "No such file"),
        (place.path("link"), "Too many levels of symbolic links"),
        (place.folder("folder"), "it is no regular file"),
        (PathBuf::from("/dev/null"), "it is no regular file"),
    ] {
        let error = LayerImage::open(&path).unwrap_err();
        assert!(matches!(&error, MountError::Image { file, .. } if *file == path), "{error}");
        assert!(error.to_string().starts_with(&format!("mount the layer image `{}`", path.display())), "{error}");
        assert!(error.source().unwrap().to_string().contains(why), "{}", error.source().unwrap());
    }
    // The kernel's answer is the same as that of one that reads no files at all.
    fs::copy(small(&place, "image"), place.memory("memory").join("image")).unwrap();
    let error = LayerImage::open(&place.path("memory/image")).unwrap_err();
    assert!(matches!(error, MountError::NotFromFile { .. }), "{error}");
    assert!(error.to_string().contains("Linux 6.12 or later is needed"), "{error}");

    let image = LayerImage::open(&small(&place, "image")).unwrap();
    assert!(matches!(image.attach(&place.path("none")), Err(MountError::Target { .. })));
}
