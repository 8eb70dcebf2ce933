//! Why something could not be pushed.

use std::io;

use layer_digest::Digest;

use crate::context::Context;
use crate::error::RegistryError;

/// Why a registry did not take a blob or a manifest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// The registry refused, or can't be reached.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The registry, or the way to it, failed again and again.
    #[error("at byte {at} of {size}, after {tries} {}", if *.tries == 1 { "try" } else { "tries" })]
    GivenUp {
        /// How many bytes the registry has, as far as it told.
        at: u64,
        /// How many there are.
        size: u64,
        /// How many tries in a row brought nothing.
        tries: u32,
        /// The last of them.
        #[source]
        source: RegistryError,
    },
    /// The registry got all of it, and says that it is something else.
    #[error(transparent)]
    Rejected(RegistryError),
    /// What is to be sent can't be read.
    #[error("read what is to be sent")]
    Source(#[source] io::Error),
    /// The registry has kept it under another name.
    #[error("{} says that {} is `{stored}`, and it is `{pushed}`", .context.peer, .context.asked)]
    Misnamed {
        /// What was pushed where.
        context: Box<Context>,
        /// The digest that the registry answers with.
        stored: Digest,
        /// The digest of what was sent.
        pushed: Digest,
    },
}

impl UploadError {
    /// The registry's part in it, if it had one.
    pub fn registry(&self) -> Option<&RegistryError> {
        match self {
            Self::Registry(error) | Self::Rejected(error) | Self::GivenUp { source: error, .. } => Some(error),
            Self::Source(_) | Self::Misnamed { .. } => None,
        }
    }
}
