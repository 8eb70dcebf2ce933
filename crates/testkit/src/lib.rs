//! The kit that the tests and the demo are built with: layers, images, registries and the oracles they are compared with.
//!
//! It owns its own tar writer, its own manifests and its own digests. It must never use a crate of the product, or it could not contradict
//! one; and no crate of the product may depend on it.

pub mod clients;
mod content;
pub mod debian;
pub mod debian_images;
pub mod front;
pub mod http;
pub mod image;
pub mod layer;
pub mod link;
pub mod proxy;
pub mod registry;
pub mod tls;
pub mod token_server;
pub mod tree;
mod watched;

pub use content::{Blob, Content, sha256};
