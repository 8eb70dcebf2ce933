//! Entries become files.
//!
//! One entry at a time, in the order of the tar, the last of equal names winning. What a thing needs is done in the order in which the kernel
//! doesn't undo it: content, owner, mode, attributes, times. Folders get their times at the end, and what their content would inherit too.

mod aside;
mod attributes;
mod folder;
mod links;
mod make;
mod tree;
mod waiting;
mod whiteout;

use std::io::BufRead;

use layer_fs::Dir;

use crate::UnpackError;
use crate::form::{self, Form};
use crate::manifest::Contents;
use crate::tar::{Entry, Reader, Segment};
use crate::writers::Writers;
use attributes::Attributes;
use tree::Tree;

/// What is known of a layer once it is unpacked, beyond its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// How many entries the tar has.
    pub entries: u64,
    /// How many bytes of content its files have, holes and repeats not counted.
    pub bytes: u64,
    /// Folders that no entry names: they exist because something lies in them. In the image they look as in the layers below. The root,
    /// an empty path, is one of them if the tar has no entry for it.
    pub implied_parents: Vec<Vec<u8>>,
    /// Hard links to files that are not in this layer.
    pub foreign_links: Vec<ForeignLink>,
}

/// A hard link whose other name lies in a layer below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignLink {
    /// The new name. Nothing is there in this layer's folder.
    pub path: Vec<u8>,
    /// The file that it is another name of.
    pub target: Vec<u8>,
}

/// Unpacks a layer into `root`, an empty folder that belongs to the caller alone, and reads `tar` to its end.
///
/// # Errors
///
/// When the stream fails, isn't a proper tar, asks for something that no layer may have, or can't be written. What was made until then
/// is still there, and worth nothing.
pub fn apply(tar: impl BufRead, root: &Dir) -> Result<Applied, UnpackError> {
    apply_noting(tar, root, &mut Contents::default(), &Writers::new(0))
}

/// Unpacks a layer as [`apply()`] does, with the help of `writers` where its files are small and many, and notes the digests of its files, by which
/// [`crate::manifest::write()`] lists them.
///
/// # Errors
///
/// As [`apply()`].
pub fn apply_noting(
    tar: impl BufRead,
    root: &Dir,
    contents: &mut Contents,
    writers: &Writers,
) -> Result<Applied, UnpackError> {
    let mut unpack = Unpack {
        reader: Reader::new(tar),
        tree: Tree::new(root, contents, writers)?,
        attributes: Attributes::default(),
        applied: Applied::default(),
    };
    while let Some(entry) = unpack.reader.next_entry()? {
        unpack.applied.entries += 1;
        form::take(&mut unpack, entry)?;
    }
    unpack.finish()
}

/// A layer on its way from the tar to its folder.
struct Unpack<'a, R> {
    reader: Reader<R>,
    tree: Tree<'a>,
    attributes: Attributes,
    applied: Applied,
}

impl<R: BufRead> Unpack<'_, R> {
    fn finish(mut self) -> Result<Applied, UnpackError> {
        self.tree.aside.catch_up()?;
        self.applied.foreign_links = self.tree.settle_links()?;
        self.tree.settle()?;
        self.applied.implied_parents = std::mem::take(&mut self.tree.waiting).into_implied();
        self.attributes.report();
        // The machine gives what is made here no attribute that would count as the layer's own.
        self.tree.aside.contents.bear_no_attributes = !self.attributes.any && !self.tree.has_marks;
        self.reader.drain().map_err(UnpackError::from)?;
        Ok(self.applied)
    }
}

impl<R: BufRead> Form for Unpack<'_, R> {
    fn whiteout(&mut self, folder: &[u8], name: &[u8]) -> Result<(), UnpackError> {
        self.tree.has_marks = true;
        self.tree.whiteout(folder, name)
    }

    fn opaque(&mut self, folder: &[u8]) -> Result<(), UnpackError> {
        self.tree.has_marks = true;
        self.tree.opaque(folder)
    }

    fn root(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        self.make_root(entry)
    }

    fn folder(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        self.make_folder(entry)
    }

    fn file(&mut self, entry: &Entry, size: u64, segments: Option<&[Segment]>) -> Result<(), UnpackError> {
        self.make_file(entry, size, segments)
    }

    fn symlink(&mut self, entry: &Entry, target: &[u8]) -> Result<(), UnpackError> {
        self.make_symlink(entry, target)
    }

    fn hard_link(&mut self, path: &[u8], target: Vec<u8>) -> Result<(), UnpackError> {
        self.make_hard_link(path, target)
    }

    fn special(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        self.make_special(entry)
    }
}
