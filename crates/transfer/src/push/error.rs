//! Why a push fails.

use std::io;

use layer_digest::BlobId;
use layer_oci::{DocumentError, Platform};
use layer_reference::{ParseReferenceError, Reference};
use layer_registry::{RegistryError, UploadError};
use layer_store::StoreError;

use crate::Kind;
use crate::error::{registry_kind, store_kind};

/// An image could not be pushed.
#[derive(Debug, thiserror::Error)]
#[error("push `{}`", .reference.familiar())]
pub struct PushError {
    /// What was asked for: without a tag if that was all of a repository.
    pub reference: Reference,
    /// Why not.
    #[source]
    pub cause: Box<PushCause>,
}

/// Why an image could not be pushed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushCause {
    /// The tag is none.
    #[error(transparent)]
    Name(ParseReferenceError),
    /// No image has that name.
    #[error("no image here has that name")]
    NoTag,
    /// No image has a name in that repository.
    #[error("no image here has a tag of that repository")]
    NoTags,
    /// The image isn't there for that platform.
    #[error("the image is not here for the platform {platform}")]
    NoPlatform {
        /// The platform.
        platform: Platform,
    },
    /// Parts of the image are neither here nor at the registry.
    #[error("{missing} of its manifests are neither here as a whole nor in the registry's repository")]
    Missing {
        /// How many.
        missing: usize,
    },
    /// The registry did not tell what it has.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The registry did not take a layer or config.
    #[error("blob `{blob}`")]
    Blob {
        /// The blob.
        blob: BlobId,
        /// Why not.
        #[source]
        source: UploadError,
    },
    /// The registry did not take a manifest or index.
    #[error(transparent)]
    Manifest(UploadError),
    /// What the store has can't be read as a document.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The daemon stops.
    #[error("the daemon stops; the registry keeps what it has")]
    Stopped,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A task of the daemon's own broke.
    #[error("an internal task failed")]
    Task(#[source] io::Error),
}

impl PushCause {
    /// The registry's part in it, if it had one.
    pub fn registry(&self) -> Option<&RegistryError> {
        match self {
            Self::Registry(error) => Some(error),
            Self::Blob { source, .. } | Self::Manifest(source) => source.registry(),
            _ => None,
        }
    }
}

impl PushError {
    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        match &*self.cause {
            PushCause::Name(_) => Kind::Invalid,
            PushCause::Stopped => Kind::Cancelled,
            PushCause::NoTag | PushCause::NoTags | PushCause::NoPlatform { .. } | PushCause::Missing { .. } => {
                Kind::NotFound
            }
            PushCause::Registry(error) => registry_kind(error),
            PushCause::Blob { source, .. } | PushCause::Manifest(source) => match source.registry() {
                Some(error) => registry_kind(error),
                None if matches!(source, UploadError::Source(_)) => Kind::Internal,
                None => Kind::Corrupt,
            },
            PushCause::Document(_) => Kind::Corrupt,
            PushCause::Store(error) => store_kind(error),
            PushCause::Task(_) => Kind::Internal,
        }
    }

    /// What the user can do.
    pub fn hint(&self) -> Option<String> {
        match &*self.cause {
            PushCause::Missing { .. } => {
                Some("pull its other platforms, too, or push one with `--platform`".to_owned())
            }
            PushCause::Store(StoreError::Damaged(_) | StoreError::NoBlob(_)) => {
                Some("pull the image again: what is missing or damaged is fetched anew".to_owned())
            }
            cause => cause.registry().and_then(RegistryError::hint),
        }
    }
}
