//! Owners, times, extended attributes and devices, as the layer says.

use std::io::Cursor;

use layer_fs::Dir;
use layer_testkit::layer::{Entry, LayerBuilder, SparseForm};
use layer_testkit::tree::{Kind, Tree, assert_same, gnu_tar_reference};
use layer_unpack::apply;

use crate::sandbox::{Sandbox, at, content, names, refused, unpacked};

#[test]
fn a_layer_of_everything_is_what_gnu_tar_makes_of_it() {
    let tar = LayerBuilder::new()
        .entry(Entry::dir("./").mode(0o751).owner(1, 2).mtime(-1))
        .entry(Entry::dir("d").mode(0o3771).owner(1000, 2_097_152).mtime_nanos(1, 999_999_999).xattr("user.a", "1"))
        .entry(
            Entry::file("d/f", "text")
                .mode(0o4755)
                .owner(4_294_967_294, 0)
                .xattr("user.empty", "")
                .xattr("trusted.t", b"\0\xff"),
        )
        .entry(Entry::file("d/caps", "x").owner(5, 6).mode(0o755).xattr("security.capability", capability()))
        .hard_link("d/g", "d/f")
        .entry(Entry::symlink("d/l", "/etc/../x").owner(7, 8).mtime_nanos(-2, 500_000_000))
        .entry(Entry::char_device("null", 1, 3).mode(0o666).owner(0, 5))
        .entry(Entry::char_device("big", 4095, 1_048_575))
        .entry(Entry::block_device("disk", 254, 3).mode(0o660))
        .entry(Entry::fifo("pipe").mode(0o600).mtime(7))
        .entry(Entry::file(vec![b'n'; 255], "long"))
        .entry(Entry::file([b"bytes \xff\xfe\n\x1b\\".as_slice(), "ü".as_bytes()].concat(), "odd"))
        .entry(Entry::file("gnu", "1").gnu().owner(3_000_000_000, 9).mtime(-77))
        .entry(Entry::file("later", "1").mtime(15_000_000_000))
        .entry(Entry::sparse("old", SparseForm::OldGnu, 1 << 20, &[(4096, &[7; 512]), (65536, &[8; 4096])]))
        .entry(Entry::sparse("pax01", SparseForm::Pax01, 1 << 20, &[(0, &[7; 512]), (1_000_448, b"end")]))
        .entry(Entry::sparse("pax10", SparseForm::Pax10, 99_999, &[(8192, &[9; 8192])]))
        .entry(Entry::sparse("hole", SparseForm::OldGnu, 1 << 24, &[]))
        .tar();
    let sandbox = Sandbox::new();
    sandbox.apply(&tar).unwrap();
    let reference = tempfile::tempdir().unwrap();
    gnu_tar_reference(&[tar], reference.path()).unwrap();
    let tree = sandbox.tree();
    assert_same(&Tree::read(reference.path()).unwrap(), &tree);
    // And the oracle didn't lose it too.
    assert_eq!(at(&tree, "d/caps").xattrs[&b"security.capability"[..]], capability());
    assert!(at(&tree, "d/f").xattrs[&b"user.empty"[..]].is_empty());
    assert!(["old", "pax01", "pax10", "hole"].iter().all(|path| at(&tree, path).sparse));
    assert_eq!(
        (at(&tree, "d/f").uid, at(&tree, "d").mtime, at(&tree, "hole").size),
        (4_294_967_294, (1, 999_999_999), 1 << 24)
    );
    assert_eq!((at(&tree, "big").device, at(&tree, "later").mtime.0), (Some((4095, 1_048_575)), 15_000_000_000));
}

/// `cap_net_raw+ep`, revision 2.
fn capability() -> Vec<u8> {
    let words: [u32; 5] = [0x0200_0001, 1 << 13, 0, 0, 0];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn owners_are_32_bits_but_the_last() {
    let id = 4_294_967_294i64;
    let (_, tree) = unpacked(LayerBuilder::new().entries([
        Entry::file("pax", "").owner(id, id),
        Entry::file("gnu", "").owner(id, id).gnu(),
        Entry::dir("d").owner(id, 0),
        Entry::symlink("l", "x").owner(0, id),
    ]));
    for path in ["pax", "gnu"] {
        assert_eq!((at(&tree, path).uid, at(&tree, path).gid), (4_294_967_294, 4_294_967_294));
    }
    assert_eq!((at(&tree, "d").uid, at(&tree, "l").gid), (4_294_967_294, 4_294_967_294));
    for id in [4_294_967_295, 4_294_967_296, -1, -2, 1 << 54] {
        for make in [Entry::gnu as fn(Entry) -> Entry, |entry| entry] {
            let error = refused(LayerBuilder::new().entry(make(Entry::file("f", "").owner(id, 0))));
            let malformed = error.ends_with("a PAX number is malformed") && id < 0;
            assert!(
                malformed || error == "read the tar: entry `f`: its owner is no number from 0 to 4294967294",
                "{error}"
            );
            let error = refused(LayerBuilder::new().entry(make(Entry::whiteout("f").owner(0, id))));
            let malformed = error.ends_with("a PAX number is malformed") && id < 0;
            assert!(
                malformed || error == "read the tar: entry `.wh.f`: its group is no number from 0 to 4294967294",
                "{error}"
            );
        }
    }
}

#[test]
fn times_of_all_ages() {
    let times = [0, 1, -1, -86_400 * 365 * 100, 4_294_967_296, (1 << 33) - 1, 1 << 33];
    let (_, tree) = unpacked(LayerBuilder::new().entries(times.iter().enumerate().flat_map(|(at, time)| {
        // What the disk can hold is known of ext4, on which tests run: from 1901 to 2446.
        let time = (*time).max(-2_147_483_647);
        [
            Entry::file(format!("pax{at}"), "").mtime(time),
            Entry::file(format!("gnu{at}"), "").mtime(time).gnu(),
            Entry::dir(format!("dir{at}")).mtime(time),
            Entry::symlink(format!("link{at}"), "x").mtime(time),
            Entry::fifo(format!("pipe{at}")).mtime_nanos(time, 1),
        ]
    })));
    for (number, time) in times.iter().enumerate() {
        let time = (*time).max(-2_147_483_647);
        for name in ["pax", "gnu", "dir", "link"] {
            assert_eq!(at(&tree, format!("{name}{number}")).mtime, (time, 0), "{name}");
        }
        assert_eq!(at(&tree, format!("pipe{number}")).mtime, (time, 1));
    }
    // What no disk can hold becomes what it can, and is no error.
    for time in ["9223372036854775807", "-9223372036854775807", "99999999999.999999999999"] {
        unpacked(
            LayerBuilder::new()
                .entry(Entry::file("f", "").pax("mtime", time))
                .entry(Entry::dir("d").pax("mtime", time)),
        );
    }
    for time in ["NaN", "inf", "1e5", "9223372036854775808", "", " 1", "0x10", "1.2.3"] {
        let layer = LayerBuilder::new().entry(Entry::file("f", "").pax("mtime", time));
        assert!(refused(layer).ends_with("a PAX time is malformed"));
    }
}

#[test]
fn what_is_set_is_not_undone_by_what_is_set_next() {
    // A change of owner clears set-ID bits and capabilities; writing does too.
    let (_, tree) = unpacked(
        LayerBuilder::new().entry(
            Entry::file("f", "content")
                .mode(0o6755)
                .owner(1, 2)
                .mtime(3)
                .xattr("security.capability", capability())
                .xattr("user.x", "1"),
        ),
    );
    let file = at(&tree, "f");
    assert_eq!((file.mode, file.uid, file.gid, file.mtime), (0o6755, 1, 2, (3, 0)));
    assert_eq!(file.xattrs.len(), 2);
    // Access times are the layer's as well, so that two unpacked copies are alike.
    let sandbox = Sandbox::new();
    sandbox
        .apply_alone(LayerBuilder::new().entry(Entry::file("f", "1").mtime(3)).entry(Entry::dir("d").mtime(4)).tar())
        .unwrap();
    let accessed = |name: &str| {
        let stat = Dir::open(&sandbox.root()).unwrap().stat(name).unwrap().unwrap();
        stat.st_atime
    };
    assert_eq!((accessed("f"), accessed("d")), (3, 4));
}

#[test]
fn attributes_on_things_that_are_not_opened() {
    let (_, tree) = unpacked(LayerBuilder::new().entries([
        Entry::symlink("l", "f").xattr("trusted.x", "link"),
        Entry::fifo("p").xattr("trusted.x", "pipe"),
        Entry::char_device("c", 1, 3).xattr("trusted.x", "device").xattr("security.x", "1"),
        Entry::file("f", ""),
    ]));
    for (path, value) in [("l", "link"), ("p", "pipe"), ("c", "device")] {
        assert_eq!(at(&tree, path).xattrs[&b"trusted.x"[..]], value.as_bytes());
    }
    assert!(at(&tree, "f").xattrs.is_empty());
}

#[test]
fn attributes_that_linux_does_not_have_are_left_out() {
    let (_, tree) = unpacked(LayerBuilder::new().entries([
        Entry::file("f", "").xattr("com.apple.provenance", "1").xattr("user.kept", "1").xattr("nonsense", ""),
        Entry::dir("d").xattr("system.nfs4_acl", "1").xattr("user.kept", "1"),
        Entry::symlink("l", "f").xattr("user.never", "1").xattr("com.apple.quarantine", "1"),
        Entry::fifo("p").xattr("user.never", "1"),
    ]));
    for path in ["f", "d"] {
        assert_eq!(at(&tree, path).xattrs.keys().collect::<Vec<_>>(), [b"user.kept"]);
    }
    assert!(at(&tree, "l").xattrs.is_empty() && at(&tree, "p").xattrs.is_empty());
}

#[test]
fn attributes_that_cannot_be_are_refused() {
    let long = format!("user.{}", "x".repeat(260));
    for (name, value, reason) in [
        (long.as_str(), vec![1], "is malformed or too long"),
        ("user.x", vec![1; 70_000], "is malformed or too long"),
        ("security.capability", vec![1; 3], "is malformed or too long"),
        ("system.posix_acl_access", vec![2, 0, 0, 0, 9], "is malformed or too long"),
        ("system.posix_acl_default", vec![2, 0, 0, 0, 9], "is malformed or too long"),
        ("user.", vec![1], "is malformed or too long"),
        ("user.big", vec![1; 60_000], "is more than this file system can hold"),
    ] {
        let shown = if name.len() > 200 { format!("{}…", &name[..200]) } else { name.to_owned() };
        for entry in [Entry::file("x", ""), Entry::dir("x")] {
            if name.ends_with("_default") && format!("{entry:?}").contains("type_flag: 48") {
                continue; // A file can't have that one at all, whatever it is.
            }
            let error = refused(LayerBuilder::new().entry(entry.xattr(name, &value)));
            assert_eq!(error, format!("entry `x`: its attribute `{shown}` {reason}"));
        }
    }
}

#[test]
fn a_repeated_attribute_is_the_last_one() {
    let (_, tree) = unpacked(LayerBuilder::new().entry(Entry::file("f", "").xattr("user.x", "1").xattr("user.x", "2")));
    assert_eq!(at(&tree, "f").xattrs[&b"user.x"[..]], b"2");
}

#[test]
fn what_was_unpacked_is_counted() {
    let (applied, tree) = unpacked(
        LayerBuilder::new()
            .global_pax(&[("comment", "x")])
            .file("a", vec![1; 1000])
            .entry(Entry::sparse("s", SparseForm::Pax10, 1 << 24, &[(1 << 20, &[7; 2048])]))
            .hard_link("b", "a")
            .whiteout("gone")
            .file("a", vec![2; 10]),
    );
    assert_eq!((applied.entries, applied.bytes), (5, 3058));
    assert_eq!((at(&tree, "a").size, at(&tree, "b").size, at(&tree, "s").size), (10, 1000, 1 << 24));
    let (applied, tree) = unpacked(LayerBuilder::new());
    assert_eq!((applied.entries, applied.bytes), (0, 0));
    assert_eq!((applied.implied_parents, names(&tree), at(&tree, ".").kind), (vec![vec![]], vec![], Kind::Folder));
}

#[test]
fn the_stream_is_read_to_its_end() {
    // Whoever hashes the stream on its way needs every byte of it to have passed.
    for trailing in [0, 1, 511, 512, 10_240, 300_000] {
        let mut tar = LayerBuilder::new().file("f", "1").tar();
        tar.resize(tar.len() + trailing, 7);
        let len = tar.len() as u64;
        let sandbox = Sandbox::new();
        let mut stream = Cursor::new(tar);
        apply(&mut stream, &Dir::open(&sandbox.root()).unwrap()).unwrap();
        assert_eq!(stream.position(), len);
        assert_eq!(at(&sandbox.tree(), "f").content, content("1"));
    }
}
