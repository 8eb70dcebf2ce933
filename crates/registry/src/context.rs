//! What was asked of whom: the words that every error needs.

use std::fmt;

use layer_digest::Digest;

use crate::manifest::ManifestAt;

/// What was asked of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Context {
    /// The one who answered, or should have.
    pub peer: Peer,
    /// What was asked for.
    pub asked: Asked,
}

/// The one who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// The registry, as `host` or `host:port`.
    pub registry: String,
    /// What it is to that registry.
    pub role: Role,
}

/// What a server is to a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// The registry itself.
    Registry,
    /// A host to which the registry sent us on.
    Storage(String),
    /// The host that issues the registry's access tokens.
    TokenServer(String),
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Asked {
    /// A manifest or index.
    Manifest {
        /// The repository's path.
        repository: String,
        /// Its name in the repository.
        at: ManifestAt,
    },
    /// A layer or config.
    Blob {
        /// The repository's path.
        repository: String,
        /// Its name in the repository.
        digest: Digest,
    },
    /// The list of tags.
    Tags {
        /// The repository's path.
        repository: String,
    },
    /// The right to read.
    Token {
        /// The repository's path.
        repository: String,
    },
    /// That a layer or config be taken.
    PushBlob {
        /// The repository's path.
        repository: String,
        /// Its name in the repository.
        digest: Digest,
    },
    /// That a manifest or index be taken.
    PushManifest {
        /// The repository's path.
        repository: String,
        /// Its name in the repository.
        at: ManifestAt,
    },
    /// The right to read and to write.
    PushToken {
        /// The repository's path.
        repository: String,
    },
}

impl Asked {
    /// Whether the registry is to take something, not to send it.
    pub(crate) fn is_push(&self) -> bool {
        matches!(self, Self::PushBlob { .. } | Self::PushManifest { .. })
    }
}

impl Context {
    /// What was tried, behind "cannot".
    pub(crate) fn deed(&self) -> String {
        if self.asked.is_push() {
            format!("push {} to {}", self.asked, self.peer)
        } else {
            format!("get {} from {}", self.asked, self.peer)
        }
    }
}

impl Peer {
    /// The host that is spoken to.
    pub(crate) fn host(&self) -> &str {
        match &self.role {
            Role::Registry => &self.registry,
            Role::Storage(host) | Role::TokenServer(host) => host,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.role {
            Role::Registry => write!(f, "registry `{}`", self.registry),
            Role::Storage(host) => write!(f, "storage `{host}` behind registry `{}`", self.registry),
            Role::TokenServer(host) => write!(f, "token server `{host}` of registry `{}`", self.registry),
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest { repository, at } | Self::PushManifest { repository, at } => match at {
                ManifestAt::Tag(tag) => write!(f, "manifest `{repository}:{tag}`"),
                ManifestAt::Digest(digest) => write!(f, "manifest `{repository}@{digest}`"),
            },
            Self::Blob { repository, digest } => write!(f, "blob `{digest}` of `{repository}`"),
            Self::Tags { repository } => write!(f, "the tags of `{repository}`"),
            Self::Token { repository } => write!(f, "a token to read `{repository}`"),
            Self::PushBlob { repository, digest } => write!(f, "blob `{digest}` for `{repository}`"),
            Self::PushToken { repository } => write!(f, "a token to push to `{repository}`"),
        }
    }
}
