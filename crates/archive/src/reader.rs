//! An archive, front to back.

use std::io::BufRead;

use layer_unpack::Kind;
use tokio_tar::Header;

use crate::names::plain;
use crate::{ArchiveError, Names};

/// A file in an archive. Its bytes follow in the [`Reader`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, in the one form that members are known by: relative, without `.` and `..`.
    pub name: String,
    /// How many bytes it has.
    pub size: u64,
}

/// Reads an archive once, front to back.
#[derive(Debug)]
pub struct Reader<R> {
    tar: layer_unpack::Reader<R>,
    names: Names,
}

impl<R: BufRead> Reader<R> {
    /// Reads the tar in `source`, which is decompressed already.
    pub fn new(source: R) -> Self {
        Self { tar: layer_unpack::Reader::new(source), names: Names::default() }
    }

    /// Goes on to the next file, past what is left of the current one. Folders and links are taken in on the way. `None` at the end of the tar.
    ///
    /// # Errors
    ///
    /// When the stream fails, is no tar that all readers would read alike, or has a member that no archive of images may have.
    pub fn next_file(&mut self) -> Result<Option<Member>, ArchiveError> {
        while let Some(entry) = self.tar.next_entry()? {
            let name = plain(&entry.path)?;
            match entry.kind {
                // The folder that all lies in.
                Kind::Folder if name.is_empty() => {}
                _ if name.is_empty() => return Err(ArchiveError::member(".", "it is no folder")),
                Kind::Folder => self.names.folder(name)?,
                Kind::Symlink(target) => self.names.link(name, &target, true)?,
                Kind::HardLink(target) => self.names.link(name, &target, false)?,
                Kind::File { size, segments: None } => {
                    self.names.file(name.clone())?;
                    return Ok(Some(Member { name, size }));
                }
                Kind::File { segments: Some(_), .. } => {
                    return Err(ArchiveError::member(&name, "it is a sparse file"));
                }
                Kind::Character { .. } | Kind::Block { .. } | Kind::Fifo => {
                    return Err(ArchiveError::member(&name, "it is neither a file nor a folder nor a link"));
                }
            }
        }
        Ok(None)
    }

    /// The next bytes of the current file; empty at its end.
    ///
    /// # Errors
    ///
    /// When the stream fails or ends early.
    pub fn data(&mut self) -> Result<&[u8], ArchiveError> {
        Ok(self.tar.data()?)
    }

    /// Marks bytes that [`Reader::data`] gave as used.
    pub fn consume(&mut self, len: usize) {
        self.tar.consume(len);
    }

    /// Reads the rest of the current file into memory.
    ///
    /// # Errors
    ///
    /// When it has more than `limit` bytes, or the stream fails or ends early.
    pub fn small(&mut self, member: &Member, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        if member.size > limit {
            let reason = format!("it has {} bytes, which is more than the {limit} that are taken", member.size);
            return Err(ArchiveError::member(&member.name, reason));
        }
        let mut bytes = Vec::new();
        loop {
            let data = self.tar.data()?;
            if data.is_empty() {
                return Ok(bytes);
            }
            bytes.extend_from_slice(data);
            let len = data.len();
            self.tar.consume(len);
        }
    }

    /// Reads the stream to its end, and gives the names of all that was in it.
    ///
    /// # Errors
    ///
    /// When the stream fails, or a member lies below a link or a file.
    pub fn finish(self) -> Result<Names, ArchiveError> {
        self.tar.drain()?;
        self.names.check()?;
        Ok(self.names)
    }
}

/// Whether bytes begin as an uncompressed tar does: with a header whose checksum is right, or with the zeros of its end.
pub fn is_tar_start(head: &[u8]) -> bool {
    let Some(block) = head.first_chunk::<512>() else { return false };
    if block.iter().all(|byte| *byte == 0) {
        return true;
    }
    let sum = block[..148].iter().chain(&block[156..]).map(|byte| u32::from(*byte)).sum::<u32>() + 8 * 32;
    let stored = Header::from_byte_slice(block).cksum();
    stored.is_ok_and(|stored| stored == sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tar_is_told_by_its_first_block() {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        // It looks like JSON to whoever sees the first byte alone.
        tar.append_data(&mut header, "{\"a\":1}", std::io::empty()).unwrap();
        let mut bytes = tar.into_inner().unwrap();
        assert!(is_tar_start(&bytes));
        assert!(is_tar_start(&[0; 512]));
        assert!(!is_tar_start(&[0; 511]));
        assert!(!is_tar_start(&bytes[..100]));
        bytes[0] = b'x';
        assert!(!is_tar_start(&bytes));
        assert!(!is_tar_start(&[b' '; 600]));
    }
}
