//! The documents of an image: index, manifest, config, and the platforms they speak of.
//!
//! Bytes come in, typed values come out, and whatever could mean two things is refused here by name: an index that is also a manifest, a
//! body that contradicts its content type, a list without end. Digests are parsed, sizes are bounded, `urls` and embedded `data` are
//! dropped. Unknown members are tolerated, so that documents of tomorrow still parse.
//!
//! This crate reads no network and no disk, and it must never write a document anew: the bytes that a registry served are what a digest
//! names, and whoever keeps an image keeps them beside these views.
//!
//! Spec: OCI image-spec 1.1; Docker image manifest V2 schema 2.

mod chain;
mod config;
mod descriptor;
mod document;
mod error;
mod index;
mod json;
mod manifest;
pub mod media_type;
mod platform;

pub use chain::{chain_id, chain_ids};
pub use config::{ContainerConfig, History, ImageConfig};
pub use descriptor::Descriptor;
pub use document::Document;
pub use error::{DocumentError, DocumentKind};
pub use index::{Choice, Index};
pub use manifest::{LayerKind, Manifest};
pub use platform::{ParsePlatformError, Platform};
