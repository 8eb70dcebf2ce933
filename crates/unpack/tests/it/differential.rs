//! Our reader beside two others: what it lists, they list, or it refuses.

use std::io::{Cursor, Write as _};
use std::process::{Command, Stdio};

use layer_testkit::layer::{Data, Entry, LayerBuilder, SparseForm};
use layer_unpack::{Kind, Reader, TarError};
use proptest::prelude::*;

use crate::strategy::{changed, changes, config};

/// Bytes that are readable in a report.
#[derive(PartialEq, Eq)]
struct Bytes(Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}`", self.0.escape_ascii())
    }
}

/// One entry as all three can tell it.
#[derive(Debug, PartialEq, Eq)]
struct Listed {
    kind: char,
    path: Bytes,
    size: u64,
    link: Bytes,
    owner: (u64, u64),
}

fn ours(tar: &[u8]) -> Result<Vec<Listed>, TarError> {
    let mut reader = Reader::new(Cursor::new(tar));
    let mut listed = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let (kind, size, link) = match entry.kind {
            Kind::File { size, .. } => ('-', size, vec![]),
            Kind::Folder => ('d', 0, vec![]),
            Kind::Symlink(target) => ('l', 0, target),
            Kind::HardLink(target) => ('h', 0, target),
            Kind::Character { .. } => ('c', 0, vec![]),
            Kind::Block { .. } => ('b', 0, vec![]),
            Kind::Fifo => ('p', 0, vec![]),
        };
        listed.push(Listed {
            kind,
            path: Bytes(entry.path),
            size,
            link: Bytes(link),
            owner: (entry.uid.into(), entry.gid.into()),
        });
    }
    Ok(listed)
}

fn crates(tar: &[u8]) -> std::io::Result<Vec<Listed>> {
    let mut archive = tar::Archive::new(Cursor::new(tar));
    let mut listed = Vec::new();
    for entry in archive.entries()? {
        let entry = entry?;
        let path = entry.path_bytes().into_owned();
        let link = || entry.link_name_bytes().unwrap_or_default().into_owned();
        let (kind, size, link) = match entry.header().entry_type() {
            tar::EntryType::XGlobalHeader => continue,
            // It doesn't know that the oldest folders are files with a slash.
            tar::EntryType::Regular if path.ends_with(b"/") => ('d', 0, vec![]),
            tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
                ('-', entry.size(), vec![])
            }
            tar::EntryType::Directory => ('d', 0, vec![]),
            tar::EntryType::Symlink => ('l', 0, link()),
            tar::EntryType::Link => ('h', 0, link()),
            tar::EntryType::Char => ('c', 0, vec![]),
            tar::EntryType::Block => ('b', 0, vec![]),
            tar::EntryType::Fifo => ('p', 0, vec![]),
            _ => ('?', entry.size(), vec![]),
        };
        let owner = (entry.header().uid()?, entry.header().gid()?);
        listed.push(Listed { kind, path: Bytes(path), size, link: Bytes(link), owner });
    }
    Ok(listed)
}

/// What `tar --list` prints of each entry, or what it complains of.
fn gnu(tar: &[u8]) -> Result<Vec<String>, String> {
    let mut child = Command::new("tar")
        .env("LC_ALL", "C")
        .args(["--list", "--verbose", "--numeric-owner", "--quoting-style=escape", "--full-time", "--utc", "--file=-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let tar = tar.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&tar));
    let output = child.wait_with_output().unwrap();
    // It may stop reading where the archive ends.
    let _ = writer.join().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    // It warns of what all take for the end, of what it would do if it were to unpack, and of records that it doesn't know.
    let harmless = ["A lone zero block", "Removing leading", "Ignoring unknown extended header keyword"];
    // A line feed in a name goes on with the warning.
    let warnings = complaint.split("tar: ").filter(|text| !harmless.iter().any(|warning| text.starts_with(warning)));
    let complaint: String = warnings.collect();
    if !output.status.success() || !complaint.is_empty() {
        return Err(complaint);
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

/// The parts of such a line that can be told from an entry: type, owners, size, name and link.
fn line_of(entry: &Listed) -> [String; 4] {
    let text = |bytes: &[u8]| {
        let escape = |byte: &u8| match byte {
            b'\\' => "\\\\".to_owned(),
            b'\n' => "\\n".to_owned(),
            b'\t' => "\\t".to_owned(),
            b'\r' => "\\r".to_owned(),
            7 => "\\a".to_owned(),
            8 => "\\b".to_owned(),
            12 => "\\f".to_owned(),
            11 => "\\v".to_owned(),
            0x20..0x7f => char::from(*byte).to_string(),
            other => format!("\\{other:03o}"),
        };
        bytes.iter().map(escape).collect::<String>()
    };
    let name = match entry.kind {
        'l' => format!("{} -> {}", text(&entry.path.0), text(&entry.link.0)),
        'h' => format!("{} link to {}", text(&entry.path.0), text(without_root(&entry.link.0))),
        _ => text(&entry.path.0),
    };
    let size = if matches!(entry.kind, 'c' | 'b') { String::new() } else { entry.size.to_string() };
    // The columns grow with what is in them, so blanks in front of a name can't be told from those of the column.
    let name = name.trim_start_matches(' ').to_owned();
    [entry.kind.to_string(), format!("{}/{}", entry.owner.0, entry.owner.1), size, name]
}

/// A name as GNU tar shows the target of a hard link: as if it were relative to the folder that it unpacks to.
fn without_root(mut name: &[u8]) -> &[u8] {
    // What stands in front of the last `..` goes as well.
    if let Some(climb) = (0..name.len()).rev().find(|at| {
        name[*at..].starts_with(b"..")
            && (*at == 0 || name[at - 1] == b'/')
            && matches!(name.get(at + 2), None | Some(b'/'))
    }) {
        name = &name[climb + 2..];
    }
    while let Some(rest) = name.strip_prefix(b"/") {
        name = rest;
    }
    if name.is_empty() { b"." } else { name }
}

fn parts_of(line: &str) -> [String; 4] {
    // `-rw-r--r-- 0/0   5 2023-11-14 22:13:20 name`, with `1,3` for the size of a device. The name may begin or end with blanks.
    let mut rest = line;
    let mut field = || {
        rest = rest.trim_start_matches(' ');
        let (field, after) = rest.split_once(' ').unwrap_or((rest, ""));
        rest = after;
        field.to_owned()
    };
    let (mode, owner, size) = (field(), field(), field());
    let (_, _) = (field(), field());
    let size = if mode.starts_with(['c', 'b']) { String::new() } else { size };
    // A contiguous file is a file, and nothing is known that would make it another.
    let kind = if mode.starts_with('C') { "-" } else { &mode[..1] };
    [kind.to_owned(), owner, size, rest.trim_start_matches(' ').to_owned()]
}

/// Whether the tar crate is known to be alone with what it makes of a tar: it takes what follows a hard link for data if the header tells a size,
/// and it ends a PAX record at the first line feed, wherever its length says that it ends. GNU tar, Go and Python do neither.
fn misread_by_crate(tar: &[u8]) -> bool {
    let records_end_early = |body: &[u8]| {
        let mut rest = body;
        while let Some(space) = rest.iter().position(|byte| *byte == b' ') {
            let len = std::str::from_utf8(&rest[..space]).ok().and_then(|text| text.parse().ok());
            let Some((record, after)) = len.and_then(|len| rest.split_at_checked(len)) else { return false };
            if record.iter().filter(|byte| **byte == b'\n').count() > 1 {
                return true;
            }
            rest = after;
        }
        false
    };
    tar.chunks_exact(512).enumerate().filter(|(_, block)| block[257..].starts_with(b"ustar")).any(|(number, block)| {
        let size = std::str::from_utf8(&block[124..136])
            .map(|text| text.trim_end_matches([' ', '\0']))
            .ok()
            .and_then(|text| usize::from_str_radix(text, 8).ok());
        match (block[156], size) {
            (b'1', size) => size != Some(0),
            (b'x', Some(size)) => tar[(number + 1) * 512..].get(..size).is_some_and(records_end_early),
            _ => false,
        }
    })
}

/// Says how the readers differ on a tar that ours takes.
fn compare(tar: &[u8]) -> Result<(), String> {
    let Ok(listed) = ours(tar) else { return Ok(()) };
    match crates(tar) {
        Ok(theirs) if listed == theirs => {}
        _ if misread_by_crate(tar) => {}
        // It knows no sums of signed bytes.
        Err(error) if error.to_string() == "archive header checksum mismatch" => {}
        other => return Err(format!("ours: {listed:#?}\ntar crate: {other:#?}")),
    }
    if tar.is_empty() {
        // GNU tar asks for a block of zeros at least.
        return Ok(());
    }
    match gnu(tar) {
        Ok(lines) if lines.iter().map(|line| parts_of(line)).eq(listed.iter().map(line_of)) => Ok(()),
        other => Err(format!("ours: {listed:#?}\ntar --list: {other:#?}")),
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(prop::sample::select(b"abc./ -".to_vec()), 1..8),
        1 => prop::collection::vec(1..=255u8, 1..12),
        1 => (90..300usize).prop_map(|len| vec![b'n'; len]),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    let record = prop_oneof![
        ("path|linkpath", bytes()).prop_map(|(key, value)| (key, value)),
        ("size|uid|gid", prop::sample::select(vec!["0", "5", "512", "", "007", "4294967295", "-1", "x"]))
            .prop_map(|(key, value)| (key, value.as_bytes().to_vec())),
        ("comment|mtime|SCHILY.xattr.user.x", prop::sample::select(vec!["1", "1.5", "-7", "x", ""]))
            .prop_map(|(key, value)| (key, value.as_bytes().to_vec())),
    ];
    let owner = prop_oneof![3 => Just(0i64), 1 => -2..3_000_000i64, 1 => 4_294_967_290..4_294_967_300i64];
    (bytes(), bytes(), 0..14u8, 0..1500usize, prop::collection::vec(record, 0..3), owner, any::<bool>()).prop_map(
        |(path, target, kind, len, records, owner, gnu)| {
            let entry = match kind {
                0..4 => Entry::file(&path, vec![b'x'; len]),
                4 | 5 => Entry::dir(&path),
                6 => Entry::symlink(&path, &target),
                7 | 8 => Entry::hard_link(&path, &target),
                9 => Entry::char_device(&path, 1, 3),
                10 => Entry::fifo(&path),
                11 => Entry::block_device(&path, 1, 3),
                12 => Entry::file(&path, vec![b'x'; len]).type_flag(if len % 2 == 0 { 0 } else { b'7' }),
                _ => {
                    let mut map: Vec<_> = (0..len as u64 / 50).map(|at| (at * 1024, 512)).collect();
                    let data = Data::Fill { byte: 1, len: map.len() as u64 * 512 };
                    let size = map.len() as u64 * 1024;
                    map.push((size, 0));
                    return Entry::sparse_with_map(&path, SparseForm::OldGnu, size, &map, data);
                }
            };
            let entry = records.into_iter().fold(entry, |entry, (key, value)| entry.pax(key, value)).owner(owner, 0);
            if gnu { entry.gnu() } else { entry }
        },
    )
}

/// Things in front of an entry, or between entries.
#[derive(Clone, Debug)]
enum Piece {
    Entry(Box<Entry>),
    Extension(u8, Vec<u8>),
    Zeros,
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        8 => entry().prop_map(|entry| Piece::Entry(Box::new(entry))),
        1 => (prop::sample::select(b"LKLKx".to_vec()), bytes()).prop_map(|(kind, body)| Piece::Extension(kind, body)),
        1 => Just(Piece::Zeros),
    ]
}

fn tar_of(pieces: &[Piece], end: usize) -> Vec<u8> {
    let layer = pieces.iter().fold(LayerBuilder::new(), |layer, piece| match piece {
        Piece::Entry(entry) => layer.entry((**entry).clone()),
        Piece::Extension(kind, body) => layer.extension(*kind, body),
        Piece::Zeros => layer.raw([0; 512]),
    });
    layer.end_blocks(end).tar()
}

proptest! {
    #![proptest_config(config(96))]

    #[test]
    fn listed_alike_or_refused(pieces in prop::collection::vec(piece(), 0..5), end in 0..4usize) {
        if let Err(difference) = compare(&tar_of(&pieces, end)) {
            prop_assert!(false, "{}", difference);
        }
    }

    #[test]
    fn listed_alike_or_refused_when_changed(pieces in prop::collection::vec(piece(), 1..4), changes in changes()) {
        if let Err(difference) = compare(&changed(tar_of(&pieces, 2), &changes)) {
            prop_assert!(false, "{}", difference);
        }
    }
}
