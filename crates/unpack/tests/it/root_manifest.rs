//! The list of a layer's files, and what is found by it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::path::Path;

use layer_fs::Dir;
use layer_testkit::layer::{Entry, LayerBuilder, SparseForm};
use layer_unpack::manifest::{self, CompareError};

use crate::sandbox::Sandbox;

/// A layer with something of everything, some of it said several times.
fn layer() -> LayerBuilder {
    let caps = b"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    LayerBuilder::new()
        .entry(Entry::dir("bin").mode(0o755).owner(0, 0).mtime(1_600_000_000))
        .entry(Entry::file("bin/tool", "a program").mode(0o4755).owner(0, 5).mtime(1_600_000_001))
        .entry(Entry::file("bin/ping", "pong").mode(0o755).xattr("security.capability", caps))
        .entry(Entry::hard_link("bin/also", "bin/tool"))
        .entry(Entry::hard_link("bin/z-also", "bin/tool"))
        .entry(Entry::file("implied/parent/data", "twice").mtime_nanos(1_600_000_002, 123_456_789))
        .entry(Entry::file("implied/parent/data", "this one counts").xattr("user.note", "kept"))
        .entry(Entry::sparse(
            "holes",
            SparseForm::Pax10,
            1 << 30,
            &[(0, &[b'h'; 512]), (1 << 20, &[b'm'; 1024]), ((1 << 30) - 4, b"tail")],
        ))
        .entry(Entry::symlink("lib", "usr/lib"))
        .entry(Entry::char_device("null", 1, 3).mode(0o666))
        .entry(Entry::block_device("disk", 8, 0).mode(0o660))
        .entry(Entry::fifo("pipe").mode(0o600))
        .entry(Entry::whiteout("gone"))
        .entry(Entry::dir("opaque"))
        .entry(Entry::opaque("opaque"))
        .entry(Entry::file("was-folder/x", "x"))
        .entry(Entry::file("was-folder", "a file now"))
        .entry(Entry::file("empty", ""))
}

struct Listed {
    sandbox: Sandbox,
    list: Vec<u8>,
}

impl Listed {
    fn new(layer: LayerBuilder) -> Self {
        let sandbox = Sandbox::new();
        let contents = sandbox.apply_noting(layer.tar());
        let mut list = Vec::new();
        manifest::write(&Dir::open(&sandbox.root()).unwrap(), &contents, &mut list).unwrap();
        Self { sandbox, list }
    }

    /// What differs, as `path: word`.
    fn differences(&self) -> Vec<String> {
        let mut told = Vec::new();
        let root = Dir::open(&self.sandbox.root()).unwrap();
        manifest::compare(&root, self.list.as_slice(), &|| false, &mut |difference| {
            told.push(format!("{}: {}", String::from_utf8_lossy(&difference.path), difference.aspect.word()));
        })
        .unwrap();
        told
    }

    fn at(&self, path: &str) -> std::path::PathBuf {
        self.sandbox.root().join(path)
    }
}

/// Changes something and puts the time of what was changed back, as damage does.
fn keeping_time(path: &Path, change: impl FnOnce()) {
    let meta = fs::symlink_metadata(path).unwrap();
    change();
    let time = |seconds, nanos| rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanos };
    let times = rustix::fs::Timestamps {
        last_access: time(meta.atime(), meta.atime_nsec()),
        last_modification: time(meta.mtime(), meta.mtime_nsec()),
    };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

#[test]
fn root_what_was_unpacked_is_as_it_was_listed() {
    let listed = Listed::new(layer());
    assert_eq!(listed.differences(), [""; 0]);
    // The list doesn't depend on what was known of the contents: reading them says the same.
    let mut again = Vec::new();
    let root = Dir::open(&listed.sandbox.root()).unwrap();
    let allocated = manifest::write(&root, &manifest::Contents::default(), &mut again).unwrap();
    assert_eq!(again, listed.list);
    assert_eq!(allocated, Some(layer_fs::tree_allocated(&root).unwrap()));
    // Another name outside of the layer, as a mount makes them, is nobody's business.
    let outside = tempfile::tempdir_in(listed.sandbox.root().parent().unwrap()).unwrap();
    fs::hard_link(listed.at("empty"), outside.path().join("x")).unwrap();
    fs::hard_link(listed.at("bin/tool"), outside.path().join("y")).unwrap();
    assert_eq!(listed.differences(), [""; 0]);
}

/// Where nothing has attributes, none are asked for; the list is the same, and attributes that come later are found by it.
#[test]
fn root_a_layer_without_attributes_is_listed_as_any_other() {
    let plain = || LayerBuilder::new().dir("a").file("a/b", "text").hard_link("a/c", "a/b").symlink("l", "a");
    for layer in [
        plain(),
        plain().whiteout("gone"),
        plain().opaque("a"),
        plain().entry(Entry::file("x", "").xattr("user.n", "1")),
        plain().hard_link("deep/below", "not-here"),
    ] {
        let listed = Listed::new(layer);
        let (mut again, root) = (Vec::new(), Dir::open(&listed.sandbox.root()).unwrap());
        manifest::write(&root, &manifest::Contents::default(), &mut again).unwrap();
        assert_eq!(again, listed.list);
        rustix::fs::setxattr(listed.at("a/b"), "user.new", b"1", rustix::fs::XattrFlags::empty()).unwrap();
        assert_eq!(listed.differences(), ["a/b: attribute", "a/c: attribute"]);
    }
}

#[test]
fn root_every_kind_of_damage_is_named() {
    type Change = fn(&Listed);
    let cases: [(&str, Change, &[&str]); 19] = [
        (
            "a byte",
            |on| keeping_time(&on.at("bin/tool"), || fs::write(on.at("bin/tool"), "a pr0gram").unwrap()),
            // Writing takes the set-user-ID bit away. The other names are the same file.
            &["bin/also: content", "bin/tool: content", "bin/z-also: content"],
        ),
        (
            "a byte between holes",
            |on| {
                keeping_time(&on.at("holes"), || {
                    use std::os::unix::fs::FileExt as _;
                    fs::OpenOptions::new().write(true).open(on.at("holes")).unwrap().write_at(b"x", 5 << 20).unwrap();
                })
            },
            &["holes: content"],
        ),
        (
            "a longer file",
            |on| keeping_time(&on.at("empty"), || fs::write(on.at("empty"), "x").unwrap()),
            &["empty: size"],
        ),
        ("a mode", |on| fs::set_permissions(on.at("bin"), fs::Permissions::from_mode(0o700)).unwrap(), &["bin: mode"]),
        ("an owner", |on| lchown(on.at("lib"), Some(7), Some(8)).unwrap(), &["lib: owner"]),
        ("a file's owner", |on| chown(on.at("empty"), Some(7), None).unwrap(), &["empty: owner"]),
        (
            "a time",
            |on| {
                let file = fs::OpenOptions::new().append(true).open(on.at("empty")).unwrap();
                file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
            },
            &["empty: time"],
        ),
        (
            "another time",
            |on| {
                let file = fs::File::open(on.at("implied/parent/data")).unwrap();
                file.set_modified(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_nanos(1)).unwrap();
            },
            &["implied/parent/data: time"],
        ),
        (
            "an attribute less",
            |on| {
                rustix::fs::removexattr(on.at("bin/ping"), c"security.capability").unwrap();
            },
            &["bin/ping: attribute"],
        ),
        (
            "an attribute more",
            |on| {
                rustix::fs::setxattr(on.at("empty"), c"user.x", b"", rustix::fs::XattrFlags::empty()).unwrap();
            },
            &["empty: attribute"],
        ),
        (
            "an attribute changed",
            |on| {
                rustix::fs::setxattr(on.at("opaque"), c"trusted.overlay.opaque", b"n", rustix::fs::XattrFlags::empty())
                    .unwrap();
            },
            &["opaque: attribute"],
        ),
        (
            "a file gone",
            |on| keeping_time(&on.at("bin"), || fs::remove_file(on.at("bin/ping")).unwrap()),
            &["bin/ping: missing"],
        ),
        (
            "a folder gone",
            |on| keeping_time(&on.at(""), || fs::remove_dir_all(on.at("implied")).unwrap()),
            &["implied: missing"],
        ),
        (
            "a file more",
            |on| keeping_time(&on.at("bin"), || fs::write(on.at("bin/new"), "").unwrap()),
            &["bin/new: extra"],
        ),
        (
            "a folder more",
            |on| {
                keeping_time(&on.at(""), || {
                    fs::create_dir_all(on.at("zz/deep")).unwrap();
                    fs::write(on.at("zz/deep/file"), "").unwrap();
                })
            },
            &["zz: extra"],
        ),
        (
            "another link",
            |on| {
                keeping_time(&on.at(""), || {
                    let time = on.at("lib");
                    let kept = fs::symlink_metadata(&time).unwrap();
                    fs::remove_file(on.at("lib")).unwrap();
                    symlink("usr/lib64", on.at("lib")).unwrap();
                    let time = |seconds, nanos| rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanos };
                    let times = rustix::fs::Timestamps {
                        last_access: time(0, 0),
                        last_modification: time(kept.mtime(), kept.mtime_nsec()),
                    };
                    rustix::fs::utimensat(rustix::fs::CWD, on.at("lib"), &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
                        .unwrap();
                })
            },
            &["lib: target"],
        ),
        (
            "a name that is a copy",
            |on| {
                keeping_time(&on.at("bin"), || {
                    let copy = on.at("bin/copy");
                    fs::copy(on.at("bin/tool"), &copy).unwrap();
                    chown(&copy, Some(0), Some(5)).unwrap();
                    fs::set_permissions(&copy, fs::Permissions::from_mode(0o4755)).unwrap();
                    fs::File::open(&copy)
                        .unwrap()
                        .set_modified(fs::metadata(on.at("bin/tool")).unwrap().modified().unwrap())
                        .unwrap();
                    fs::rename(copy, on.at("bin/z-also")).unwrap();
                })
            },
            &["bin/z-also: link"],
        ),
        (
            "a file for a folder",
            |on| {
                keeping_time(&on.at(""), || {
                    fs::remove_dir_all(on.at("bin")).unwrap();
                    fs::write(on.at("bin"), "").unwrap();
                })
            },
            &["bin: type"],
        ),
        (
            "a whiteout gone",
            |on| keeping_time(&on.at(""), || fs::remove_file(on.at("gone")).unwrap()),
            &["gone: missing"],
        ),
    ];
    for (what, change, want) in cases {
        let listed = Listed::new(layer());
        if what == "a byte" {
            change(&listed);
            // A write clears the set-user-ID bit.
            fs::set_permissions(listed.at("bin/tool"), fs::Permissions::from_mode(0o4755)).unwrap();
        } else {
            change(&listed);
        }
        assert_eq!(listed.differences(), want, "{what}");
    }
}

#[test]
fn root_two_files_that_became_one_are_told() {
    let twins = LayerBuilder::new()
        .entry(Entry::file("a", "same").mtime(1))
        .entry(Entry::file("b", "same").mtime(1))
        .entry(Entry::dir("d").mtime(1));
    let listed = Listed::new(twins);
    keeping_time(&listed.at(""), || {
        fs::remove_file(listed.at("b")).unwrap();
        fs::hard_link(listed.at("a"), listed.at("b")).unwrap();
    });
    assert_eq!(listed.differences(), ["b: link"]);
}

#[test]
fn root_a_tree_is_walked_however_deep_it_is() {
    let path = "d/".repeat(1500);
    let listed = Listed::new(LayerBuilder::new().file(format!("{path}f"), "deep").file("d/z", "back up"));
    assert_eq!(listed.differences(), [""; 0]);
    keeping_time(&listed.at("d"), || fs::remove_file(listed.at("d/z")).unwrap());
    assert_eq!(listed.differences(), ["d/z: missing"]);
}

#[test]
fn root_a_damaged_list_is_no_list() {
    let listed = Listed::new(layer());
    let root = Dir::open(&listed.sandbox.root()).unwrap();
    let compare = |list: &[u8]| manifest::compare(&root, list, &|| false, &mut |_| {});
    for list in
        [&listed.list[..listed.list.len() - 1], &[&listed.list[..], b"."].concat(), b"", b"something else, long enough"]
    {
        assert!(matches!(compare(list), Err(CompareError::Manifest(_))));
    }
    let stopped = manifest::compare(&root, listed.list.as_slice(), &|| true, &mut |_| {});
    assert!(matches!(stopped, Err(CompareError::Stopped)));
}
