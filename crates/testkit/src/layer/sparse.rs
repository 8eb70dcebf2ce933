//! The three ways in which GNU tar writes files with holes.

use super::header::RawHeader;

/// How the map of a sparse file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SparseForm {
    /// Type `S`: the map in the header and in blocks behind it. What `tar -S` writes by default.
    OldGnu,
    /// PAX 0.1: the map in a record, `GNU.sparse.map`.
    Pax01,
    /// PAX 1.0: the map in front of the data. What `tar -S --posix` writes.
    Pax10,
}

const OLD_MAP: usize = 386;
const OLD_EXTENDED: usize = 482;
const OLD_REAL_SIZE: usize = 483;

/// Writes the map in the old form: four pieces in the header, 21 in each block behind it. Returns those blocks.
pub(super) fn old_map(header: &mut RawHeader, map: &[(u64, u64)], real_size: u64) -> Vec<u8> {
    let (first, rest) = map.split_at(map.len().min(4));
    for (index, piece) in first.iter().enumerate() {
        header.patch(OLD_MAP + 24 * index, &old_piece(*piece));
    }
    header.patch(OLD_EXTENDED, &[u8::from(!rest.is_empty())]);
    header.number((OLD_REAL_SIZE, 12), i128::from(real_size));
    let mut blocks = Vec::new();
    let mut chunks = rest.chunks(21).peekable();
    while let Some(chunk) = chunks.next() {
        let mut block = [0; 512];
        for (index, piece) in chunk.iter().enumerate() {
            block[24 * index..24 * (index + 1)].copy_from_slice(&old_piece(*piece));
        }
        block[504] = u8::from(chunks.peek().is_some());
        blocks.extend_from_slice(&block);
    }
    blocks
}

fn old_piece((offset, length): (u64, u64)) -> [u8; 24] {
    // Borrows the number forms of a header: two 12-byte fields side by side.
    let mut scratch = RawHeader::new(super::Header::Gnu, 0);
    scratch.number((0, 12), i128::from(offset)).number((12, 12), i128::from(length));
    let mut piece = [0; 24];
    piece.copy_from_slice(&scratch.sealed()[..24]);
    piece
}

/// The map of PAX 1.0, filled up to whole blocks: it stands in front of the data and counts as data.
pub(super) fn leading_map(map: &[(u64, u64)]) -> Vec<u8> {
    let mut text = format!("{}\n", map.len());
    for (offset, length) in map {
        text.push_str(&format!("{offset}\n{length}\n"));
    }
    let mut bytes = text.into_bytes();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// The map of PAX 0.1: all numbers in one record.
pub(super) fn record_map(map: &[(u64, u64)]) -> String {
    map.iter().map(|(offset, length)| format!("{offset},{length}")).collect::<Vec<_>>().join(",")
}
