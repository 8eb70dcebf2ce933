//! Sparse files: which parts of them a tar holds.
//!
//! Spec: GNU tar manual, "Storing Sparse Files": the map of type `S`, and the forms 0.0, 0.1 and 1.0 of PAX.

use std::io::BufRead;

use tokio_tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

use super::TarError;
use super::blocks::{BLOCK, Blocks};
use super::field::{decimal, number};
use super::pax::PaxSparse;

/// A run of bytes that the tar holds; what lies between two runs is a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where the run lies in the file.
    pub offset: u64,
    /// How long it is, in bytes.
    pub len: u64,
}

/// How many segments a file may have. What a tar asks a reader to hold must be bounded: this is 4 MiB.
const MAX_SEGMENTS: usize = 1 << 18;

const TOO_MANY: &str = "its sparse map has more than 262144 pieces";
const MALFORMED: &str = "its sparse map is malformed";

/// A sparse file: its size with the holes, and its map.
pub(super) type Sparse = (u64, Vec<Segment>);

/// Proves that a map is in order, lies within the file, and adds up to the bytes that the tar holds.
fn check(map: &[Segment], real_size: u64, stored: u64) -> Result<(), &'static str> {
    if map.len() > MAX_SEGMENTS {
        return Err(TOO_MANY);
    }
    if i64::try_from(real_size).is_err() {
        return Err("its size is out of range");
    }
    let (mut end, mut sum) = (0u64, 0u64);
    for segment in map {
        if segment.offset < end {
            return Err("the pieces of its sparse map overlap or are out of order");
        }
        // GNU tar begins each piece on a block of its own, others don't.
        if segment.len > 0 && !sum.is_multiple_of(BLOCK as u64) {
            return Err("a piece of its sparse map ends within a block");
        }
        end = segment.offset.checked_add(segment.len).ok_or("its sparse map is out of range")?;
        // At most the end of the last piece: the pieces don't overlap.
        sum += segment.len;
    }
    if end > real_size {
        return Err("its sparse map reaches beyond its size");
    }
    // A hole at the end has an empty piece behind it. Without one, GNU tar makes a shorter file than others.
    if end < real_size {
        return Err("its sparse map ends before its size");
    }
    if sum != stored {
        return Err("its sparse map and the data stored differ in size");
    }
    Ok(())
}

impl<R: BufRead> Blocks<R> {
    /// The map of an `S` entry: four pieces in the header, further ones in blocks behind it. `stored` bytes of data follow those.
    pub(super) fn gnu_sparse(&mut self, header: &Header, path: &[u8], stored: u64) -> Result<Sparse, TarError> {
        let refused = |reason: &str| TarError::entry(path, reason);
        let gnu = header.as_gnu().ok_or_else(|| refused("it is a sparse file without a GNU header"))?;
        let mut segments = Vec::new();
        let mut whole = take_pieces(&mut segments, &gnu.sparse).map_err(refused)?;
        let mut more = goes_on(gnu.isextended).map_err(refused)?;
        while more {
            if !whole {
                // Some readers stop at the empty piece, and would take the block that follows for the next header or for data.
                return Err(refused("its sparse map goes on behind its end"));
            }
            let mut block = GnuExtSparseHeader::new();
            if !self.block(block.as_mut_bytes())? {
                return Err(TarError::Truncated { offset: self.offset() });
            }
            whole = take_pieces(&mut segments, block.sparse()).map_err(refused)?;
            more = goes_on(block.isextended).map_err(refused)?;
        }
        let size = unsigned(&gnu.realsize).ok_or_else(|| refused("its size is out of range"))?;
        check(&segments, size, stored).map_err(refused)?;
        Ok((size, segments))
    }

    /// The map of a file that PAX records call sparse, read from them or from the head of its data. `None` for an ordinary file.
    pub(super) fn pax_sparse(&mut self, pax: PaxSparse, path: &[u8]) -> Result<Option<Sparse>, TarError> {
        let refused = |reason: &str| TarError::entry(path, reason);
        if pax.is_empty() {
            return Ok(None);
        }
        let segments = match (pax.major, pax.minor) {
            (None | Some(0), None | Some(0 | 1)) if !pax.map.is_empty() => {
                if pax.pieces.is_some_and(|pieces| pieces != pax.map.len() as u64) {
                    return Err(refused(MALFORMED));
                }
                pax.map
            }
            (Some(1), Some(0)) if pax.map.is_empty() => self.map_in_data(path)?,
            _ => return Err(refused("its sparse format is not known")),
        };
        let size = pax.real_size.ok_or_else(|| refused("it is a sparse file without a size"))?;
        check(&segments, size, self.remaining()).map_err(refused)?;
        Ok(Some((size, segments)))
    }

    /// Form 1.0: decimal numbers on lines of their own, how many pieces first, padded to whole blocks.
    fn map_in_data(&mut self, path: &[u8]) -> Result<Vec<Segment>, TarError> {
        let refused = |reason: &str| TarError::entry(path, reason);
        let mut block = [0; BLOCK];
        let mut at = BLOCK;
        let mut line = || -> Result<u64, TarError> {
            let mut digits = Vec::new();
            loop {
                if at == BLOCK {
                    if !self.data_block(&mut block)? {
                        return Err(refused(MALFORMED));
                    }
                    at = 0;
                }
                let byte = block[at];
                at += 1;
                match byte {
                    b'\n' => return decimal(&digits).map_err(refused),
                    b'0'..=b'9' if digits.len() < 20 => digits.push(byte),
                    _ => return Err(refused(MALFORMED)),
                }
            }
        };
        let count = line()?;
        if count > MAX_SEGMENTS as u64 {
            return Err(refused(TOO_MANY));
        }
        let mut segments = Vec::new();
        for _ in 0..count {
            segments.push(Segment { offset: line()?, len: line()? });
        }
        Ok(segments)
    }
}

/// Whether a block of the map has another behind it. Marks other than these two mean different things to readers.
fn goes_on(mark: [u8; 1]) -> Result<bool, &'static str> {
    match mark {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(MALFORMED),
    }
}

/// Takes the pieces of one block, and says whether all its places are used: an empty one ends the map.
fn take_pieces(segments: &mut Vec<Segment>, pieces: &[GnuSparseHeader]) -> Result<bool, &'static str> {
    for piece in pieces {
        match (piece.offset[0], piece.numbytes[0]) {
            (0, 0) => return Ok(false),
            // Readers look at one or the other to see whether the place is empty.
            (0, _) | (_, 0) => return Err(MALFORMED),
            _ => {}
        }
        let (offset, len) = unsigned(&piece.offset).zip(unsigned(&piece.numbytes)).ok_or(MALFORMED)?;
        segments.push(Segment { offset, len });
    }
    if segments.len() > MAX_SEGMENTS { Err(TOO_MANY) } else { Ok(true) }
}

fn unsigned(field: &[u8]) -> Option<u64> {
    // An empty field is zero to some readers and malformed to others.
    if field.iter().all(|byte| matches!(byte, b' ' | 0)) {
        return None;
    }
    number(field).ok().and_then(|value| u64::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_must_add_up() {
        let map = |pairs: &[(u64, u64)]| pairs.iter().map(|&(offset, len)| Segment { offset, len }).collect::<Vec<_>>();
        assert_eq!(check(&map(&[(0, 512), (1000, 1024), (4000, 5), (5000, 0)]), 5000, 1541), Ok(()));
        assert_eq!(check(&[], 0, 0), Ok(()));
        assert_eq!(check(&map(&[(i64::MAX as u64, 0)]), i64::MAX as u64, 0), Ok(()));
        for (pairs, real, stored, reason) in [
            (&[(0, 512), (511, 5)][..], 2000, 517, "overlap"),
            (&[(1000, 512), (0, 5)], 2000, 517, "overlap"),
            (&[(0, 5)], 4, 5, "beyond"),
            (&[(0, 5)], 20, 5, "before"),
            (&[], 1, 0, "before"),
            (&[(0, 5), (20, 0)], 20, 6, "differ"),
            (&[(0, 5), (10, 5)], 20, 10, "within a block"),
            (&[(u64::MAX, 5)], 20, 5, "out of range"),
            (&[], 1 << 63, 0, "size is out of range"),
        ] {
            let error = check(&map(pairs), real, stored).unwrap_err();
            assert!(error.contains(reason), "{pairs:?}: {error}");
        }
    }
}
