//! What can go wrong, sorted by what a caller can do about it.

use std::io;
use std::path::PathBuf;

use layer_mount::MountError;
use layer_mount::stack::StackError;
use layer_oci::Platform;
use layer_reference::ParseReferenceError;
use layer_store::StoreError;
pub use layer_transfer::Kind;

/// Why the engine can't be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store can't be.
    #[error(transparent)]
    Store(#[from] layer_store::OpenError),
    /// The registry client can't be set up.
    #[error(transparent)]
    Registry(#[from] layer_registry::SetupError),
    /// The mounts of an earlier process can't be taken over.
    #[error("take over the mounts")]
    Mounts(#[source] io::Error),
    /// The thread that opens it broke.
    #[error("open the store")]
    Task(#[source] io::Error),
}

impl OpenError {
    /// What the administrator can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Registry(_) | Self::Mounts(_) | Self::Task(_) => None,
        }
    }
}

/// Why a call on images fails. Texts on names are dockerd's own, because programs match on them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A name is none.
    #[error(transparent)]
    Name(#[from] ParseReferenceError),
    /// No image has that name.
    #[error("No such image: {name}")]
    NoSuchImage {
        /// The name, with its tag.
        name: String,
    },
    /// Several images have an ID that begins so.
    #[error("multiple IDs found with provided prefix: {prefix}")]
    Ambiguous {
        /// The beginning.
        prefix: String,
    },
    /// The image isn't there for that platform.
    #[error("image with reference {name} was found but does not provide the specified platform ({platform})")]
    NoPlatform {
        /// The image.
        name: String,
        /// The platform.
        platform: Platform,
    },
    /// A digest can't be given to another image.
    #[error("cannot import digest reference")]
    TagWithDigest,
    /// Removing by ID would remove names that nobody mentioned.
    #[error("conflict: unable to delete {id} (must be forced) - image is referenced in multiple repositories")]
    ManyNames {
        /// The image, in short form.
        id: String,
    },
    /// The image is mounted.
    #[error("conflict: unable to delete {id} (cannot be forced) - image is mounted on {}", .target.display())]
    Mounted {
        /// The image, in short form.
        id: String,
        /// Where.
        target: PathBuf,
    },
    /// Nothing is mounted there, or of that image.
    #[error("nothing is mounted at or from `{what}`")]
    NotMounted {
        /// A folder, an image or a mount's ID.
        what: String,
    },
    /// The target can't be mounted on.
    #[error("mount on `{}`: {reason}", .target.display())]
    BadTarget {
        /// The folder.
        target: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The mount system calls failed.
    #[error("mount `{name}`")]
    Mount {
        /// The image, or the folder.
        name: String,
        /// How.
        #[source]
        source: MountError,
    },
    /// The layers can't be stacked.
    #[error("stack the layers of `{name}`")]
    Stack {
        /// The image.
        name: String,
        /// How.
        #[source]
        source: StackError,
    },
    /// Files of a mount can't be made or removed.
    #[error("{action} for a mount of `{name}`")]
    MountFiles {
        /// What was to be done.
        action: &'static str,
        /// The image.
        name: String,
        /// How.
        #[source]
        source: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A thread of the engine's own broke.
    #[error("an internal task failed")]
    Task(#[source] io::Error),
}

impl EngineError {
    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Name(_) | Self::TagWithDigest | Self::BadTarget { .. } | Self::Ambiguous { .. } => Kind::Invalid,
            Self::NoSuchImage { .. } | Self::NoPlatform { .. } | Self::NotMounted { .. } => Kind::NotFound,
            Self::ManyNames { .. } | Self::Mounted { .. } => Kind::Conflict,
            Self::Mount { source: MountError::Busy { .. }, .. } => Kind::Conflict,
            Self::Stack { source: StackError::DanglingLink { .. }, .. } => Kind::Corrupt,
            Self::MountFiles { source, .. } if source.kind() == io::ErrorKind::StorageFull => Kind::NoSpace,
            Self::Store(error) if error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::StorageFull) => {
                Kind::NoSpace
            }
            Self::Mount { .. } | Self::Stack { .. } | Self::MountFiles { .. } | Self::Store(_) | Self::Task(_) => {
                Kind::Internal
            }
        }
    }

    /// What the user can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Mounted { target, .. } => Some(format!("unmount it first: `layer umount {}`", target.display())),
            Self::Store(error) => error.hint(),
            Self::MountFiles { source, .. } => layer_store::disk_hint(source).map(str::to_owned),
            _ => None,
        }
    }
}
