//! Why a pull fails.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use layer_digest::{BlobId, Digest, VerifyError};
use layer_mount::stack::StackError;
use layer_oci::DocumentError;
use layer_reference::Reference;
use layer_registry::RegistryError;
use layer_store::StoreError;
use layer_unpack::UnpackError;

use crate::pull::binary_size;
use crate::stack::StackingError;

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It doesn't exist.
    NotFound,
    /// The request makes no sense.
    Invalid,
    /// A login is wanted, or not accepted.
    Unauthorized,
    /// The login is known, and not allowed to.
    Denied,
    /// The registry was asked too often.
    RateLimited,
    /// The registry, or the way to it, fails.
    Unavailable,
    /// The disk is full.
    NoSpace,
    /// What the registry serves is not what it promises, or not an image that this program can use.
    Corrupt,
    /// It can't be done as things are now.
    Conflict,
    /// The operation was stopped.
    Cancelled,
    /// Something failed on this side.
    Internal,
}

/// An image could not be pulled.
#[derive(Debug, thiserror::Error)]
#[error("pull `{}`", .reference.familiar())]
pub struct PullError {
    /// What was asked for.
    pub reference: Reference,
    /// Why not.
    #[source]
    pub cause: Box<PullCause>,
}

/// Why an image could not be pulled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullCause {
    /// The registry doesn't give what the name stands for.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// What the registry serves can't be used.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Indexes lie in indexes without end.
    #[error("the indexes lead through each other more than {limit} deep")]
    TooDeep {
        /// How deep they may.
        limit: usize,
    },
    /// A document isn't as long as its descriptor says.
    #[error("document `{digest}` has {got} bytes, and its descriptor promises {want}")]
    Size {
        /// The document.
        digest: Digest,
        /// The size it should have.
        want: u64,
        /// The size it has.
        got: u64,
    },
    /// The image is for another operating system.
    #[error("the image is for {os}, and this daemon unpacks images for linux")]
    ForeignSystem {
        /// The system it is for.
        os: String,
    },
    /// There is no room for it, whatever it unpacks to.
    #[error("it needs {} at least, and {} are free on `{}`", binary_size(*.needed), binary_size(*.free), .root.display())]
    NoRoom {
        /// The bytes that its blobs and files take at least.
        needed: u64,
        /// The bytes that are free.
        free: u64,
        /// Where the store lies.
        root: PathBuf,
    },
    /// A layer could not be brought in.
    #[error("layer `{blob}`")]
    Layer {
        /// The layer.
        blob: BlobId,
        /// Why; shared by all pulls that waited for it.
        #[source]
        source: Arc<LayerError>,
    },
    /// The layers don't fit together.
    #[error("stack the layers")]
    Stack(#[from] StackError),
    /// The daemon stops.
    #[error("the daemon stops; what has come is kept")]
    Stopped,
    /// Somebody has ended it.
    #[error("the pull was cancelled; what has come is kept")]
    Cancelled,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A task of the daemon's own broke.
    #[error("an internal task failed")]
    Task(#[source] io::Error),
}

impl From<StackingError> for PullCause {
    fn from(error: StackingError) -> Self {
        match error {
            StackingError::Stack(error) => Self::Stack(error),
            StackingError::Store(error) => Self::Store(error),
        }
    }
}

/// Why a layer could not be brought in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// The registry doesn't send it.
    #[error("fetch, at byte {at} of {size}, after {tries} {}", if *.tries == 1 { "try" } else { "tries" })]
    Fetch {
        /// How many bytes have come.
        at: u64,
        /// How many there are.
        size: u64,
        /// How many tries in a row brought nothing.
        tries: u32,
        /// The last of them.
        #[source]
        source: RegistryError,
    },
    /// The connection ended before the blob did, again and again.
    #[error("fetch: the connection closed at byte {at} of {size}, after {tries} tries without progress")]
    Cut {
        /// How many bytes have come.
        at: u64,
        /// How many there are.
        size: u64,
        /// How many tries in a row brought nothing.
        tries: u32,
    },
    /// What is on the disk already can't be read: a bad sector, say.
    #[error("read what is on the disk already")]
    Reread(#[source] io::Error),
    /// The bytes aren't those of the blob.
    #[error("verify")]
    Verify(#[source] VerifyError),
    /// The bytes aren't those of the blob, whoever sends them.
    #[error("verify what {senders} sent")]
    Corrupt {
        /// Who sent the last of them.
        senders: String,
        /// How they differ.
        #[source]
        source: VerifyError,
    },
    /// The tar isn't the one that the image's config names.
    #[error("verify the unpacked layer: the config of the image names another one")]
    WrongDiff(#[source] VerifyError),
    /// The bytes can't be decompressed.
    #[error("decompress")]
    Decompress(#[source] io::Error),
    /// The tar can't be unpacked.
    #[error("unpack")]
    Unpack(#[source] UnpackError),
    /// The store failed.
    #[error("store")]
    Store(#[source] StoreError),
    /// Everybody who wanted it has left, or the daemon stops.
    #[error("stopped; what has come is kept")]
    Cancelled,
    /// A thread of the daemon's own broke.
    #[error("an internal task failed")]
    Task(#[source] io::Error),
}

impl PullError {
    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        match &*self.cause {
            PullCause::Registry(error) => registry_kind(error),
            PullCause::Document(DocumentError::NoPlatform { .. }) => Kind::NotFound,
            PullCause::Document(_)
            | PullCause::TooDeep { .. }
            | PullCause::Size { .. }
            | PullCause::ForeignSystem { .. } => Kind::Corrupt,
            PullCause::Layer { source, .. } => source.kind(),
            PullCause::NoRoom { .. } => Kind::NoSpace,
            PullCause::Stopped | PullCause::Cancelled => Kind::Cancelled,
            PullCause::Store(error) => store_kind(error),
            PullCause::Stack(error) => stack_kind(error),
            PullCause::Task(_) => Kind::Internal,
        }
    }

    /// What the user can do.
    pub fn hint(&self) -> Option<String> {
        match &*self.cause {
            PullCause::Registry(error) => error.hint(),
            PullCause::Store(StoreError::InUse(_)) => Some(UNMOUNT.to_owned()),
            PullCause::Document(error) => error.hint(),
            PullCause::Layer { source, .. } => source.hint(),
            _ if self.kind() == Kind::NoSpace => Some(MAKE_ROOM.to_owned()),
            PullCause::Store(error) => error.hint(),
            _ => None,
        }
    }
}

impl PullCause {
    /// Whether the disk is full.
    pub(crate) fn is_no_space(&self) -> bool {
        match self {
            Self::Layer { source, .. } => source.kind() == Kind::NoSpace,
            Self::Store(error) => store_kind(error) == Kind::NoSpace,
            Self::Stack(error) => stack_kind(error) == Kind::NoSpace,
            _ => false,
        }
    }
}

/// What a caller can do about layers that can't be a stack.
pub(crate) fn stack_kind(error: &StackError) -> Kind {
    match error {
        StackError::DanglingLink { .. } | StackError::LinkToFolder { .. } => Kind::Corrupt,
        error => error.io().map_or(Kind::Internal, io_kind),
    }
}

const MAKE_ROOM: &str = "make room where the store lies, and pull again";
const UNMOUNT: &str = "unmount the images that have it (`layer mounts` lists them), and try again";
const PULL_AGAIN: &str = "pull again: what has come is kept, and it goes on from there";

impl LayerError {
    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Fetch { source, .. } => registry_kind(source),
            Self::Cut { .. } => Kind::Unavailable,
            Self::Reread(_) | Self::Verify(_) | Self::Corrupt { .. } | Self::WrongDiff(_) | Self::Decompress(_) => {
                Kind::Corrupt
            }
            Self::Unpack(error) => match error.io() {
                Some(error) => io_kind(error),
                None => Kind::Corrupt,
            },
            Self::Store(error) => store_kind(error),
            Self::Cancelled => Kind::Cancelled,
            Self::Task(_) => Kind::Internal,
        }
    }

    /// What the user can do.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Fetch { source, .. } => return source.hint().or_else(|| Some(PULL_AGAIN.to_owned())),
            Self::Cut { .. } | Self::Cancelled => PULL_AGAIN,
            Self::Store(StoreError::InUse(_)) => UNMOUNT,
            Self::Verify(_) | Self::Corrupt { .. } => {
                "the layer was fetched twice: the registry, or something on the way to it, changes bytes"
            }
            _ if self.kind() == Kind::NoSpace => MAKE_ROOM,
            Self::Unpack(error) => error.io().and_then(layer_store::disk_hint)?,
            Self::Store(error) => return error.hint(),
            _ => return None,
        };
        Some(text.to_owned())
    }

    /// Whether only the form is to blame that the layer was to be kept in.
    pub(crate) fn is_unfit(&self) -> bool {
        matches!(self, Self::Unpack(UnpackError::Unfit { .. }))
    }

    /// The same error, with those who sent the wrong bytes.
    pub(crate) fn sent_by(self, senders: String) -> Self {
        match self {
            Self::Verify(source) => Self::Corrupt { senders, source },
            other => other,
        }
    }

    /// Whether the failure is that of whoever asked: another one's login may fare better.
    pub(crate) fn depends_on_asker(&self) -> bool {
        matches!(self.kind(), Kind::Unauthorized | Kind::Denied | Kind::NotFound)
    }
}

impl From<&RegistryError> for Kind {
    fn from(error: &RegistryError) -> Self {
        registry_kind(error)
    }
}

pub(crate) fn registry_kind(error: &RegistryError) -> Kind {
    use layer_registry::Kind as Registry;
    match error.kind() {
        Registry::NotFound => Kind::NotFound,
        Registry::Unauthorized => Kind::Unauthorized,
        Registry::Denied => Kind::Denied,
        Registry::RateLimited => Kind::RateLimited,
        Registry::Corrupt | Registry::Invalid | Registry::Range => Kind::Corrupt,
        Registry::Settings => Kind::Internal,
        // Unavailable, Network, Timeout, Tls, and what may be added: the way to the registry.
        _ => Kind::Unavailable,
    }
}

pub(crate) fn store_kind(error: &StoreError) -> Kind {
    match error {
        StoreError::InUse(_) => Kind::Conflict,
        _ => error.io_error().map_or(Kind::Internal, io_kind),
    }
}

pub(crate) fn io_kind(error: &io::Error) -> Kind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::NoSpace,
        _ => Kind::Internal,
    }
}
