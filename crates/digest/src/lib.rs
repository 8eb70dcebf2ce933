//! Digests: how everything in a store of images is named and proven.
//!
//! This crate owns the text form of a digest (`sha256:<hex>`), the typed identities made of it, and the one way to get a [`Verified`] value:
//! to hash all of the bytes and compare. It reads no files and opens no sockets; bytes come in, proof comes out.
//!
//! Digests are parsed once, where text enters the program. Nothing else may make a path or a URL out of one.

mod digest;
mod id;
mod verify;

pub use digest::{Algorithm, Digest, Hasher, ParseDigestError};
pub use id::{BlobId, ChainId, DiffId, ImageId};
pub use verify::{Verified, Verifier, VerifyError};
