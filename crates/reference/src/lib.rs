//! Image names as Docker writes them: parse, normalise, print.
//!
//! A name is parsed once, where text enters the program; from then on it travels as a [`Reference`] (or a [`Repository`], when neither tag
//! nor digest matters), whose parts are known to be well formed and whose domain is always written out. This crate asks nobody whether
//! a name exists, and must never map one host to another: where `docker.io` really lives is the registry client's business.
//!
//! Spec: the grammar of the reference library of the distribution project, spelled out in `grammar.rs`.

mod error;
mod grammar;
mod reference;
mod repository;

pub use error::ParseReferenceError;
pub use reference::Reference;
pub use repository::Repository;
