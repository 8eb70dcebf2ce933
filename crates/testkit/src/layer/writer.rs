//! The builder of a layer's tar: entries one after the other, into memory or into any writer.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use super::entry::{Entry, write_extension};
use super::header::{Header, RawHeader};
use super::{Compression, Layer, from_disk, pax};

/// Writes a layer entry by entry, in the order of the calls.
///
/// The first failure is kept and told by `finish`, so that calls chain; into memory none is possible but that of a file of this machine.
pub struct LayerBuilder<W = Vec<u8>> {
    out: W,
    /// Where a file of this machine with several names was put first, by device and inode.
    seen: HashMap<(u64, u64), Vec<u8>>,
    failure: Option<anyhow::Error>,
    end_blocks: usize,
}

impl LayerBuilder {
    /// A layer in memory.
    pub fn new() -> Self {
        Self::to(Vec::new())
    }

    /// The tar.
    ///
    /// # Panics
    /// If a file of this machine could not be read; use [`finish`](Self::finish) where that may happen.
    pub fn tar(self) -> Vec<u8> {
        self.finish().expect("memory takes every write")
    }

    /// The layer, packed.
    ///
    /// # Panics
    /// As [`tar`](Self::tar).
    pub fn pack(self, compression: Compression) -> Layer {
        Layer::pack(self.tar(), compression)
    }

    /// The layer, packed by gzip, as most are.
    ///
    /// # Panics
    /// As [`tar`](Self::tar).
    pub fn gzip(self) -> Layer {
        self.pack(Compression::Gzip)
    }
}

impl Default for LayerBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl<W: Write> LayerBuilder<W> {
    /// A layer written to `out` as it is built.
    pub fn to(out: W) -> Self {
        Self { out, seen: HashMap::new(), failure: None, end_blocks: 2 }
    }

    /// Adds an entry.
    pub fn entry(mut self, entry: Entry) -> Self {
        if self.failure.is_none() {
            self.failure = entry.write_to(&mut self.out).context("write an entry of a layer").err();
        }
        self
    }

    /// Adds entries.
    pub fn entries(self, entries: impl IntoIterator<Item = Entry>) -> Self {
        entries.into_iter().fold(self, Self::entry)
    }

    /// Adds a file, mode 0644.
    pub fn file(self, path: impl AsRef<[u8]>, bytes: impl AsRef<[u8]>) -> Self {
        self.entry(Entry::file(path, bytes))
    }

    /// Adds a folder, mode 0755.
    pub fn dir(self, path: impl AsRef<[u8]>) -> Self {
        self.entry(Entry::dir(path))
    }

    /// Adds a symbolic link.
    pub fn symlink(self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.entry(Entry::symlink(path, target))
    }

    /// Adds a hard link.
    pub fn hard_link(self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.entry(Entry::hard_link(path, target))
    }

    /// Adds the mark that deletes `path`.
    pub fn whiteout(self, path: impl AsRef<[u8]>) -> Self {
        self.entry(Entry::whiteout(path))
    }

    /// Adds the mark that empties the folder `path`.
    pub fn opaque(self, path: impl AsRef<[u8]>) -> Self {
        self.entry(Entry::opaque(path))
    }

    /// Adds a global PAX header.
    pub fn global_pax(self, records: &[(&str, &str)]) -> Self {
        let records: Vec<_> =
            records.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
        self.extension(b'g', pax::records(&records))
    }

    /// Adds an entry that only says something about the next one (`x`, `g`, `L`, `K` or any other type), with any content.
    pub fn extension(mut self, type_flag: u8, content: impl AsRef<[u8]>) -> Self {
        if self.failure.is_none() {
            let mut header = RawHeader::new(Header::Pax, type_flag);
            header.name(b"extension").mode(0o644);
            self.failure =
                write_extension(&mut header, content.as_ref(), &mut self.out).context("write an extension").err();
        }
        self
    }

    /// Adds bytes as they are.
    pub fn raw(mut self, bytes: impl AsRef<[u8]>) -> Self {
        if self.failure.is_none() {
            self.failure = self.out.write_all(bytes.as_ref()).context("write raw bytes").err();
        }
        self
    }

    /// Adds everything under the folder `root` of this machine, its own attributes included, under the name `into` (empty: the layer's root).
    pub fn tree(mut self, root: &Path, into: &str) -> Self {
        let found = from_disk::tree(&mut self.seen, root, into.as_bytes());
        self.found(found)
    }

    /// Adds files, links and folders of this machine under their own absolute names, folders without their content. Names that lead through a
    /// symbolic link are added where it leads, parents that are not listed are not added, and each name is added once.
    pub fn paths(mut self, paths: impl IntoIterator<Item = impl AsRef<Path>>) -> Self {
        let found = from_disk::paths(&mut self.seen, paths);
        self.found(found)
    }

    /// Ends with this many blocks of zeroes instead of two: none, or the padding of some builders.
    pub fn end_blocks(self, count: usize) -> Self {
        Self { end_blocks: count, ..self }
    }

    /// Writes the end and gives the writer back.
    ///
    /// # Errors
    /// The first failure of any call.
    pub fn finish(mut self) -> Result<W> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        for _ in 0..self.end_blocks {
            self.out.write_all(&[0; 512]).context("write the end of a layer")?;
        }
        self.out.flush().context("write the end of a layer")?;
        Ok(self.out)
    }

    fn found(mut self, found: Result<Vec<Entry>>) -> Self {
        match found {
            Ok(entries) => self.entries(entries),
            Err(failure) => {
                self.failure.get_or_insert(failure);
                self
            }
        }
    }
}
