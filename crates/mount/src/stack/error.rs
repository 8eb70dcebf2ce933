//! What can go wrong with a stack.

use std::io;
use std::path::PathBuf;

use crate::MountError;

/// Why the gaps of a stack could not be closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StackError {
    /// A layer's folder can't be opened.
    #[error("open the layer folder `{}`", path.display())]
    Layer {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A layer's image can't be mounted.
    #[error(transparent)]
    Image(Box<MountError>),
    /// A path is not one that a layer can have: relative, without empty components, `.`, `..` or NUL.
    #[error("`{}` is not a path inside of a layer", text(path))]
    BadPath {
        /// The path.
        path: Vec<u8>,
    },
    /// A hard link to a file that no layer below has.
    #[error("hard link `{}`: no layer below it has its target `{}`", text(path), text(target))]
    DanglingLink {
        /// The link.
        path: Vec<u8>,
        /// What it should lead to.
        target: Vec<u8>,
    },
    /// A hard link to a folder.
    #[error("hard link `{}`: its target `{}` is a folder", text(path), text(target))]
    LinkToFolder {
        /// The link.
        path: Vec<u8>,
        /// The folder.
        target: Vec<u8>,
    },
    /// Something in a layer can't be read.
    #[error("read `{}` of a layer", text(path))]
    Read {
        /// The path inside of the layer.
        path: Vec<u8>,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Something can't be made in the thin layer.
    #[error("make `{}` in the topmost layer", text(path))]
    Make {
        /// The path inside of the layer.
        path: Vec<u8>,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl StackError {
    /// What the kernel said about a file, where it said something.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Layer { source, .. } | Self::Read { source, .. } | Self::Make { source, .. } => Some(source),
            _ => None,
        }
    }
}

fn text(path: &[u8]) -> String {
    if path.is_empty() { "/".to_owned() } else { path.escape_ascii().to_string() }
}
