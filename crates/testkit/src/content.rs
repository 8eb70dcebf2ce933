//! Bytes with a name: what a registry serves and an image is made of, in memory or in a file.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};

/// Names bytes by their SHA-256: `sha256:<64 hex digits>`.
pub fn sha256(bytes: &[u8]) -> String {
    name(&Sha256::digest(bytes))
}

fn name(hash: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in hash {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// A writer that hashes and counts what passes through it.
pub(crate) struct Hashing<W> {
    inner: W,
    hash: Sha256,
    written: u64,
}

impl<W: Write> Hashing<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), written: 0 }
    }

    /// The inner writer, the digest and the number of bytes.
    pub(crate) fn finish(self) -> (W, String, u64) {
        (self.inner, name(&self.hash.finalize()), self.written)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.inner.write(bytes)?;
        self.hash.update(&bytes[..taken]);
        self.written += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Immutable bytes, held in memory or in an open file; clones share them.
#[derive(Clone, Debug)]
pub struct Content(Source);

#[derive(Clone, Debug)]
enum Source {
    Memory(Arc<[u8]>),
    File { file: Arc<File>, len: u64 },
}

impl Content {
    /// Opens a file whose content must not change while this value lives.
    ///
    /// # Errors
    /// The file can't be opened.
    pub fn from_file(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("open `{}`", path.display()))?;
        let len = file.metadata().with_context(|| format!("look at `{}`", path.display()))?.len();
        Ok(Self(Source::File { file: Arc::new(file), len }))
    }

    /// The number of bytes.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks a blob whether it is empty")]
    pub fn len(&self) -> u64 {
        match &self.0 {
            Source::Memory(bytes) => bytes.len() as u64,
            Source::File { len, .. } => *len,
        }
    }

    /// Reads from `offset` as much as fits in `into`; 0 at the end.
    ///
    /// # Errors
    /// Those of reading the file.
    pub fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            Source::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                let count = into.len().min(bytes.len() - start);
                into[..count].copy_from_slice(&bytes[start..start + count]);
                Ok(count)
            }
            Source::File { file, len } => {
                let left = usize::try_from(len.saturating_sub(offset)).unwrap_or(usize::MAX);
                let count = into.len().min(left);
                file.read_at(&mut into[..count], offset)
            }
        }
    }

    /// A reader over all of it.
    pub fn reader(&self) -> impl Read + use<> {
        Reader { content: self.clone(), offset: 0 }
    }

    /// All of the bytes.
    ///
    /// # Errors
    /// Those of reading the file.
    pub fn to_vec(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader().read_to_end(&mut bytes).context("read the content")?;
        Ok(bytes)
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Source::Memory(bytes.into()))
    }
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        Self(Source::Memory(bytes.into()))
    }
}

struct Reader {
    content: Content,
    offset: u64,
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read_at(self.offset, into)?;
        self.offset += count as u64;
        Ok(count)
    }
}

/// Content under its digest.
#[derive(Clone, Debug)]
pub struct Blob {
    /// `sha256:<hex>` of the content, unless a test wants it to lie.
    pub digest: String,
    /// The bytes.
    pub content: Content,
}

impl Blob {
    /// Names `bytes` by their digest.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { digest: sha256(&bytes), content: bytes.into() }
    }

    /// The number of bytes.
    pub fn size(&self) -> u64 {
        self.content.len()
    }
}
