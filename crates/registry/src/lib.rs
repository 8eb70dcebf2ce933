//! The client side of the distribution protocol: manifests, blobs and tags from any registry and to it, over HTTP.
//!
//! This crate owns the conversation with registries: addresses, TLS, credentials and access tokens, redirects, time limits, retries of short
//! documents, and the words in which it all fails. It keeps nothing on disk, and knows neither the store nor images: what it returns are bytes,
//! proven where they are short enough to be held, and a stream where they are not.
//!
//! It must never show a credential to anyone but the one it is for, never hold an answer of unbounded size, and never wait for ever.

mod auth;
mod blob;
mod body;
mod client;
mod context;
mod download;
mod error;
mod host;
mod login;
mod manifest;
mod manifest_put;
mod redirect;
mod retry;
mod search;
mod tags;
mod transport;
mod upload;

pub use auth::{Credentials, RealmError, Secret};
pub use blob::BlobBody;
pub use client::{Chunks, Client, Options, PushClient, RepositoryClient};
pub use context::{Asked, Context, Peer, Role, Source, Sources};
pub use download::Download;
pub use error::{Kind, NetworkError, Refusal, RegistryError, Reply, SetupError};
pub use host::{HostConfigError, InsecureHost, MirrorUrl, ParseInsecureHostError, ParseMirrorError};
pub use login::Login;
pub use manifest::{FetchedManifest, ManifestAt, ManifestHead};
pub use manifest_put::ManifestToPush;
pub use redirect::RedirectError;
pub use retry::{Retry, RetryPolicy};
pub use search::{FoundRepository, SearchRequest};
pub use transport::{ParseProxyError, Proxies, ProxyUrl};
pub use upload::{BlobSource, BlobToPush, PushedBlob, UploadError, UploadProgress};
