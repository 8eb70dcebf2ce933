//! What was asked of whom: the words that every error needs.

use std::fmt;
use std::sync::Arc;

use http::Method;
use layer_digest::Digest;

mod source;

pub use source::{Source, Sources};

use crate::host::Capabilities;
use crate::manifest::ManifestAt;

/// What was asked of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Context {
    /// The one who answered, or should have.
    pub peer: Peer,
    /// What was asked for.
    pub asked: Asked,
    /// The endpoint that was asked, whoever it sent us on to.
    pub source: Source,
    /// What came of the mirrors that were asked before, or were not: a sentence each.
    pub mirrors: Arc<[String]>,
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
    /// A host that the administrator has us ask in place of the registry.
    Mirror(String),
    /// A host to which the registry sent us on.
    Storage(String),
    /// The host that issues the registry's access tokens.
    TokenServer(String),
    /// No registry's: the host that an address names, or one to which it sent us on.
    Site(String),
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
    /// The root of the API, which answers those alone whose login is good.
    Root,
    /// The repositories that a search finds.
    Search {
        /// What is looked for.
        term: String,
    },
    /// What an address leads to, which need not be a registry's.
    Url {
        /// The address, without what may be secret in it.
        shown: String,
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
        } else if matches!(self.asked, Asked::Search { .. }) {
            format!("{} at {}", self.asked, self.peer)
        } else {
            format!("get {} from {}", self.asked, self.peer)
        }
    }
}

impl Context {
    /// What a registry is asked for.
    pub(crate) fn new(registry: &str, asked: Asked) -> Self {
        let peer = Peer { registry: registry.to_owned(), role: Role::Registry };
        let source = Source::new(registry.to_owned(), peer.clone(), false);
        Self { peer, asked, source, mirrors: Arc::default() }
    }
}

impl Asked {
    /// What a server must be good for to be asked this.
    pub(crate) fn needs(&self, method: &Method) -> Capabilities {
        match self {
            // What a tag stands for is a matter of trust; its content comes along when it is not only asked by HEAD.
            Self::Manifest { at: ManifestAt::Tag(_), .. } => {
                Capabilities { pull: method != Method::HEAD, resolve: true }
            }
            Self::Tags { .. } | Self::Search { .. } => Capabilities { pull: false, resolve: true },
            Self::Manifest { at: ManifestAt::Digest(_), .. }
            | Self::Blob { .. }
            | Self::Root
            | Self::Token { .. }
            | Self::Url { .. } => Capabilities { pull: true, resolve: false },
            // The registry itself takes what is pushed, and nobody else is asked.
            Self::PushBlob { .. } | Self::PushManifest { .. } | Self::PushToken { .. } => {
                Capabilities { pull: false, resolve: false }
            }
        }
    }
}

impl Peer {
    /// The host that is spoken to.
    pub(crate) fn host(&self) -> &str {
        match &self.role {
            Role::Registry => &self.registry,
            Role::Mirror(host) | Role::Storage(host) | Role::TokenServer(host) | Role::Site(host) => host,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.role {
            Role::Registry => write!(f, "registry `{}`", self.registry),
            Role::Mirror(host) => write!(f, "mirror `{host}` of registry `{}`", self.registry),
            Role::Storage(host) => write!(f, "storage `{host}` behind registry `{}`", self.registry),
            Role::TokenServer(host) => write!(f, "token server `{host}` of registry `{}`", self.registry),
            Role::Site(host) => write!(f, "`{host}`"),
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
            Self::Root => f.write_str("`/v2/`"),
            Self::Search { term } => write!(f, "search for `{term}`"),
            Self::Url { shown } => write!(f, "`{shown}`"),
            Self::Token { repository } => write!(f, "a token to read `{repository}`"),
            Self::PushBlob { repository, digest } => write!(f, "blob `{digest}` for `{repository}`"),
            Self::PushToken { repository } => write!(f, "a token to push to `{repository}`"),
        }
    }
}
