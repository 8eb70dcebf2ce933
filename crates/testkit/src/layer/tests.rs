use std::io::Read;
use std::path::Path;
use std::process::Command;

use super::{Compression, Data, Entry, Layer, LayerBuilder, SparseForm, noise};

/// What GNU tar says about an archive.
fn gnu_list(tar: &[u8]) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("layer.tar");
    std::fs::write(&file, tar).unwrap();
    let output = Command::new("tar")
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .args(["--numeric-owner", "--full-time", "--quoting-style=escape", "-tvf"])
        .arg(&file)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.success(), text)
}

fn one_of_each() -> Vec<u8> {
    LayerBuilder::new()
        .entry(Entry::dir("etc").mode(0o2750).owner(3, 4))
        .entry(Entry::file("etc/hosts", "127.0.0.1\n").mode(0o600).mtime(-1))
        .symlink("etc/link", "../etc/hosts")
        .hard_link("etc/again", "etc/hosts")
        .entry(Entry::char_device("dev/null", 1, 3).mode(0o666))
        .entry(Entry::block_device("dev/loop0", 7, 0))
        .entry(Entry::fifo("pipe"))
        .whiteout("var/cache")
        .opaque("srv")
        .tar()
}

#[test]
fn gnu_tar_reads_one_of_each() {
    let (good, text) = gnu_list(&one_of_each());
    assert!(good, "{text}");
    let lines: Vec<String> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        lines,
        [
            "drwxr-s--- 3/4 0 2023-11-14 22:13:20 etc/",
            "-rw------- 0/0 10 1969-12-31 23:59:59 etc/hosts",
            "lrwxrwxrwx 0/0 0 2023-11-14 22:13:20 etc/link -> ../etc/hosts",
            "hrw-r--r-- 0/0 0 2023-11-14 22:13:20 etc/again link to etc/hosts",
            "crw-rw-rw- 0/0 1,3 2023-11-14 22:13:20 dev/null",
            "brw-r--r-- 0/0 7,0 2023-11-14 22:13:20 dev/loop0",
            "prw-r--r-- 0/0 0 2023-11-14 22:13:20 pipe",
            "-rw-r--r-- 0/0 0 2023-11-14 22:13:20 var/.wh.cache",
            "-rw-r--r-- 0/0 0 2023-11-14 22:13:20 srv/.wh..wh..opq",
        ]
    );
}

#[test]
fn the_tar_crate_reads_one_of_each() {
    let bytes = one_of_each();
    let mut archive = tar::Archive::new(&bytes[..]);
    let names: Vec<String> =
        archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
    assert_eq!(names.len(), 9);
    assert_eq!(names[0], "etc/");
    assert_eq!(names[8], "srv/.wh..wh..opq");
}

#[test]
fn long_names_and_big_numbers_in_both_forms() {
    // 140 bytes split at a slash (prefix), 300 without one (a record), each as name and as target.
    let split = format!("{}/{}", "d".repeat(60), "f".repeat(80));
    let whole = "n".repeat(240);
    for gnu in [false, true] {
        let form = |entry: Entry| if gnu { entry.gnu() } else { entry };
        let bytes = LayerBuilder::new()
            .entry(form(Entry::file(&split, "1")))
            .entry(form(Entry::file(&whole, "2").owner(4_294_967_294, 2_097_152)))
            .entry(form(Entry::symlink("link", &whole)))
            .entry(form(Entry::file("old", "3").mtime(-86_400)))
            .entry(form(Entry::file("late", "4").mtime(1 << 34)))
            .tar();
        let (good, text) = gnu_list(&bytes);
        assert!(good, "{text}");
        assert!(text.contains(&format!(" {split}\n")), "{text}");
        assert!(text.contains("4294967294/2097152 "), "{text}");
        assert!(text.contains(&format!("link -> {whole}\n")), "{text}");
        assert!(text.contains("1969-12-31 00:00:00 old"), "{text}");
        assert!(text.contains("2514-05-30 01:53:04 late"), "{text}");
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut entries = archive.entries().unwrap();
        assert_eq!(entries.next().unwrap().unwrap().path_bytes(), split.as_bytes());
        let second = entries.next().unwrap().unwrap();
        assert_eq!(second.path_bytes(), whole.as_bytes());
        assert_eq!(entries.next().unwrap().unwrap().link_name_bytes().unwrap(), whole.as_bytes());
    }
}

fn unpacked_by_gnu_tar(tar: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("layer.tar");
    std::fs::write(&file, tar).unwrap();
    let into = folder.path().join("out");
    std::fs::create_dir(&into).unwrap();
    let output = Command::new("tar").args(["-xpf"]).arg(&file).arg("-C").arg(&into).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder
}

#[test]
fn sparse_files_unpack_with_their_holes() {
    // 30 pieces need two blocks behind an old header.
    let pieces: Vec<(u64, Vec<u8>)> = (0..30).map(|index| (index * 200_000, noise(index, 1024))).collect();
    let pieces: Vec<(u64, &[u8])> = pieces.iter().map(|(offset, bytes)| (*offset, &bytes[..])).collect();
    let size = 10_000_000;
    let mut want = vec![0; size];
    for (offset, bytes) in &pieces {
        let start = usize::try_from(*offset).unwrap();
        want[start..start + bytes.len()].copy_from_slice(bytes);
    }
    for form in [SparseForm::OldGnu, SparseForm::Pax01, SparseForm::Pax10] {
        let tar = LayerBuilder::new()
            .entry(Entry::sparse("dir/holes", form, size as u64, &pieces))
            .entry(Entry::sparse("all-hole", form, 1 << 20, &[]))
            .file("after", "x")
            .tar();
        let folder = unpacked_by_gnu_tar(&tar);
        let out = folder.path().join("out");
        assert!(std::fs::read(out.join("dir/holes")).unwrap() == want, "{form:?}");
        assert_eq!(std::fs::metadata(out.join("all-hole")).unwrap().len(), 1 << 20, "{form:?}");
        assert_eq!(std::fs::read(out.join("after")).unwrap(), b"x");
        let blocks = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(out.join("dir/holes")).unwrap());
        assert!(blocks * 512 < size as u64, "{form:?} left no hole");
    }
}

#[test]
fn attributes_and_fractions_of_seconds_reach_the_disk() {
    let tar = LayerBuilder::new()
        .entry(Entry::file("a", "x").mtime_nanos(-2, 500_000_000).xattr("user.colour", b"r\0=d"))
        .global_pax(&[("comment", "nothing")])
        .tar();
    let mut archive = tar::Archive::new(&tar[..]);
    let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
    let records: Vec<(Vec<u8>, Vec<u8>)> = entry
        .pax_extensions()
        .unwrap()
        .unwrap()
        .map(|record| record.map(|record| (record.key_bytes().to_vec(), record.value_bytes().to_vec())).unwrap())
        .collect();
    assert!(records.contains(&(b"SCHILY.xattr.user.colour".to_vec(), b"r\0=d".to_vec())), "{records:?}");
    let folder = unpacked_by_gnu_tar(&tar);
    let meta = std::fs::metadata(folder.path().join("out/a")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::mtime(&meta), -2);
    assert_eq!(std::os::unix::fs::MetadataExt::mtime_nsec(&meta), 500_000_000);
}

#[test]
fn hostile_forms_are_really_wrong() {
    let (good, text) = gnu_list(&LayerBuilder::new().entry(Entry::file("a", "x").bad_checksum()).tar());
    assert!(!good, "{text}");
    let tar = LayerBuilder::new().entry(Entry::file("a", "").size_field(8_589_934_592)).end_blocks(0).tar();
    assert_eq!(tar.len(), 512);
    assert_eq!(&tar[124..128], &[0x80, 0, 0, 0]);
    let tar = LayerBuilder::new().entry(Entry::file("a", "").size_field(-1)).tar();
    assert_eq!(&tar[124..136], &[0xff; 12]);
    let tar = LayerBuilder::new().entry(Entry::file("../../etc/passwd", "").pax("size", "7").patch(0, b"/")).tar();
    assert_eq!(&tar[512..521], b"9 size=7\n".as_slice());
    assert_eq!(&tar[1024..1033], b"/./../etc".as_slice());
}

#[test]
fn every_packing_unpacks_to_the_tar() {
    let tar = LayerBuilder::new().entry(Entry::data("noise", Data::Noise { seed: 7, len: 300_000 })).tar();
    let mut seen = std::collections::BTreeSet::new();
    for compression in [
        Compression::Plain,
        Compression::Gzip,
        Compression::GzipMembers(5),
        Compression::GzipThenZeroes(1000),
        Compression::Zstd,
        Compression::ZstdFrames(3),
    ] {
        let layer = Layer::pack(tar.clone(), compression);
        assert!(seen.insert(layer.blob.digest.clone()), "{compression:?} is not a form of its own");
        assert_eq!(layer.diff_id, crate::sha256(&tar));
        let blob = layer.blob.content.to_vec().unwrap();
        let mut back = Vec::new();
        match layer.packing {
            super::Packing::Plain => back = blob,
            super::Packing::Gzip => {
                // The trailing zeroes are no gzip member; a decoder of members must be told where to stop.
                let end = blob.iter().rposition(|&byte| byte != 0).unwrap() + 1;
                let end =
                    if let Compression::GzipThenZeroes(_) = compression { end.next_multiple_of(4) } else { blob.len() };
                flate2::read::GzDecoder::new(&blob[..]).read_to_end(&mut back).unwrap();
                if compression == Compression::GzipMembers(5) {
                    assert!(back.len() < tar.len(), "one member holds it all");
                    back.clear();
                    flate2::read::MultiGzDecoder::new(&blob[..end]).read_to_end(&mut back).unwrap();
                }
            }
            super::Packing::Zstd => {
                zstd::Decoder::new(&blob[..]).unwrap().read_to_end(&mut back).unwrap();
            }
        }
        assert!(back == tar, "{compression:?}");
    }
}

#[test]
fn a_layer_from_files_is_the_one_from_memory() {
    let folder = tempfile::tempdir().unwrap();
    let tar_path = folder.path().join("layer.tar");
    let entry = || Entry::data("noise", Data::Noise { seed: 1, len: 1 << 20 });
    let file = std::fs::File::create(&tar_path).unwrap();
    LayerBuilder::to(std::io::BufWriter::new(file)).entry(entry()).finish().unwrap();
    let on_disk = Layer::pack_file(&tar_path, Compression::Gzip, &folder.path().join("layer.gz")).unwrap();
    let in_memory = LayerBuilder::new().entry(entry()).gzip();
    assert_eq!(on_disk.blob.digest, in_memory.blob.digest);
    assert_eq!(on_disk.diff_id, in_memory.diff_id);
    assert_eq!(on_disk.blob.size(), in_memory.blob.size());
}

#[test]
fn a_tree_of_this_machine_keeps_links_times_and_attributes() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    std::fs::create_dir_all(root.join("sub")).unwrap();
    std::fs::write(root.join("sub/a"), "one").unwrap();
    std::fs::hard_link(root.join("sub/a"), root.join("sub/b")).unwrap();
    std::os::unix::fs::symlink("a", root.join("sub/c")).unwrap();
    let tar = LayerBuilder::new().tree(&root, "").finish().unwrap();
    let (good, text) = gnu_list(&tar);
    assert!(good, "{text}");
    assert!(text.contains(" sub/b link to sub/a"), "{text}");
    assert!(text.contains(" sub/c -> a"), "{text}");
    let missing = LayerBuilder::new().tree(Path::new("/does/not/exist"), "").file("later", "").finish();
    assert!(format!("{:#}", missing.unwrap_err()).contains("`/does/not/exist`"));
}

#[test]
fn noise_is_the_same_however_it_is_read() {
    let whole = noise(9, 10_000);
    let tar = LayerBuilder::new().entry(Entry::data("n", Data::Noise { seed: 9, len: 10_000 })).tar();
    assert!(tar[512..10_512] == whole);
    let mut parts = super::data::Noise::new(9);
    let mut read = Vec::new();
    for length in (0..40).cycle() {
        let mut part = vec![0; length];
        parts.read_exact(&mut part).unwrap();
        read.extend(part);
        if read.len() > 5000 {
            break;
        }
    }
    assert!(whole.starts_with(&read));
    assert_ne!(noise(10, 64), noise(9, 64));
    // No short period: every 8-byte word is its own.
    let words: std::collections::BTreeSet<_> = whole.chunks(8).collect();
    assert_eq!(words.len(), 1250);
}
