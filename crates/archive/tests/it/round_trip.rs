//! What is written is read back, by us and by others.

use std::io::{BufRead, BufReader, Read as _};

use layer_archive::{Reader, Writer};
use proptest::prelude::*;

type Files = Vec<(String, Vec<u8>)>;

fn write(files: &Files) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    writer.folder("blobs").unwrap();
    for (name, bytes) in files {
        writer.file(name, 0o444, bytes.len() as u64, &mut bytes.as_slice()).unwrap();
    }
    writer.finish().unwrap()
}

fn read(source: impl BufRead) -> Files {
    let mut reader = Reader::new(source);
    let mut files = Vec::new();
    while let Some(member) = reader.next_file().unwrap() {
        let bytes = reader.small(&member, 1 << 20).unwrap();
        files.push((member.name, bytes));
    }
    let names = reader.finish().unwrap();
    assert!(files.iter().all(|(name, _)| names.find(name) == Some(name)));
    files
}

/// A source that gives its bytes in pieces of these sizes, over and over.
struct Pieces<'a>(&'a [u8], std::iter::Cycle<std::vec::IntoIter<usize>>);

impl std::io::Read for Pieces<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let len = self.1.next().unwrap_or(1).min(buf.len());
        self.0.read(&mut buf[..len])
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn files_round_trip_at_every_split(
        files in prop::collection::btree_map("[a-z]{1,9}(/[a-zé]{1,150}){0,2}\\.x", prop::collection::vec(any::<u8>(), 0..1200), 0..5),
        pieces in prop::collection::vec(1usize..700, 1..5),
    ) {
        let files: Files = files.into_iter().collect();
        let tar = write(&files);
        prop_assert_eq!(&read(BufReader::with_capacity(97, Pieces(&tar, pieces.into_iter().cycle()))), &files);
        // The `tar` crate finds the same.
        let mut others: Files = Vec::new();
        for entry in tar::Archive::new(tar.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            prop_assert_eq!(entry.header().mtime().unwrap(), 0);
            if entry.header().entry_type().is_file() {
                let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).unwrap();
                others.push((name, bytes));
            }
        }
        prop_assert_eq!(&others, &files);
    }

    #[test]
    fn any_cut_is_noticed(files in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..900), 1..4), cut: prop::sample::Index) {
        let files: Files = files.into_iter().enumerate().map(|(n, bytes)| (format!("file{n}"), bytes)).collect();
        let tar = write(&files);
        let cut = cut.index(tar.len() - 1024);
        let mut reader = Reader::new(&tar[..cut]);
        let mut whole = 0;
        let ended = loop {
            match reader.next_file() {
                Ok(Some(member)) => match reader.small(&member, 1 << 20) {
                    Ok(bytes) => {
                        prop_assert_eq!(&bytes, &files[whole].1);
                        whole += 1;
                    }
                    Err(_) => break false,
                },
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        // Between two entries a tar may end; it has fewer files then.
        prop_assert!(!ended || cut % 512 == 0);
        prop_assert!(whole < files.len() || cut + 512 >= tar.len() - 1024);
    }
}

#[test]
fn a_size_beyond_eight_gigabytes_is_written_so_that_all_can_read_it() {
    // Only the header is looked at: the source gives nothing.
    struct Head(Vec<u8>);
    impl std::io::Write for Head {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let size = 9 << 30;
    let mut head = Head(Vec::new());
    let written = Writer::new(&mut head).file("large", 0o644, size, &mut std::io::empty());
    assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    let member = Reader::new(head.0.as_slice()).next_file().unwrap().unwrap();
    assert_eq!((member.name.as_str(), member.size), ("large", size));
    let mut archive = tar::Archive::new(head.0.as_slice());
    assert_eq!(archive.entries().unwrap().next().unwrap().unwrap().size(), size);
}

#[test]
fn the_same_content_makes_the_same_bytes() {
    let files = vec![("a".to_owned(), b"1".to_vec()), (format!("blobs/sha512/{}", "0".repeat(128)), vec![7; 513])];
    assert_eq!(write(&files), write(&files));
    assert_eq!(read(write(&files).as_slice()), files);
}
