//! Digests of what files hold.
//!
//! A file is hashed by BLAKE3: beside the SHA-256 of the whole tar, which the same thread computes, it is hardly felt
//! (docs/decisions/0009-tree-manifest.md). A sparse file is hashed by its blocks that aren't all zeros, each with its number in front; so holes cost
//! nothing, and a hole and stored zeros are the same, as they are to whoever reads the file.

use std::collections::HashMap;
use std::fs::File;
use std::io;

use rustix::fs::{Advice, SeekFrom};
use rustix::io::Errno;

/// What a sparse file is hashed by. No file system in use has smaller holes.
const BLOCK: usize = 4096;

/// How much is read at a time.
const READ: usize = 128 << 10;

/// How many files' digests are kept until the layer is listed: some 12 MiB. Further files are read again then, most likely from memory.
const MAX_KNOWN: usize = 200_000;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The hash of all of it.
    Whole([u8; 32]),
    /// The hash of its blocks that aren't all zeros.
    Sparse([u8; 32]),
}

impl Content {
    /// The content of a file that is no sparse one.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self::Whole(blake3::hash(bytes).into())
    }
}

/// What is known of the files of a folder.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    by_inode: HashMap<u64, Content>,
    /// Whether nothing below the folder has an attribute of the layer's own, so that none need be asked for.
    pub(crate) bear_no_attributes: bool,
}

impl Contents {
    /// Adds a file. An inode that is used again is another file now.
    pub(crate) fn add(&mut self, inode: u64, content: Content) {
        if self.by_inode.len() < MAX_KNOWN || self.by_inode.contains_key(&inode) {
            self.by_inode.insert(inode, content);
        }
    }

    pub(super) fn get(&self, inode: u64) -> Option<Content> {
        self.by_inode.get(&inode).copied()
    }
}

/// Hashes a file's bytes as they pass, front to back.
pub(crate) enum ContentHasher {
    Whole(Box<blake3::Hasher>),
    Sparse(Blocks),
}

impl ContentHasher {
    pub(crate) fn whole() -> Self {
        Self::Whole(Box::default())
    }

    pub(crate) fn sparse() -> Self {
        Self::Sparse(Blocks { hasher: Box::default(), number: 0, block: vec![0; BLOCK] })
    }

    /// Takes in bytes and where they lie in the file. Only a sparse file may leave some out.
    pub(crate) fn update(&mut self, offset: u64, bytes: &[u8]) {
        match self {
            Self::Whole(hasher) => {
                hasher.update(bytes);
            }
            Self::Sparse(blocks) => blocks.update(offset, bytes),
        }
    }

    pub(crate) fn finish(self) -> Content {
        match self {
            Self::Whole(hasher) => Content::Whole(hasher.finalize().into()),
            Self::Sparse(mut blocks) => {
                blocks.flush();
                Content::Sparse(blocks.hasher.finalize().into())
            }
        }
    }
}

/// The blocks of a sparse file, one at a time.
pub(crate) struct Blocks {
    hasher: Box<blake3::Hasher>,
    number: u64,
    block: Vec<u8>,
}

impl Blocks {
    fn update(&mut self, mut offset: u64, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let number = offset / BLOCK as u64;
            if number != self.number {
                self.flush();
                self.number = number;
            }
            // The remainder of a division by 4096.
            let start = usize::try_from(offset % BLOCK as u64).unwrap_or_default();
            let len = bytes.len().min(BLOCK - start);
            self.block[start..start + len].copy_from_slice(&bytes[..len]);
            bytes = &bytes[len..];
            offset += len as u64;
        }
    }

    fn flush(&mut self) {
        if self.block.iter().any(|byte| *byte != 0) {
            self.hasher.update(&self.number.to_le_bytes());
            self.hasher.update(&self.block);
            self.block.fill(0);
        }
    }
}

/// Hashes a file of `size` bytes by reading it; in the form of `like`, or else in the one that suits it. `None` when `stop` says so.
///
/// # Errors
///
/// When it can't be read.
pub(super) fn read(
    file: &File,
    size: u64,
    like: Option<Content>,
    stop: &dyn Fn() -> bool,
) -> io::Result<Option<Content>> {
    let is_sparse = match like {
        Some(content) => matches!(content, Content::Sparse(_)),
        None => rustix::fs::fstat(file)?.st_blocks.cast_unsigned().saturating_mul(512) < size,
    };
    let mut hasher = if is_sparse { ContentHasher::sparse() } else { ContentHasher::whole() };
    let mut buffer = vec![0; READ];
    let mut offset = 0;
    while let Some((start, end)) = if is_sparse { data_from(file, offset)? } else { Some((offset, u64::MAX)) } {
        offset = start;
        while offset < end {
            if stop() {
                return Ok(None);
            }
            let len = usize::try_from(end - offset).map_or(READ, |rest| rest.min(READ));
            match rustix::io::pread(file, &mut buffer[..len], offset) {
                Ok(0) => return Ok(Some(hasher.finish())),
                Ok(len) => {
                    hasher.update(offset, &buffer[..len]);
                    offset += len as u64;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(Some(hasher.finish()))
}

/// Has the kernel forget what it remembers of a file, so that what is read next comes from the disk. It promises nothing.
pub(super) fn forget(file: &File) {
    let _ = rustix::fs::fadvise(file, 0, None, Advice::DontNeed);
}

/// The next part of a file from `offset` on that is no hole.
fn data_from(file: &File, offset: u64) -> io::Result<Option<(u64, u64)>> {
    let start = match rustix::fs::seek(file, SeekFrom::Data(offset)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(Some((start, rustix::fs::seek(file, SeekFrom::Hole(start))?)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    fn hashed(mut hasher: ContentHasher, pieces: &[(u64, &[u8])]) -> Content {
        for (offset, bytes) in pieces {
            hasher.update(*offset, bytes);
        }
        hasher.finish()
    }

    #[test]
    fn a_file_read_again_has_the_digest_that_its_bytes_had() {
        let tmp = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
        tmp.write_all_at(&bytes, 0).unwrap();
        let passed = hashed(ContentHasher::whole(), &[(0, &bytes[..77]), (77, &bytes[77..])]);
        assert_eq!(read(&tmp, bytes.len() as u64, Some(passed), &|| false).unwrap(), Some(passed));
        assert_eq!(read(&tmp, bytes.len() as u64, Some(passed), &|| true).unwrap(), None);
        tmp.write_all_at(b"x", 200_000).unwrap();
        assert_ne!(read(&tmp, bytes.len() as u64, Some(passed), &|| false).unwrap(), Some(passed));
    }

    #[test]
    fn holes_and_stored_zeros_are_the_same_and_cost_nothing() {
        let tmp = tempfile::tempfile().unwrap();
        let size = 1 << 40;
        tmp.set_len(size).unwrap();
        let pieces: &[(u64, &[u8])] = &[(5, b"head"), (1 << 30, b"middle"), (size - 3, b"end")];
        for (offset, bytes) in pieces {
            tmp.write_all_at(bytes, *offset).unwrap();
        }
        let passed = hashed(ContentHasher::sparse(), pieces);
        assert_eq!(read(&tmp, size, Some(passed), &|| false).unwrap(), Some(passed));
        assert_eq!(read(&tmp, size, None, &|| false).unwrap(), Some(passed), "it is seen to be sparse");
        // Zeros in the tar, where the file system may or may not keep a hole.
        let zeros = vec![0; 3 * BLOCK];
        let with_zeros = [(5, &b"head"[..]), (2 * BLOCK as u64, &zeros), (1 << 30, b"middle"), (size - 3, b"end")];
        assert_eq!(hashed(ContentHasher::sparse(), &with_zeros), passed);
        tmp.write_all_at(&zeros, 2 * BLOCK as u64).unwrap();
        assert_eq!(read(&tmp, size, Some(passed), &|| false).unwrap(), Some(passed));
        tmp.write_all_at(b"x", 1 << 20).unwrap();
        assert_ne!(read(&tmp, size, Some(passed), &|| false).unwrap(), Some(passed));
        // The same bytes at another place are another file.
        assert_ne!(hashed(ContentHasher::sparse(), &[(0, b"a")]), hashed(ContentHasher::sparse(), &[(4096, b"a")]));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_never_stale() {
        let mut contents = Contents::default();
        let content = |byte: u8| Content::Whole([byte; 32]);
        for inode in 0..MAX_KNOWN as u64 + 10 {
            contents.add(inode, content(0));
        }
        assert_eq!(contents.by_inode.len(), MAX_KNOWN);
        contents.add(0, content(1));
        assert_eq!(contents.get(0), Some(content(1)));
        assert_eq!(contents.get(MAX_KNOWN as u64), None);
    }
}
