//! Streams that are no tar, or not the same to all who read them.

use std::io::{self, BufReader, Cursor, Read};

use layer_testkit::layer::{Data, Entry, LayerBuilder, SparseForm};
use layer_unpack::{Kind, Reader, TarError};

/// The entries of a tar, each with its data.
fn read(tar: &[u8]) -> Result<Vec<(layer_unpack::Entry, Vec<u8>)>, TarError> {
    let mut reader = Reader::new(Cursor::new(tar));
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut bytes = Vec::new();
        loop {
            let data = reader.data()?;
            if data.is_empty() {
                break;
            }
            bytes.extend_from_slice(data);
            let len = data.len();
            reader.consume(len);
        }
        entries.push((entry, bytes));
    }
    reader.drain()?;
    Ok(entries)
}

#[track_caller]
fn refused(layer: LayerBuilder, reason: &str) {
    // Behind an entry that is fine, which must not save it; and in front of one that it must not swallow.
    let tar = LayerBuilder::new().file("first", "1").raw(&layer.tar()[..]).tar();
    let error = read(&tar).unwrap_err().to_string();
    assert!(error.ends_with(reason), "`{error}` and not `{reason}`");
}

#[track_caller]
fn taken(layer: LayerBuilder) -> Vec<(layer_unpack::Entry, Vec<u8>)> {
    read(&layer.tar()).unwrap_or_else(|error| panic!("{error}"))
}

fn file() -> Entry {
    Entry::file("f", "12345")
}

#[test]
fn headers() {
    refused(LayerBuilder::new().entry(file().bad_checksum()), "its checksum is wrong");
    refused(LayerBuilder::new().raw([b'x'; 512]), "its checksum is no number");
    // Each number, needed or not, with a record in its stead or not, in an entry or in front of one.
    for (offset, key) in
        [(100, "comment"), (108, "uid"), (116, "gid"), (124, "size"), (136, "mtime"), (329, "x"), (337, "x")]
    {
        for junk in ["9", "1x", "0o7", "\09"] {
            let reason = "a number in its header is malformed";
            refused(LayerBuilder::new().entry(file().patch(offset, junk)), reason);
            refused(LayerBuilder::new().entry(file().pax(key, "5").patch(offset, junk)), reason);
            refused(LayerBuilder::new().entry(file().gnu().patch(offset, junk)), reason);
            let extension = Entry::file("x", "5 a=\n").type_flag(b'x').patch(offset, junk);
            refused(LayerBuilder::new().entry(extension).entry(file()), reason);
        }
    }
    for offset in [345, 357] {
        refused(LayerBuilder::new().entry(file().gnu().patch(offset, "prefix")), "a number in its header is malformed");
        taken(LayerBuilder::new().entry(file().gnu().patch(offset, "14524770000\0")));
    }
    refused(LayerBuilder::new().entry(file().size_field(-1)), "its size is negative");
    refused(LayerBuilder::new().entry(file().size_field(1 << 64)), "a number in its header is out of range");
    refused(LayerBuilder::new().entry(file().size_field(i128::from(i64::MAX))), "its size is out of range");
    for magic in ["ustar 00", "ustarxyz", "ustar  x"] {
        refused(LayerBuilder::new().entry(file().patch(257, magic)), "its format is neither POSIX nor GNU");
    }
    refused(
        LayerBuilder::new().entry(file().patch(263, "\0\0").patch(345, "prefix")),
        "its version is not that of POSIX",
    );
    refused(
        LayerBuilder::new().entry(file().patch(345, "p".repeat(131)).patch(508, "tar\0")),
        "its long name is star's or POSIX's",
    );
    // The same without a prefix has one name to all.
    assert_eq!(taken(LayerBuilder::new().entry(file().patch(263, "\0\0")))[0].0.path, b"f");
    assert_eq!(
        taken(LayerBuilder::new().entry(file().patch(345, "p".repeat(130)).patch(508, "tar\0")))[0].0.path.len(),
        132
    );
    // Before POSIX there was no magic at all.
    assert_eq!(taken(LayerBuilder::new().entry(file().patch(257, [0; 8]).patch(345, "junk")))[0].0.path, b"f");
}

#[test]
fn types() {
    for other in [b'8', b'9', b'A', b'D', b'M', b'N', b'V', b'X', b's', b' ', 0xff, 1] {
        let layer = LayerBuilder::new().entry(file().type_flag(other));
        refused(layer, &format!("its type `{}` is not known", char::from(other).escape_default()));
    }
    for folder in [b'2', b'3', b'4', b'5', b'6'] {
        let entry = Entry::char_device("x", 1, 3).type_flag(folder).content("data").pax("linkpath", "y");
        refused(LayerBuilder::new().entry(entry.clone()), "it claims to hold data, though it is no file");
        let entry = Entry::char_device("x", 1, 3).type_flag(folder).pax("size", "512").pax("linkpath", "y");
        refused(LayerBuilder::new().entry(entry), "it claims to hold data, though it is no file");
    }
    // A hard link has none, whatever its header says.
    let entries = taken(LayerBuilder::new().entry(Entry::hard_link("l", "f").size_field(99_999)).file("next", "1"));
    assert_eq!((entries[0].0.kind.clone_target(), entries[1].0.path.as_slice()), (b"f".to_vec(), &b"next"[..]));
    refused(
        LayerBuilder::new().entry(Entry::hard_link("l", "f").pax("size", "5")),
        "it claims to hold data, though it is no file",
    );
    for (own, record) in [("f", "g/"), ("f/", "g")] {
        let entry = Entry::file(own, "").type_flag(0).pax("path", record);
        refused(LayerBuilder::new().entry(entry), "it is a file by one of its names and a folder by the other");
    }
    refused(LayerBuilder::new().entry(Entry::symlink("l", "")), "it is a link to nothing");
    refused(LayerBuilder::new().entry(Entry::hard_link("l", "")), "it is a link to nothing");
    refused(LayerBuilder::new().entry(Entry::file("", "1")), "it has no name");
    // A slash behind a file.
    for kind in [b'0', b'7'] {
        let entry = Entry::file("f/", "").type_flag(kind);
        refused(LayerBuilder::new().entry(entry), "it is a file by its type and a folder by its name");
    }
    let entries = taken(
        LayerBuilder::new()
            .entry(Entry::file("f/", "").type_flag(0))
            .entry(file().type_flag(b'7'))
            .entry(file().type_flag(0)),
    );
    assert_eq!(entries[0].0.kind, Kind::Folder);
    for (entry, data) in &entries[1..] {
        assert_eq!((&entry.kind, data.as_slice()), (&Kind::File { size: 5, segments: None }, &b"12345"[..]));
    }
}

trait Target {
    fn clone_target(&self) -> Vec<u8>;
}

impl Target for Kind {
    fn clone_target(&self) -> Vec<u8> {
        match self {
            Self::HardLink(target) | Self::Symlink(target) => target.clone(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn devices() {
    for (major, minor) in [(4096, 0), (0, 1 << 20), (1 << 20, 1)] {
        refused(LayerBuilder::new().entry(Entry::char_device("c", major, minor)), "its device number is out of range");
        refused(LayerBuilder::new().entry(Entry::block_device("c", major, minor)), "its device number is out of range");
    }
    refused(
        LayerBuilder::new().entry(Entry::char_device("c", 1, 1).patch(329, [0xff; 8])),
        "its device number is out of range",
    );
    refused(
        LayerBuilder::new().entry(Entry::char_device("c", 1, 1).patch(257, [0; 8])),
        "it is a device without numbers",
    );
    let entries = taken(LayerBuilder::new().entry(Entry::char_device("c", 4095, (1 << 20) - 1)));
    assert_eq!(entries[0].0.kind, Kind::Character { major: 4095, minor: (1 << 20) - 1 });
}

#[test]
fn sizes_that_differ() {
    refused(
        LayerBuilder::new().entry(file().pax("size", "6")),
        "its size in the PAX header and in the tar header differ",
    );
    refused(
        LayerBuilder::new().entry(file().pax("size", "0")),
        "its size in the PAX header and in the tar header differ",
    );
    refused(LayerBuilder::new().entry(file().pax("size", "-5")), "a PAX number is malformed");
    refused(LayerBuilder::new().entry(file().pax("size", "")), "a PAX number is malformed");
    for (key, one, other) in
        [("size", "6", "5"), ("path", "a", "b"), ("linkpath", "a", "b"), ("uid", "1", "2"), ("mtime", "1", "1.5")]
    {
        let entry = file().pax(key, one).pax(key, other);
        refused(LayerBuilder::new().entry(entry), "its PAX header says one thing twice, and not the same");
    }
    // A record says what a header can't; and the same as a header.
    for entry in
        [file().pax("size", "5"), file().pax("size", "5").size_field(0), file().pax("size", "5").pax("size", "5")]
    {
        assert_eq!(taken(LayerBuilder::new().entry(entry).file("next", "1"))[0].1, b"12345");
    }
    // The header hidden in the data of a file that one reader takes for empty.
    let hidden = LayerBuilder::new().symlink("etc", "/").tar();
    let entries =
        taken(LayerBuilder::new().entry(Entry::file("f", &hidden).pax("size", hidden.len().to_string()).size_field(0)));
    assert_eq!((entries.len(), &entries[0].1), (1, &hidden));
}

#[test]
fn extension_headers() {
    // They describe the next entry proper, across each other.
    let record = |text: &str| format!("{} {text}\n", text.len() + 4).into_bytes();
    assert_eq!(record("path=name"), b"13 path=name\n");
    let name = "n".repeat(200);
    let both = LayerBuilder::new()
        .extension(b'x', record("size=1234"))
        .extension(b'L', format!("{name}\0"))
        .entry(Entry::data("short", Data::Fill { byte: 1, len: 1234 }).size_field(0))
        .file("next", "1");
    let entries = taken(both);
    assert_eq!(
        (entries[0].0.path.as_slice(), entries[0].1.len(), entries[1].0.path.as_slice()),
        (name.as_bytes(), 1234, &b"next"[..])
    );
    assert_eq!(entries.len(), 2);
    refused(
        LayerBuilder::new().extension(b'x', record("path=1one")).extension(b'L', "two\0").entry(file()),
        "it has two long names that differ",
    );
    refused(
        LayerBuilder::new().extension(b'x', record("path=name")).extension(b'x', record("path=name")).entry(file()),
        "it has two extension headers of one kind",
    );
    refused(
        LayerBuilder::new().extension(b'L', "a").extension(b'L', "a").entry(file()),
        "it has two extension headers of one kind",
    );
    let link = |text: &str| Entry::symlink("l", "own").pax("linkpath", text);
    let with_k = |entry: Entry| LayerBuilder::new().extension(b'K', "long\0").entry(entry);
    refused(with_k(link("other")), "it has two link targets that differ");
    assert_eq!(taken(with_k(link("long")))[0].0.kind.clone_target(), b"long");
    for kind in [b'L', b'K'] {
        refused(LayerBuilder::new().extension(kind, "name\0junk\0").entry(file()), "its long name holds a NUL");
        refused(LayerBuilder::new().extension(kind, "name\0\0").entry(file()), "its long name holds a NUL");
    }
    let mut tar = LayerBuilder::new().extension(b'L', "name").entry(file()).tar();
    tar[516] = b'x';
    let error = read(&tar).unwrap_err().to_string();
    assert!(error.ends_with("its long name goes on behind its end"), "{error}");
    for body in ["name", "name\0"] {
        assert_eq!(taken(LayerBuilder::new().extension(b'L', body).entry(file()))[0].0.path, b"name");
    }
    // At the end there is nothing that they describe.
    for kind in [b'x', b'L', b'K'] {
        refused(LayerBuilder::new().extension(kind, ""), "the archive ends after an extension header");
        let error = read(&LayerBuilder::new().extension(kind, "").end_blocks(0).tar()).unwrap_err();
        assert!(error.to_string().ends_with("the archive ends after an extension header"), "{error}");
        let layer = LayerBuilder::new().extension(kind, "").global_pax(&[]).entry(file());
        refused(layer, "it is a global header between an extension header and its entry");
    }
    for kind in [b'x', b'L', b'K', b'g'] {
        let entry = Entry::file("name", "6 a=b\n").type_flag(kind).patch(257, [0; 8]);
        refused(LayerBuilder::new().entry(entry).entry(file()), "it is an extension header in a format that has none");
        let entry = Entry::file("name", "6 a=b\n").type_flag(kind).patch(263, " ");
        refused(LayerBuilder::new().entry(entry).entry(file()), "its version is not that of POSIX");
    }
    // Global ones rename and resize nothing.
    let global = LayerBuilder::new()
        .global_pax(&[
            ("path", "evil"),
            ("linkpath", "evil"),
            ("size", "1"),
            ("uid", "7"),
            ("mtime", "7"),
            ("SCHILY.xattr.user.x", "1"),
        ])
        .entry(file());
    let entries = taken(global.file("next", "1"));
    assert_eq!(
        (entries[0].0.path.as_slice(), entries[0].1.as_slice(), entries[0].0.uid),
        (&b"f"[..], &b"12345"[..], 0)
    );
    assert!(entries[0].0.xattrs.is_empty() && entries[0].0.mtime.seconds == 1_700_000_000);
    for body in [
        "junk",
        "5 x=\n\n",
        "5 =x\n",
        "99 path=x\n",
        "0 path=x\n",
        "7 path\n",
        "11 path=abc",
        "-11 path=abc\n",
        " 11 path=abc\n",
    ] {
        refused(LayerBuilder::new().extension(b'x', body).entry(file()), "its PAX header is malformed");
        refused(LayerBuilder::new().extension(b'g', body).entry(file()), "its PAX header is malformed");
    }
    for key in ["path", "linkpath"] {
        refused(LayerBuilder::new().entry(file().pax(key, "")), "a path in its PAX header is empty");
    }
    refused(LayerBuilder::new().entry(file().pax("a\0b", "")), "its PAX header is malformed");
    refused(LayerBuilder::new().entry(file().pax("path", "a\0b")), "a path in its PAX header holds a NUL");
    refused(LayerBuilder::new().entry(file().pax("linkpath", "a\0b")), "a path in its PAX header holds a NUL");
    refused(LayerBuilder::new().entry(file().pax("uid", "1.5")), "a PAX number is malformed");
    refused(
        LayerBuilder::new().entry(file().pax("SCHILY.xattr.", "1")),
        "the name of an extended attribute is malformed",
    );
    refused(LayerBuilder::new().entry(file().xattr("a\0b", "1")), "its PAX header is malformed");
}

#[test]
fn sparse_maps() {
    let block: &[u8] = &[7; 512];
    let data = |blocks: u64| Data::Fill { byte: 7, len: blocks * 512 };
    for form in [SparseForm::OldGnu, SparseForm::Pax01, SparseForm::Pax10] {
        let with = |map: &[(u64, u64)], blocks: u64| {
            LayerBuilder::new().entry(Entry::sparse_with_map(
                "f",
                form,
                map.iter().map(|(offset, len)| offset.saturating_add(*len)).max().unwrap_or_default().min(8192),
                map,
                data(blocks),
            ))
        };
        refused(with(&[(0, 1024), (512, 512)], 3), "the pieces of its sparse map overlap or are out of order");
        refused(with(&[(4096, 512), (0, 512)], 2), "the pieces of its sparse map overlap or are out of order");
        refused(with(&[(8192, 512)], 1), "its sparse map reaches beyond its size");
        refused(with(&[(0, 512)], 2), "its sparse map and the data stored differ in size");
        refused(with(&[(0, 1024)], 1), "its sparse map and the data stored differ in size");
        refused(with(&[(0, 500), (1024, 524)], 2), "a piece of its sparse map ends within a block");
        refused(
            with(&[(0, 512), (u64::MAX - 1, 512)], 2),
            if form == SparseForm::OldGnu { "its sparse map is malformed" } else { "is out of range" },
        );
        let layer = LayerBuilder::new().entry(Entry::sparse_with_map("f", form, 1024, &[(0, 512)], data(1)));
        refused(layer, "its sparse map ends before its size");
        let entries = taken(
            LayerBuilder::new()
                .entry(Entry::sparse("f", form, 5000, &[(512, block), (4096, b"end")]))
                .file("next", "1"),
        );
        assert_eq!((entries[0].1.len(), entries[1].0.path.as_slice()), (515, &b"next"[..]));
        match &entries[0].0.kind {
            Kind::File { size: 5000, segments: Some(segments) } => {
                let map: Vec<_> = segments.iter().map(|segment| (segment.offset, segment.len)).collect();
                assert_eq!(map, [(512, 512), (4096, 3), (5000, 0)]);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(entries[0].0.path, b"f");
    }
    // Old form: readers differ on where it ends.
    let old = |map: &[(u64, u64)], blocks| {
        let end = map.last().map_or(0, |(offset, len)| offset + len);
        Entry::sparse_with_map("f", SparseForm::OldGnu, end, map, data(blocks))
    };
    let many: Vec<_> = (0..30).map(|at| (at * 1024, 512)).collect();
    assert_eq!(taken(LayerBuilder::new().entry(old(&many, 30)).file("next", "1")).len(), 2);
    refused(
        LayerBuilder::new().entry(old(&many, 30).patch(386 + 24, [0; 24])),
        "its sparse map goes on behind its end",
    );
    refused(LayerBuilder::new().entry(old(&many[..3], 3).patch(386 + 24, [0; 12])), "its sparse map is malformed");
    refused(LayerBuilder::new().entry(old(&many[..3], 3).patch(386 + 36, [0; 12])), "its sparse map is malformed");
    refused(LayerBuilder::new().entry(old(&many[..1], 1).patch(483, [0xff; 12])), "its size is out of range");
    refused(LayerBuilder::new().entry(old(&[], 0).patch(483, [0; 12])), "its size is out of range");
    refused(
        LayerBuilder::new().entry(old(&many[..1], 1).patch(257, "ustar\x0000")),
        "it is a sparse file without a GNU header",
    );
    refused(LayerBuilder::new().entry(old(&many[..1], 1).pax("GNU.sparse.major", "1")), "it has two sparse maps");
    for mark in [2, b'1', 0xff] {
        refused(LayerBuilder::new().entry(old(&many, 30).patch(482, [mark])), "its sparse map is malformed");
    }
    // PAX forms.
    let pax = |records: &[(&str, &str)]| {
        LayerBuilder::new().entry(records.iter().fold(file(), |entry, (key, value)| entry.pax(key, value)))
    };
    let one = [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0")];
    refused(pax(&[("GNU.sparse.name", "evil")]), "its sparse format is not known");
    refused(pax(&[("GNU.sparse.size", "5")]), "its sparse format is not known");
    refused(pax(&[("GNU.sparse.major", "2"), ("GNU.sparse.minor", "0")]), "its sparse format is not known");
    refused(pax(&[("GNU.sparse.major", "1"), ("GNU.sparse.minor", "1")]), "its sparse format is not known");
    refused(pax(&[one[0], one[1], ("GNU.sparse.map", "0,5")]), "its sparse format is not known");
    refused(pax(&[("GNU.sparse.map", "0,5")]), "it is a sparse file without a size");
    refused(
        pax(&[("GNU.sparse.map", "0,5"), ("GNU.sparse.size", "5"), ("GNU.sparse.realsize", "6")]),
        "its PAX header says one thing twice, and not the same",
    );
    refused(
        pax(&[("GNU.sparse.map", "0,5"), ("GNU.sparse.size", "5"), ("GNU.sparse.numblocks", "2")]),
        "its sparse map is malformed",
    );
    refused(pax(&[("GNU.sparse.map", "0,5,7"), ("GNU.sparse.size", "5")]), "its sparse map is malformed");
    refused(pax(&[("GNU.sparse.offset", "0")]), "its sparse map is malformed");
    refused(pax(&[("GNU.sparse.numbytes", "5")]), "its sparse map is malformed");
    refused(pax(&[("GNU.sparse.offset", "0"), ("GNU.sparse.offset", "5")]), "its sparse map is malformed");
    let entries = taken(pax(&[
        ("GNU.sparse.size", "7"),
        ("GNU.sparse.numblocks", "1"),
        ("GNU.sparse.offset", "2"),
        ("GNU.sparse.numbytes", "5"),
    ]));
    assert!(matches!(&entries[0].0.kind, Kind::File { size: 7, segments: Some(segments) } if segments.len() == 1));
    let body = |text: &str| {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        let entry = Entry::file("f", bytes).pax("GNU.sparse.realsize", "5");
        LayerBuilder::new().entry(one.iter().fold(entry, |entry, (key, value)| entry.pax(key, value)))
    };
    for text in ["", "x\n", "1\n0\n", "-1\n", "1\n0 \n5\n", "\n", "123456789012345678901\n"] {
        refused(body(text), if text == "\n" { "a PAX number is malformed" } else { "its sparse map is malformed" });
    }
    refused(
        LayerBuilder::new().entry(Entry::dir("d").pax("GNU.sparse.map", "0,0").pax("GNU.sparse.size", "0")),
        "it has a sparse map, though it is no file",
    );
}

#[test]
fn ends() {
    let whole = LayerBuilder::new().file("a", "1").tar();
    let blocks = |count: usize| LayerBuilder::new().file("a", "1").end_blocks(count).tar();
    assert!(read(&[]).unwrap().is_empty());
    assert!(read(&[0; 512]).unwrap().is_empty());
    assert!(read(&[0; 1024]).unwrap().is_empty());
    assert!(read(&[0; 10_240]).unwrap().is_empty());
    for count in [0, 1, 2, 3, 20] {
        assert_eq!(read(&blocks(count)).unwrap().len(), 1);
    }
    // Behind the end there may be anything.
    assert_eq!(read(&[whole.as_slice(), &whole, b"junk"].concat()).unwrap().len(), 1);
    // But not behind half of one, which some readers go past.
    let error = read(&[blocks(1), whole].concat()).unwrap_err().to_string();
    assert_eq!(error, "no tar header at byte 1024: a single block of zeros stands between entries");
    assert_eq!(
        read(&[&[0; 512][..], &[0; 100]].concat()).unwrap_err().to_string(),
        "the tar ends in the middle, at byte 612"
    );
}

/// A tar of all that a tar can be made of.
fn rich() -> Vec<u8> {
    LayerBuilder::new()
        .global_pax(&[("comment", "x")])
        .entry(Entry::dir("d").mtime_nanos(1, 5).xattr("user.x", "1"))
        .entry(Entry::file("n".repeat(150), "12345").gnu())
        .entry(Entry::symlink("l", "t".repeat(150)).gnu())
        .entry(Entry::sparse(
            "s",
            SparseForm::OldGnu,
            1 << 20,
            &[0, 1, 2, 3, 4, 5].map(|at| (at * 4096, &[7u8; 512][..])),
        ))
        .entry(Entry::sparse("p", SparseForm::Pax10, 1 << 20, &[(4096, &[7; 512])]))
        .hard_link("h", "d/f")
        .file("last", vec![9; 700])
        .tar()
}

#[test]
fn cut_anywhere() {
    let tar = rich();
    let whole: Vec<_> = read(&tar).unwrap().into_iter().map(|(entry, data)| (entry.path, data)).collect();
    assert_eq!(whole.len(), 7);
    let mut clean = 0;
    for len in 0..tar.len() {
        match read(&tar[..len]) {
            // Cut between two entries, or in the zeros at the end, it's a tar of fewer entries.
            Ok(entries) => {
                clean += 1;
                assert!(len % 512 == 0, "cut at {len}");
                let got: Vec<_> = entries.into_iter().map(|(entry, data)| (entry.path, data)).collect();
                assert_eq!(got, whole[..got.len()], "cut at {len}");
            }
            Err(TarError::Truncated { offset }) => assert_eq!(offset, len as u64),
            Err(TarError::Header { reason, .. }) => {
                assert!(
                    len % 512 == 0 && reason == "the archive ends after an extension header",
                    "cut at {len}: {reason}"
                );
            }
            Err(other) => panic!("cut at {len}: {other}"),
        }
    }
    // In front of, between and behind seven entries and a global header, and after the first block of zeros.
    assert_eq!(clean, 10);
}

#[test]
fn a_stream_that_fails() {
    struct Failing<'a>(&'a [u8], u32);
    impl Read for Failing<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.1 += 1;
            match (self.1 % 3, self.0.is_empty()) {
                // A signal came: try again.
                (0, _) => Err(io::ErrorKind::Interrupted.into()),
                (_, true) => Err(io::Error::other("the network is down")),
                _ => self.0.read(into),
            }
        }
    }
    let tar = rich();
    for len in [0, 100, 512, 700, 2000, tar.len() - 1] {
        let mut reader = Reader::new(BufReader::with_capacity(37, Failing(&tar[..len], 0)));
        let error = loop {
            match reader.next_entry() {
                Ok(Some(_)) => {}
                Ok(None) => break reader.drain().unwrap_err(),
                Err(error) => break error,
            }
        };
        assert!(matches!(&error, TarError::Read(cause) if cause.to_string() == "the network is down"), "{error:?}");
    }
    let mut reader = Reader::new(BufReader::with_capacity(37, Failing(&tar, 0)));
    for _ in 0..7 {
        assert!(reader.next_entry().unwrap().is_some());
    }
    assert!(reader.next_entry().unwrap().is_none());
}
