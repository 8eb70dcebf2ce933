//! Files with holes. A tar has only what lies between the holes, so that the files get a place of their own behind it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use layer_erofs::{BLOCK, Holes, Kind, Tree};

use super::disk;
use crate::UnpackError;
use crate::tar::Segment;

/// From here on a file's start is no place, but the number of a file with holes: no image reaches as far.
const NUMBERS: u64 = 1 << 62;

/// How much of a file's holes may be told as data, as chunks of them are large in a large file: who copies it would read all that. So much at least, and
/// so many times the data.
const MAX_TOLD: (u64, u64) = (64 << 20, 16);

/// How much is copied at a time.
const COPY: usize = 128 << 10;

/// The files with holes that came so far, removed ones among them.
#[derive(Default)]
pub(super) struct Sparse {
    files: Vec<Pieces>,
    bytes: usize,
}

struct Pieces {
    size: u64,
    holes: Holes,
    /// Where each piece lies in the file, how long it is, and where in the image.
    pieces: Vec<(Segment, u64)>,
}

impl Sparse {
    /// What they take in memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a file whose pieces lie in the image one after the other from `at` on. Gives what stands for its start until [`Self::write`] finds
    /// one for it.
    pub(super) fn add(&mut self, size: u64, segments: &[Segment], mut at: u64) -> Result<u64, UnpackError> {
        let mut pieces = Vec::with_capacity(segments.len());
        let mut holes = Holes::new(size);
        let mut data = 0u64;
        for segment in segments {
            pieces.push((*segment, at));
            at += segment.len;
            data = data.saturating_add(segment.len);
            holes.fill(segment.offset, segment.len);
        }
        if holes.told() > data.saturating_mul(MAX_TOLD.1).saturating_add(MAX_TOLD.0) {
            return Err(UnpackError::Unfit {
                reason: "one of its files has its data in too small pieces for its size",
            });
        }
        // Twice: once here, and once in the tree.
        self.bytes += size_of::<Pieces>() + pieces.len() * size_of::<(Segment, u64)>() + 2 * holes.bytes();
        self.files.push(Pieces { size, holes, pieces });
        Ok(NUMBERS + (self.files.len() as u64 - 1))
    }

    /// Writes those of the files that are in the tree, from `start` on, a block's beginning; says where the last one ends.
    pub(super) fn write(&self, file: &File, mut start: u64, tree: &mut Tree) -> Result<u64, UnpackError> {
        if self.files.is_empty() {
            return Ok(start);
        }
        let mut folders = vec![Tree::ROOT];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for (_, child) in tree.children(folder) {
                match tree.kind(child) {
                    None => folders.push(child),
                    Some(Kind::File { start: number @ NUMBERS.., .. }) => found.push((child, number - NUMBERS)),
                    Some(_) => {}
                }
            }
        }
        // One file may have several names.
        found.sort_unstable_by_key(|(node, number)| (*number, *node));
        found.dedup();
        for (node, number) in found {
            let Some(pieces) = usize::try_from(number).ok().and_then(|number| self.files.get(number)) else { continue };
            let too_large = UnpackError::Unfit { reason: "it is larger than 2 TiB" };
            let end =
                start.checked_add(pieces.size).filter(|end| *end / BLOCK < u64::from(u32::MAX)).ok_or(too_large)?;
            pieces.copy(file, start).map_err(disk)?;
            tree.set_content(node, start, pieces.size, pieces.holes.clone());
            start = end.next_multiple_of(BLOCK);
        }
        // The last hole is part of the image.
        file.set_len(start).map_err(disk)?;
        Ok(start)
    }
}

impl Pieces {
    fn copy(&self, file: &File, start: u64) -> io::Result<()> {
        let mut buffer = vec![0; COPY];
        for (segment, at) in &self.pieces {
            let mut done = 0;
            while done < segment.len {
                let len = usize::try_from(segment.len - done).map_or(COPY, |rest| rest.min(COPY));
                file.read_exact_at(&mut buffer[..len], at + done)?;
                file.write_all_at(&buffer[..len], start + segment.offset + done)?;
                done += len as u64;
            }
        }
        Ok(())
    }
}
