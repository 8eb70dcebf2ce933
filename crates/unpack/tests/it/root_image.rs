//! What is special to layers that become images. All else is held against folders by [`Sandbox::apply`](crate::sandbox::Sandbox::apply), in every test.

use std::io::Cursor;
use std::time::Instant;

use layer_testkit::layer::{Entry, LayerBuilder, SparseForm};
use layer_unpack::{UnpackError, apply_image};

use crate::sandbox::{Sandbox, chain, image, unpacked};

/// Why a layer can't be an image, though it can be a folder.
#[track_caller]
fn unfit(layer: LayerBuilder) -> &'static str {
    let folder = tempfile::tempdir().unwrap();
    match image(&layer.tar(), folder.path()) {
        Err(UnpackError::Unfit { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn root_a_mark_that_has_no_room_is_not_left_out() {
    let full = || {
        let attributes = (0..4).fold(Entry::dir("d"), |dir, at| dir.xattr(format!("user.{at}"), vec![b'v'; 751]));
        LayerBuilder::new().entry(attributes)
    };
    for layer in [full().opaque("d"), full().whiteout("d/gone"), full().whiteout("d").whiteout("d/x")] {
        assert_eq!(unfit(layer), "the attributes of one of its things take more than 3 KiB");
    }
}

#[test]
fn root_what_stands_behind_the_end_of_a_file_is_never_shown() {
    let tar = LayerBuilder::new().file("f", "hello").file("g", "").tar();
    let at = tar.windows(5).position(|window| window == b"hello").unwrap();
    for place in [5, 511] {
        let mut tar = tar.clone();
        tar[at + place] = b'P';
        let folder = tempfile::tempdir().unwrap();
        let error = image(&tar, folder.path()).unwrap_err();
        assert!(
            chain(&error).ends_with("its tar has something behind the end of a file"),
            "{place}: {}",
            chain(&error)
        );
        Sandbox::new().apply(&tar).unwrap();
    }
}

#[test]
fn root_attributes_are_those_that_the_kernel_gives_a_folders_files() {
    let acl = |version: u32, entries: &[(u16, u16, u32)]| {
        let mut value = version.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            value.extend_from_slice(&tag.to_le_bytes());
            value.extend_from_slice(&permissions.to_le_bytes());
            value.extend_from_slice(&id.to_le_bytes());
        }
        value
    };
    let simple: &[(u16, u16, u32)] = &[(1, 6, u32::MAX), (4, 4, u32::MAX), (32, 0, u32::MAX)];
    let named: &[(u16, u16, u32)] =
        &[(1, 7, u32::MAX), (2, 5, 1000), (4, 5, u32::MAX), (16, 5, u32::MAX), (32, 1, u32::MAX)];
    let capability = |magic: u32, rest: usize| [&magic.to_le_bytes()[..], &vec![0; rest]].concat();
    let nobodys = [&capability(0x0300_0000, 16)[..], &[0xff; 4]].concat();
    let long = format!("user.{}", "n".repeat(251));
    let values: Vec<(&str, Vec<u8>)> = vec![
        ("system.posix_acl_access", acl(2, simple)),
        ("system.posix_acl_access", acl(2, named)),
        ("system.posix_acl_access", acl(2, &simple[1..])),
        ("system.posix_acl_access", acl(3, named)),
        ("system.posix_acl_access", acl(3, &[])),
        ("system.posix_acl_access", acl(2, &[])),
        ("system.posix_acl_access", acl(2, simple)[..11].to_vec()),
        ("system.posix_acl_access", vec![2, 0]),
        ("system.posix_acl_default", acl(2, named)),
        ("system.posix_acl_default", acl(3, named)),
        ("system.posix_acl_default", acl(2, &[])),
        ("system.posix_acl_default", acl(2, &[(99, 0, 0)])),
        ("security.capability", capability(0x0200_0001, 16)),
        ("security.capability", capability(0x0200_0101, 16)),
        ("security.capability", capability(0x0300_0001, 20)),
        ("security.capability", nobodys),
        ("security.other", b"value".to_vec()),
        ("com.apple.quarantine", b"value".to_vec()),
        ("user.", b"value".to_vec()),
        (&long, b"value".to_vec()),
        ("user.large", vec![0; 70_000]),
        ("user.plain", b"value".to_vec()),
    ];
    for (name, value) in values {
        let things = [
            Entry::file("x", "content").mode(0o4754),
            Entry::dir("x").mode(0o2755),
            Entry::symlink("x", "y"),
            Entry::fifo("x"),
            Entry::char_device("x", 1, 3),
        ];
        for thing in things {
            // Both forms give the same, or refuse it in the same words.
            let _ = Sandbox::new().apply(LayerBuilder::new().entry(thing.xattr(name, &value)).tar());
        }
    }
}

#[test]
fn root_a_hard_link_into_what_it_replaces_is_refused_however_it_is_reached() {
    for layer in [
        LayerBuilder::new().file("e/f", "1").symlink("d", "e").hard_link("d", "d/f"),
        LayerBuilder::new().file("d/f", "1").symlink("s", "d").hard_link("d", "s/f"),
        LayerBuilder::new().file("d/e/f", "1").symlink("s", "d/e").hard_link("d", "s/f"),
    ] {
        let error = Sandbox::new().apply(layer.tar()).unwrap_err();
        assert!(
            chain(&error).ends_with("it is a hard link to a file in the folder that it replaces"),
            "{}",
            chain(&error)
        );
    }
}

#[test]
fn root_holes_stay_holes() {
    let layer = LayerBuilder::new()
        .entry(Entry::sparse("large", SparseForm::Pax10, 1 << 26, &[(0, &[b'a'; 512]), (1 << 25, &[b'b'; 1024])]))
        .entry(Entry::sparse("replaced", SparseForm::OldGnu, 1 << 26, &[(5120, &[b'c'; 512])]))
        .file("replaced", "by this")
        .entry(Entry::sparse("small", SparseForm::Pax01, 10_000, &[(9216, &[b'd'; 784])]))
        .hard_link("again", "large");
    let (applied, _) = unpacked(layer);
    assert_eq!(applied.bytes, (512 + 1024) + 512 + 7 + 784);
}

#[test]
fn root_what_a_copy_could_not_be_made_of_is_none_of_an_image() {
    // Each piece is in another chunk of 64 MiB.
    let piece: &[u8] = &[7; 512];
    let pieces: Vec<_> = (0..200).map(|at| (at << 30, piece)).collect();
    let scattered = LayerBuilder::new().entry(Entry::sparse("large", SparseForm::Pax10, 1 << 40, &pieces));
    assert_eq!(unfit(scattered), "one of its files has its data in too small pieces for its size");
    let names = (0..65_000).fold(LayerBuilder::new().file("f", ""), |layer, at| layer.hard_link(format!("{at}"), "f"));
    assert_eq!(unfit(names), "one of its files has more than 65000 names");
}

#[test]
fn root_what_a_layer_costs_to_read_is_bounded() {
    // Each of these has as many parts as it can name, and must take no more than its share of each.
    let attributes = (0..8_000).fold(Entry::file("f", ""), |file, at| file.xattr(format!("user.{at}"), ""));
    let begun = Instant::now();
    assert_eq!(
        unfit(LayerBuilder::new().entry(attributes)),
        "the attributes of one of its things take more than 3 KiB"
    );
    println!("{:?}", begun.elapsed());
    // Links upon links: no more than 8192 steps for a name.
    let link = format!("{}x", "./d/../".repeat(500));
    let chain = (0..30).fold(LayerBuilder::new().dir("d"), |layer, at| {
        layer.symlink(format!("l{at}"), link.replace('x', &format!("l{}", at + 1)))
    });
    assert_eq!(unfit(chain.hard_link("h", "l0/f")), "it has something behind links of more than 8192 components");
}

#[test]
fn names_that_take_too_much_memory_are_none_of_an_image() {
    let file = tempfile::tempfile().unwrap();
    let folder = |at| Entry::dir(format!("{at}")).xattr("user.a", "b");
    let layer = (0..100_000).map(folder).fold(LayerBuilder::new(), LayerBuilder::entry);
    let error = apply_image(Cursor::new(layer.tar()), &file).unwrap_err();
    assert!(chain(&error).ends_with("what its names take in memory is more than 64 MiB"), "{}", chain(&error));
}
