//! The forms in which layers are kept.

use std::fs::File;
use std::path::{Path, PathBuf};

use layer_fs::Dir;

/// A folder with a layer's files.
pub(crate) const FOLDER: &str = "fs";
/// An EROFS image with a layer's tar and an index of it.
pub(crate) const IMAGE: &str = "layer.erofs";

/// How layers that come from now on are kept. A store may have layers of both forms, and an image may have both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// A folder in overlay form: any kernel with overlayfs can mount it, and any program read it.
    #[default]
    Folder,
    /// An EROFS image: one file, which the kernel mounts.
    Image,
}

/// Where a layer's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayerPath {
    /// In this folder.
    Folder(PathBuf),
    /// In this image.
    Image(PathBuf),
}

/// A layer's files, opened.
#[derive(Debug)]
pub enum LayerFiles {
    /// Their folder.
    Folder(Dir),
    /// Their image.
    Image(File),
}

impl LayerPath {
    /// The path of the folder or the image.
    pub fn as_path(&self) -> &Path {
        match self {
            Self::Folder(path) | Self::Image(path) => path,
        }
    }
}
