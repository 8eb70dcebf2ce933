//! Why a load or an import fails.

use std::io;
use std::sync::Arc;

use layer_archive::ArchiveError;
use layer_digest::Digest;
use layer_mount::stack::StackError;
use layer_oci::{DocumentError, Platform};
use layer_reference::ParseReferenceError;
use layer_registry::RegistryError;
use layer_store::StoreError;

use crate::content::TakeError;
use crate::error::{io_kind, registry_kind, stack_kind, store_kind};
use crate::stack::StackingError;
use crate::{Kind, LayerError};

/// An archive could not be loaded, or a tar not be imported.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct LoadError {
    /// Why not.
    pub cause: Box<LoadCause>,
}

/// Why an archive could not be loaded, or a tar not be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadCause {
    /// The archive can't be used.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The bytes that the client sends end, or can't be decompressed.
    #[error("read the tar")]
    Body(#[source] io::Error),
    /// What lies at an address could not be fetched to its end.
    #[error("fetch the tar")]
    Fetch(#[source] Box<RegistryError>),
    /// A member is not what it is there for.
    #[error("member `{name}` of the archive")]
    Member {
        /// The member.
        name: String,
        /// What is wrong with it.
        #[source]
        source: Arc<LayerError>,
    },
    /// What was to be imported is no layer.
    #[error("import the tar")]
    Import(#[source] LayerError),
    /// A document of an image can't be used.
    #[error("document `{digest}` of the archive")]
    Document {
        /// The document.
        digest: Digest,
        /// What is wrong with it.
        #[source]
        source: DocumentError,
    },
    /// A document or layer isn't as long as its descriptor says.
    #[error("`{digest}` has {got} bytes, and its descriptor promises {want}")]
    Size {
        /// The document or layer.
        digest: Digest,
        /// The size it should have.
        want: u64,
        /// The size it has.
        got: u64,
    },
    /// An image consists of something that is not there.
    #[error("the archive lacks {what} `{digest}`, and the store has none")]
    Lacks {
        /// What it is.
        what: &'static str,
        /// Which.
        digest: Digest,
    },
    /// Indexes lie in indexes without end.
    #[error("the indexes lead through each other more than {limit} deep")]
    TooDeep {
        /// How deep they may.
        limit: usize,
    },
    /// All documents together are more than any archive has.
    #[error("the documents of the archive add up to more than {} MiB", .limit >> 20)]
    TooManyDocuments {
        /// How many bytes they may have.
        limit: u64,
    },
    /// An index has no image that is there.
    #[error("the index `{digest}` has no image that is whole in the archive")]
    NoImage {
        /// The index.
        digest: Digest,
    },
    /// An image isn't there for the platform that was asked for. The words are docker's.
    #[error("image with reference {name} was found but does not provide the specified platform ({platform})")]
    NoPlatform {
        /// The image.
        name: String,
        /// The platform.
        platform: Platform,
    },
    /// The image is for another operating system.
    #[error("the image is for {os}, and this daemon unpacks images for linux")]
    ForeignSystem {
        /// The system it is for.
        os: String,
    },
    /// A name in the archive is none.
    #[error("the archive calls an image `{name}`")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        #[source]
        source: ParseReferenceError,
    },
    /// The layers don't fit together.
    #[error("stack the layers")]
    Stack(#[source] StackError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A task of the daemon's own broke.
    #[error("an internal task failed")]
    Task(#[source] io::Error),
}

impl LoadCause {
    /// What a stream that could not be taken in fails with; `at` says what it was.
    pub(crate) fn taking(error: TakeError, at: impl FnOnce(LayerError) -> Self) -> Self {
        match error {
            TakeError::Layer(LayerError::Store(error)) => Self::Store(error),
            TakeError::Layer(error) => at(error),
            TakeError::Source(error) => match error.downcast::<ArchiveError>() {
                Ok(error) => Self::Archive(error),
                Err(error) => Self::reading(error),
            },
        }
    }

    /// What a body that can't be read fails with.
    pub(crate) fn reading(error: io::Error) -> Self {
        match error.downcast::<RegistryError>() {
            Ok(error) => Self::Fetch(Box::new(error)),
            Err(error) => Self::Body(error),
        }
    }
}

impl From<StackingError> for LoadCause {
    fn from(error: StackingError) -> Self {
        match error {
            StackingError::Stack(error) => Self::Stack(error),
            StackingError::Store(error) => Self::Store(error),
        }
    }
}

impl LoadError {
    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        match &*self.cause {
            // What comes from the client is the client's affair.
            LoadCause::Archive(_)
            | LoadCause::Body(_)
            | LoadCause::Document { .. }
            | LoadCause::Size { .. }
            | LoadCause::Lacks { .. }
            | LoadCause::TooDeep { .. }
            | LoadCause::TooManyDocuments { .. }
            | LoadCause::NoImage { .. }
            | LoadCause::ForeignSystem { .. }
            | LoadCause::Name { .. }
            | LoadCause::Stack(StackError::DanglingLink { .. } | StackError::LinkToFolder { .. }) => Kind::Invalid,
            LoadCause::Fetch(error) => registry_kind(error),
            LoadCause::NoPlatform { .. } => Kind::NotFound,
            LoadCause::Member { source, .. } => layer_kind(source),
            LoadCause::Import(source) => layer_kind(source),
            LoadCause::Store(error) => store_kind(error),
            LoadCause::Task(error) => io_kind(error),
            LoadCause::Stack(error) => stack_kind(error),
        }
    }

    /// What the user can do.
    pub fn hint(&self) -> Option<String> {
        match &*self.cause {
            _ if self.kind() == Kind::NoSpace => Some("make room where the store lies, and try again".to_owned()),
            LoadCause::Fetch(error) => error.hint(),
            LoadCause::Archive(ArchiveError::Unrecognized) => Some(
                "an archive is what `docker save` writes; a plain root file system is brought in by `import`"
                    .to_owned(),
            ),
            LoadCause::Lacks { .. } | LoadCause::NoImage { .. } => {
                Some("save the image again, where all of it is there".to_owned())
            }
            _ => None,
        }
    }
}

fn layer_kind(error: &LayerError) -> Kind {
    match error.kind() {
        Kind::Corrupt => Kind::Invalid,
        kind => kind,
    }
}
