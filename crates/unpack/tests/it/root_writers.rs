//! What GNU tar writes, in every format it has, is read back as it was.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::Command;

use layer_testkit::tree::{Tree, assert_same};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, makedev, mknodat};

use crate::sandbox::{Sandbox, chain};

/// Things on the disk that a format of this width of names and owners can tell.
fn things(root: &Path, long: bool, devices: bool) {
    let at = |name: &str| root.join(name);
    fs::create_dir_all(at("folder/inner")).unwrap();
    fs::write(at("folder/file"), vec![b'x'; 1000]).unwrap();
    fs::write(at("folder/inner/empty"), "").unwrap();
    fs::write(at("folder/spaces and \u{fc}"), "1").unwrap();
    fs::hard_link(at("folder/file"), at("hard")).unwrap();
    symlink("folder/file", at("link")).unwrap();
    fs::set_permissions(at("folder/file"), Permissions::from_mode(0o4751)).unwrap();
    fs::set_permissions(at("folder/inner"), Permissions::from_mode(0o3770)).unwrap();
    let holes = File::create(at("holes")).unwrap();
    for offset in [0, 1 << 20, 2 << 20, 3 << 20, 4 << 20, 5 << 20, 6 << 20] {
        holes.write_all_at(&[7; 4096], offset).unwrap();
    }
    holes.set_len(8 << 20).unwrap();
    File::create(at("nothing")).unwrap().set_len(1 << 20).unwrap();
    if devices {
        mknodat(CWD, at("pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        mknodat(CWD, at("null"), FileType::CharacterDevice, Mode::from_raw_mode(0o600), makedev(1, 3)).unwrap();
        mknodat(CWD, at("disk"), FileType::BlockDevice, Mode::from_raw_mode(0o600), makedev(8, 1)).unwrap();
    }
    if long {
        let deep = at(&vec!["d".repeat(60); 5].join("/"));
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("f".repeat(200)), "1").unwrap();
        symlink("t".repeat(300), at("long link")).unwrap();
        fs::hard_link(deep.join("f".repeat(200)), at("long hard")).unwrap();
        chown(at("nothing"), Some(4_000_000_000), Some(3_000_000)).unwrap();
    }
}

/// Sets the time of a tree, the folders' after that of what is in them.
fn set_times(path: &Path, seconds: i64, nanos: i64) {
    if fs::symlink_metadata(path).unwrap().is_dir() {
        for item in fs::read_dir(path).unwrap() {
            set_times(&item.unwrap().path(), seconds, nanos);
        }
    }
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

#[test]
fn every_format_of_gnu_tar() {
    let formats: [(&[&str], bool, bool, bool); 9] = [
        (&["--format=v7"], false, false, false),
        (&["--format=ustar"], false, true, false),
        (&["--format=oldgnu"], true, true, false),
        (&["--format=oldgnu", "--sparse"], true, true, false),
        (&["--format=gnu", "--sparse"], true, true, false),
        (&["--format=posix", "--xattrs", "--xattrs-include=*"], true, true, true),
        (&["--format=posix", "--sparse", "--sparse-version=0.0"], true, true, true),
        (&["--format=posix", "--sparse", "--sparse-version=0.1"], true, true, true),
        (&["--format=posix", "--sparse", "--sparse-version=1.0", "--xattrs", "--xattrs-include=*"], true, true, true),
    ];
    for (options, long, devices, posix) in formats {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        things(&source, long, devices);
        if options.contains(&"--xattrs") {
            let file = File::open(source.join("folder/file")).unwrap();
            rustix::fs::fsetxattr(&file, c"user.x", b"a=b\n\0", XattrFlags::empty()).unwrap();
        }
        set_times(
            &source,
            if options == ["--format=v7"] { 77 } else { 1_700_000_000 },
            if posix { 123_456_789 } else { 0 },
        );
        let tar = folder.path().join("tar");
        let status = Command::new("tar").args(options).arg("-cf").arg(&tar).arg("-C").arg(&source).arg(".").status();
        assert!(status.unwrap().success());
        let sandbox = Sandbox::new();
        sandbox.apply(fs::read(&tar).unwrap()).unwrap_or_else(|error| panic!("{options:?}: {}", chain(&error)));
        let (mut want, mut got) = (Tree::read(&source).unwrap(), sandbox.tree());
        if !options.contains(&"--sparse") {
            (want, got) = (want.without_holes(), got.without_holes());
        }
        assert_same(&want, &got);
    }
}

#[test]
fn folders_of_this_machine() {
    for path in ["/etc", "/dev"] {
        if !Path::new(path).exists() {
            continue;
        }
        for format in ["gnu", "posix"] {
            let output = Command::new("tar")
                .args([&format!("--format={format}"), "--one-file-system", "-cf", "-", "-C", path, "."])
                .output()
                .unwrap();
            let (sandbox, reference) = (Sandbox::new(), tempfile::tempdir().unwrap());
            sandbox.apply(&output.stdout).unwrap_or_else(|error| panic!("{path}: {}", chain(&error)));
            layer_testkit::tree::gnu_tar_reference(&[output.stdout], reference.path()).unwrap();
            assert_same(&Tree::read(reference.path()).unwrap().without_holes(), &sandbox.tree().without_holes());
        }
    }
}
