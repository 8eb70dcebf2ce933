//! What can go wrong in the store.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use layer_digest::{DiffId, Digest};
use layer_oci::DocumentError;

/// Why a store can't be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another daemon uses it.
    #[error(
        "the store `{}` is in use by another layerd{}",
        .root.display(),
        .holder.map_or(String::new(), |pid| format!(" (process {pid})"))
    )]
    Locked {
        /// The store.
        root: PathBuf,
        /// The process that has it, where that is known.
        holder: Option<u32>,
    },
    /// The record of the names, or of the format, is not one that this program wrote.
    #[error("`{}` is damaged: {reason}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A newer program has written it.
    #[error("the store `{}` has format {found}, and this layerd knows none beyond {known}", .root.display())]
    Newer {
        /// The store.
        root: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that this program knows.
        known: u32,
    },
    /// A folder or file can't be used.
    #[error("{action} `{}`", .path.display())]
    Io {
        /// What was to be done.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl OpenError {
    /// What the administrator can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Locked { .. } => Some("stop the other one, or give this one a `--root` of its own".to_owned()),
            Self::Damaged { path, .. } => Some(format!(
                "`layerd recover --root {}` makes it anew from what is left of it and of its last version; blobs and layers are kept",
                path.parent().unwrap_or(path).display()
            )),
            Self::Newer { .. } => Some(
                "start the layerd that has written it, or a newer one, or give this one a `--root` of its own"
                    .to_owned(),
            ),
            Self::Io { source, .. } => disk_hint(source).map(str::to_owned),
        }
    }
}

/// The device, or the file system on it, has failed. Spec: errno(3).
const EIO: i32 = 5;

/// What the administrator can do about an error of the kernel's.
pub fn disk_hint(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            Some("the file system is read-only, which the kernel makes of one that has an error: see `dmesg`")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some("make room where the store lies"),
        _ if error.raw_os_error() == Some(EIO) => Some("the disk, or the file system on it, has failed: see `dmesg`"),
        _ => None,
    }
}

/// Why the store can't do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk refused.
    #[error("{action} `{what}`")]
    Io {
        /// What was to be done.
        action: &'static str,
        /// On what, relative to the store.
        what: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A blob that should be there isn't.
    #[error("blob `{0}` is not in the store")]
    NoBlob(Digest),
    /// A layer that should be there isn't.
    #[error("layer `{0}` is not in the store")]
    NoLayer(DiffId),
    /// A file's content isn't what its name says.
    #[error("blob `{0}` is damaged on disk")]
    Damaged(Digest),
    /// A damaged layer can't be replaced while something shows its files.
    #[error("layer `{0}` is damaged, and can't be replaced while it is mounted")]
    InUse(DiffId),
    /// A document in the store can't be read.
    #[error("document `{digest}`")]
    Document {
        /// The blob.
        digest: Digest,
        /// What is wrong with it.
        #[source]
        source: DocumentError,
    },
}

impl StoreError {
    /// For `map_err` on what the kernel answers.
    pub(crate) fn io<E: Into<io::Error>>(action: &'static str, what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |source| Self::Io { action, what, source: source.into() }
    }

    /// What the administrator can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Damaged(_) | Self::NoLayer(_) | Self::NoBlob(_) => {
                Some("pull the image again: what is missing or damaged is fetched anew".to_owned())
            }
            Self::Io { source, .. } => disk_hint(source).map(str::to_owned),
            Self::Document { .. } | Self::InUse(_) => None,
        }
    }

    /// The error of the disk behind this one, where there is one.
    pub fn io_error(&self) -> Option<&io::Error> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// An error and its causes, on one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_follow_what_they_caused() {
        #[derive(Debug, thiserror::Error)]
        #[error("write `x`")]
        struct Outer(#[source] io::Error);
        let error = Outer(io::Error::other("no space left"));
        assert_eq!(chain(&error), "write `x`: no space left");
    }
}
