//! What can go wrong with a layer.

use std::io;

use crate::tar::{Shown, TarError};

/// Why a layer can't be unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// The stream isn't a tar, or one that means different things to different readers.
    #[error("read the tar")]
    Tar(#[source] TarError),
    /// The stream itself ended in an error: of the network, of the decompressor.
    #[error("read the layer")]
    Read(#[source] io::Error),
    /// An entry asks for what no layer may have.
    #[error("entry `{}`: {reason}", Shown(.path))]
    Refused {
        /// The entry's name as the tar has it.
        path: Vec<u8>,
        /// What it asks for.
        reason: String,
    },
    /// An image can't hold what a folder could.
    #[error("an EROFS image can't hold this layer: {reason}")]
    Unfit {
        /// What of it.
        reason: &'static str,
    },
    /// The disk refused.
    #[error("{action} `{}`", Shown(.path))]
    Write {
        /// What was to be done.
        action: &'static str,
        /// The entry.
        path: Vec<u8>,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl UnpackError {
    /// The error of the disk or the stream behind this one, where there is one.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Tar(TarError::Read(source)) | Self::Read(source) | Self::Write { source, .. } => Some(source),
            Self::Tar(_) | Self::Refused { .. } | Self::Unfit { .. } => None,
        }
    }

    pub(crate) fn refused(path: &[u8], reason: impl Into<String>) -> Self {
        Self::Refused { path: path.to_vec(), reason: reason.into() }
    }

    /// For `map_err` on what the kernel answers.
    pub(crate) fn write<E: Into<io::Error>>(action: &'static str, path: &[u8]) -> impl FnOnce(E) -> Self {
        move |source| Self::Write { action, path: path.to_vec(), source: source.into() }
    }
}

impl From<TarError> for UnpackError {
    fn from(error: TarError) -> Self {
        match error {
            TarError::Read(source) => Self::Read(source),
            error => Self::Tar(error),
        }
    }
}
