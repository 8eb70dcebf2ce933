//! What a layer may make us hold, and what it may make us wait for.

use std::io::Cursor;
use std::time::Duration;

use layer_testkit::layer::{Data, Entry, LayerBuilder, SparseForm};
use layer_unpack::{Kind, Reader, TarError};

use crate::sandbox::{Sandbox, at, chain, names, refused, unpacked};

/// Reads a tar and gives how many entries it has.
fn count(tar: impl AsRef<[u8]>) -> Result<usize, TarError> {
    let mut reader = Reader::new(Cursor::new(tar));
    let mut count = 0;
    while reader.next_entry()?.is_some() {
        count += 1;
    }
    Ok(count)
}

#[track_caller]
fn refused_by_reader(layer: LayerBuilder, reason: &str) {
    let error = count(layer.tar()).unwrap_err().to_string();
    assert!(error.ends_with(reason), "{error}");
}

const TOO_LONG: &str = "its extension headers take more than 1 MiB";
const MIB: usize = 1 << 20;

/// The processor time of this test so far: what a busy machine or a slow disk adds isn't in it.
fn cpu_time() -> Duration {
    rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime).try_into().unwrap()
}

#[test]
fn extension_headers_take_a_mebibyte_together() {
    let file = || Entry::file("f", "1");
    // `<length> comment=<value>\n`, with the header in front.
    let comment = |len: usize| "x".repeat(len - 512 - "1048000 comment=\n".len());
    assert_eq!(count(LayerBuilder::new().entry(file().pax("comment", comment(MIB))).tar()).unwrap(), 1);
    refused_by_reader(LayerBuilder::new().entry(file().pax("comment", comment(MIB + 1))), TOO_LONG);
    for kind in [b'x', b'L', b'K', b'g'] {
        refused_by_reader(LayerBuilder::new().extension(kind, vec![b'y'; MIB]).entry(file()), TOO_LONG);
    }
    // Global ones each for themselves.
    let global = |layer: LayerBuilder| layer.global_pax(&[("comment", &comment(MIB))]);
    assert_eq!(count(global(global(LayerBuilder::new())).entry(file()).tar()).unwrap(), 1);
    // Together.
    let half = vec![b'y'; MIB / 2];
    refused_by_reader(LayerBuilder::new().extension(b'L', &half).extension(b'K', &half).entry(file()), TOO_LONG);
    // What they claim counts, not what is there.
    let mut tar = LayerBuilder::new().extension(b'x', "").tar();
    tar[124..136].copy_from_slice(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff");
    let sum: u32 = tar[..148].iter().chain(&tar[156..512]).map(|byte| u32::from(*byte)).sum::<u32>() + 256;
    tar[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    assert!(count(tar).unwrap_err().to_string().ends_with(TOO_LONG));
}

#[test]
fn very_many_attributes_are_read_at_once() {
    // A list of this length that is searched for each name would take a thousand million steps.
    let started = cpu_time();
    let entry = (0..40_000).fold(Entry::file("f", ""), |entry, at| entry.pax(format!("SCHILY.xattr.{at}"), ""));
    assert_eq!(count(LayerBuilder::new().entry(entry).tar()).unwrap(), 1);
    let took = cpu_time() - started;
    assert!(took < Duration::from_secs(5), "{took:?}");
}

const PIECES: u64 = 1 << 18;

/// A map of so many pieces, each behind a hole: empty ones, but for the last.
fn map(pieces: u64) -> (Vec<(u64, u64)>, Data, u64) {
    let map = (0..pieces).map(|at| (at * 1024, if at + 1 == pieces { 512 } else { 0 })).collect();
    (map, Data::Fill { byte: 7, len: 512 }, pieces * 1024 - 512)
}

#[test]
fn sparse_maps_have_a_quarter_of_a_million_pieces() {
    for form in [SparseForm::OldGnu, SparseForm::Pax10] {
        let (pieces, data, size) = map(PIECES);
        let tar = LayerBuilder::new().entry(Entry::sparse_with_map("f", form, size, &pieces, data)).tar();
        let mut reader = Reader::new(Cursor::new(tar));
        match reader.next_entry().unwrap().unwrap().kind {
            Kind::File { size: real, segments: Some(segments) } => {
                assert_eq!((real, segments.len() as u64), (size, PIECES))
            }
            other => panic!("{other:?}"),
        }
        assert!(reader.next_entry().unwrap().is_none());
        let (pieces, data, size) = map(PIECES + 1);
        let layer = LayerBuilder::new().entry(Entry::sparse_with_map("f", form, size, &pieces, data));
        refused_by_reader(layer, "its sparse map has more than 262144 pieces");
    }
    // In a PAX record the bound on records is the narrower one.
    let (pieces, data, size) = map(1 << 17);
    refused_by_reader(
        LayerBuilder::new().entry(Entry::sparse_with_map("f", SparseForm::Pax01, size, &pieces, data)),
        TOO_LONG,
    );
    // A number of pieces alone takes no memory.
    let layer = LayerBuilder::new().entry(
        Entry::file("f", format!("{:512}", "99999999999999\n").replace(' ', "\0"))
            .pax("GNU.sparse.major", "1")
            .pax("GNU.sparse.minor", "0")
            .pax("GNU.sparse.realsize", "5"),
    );
    refused_by_reader(layer, "its sparse map has more than 262144 pieces");
}

#[test]
fn root_holes_are_holes() {
    let started = cpu_time();
    let tebibyte: u64 = 1 << 40;
    let piece: &[u8] = &[7; 4096];
    let ends = [(0, piece), (tebibyte / 2, piece), (tebibyte - 4096, piece)];
    let sandbox = Sandbox::new();
    let tar = LayerBuilder::new()
        .entry(Entry::sparse("old", SparseForm::OldGnu, tebibyte, &ends))
        .entry(Entry::sparse("pax01", SparseForm::Pax01, tebibyte, &ends))
        .entry(Entry::sparse("pax10", SparseForm::Pax10, tebibyte, &ends))
        .entry(Entry::sparse("nothing", SparseForm::Pax10, tebibyte, &[]))
        .tar();
    let applied = sandbox.apply_alone(tar).unwrap();
    let took = cpu_time() - started;
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(applied.bytes, 9 * 4096);
    let root = layer_fs::Dir::open(&sandbox.root()).unwrap();
    for (name, most) in [("old", 1 << 18), ("pax01", 1 << 18), ("pax10", 1 << 18), ("nothing", 0)] {
        let stat = root.stat(name).unwrap().unwrap();
        assert_eq!(stat.st_size.cast_unsigned(), tebibyte);
        assert!(stat.st_blocks * 512 <= most, "{name} takes {} bytes", stat.st_blocks * 512);
        let file = root.open_file(name).unwrap();
        let mut bytes = [1; 8192];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, tebibyte / 2 - 4096).unwrap();
        let want = if name == "nothing" { 0 } else { 7 };
        assert!(
            bytes[..4096].iter().all(|byte| *byte == 0) && bytes[4096..].iter().all(|byte| *byte == want),
            "{name}"
        );
    }
}

#[test]
fn root_sizes_that_no_disk_has() {
    for size in [1 << 62, i64::MAX as u64] {
        let error = refused(LayerBuilder::new().entry(Entry::sparse("f", SparseForm::Pax10, size, &[])));
        assert_eq!(error, "set the size of `f`: File too large (os error 27)");
    }
    for size in [1 << 63, u64::MAX] {
        let error = refused(LayerBuilder::new().entry(Entry::sparse("f", SparseForm::Pax10, size, &[])));
        assert_eq!(error, "read the tar: entry `f`: its size is out of range");
    }
    // One that the header has, and the stream not.
    for size in ["9223372036854775807", "18446744073709551615", "18446744073709551616"] {
        let error = refused(LayerBuilder::new().entry(Entry::file("f", "").pax("size", size)));
        assert!(error.ends_with("out of range"), "{error}");
    }
    let error = refused(LayerBuilder::new().entry(Entry::file("f", "1").pax("size", "1099511627776").size_field(0)));
    assert_eq!(error, "read the tar: the tar ends in the middle, at byte 3072");
}

#[test]
fn root_unnamed_folders_are_bounded() {
    // Each of these names a path whose 2000 folders take 4 MiB of names.
    let sandbox = Sandbox::new();
    let layer = (0..6).fold(LayerBuilder::new(), |layer, at| layer.file(format!("{at}{}/f", "/d".repeat(2000)), ""));
    let error = chain(&sandbox.apply(layer.tar()).unwrap_err());
    assert!(
        error.ends_with("the layer's unnamed folders and unresolved hard links take more than 16 MiB of memory"),
        "{error}"
    );
    let status =
        std::process::Command::new("sh").arg("-c").arg("rm -rf \"$0\"/*").arg(sandbox.root()).status().unwrap();
    assert!(status.success());
}

#[test]
fn root_very_many_folders_need_no_memory_of_their_own() {
    // More than handles are kept, each of them twice, and with a time of its own.
    let layer = (0..1000).fold(LayerBuilder::new(), |layer, at| layer.entry(Entry::dir(format!("d{at}")).mtime(at)));
    let (applied, tree) = unpacked((0..1000).fold(layer, |layer, at| layer.file(format!("d{at}/f"), "")));
    for number in 0..1000 {
        assert_eq!(at(&tree, format!("d{number}")).mtime, (number, 0));
    }
    assert_eq!((names(&tree).len(), applied.implied_parents.len()), (2000, 1));
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
    assert!(open < 300, "{open} handles are still open");
}
