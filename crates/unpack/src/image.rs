//! A layer's tar stream becomes an EROFS image: a file that the kernel mounts.
//!
//! The tar goes into the file as it comes, and only what it says of names, owners and attributes is kept in memory, as a tree. Its index follows
//! behind the tar when that has ended. What the image shows is what [`apply()`](crate::apply()) makes of the same tar, whiteouts and all.
//!
//! ```text
//! 0                           the superblock and what is round it: HEAD bytes
//! HEAD                        the tar, byte for byte: where it stands, so do the contents of its files
//! the next block              files with holes, which lie in a tar without them
//! the next block              the index
//! ```

mod attributes;
mod links;
mod sample;
mod sparse;
mod sum;
mod tee;
mod tree;

use std::fs::File;
use std::io::{self, BufRead, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;

use layer_digest::Digest;
use layer_erofs::{BLOCK, HEAD, Head, Kind as Made, Looks, NodeId, WriteError};

use crate::form::{self, Form};
use crate::left_out::LeftOut;
use crate::tar::{Entry, Kind, Reader, Segment};
use crate::{Applied, UnpackError};
use sparse::Sparse;
use tee::Tee;
use tree::{Layer, Place};

pub use sample::sample_image;
pub use sum::index_sum;

/// Where the tar begins in an image, in bytes.
pub const TAR_START: u64 = HEAD;

/// How much the tree of a layer may take in memory, about: as much as some 300,000 files do.
const MAX_BYTES: usize = 64 << 20;

/// An image that lacks its superblock alone, which says whose it is.
#[derive(Debug)]
pub struct Unsealed {
    head: Head,
    tar_size: u64,
}

/// What is known of an image beyond its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index {
    /// The length of the whole image, in bytes.
    pub size: u64,
    /// The digest of all that isn't the tar, by [`index_sum()`].
    pub sum: Digest,
}

/// Unpacks a layer into `file`, which is empty, and reads `tar` to its end.
///
/// # Errors
///
/// As [`apply()`](crate::apply()), and [`UnpackError::Unfit`] when an image can't hold what a folder could. The file is worth nothing then.
pub fn apply_image(tar: impl BufRead, file: &File) -> Result<(Applied, Unsealed), UnpackError> {
    (&*file).seek(SeekFrom::Start(HEAD)).map_err(disk)?;
    let mut build = Build {
        reader: Reader::new(Tee::new(tar, file)),
        layer: Layer::new(),
        sparse: Sparse::default(),
        left_out: LeftOut::default(),
        applied: Applied::default(),
    };
    while let Some(entry) = build.reader.next_entry().map_err(failed)? {
        build.applied.entries += 1;
        build.check_padding()?;
        form::take(&mut build, entry)?;
        build.check_room()?;
    }
    build.finish(file)
}

impl Unsealed {
    /// Writes what is missing. `layer` is the layer's diffID, which tells its image from all others.
    ///
    /// # Errors
    ///
    /// When the file can't be written, or read again.
    pub fn seal(self, file: &File, layer: Digest) -> Result<Index, UnpackError> {
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&layer.as_bytes()[..16]);
        file.write_all_at(&self.head.with_uuid(uuid), 0).map_err(disk)?;
        let sum = index_sum(file, self.tar_size).map_err(disk)?;
        Ok(Index { size: file.metadata().map_err(disk)?.len(), sum })
    }
}

/// A layer on its way from the tar to its image.
struct Build<'a, R> {
    reader: Reader<Tee<'a, R>>,
    layer: Layer,
    sparse: Sparse,
    left_out: LeftOut,
    applied: Applied,
}

impl<R: BufRead> Build<'_, R> {
    fn check_room(&self) -> Result<(), UnpackError> {
        if self.layer.bytes() + self.sparse.bytes() <= MAX_BYTES {
            return Ok(());
        }
        Err(UnpackError::Unfit { reason: "what its names take in memory is more than 64 MiB" })
    }

    /// What a tar has behind the end of a file, up to the next block, would be seen by who maps the file into memory.
    fn check_padding(&self) -> Result<(), UnpackError> {
        if self.reader.is_padded_by_zeros() {
            return Ok(());
        }
        Err(UnpackError::Unfit { reason: "its tar has something behind the end of a file" })
    }

    fn finish(mut self, file: &File) -> Result<(Applied, Unsealed), UnpackError> {
        self.check_padding()?;
        self.applied.foreign_links = self.layer.settle_links()?;
        self.applied.implied_parents = self.layer.implied_folders();
        self.left_out.report();
        let tar_size = self.reader.finish().map_err(failed)?.written();
        let end = HEAD + tar_size;
        let start = self.sparse.write(file, end.next_multiple_of(BLOCK), &mut self.layer.tree)?;
        (&*file).seek(SeekFrom::Start(start)).map_err(disk)?;
        let head = self.layer.tree.write(start, &mut &*file).map_err(not_written)?;
        Ok((self.applied, Unsealed { head, tar_size }))
    }

    /// Makes something at a place, in place of what is there.
    fn make(&mut self, place: &Place<'_>, entry: &Entry, kind: Made, mode: u32) -> Result<NodeId, UnpackError> {
        self.layer.make_way(place);
        let node = self.layer.tree.add(place.folder, place.name, kind, looks(entry, mode));
        attributes::give(&mut self.layer.tree, node, entry, &mut self.left_out)?;
        Ok(node)
    }
}

impl<R: BufRead> Form for Build<'_, R> {
    fn whiteout(&mut self, folder: &[u8], name: &[u8]) -> Result<(), UnpackError> {
        self.layer.whiteout(folder, name)
    }

    fn opaque(&mut self, folder: &[u8]) -> Result<(), UnpackError> {
        let node = self.layer.folder(folder, folder)?;
        self.layer.set_opaque(node)
    }

    fn root(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        self.layer.name_folder(layer_erofs::Tree::ROOT);
        self.dress_again(layer_erofs::Tree::ROOT, entry)
    }

    fn folder(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        let place = self.layer.place(&entry.path, &entry.path)?;
        if let Some(node) = self.layer.at(&place).filter(|node| self.layer.tree.is_folder(*node)) {
            self.layer.name_folder(node);
            return self.dress_again(node, entry);
        }
        // What was there hid the folders of that name in the layers below, and so must the folder in its place.
        let hides = self.layer.at(&place).is_some();
        let node = self.make(&place, entry, Made::Folder, entry.mode)?;
        if hides { self.layer.set_opaque(node) } else { Ok(()) }
    }

    fn file(&mut self, entry: &Entry, size: u64, segments: Option<&[Segment]>) -> Result<(), UnpackError> {
        let place = self.layer.place(&entry.path, &entry.path)?;
        let at = HEAD + self.reader.offset();
        let start = match segments {
            None => {
                self.applied.bytes += size;
                at
            }
            Some(segments) => {
                self.applied.bytes += segments.iter().map(|segment| segment.len).sum::<u64>();
                self.sparse.add(size, segments, at)?
            }
        };
        self.make(&place, entry, Made::File { start, size }, entry.mode).map(|_node| ())
    }

    fn symlink(&mut self, entry: &Entry, target: &[u8]) -> Result<(), UnpackError> {
        let place = self.layer.place(&entry.path, &entry.path)?;
        self.make(&place, entry, Made::Symlink(target.into()), 0o777).map(|_node| ())
    }

    fn hard_link(&mut self, path: &[u8], target: Vec<u8>) -> Result<(), UnpackError> {
        self.layer.hard_link(path, target)
    }

    fn special(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        let kind = match entry.kind {
            Kind::Character { major, minor } => Made::Character { major, minor },
            Kind::Block { major, minor } => Made::Block { major, minor },
            _ => Made::Fifo,
        };
        let place = self.layer.place(&entry.path, &entry.path)?;
        self.make(&place, entry, kind, entry.mode).map(|_node| ())
    }
}

impl<R: BufRead> Build<'_, R> {
    /// Gives a folder that was there before what its entry says, and nothing else.
    fn dress_again(&mut self, node: NodeId, entry: &Entry) -> Result<(), UnpackError> {
        self.layer.tree.retain_attributes(node, attributes::stays);
        self.layer.tree.set_looks(node, looks(entry, entry.mode));
        attributes::give(&mut self.layer.tree, node, entry, &mut self.left_out)
    }
}

fn looks(entry: &Entry, mode: u32) -> Looks {
    Looks {
        // The reader gives no other bits.
        mode: u16::try_from(mode & 0o7777).unwrap_or_default(),
        uid: entry.uid,
        gid: entry.gid,
        seconds: entry.mtime.seconds,
        nanos: entry.mtime.nanos,
    }
}

fn disk(source: io::Error) -> UnpackError {
    UnpackError::Write { action: "write the image of", path: b"/".to_vec(), source }
}

fn not_written(error: WriteError) -> UnpackError {
    match error {
        WriteError::TooLarge => UnpackError::Unfit { reason: "it is larger than 2 TiB" },
        WriteError::Io(source) => disk(source),
    }
}

/// An error of the stream, or of the file that it is written to on the way.
fn failed(error: crate::TarError) -> UnpackError {
    match error {
        crate::TarError::Read(source) => match source.downcast::<tee::NotWritten>() {
            Ok(tee::NotWritten(source)) => disk(source),
            Err(source) => UnpackError::Read(source),
        },
        error => UnpackError::from(error),
    }
}
