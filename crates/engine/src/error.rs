//! What can go wrong, sorted by what a caller can do about it.

use std::io;
use std::path::PathBuf;

use layer_digest::Digest;
use layer_mount::MountError;
use layer_mount::stack::StackError;
use layer_oci::Platform;
use layer_reference::ParseReferenceError;
use layer_registry::RegistryError;
use layer_store::StoreError;
pub use layer_transfer::Kind;
use layer_unpack::UnpackError;

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
    /// Layers are to be kept as EROFS images, and can't be.
    #[error("keep layers as EROFS images")]
    Images(#[source] ImagesError),
    /// The thread that opens it broke.
    #[error("open the store")]
    Task(#[source] io::Error),
}

/// Why layers can't be kept as images.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// The kernel doesn't mount them.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The kernel doesn't show all that is in them.
    #[error(
        "this kernel does not show the attribute `{name}` of files in an EROFS image (CONFIG_EROFS_FS_XATTR, CONFIG_EROFS_FS_POSIX_ACL, CONFIG_EROFS_FS_SECURITY)"
    )]
    Attribute {
        /// The attribute.
        name: String,
    },
    /// One can't be made.
    #[error(transparent)]
    Make(#[from] UnpackError),
    /// There is no place for one.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its file can't be made.
    #[error("make a file in `staging`")]
    File(#[source] io::Error),
}

impl OpenError {
    /// What the administrator can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Images(ImagesError::Mount(_) | ImagesError::Attribute { .. }) => Some(
                "keep them as folders: leave out `--layers erofs`, or set `layers = \"folders\"` in the settings"
                    .to_owned(),
            ),
            Self::Images(ImagesError::Store(error)) => error.hint(),
            Self::Images(_) | Self::Registry(_) | Self::Mounts(_) | Self::Task(_) => None,
        }
    }
}

impl ImagesError {
    /// Whether the disk failed, or is full.
    pub(crate) fn is_of_disk(&self) -> bool {
        match self {
            Self::Mount(_) | Self::Attribute { .. } => false,
            Self::Make(error) => error.io().is_some(),
            Self::Store(_) | Self::File(_) => true,
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
    /// What speaks about the image was not pulled with it.
    #[error("the attestations of {name} are not available locally: `{digest}` is not here")]
    NoAttestation {
        /// The image.
        name: String,
        /// The document that is missing.
        digest: Digest,
    },
    /// A statement is none, or too long to be shown.
    #[error("the statement `{digest}` can't be shown: {reason}")]
    Statement {
        /// The statement.
        digest: Digest,
        /// Why not.
        reason: String,
    },
    /// The image can't be saved for that platform.
    #[error(
        "no suitable export target found: image with reference {name} was found but does not provide the specified platform ({platform})"
    )]
    NothingToSave {
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
    /// The image is pinned.
    #[error("conflict: unable to delete {id} (must be forced) - image is pinned")]
    Pinned {
        /// The image, in short form.
        id: String,
    },
    /// Something is being done with it.
    #[error("conflict: unable to delete {id} (cannot be forced) - it is being used")]
    InUse {
        /// The image or manifest, in short form.
        id: String,
    },
    /// Without it another image would be left with nothing.
    #[error("conflict: unable to delete {id} (cannot be forced) - it is all that `{name}` has")]
    OnlyPlatform {
        /// The manifest, in short form.
        id: String,
        /// The other image.
        name: String,
    },
    /// No such pull runs.
    #[error("no pull runs that is `{what}`")]
    NoSuchPull {
        /// A number or a name.
        what: String,
    },
    /// There is no pin to take off.
    #[error("`{name}` is not pinned")]
    NotPinned {
        /// A name or an image.
        name: String,
    },
    /// There is one prune at a time.
    #[error("a prune operation is already running")]
    PruneRunning,
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
    /// The user that the image wants to run as can't be made out.
    #[error("the image runs as `{user}`: {reason}")]
    User {
        /// The user, and the group where one is given.
        user: String,
        /// Why it can't.
        reason: String,
    },
    /// Files of a bundle can't be made.
    #[error("{action} the bundle `{}`", .target.display())]
    Bundle {
        /// What was to be done.
        action: &'static str,
        /// The bundle's folder.
        target: PathBuf,
        /// How.
        #[source]
        source: io::Error,
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
    /// An image can't be read, so that nobody knows what it needs.
    #[error("`{name}` can't be read")]
    Unreadable {
        /// The image.
        name: String,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// A registry, or another server that was asked, refuses or can't be reached.
    #[error(transparent)]
    Registry(RegistryError),
    /// The daemon stops, or nobody waits any more.
    #[error("stopped")]
    Stopped,
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
            Self::Bundle { source, .. } if source.kind() == io::ErrorKind::StorageFull => Kind::NoSpace,
            Self::Bundle { .. } => Kind::Internal,
            Self::Name(_)
            | Self::TagWithDigest
            | Self::BadTarget { .. }
            | Self::Ambiguous { .. }
            | Self::User { .. } => Kind::Invalid,
            Self::NoSuchImage { .. }
            | Self::NoPlatform { .. }
            | Self::NoAttestation { .. }
            | Self::NoSuchPull { .. }
            | Self::NothingToSave { .. }
            | Self::NotMounted { .. }
            | Self::NotPinned { .. } => Kind::NotFound,
            Self::Stopped => Kind::Cancelled,
            // Nobody was asked: what should name somebody doesn't.
            Self::Registry(RegistryError::BadRequest { .. }) => Kind::Invalid,
            // The settings have put somebody else in its place, who is not to be shown a login.
            Self::Registry(RegistryError::NobodyToAsk { .. }) => Kind::NotFound,
            Self::Registry(error) => Kind::from(error),
            Self::ManyNames { .. }
            | Self::Mounted { .. }
            | Self::Pinned { .. }
            | Self::InUse { .. }
            | Self::OnlyPlatform { .. }
            | Self::PruneRunning => Kind::Conflict,
            Self::Mount { source: MountError::Busy { .. }, .. } => Kind::Conflict,
            Self::Stack { source: StackError::DanglingLink { .. } | StackError::Image(_), .. } => Kind::Corrupt,
            Self::Stack { source, .. }
                if source.io().is_some_and(|error| error.kind() == io::ErrorKind::StorageFull) =>
            {
                Kind::NoSpace
            }
            Self::MountFiles { source, .. } if source.kind() == io::ErrorKind::StorageFull => Kind::NoSpace,
            Self::Store(error) if error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::StorageFull) => {
                Kind::NoSpace
            }
            Self::Statement { .. } => Kind::Invalid,
            Self::Mount { .. }
            | Self::Stack { .. }
            | Self::MountFiles { .. }
            | Self::Unreadable { .. }
            | Self::Store(_)
            | Self::Task(_) => Kind::Internal,
        }
    }

    /// What the user can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Mounted { target, .. } => Some(format!("unmount it first: `layer umount {}`", target.display())),
            Self::Pinned { .. } => Some("take the pin off with `layer unpin`, or force it".to_owned()),
            Self::InUse { .. } => Some(
                "wait for what uses it: `layer pulls` lists the pulls that run, `layer mounts` what is mounted"
                    .to_owned(),
            ),
            Self::OnlyPlatform { name, .. } => Some(format!("remove that image first: `layer rmi {name}`")),
            Self::Unreadable { name, .. } => {
                Some(format!("repair it with `layer verify --repair {name}`, or remove it with `layer rmi {name}`"))
            }
            Self::Registry(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::MountFiles { source, .. } => layer_store::disk_hint(source).map(str::to_owned),
            Self::Stack { name, source: StackError::Image(error) } => Some(match **error {
                MountError::NoErofs { .. } | MountError::NotFromFile { .. } => {
                    format!(
                        "have layers kept as folders (`--layers folders`), and bring it anew: `layer rmi {name}`, `layer pull {name}`"
                    )
                }
                _ => format!("repair it with `layer verify --repair {name}`"),
            }),
            Self::Stack { source, .. } => source.io().and_then(layer_store::disk_hint).map(str::to_owned),
            _ => None,
        }
    }
}
