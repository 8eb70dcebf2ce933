//! The stack as it will look, without mounting it; and what the single layers could not say.
//!
//! A layer is a folder in the form of overlayfs: a whiteout is a character device 0/0, an opaque folder has `trusted.overlay.opaque` = `y`, and
//! a folder that holds whiteouts should have an empty `trusted.overlay.origin`: without it the kernel lists the whiteouts by name wherever
//! that folder merges with no other.
//!
//! [`Stack`] looks paths up by the rules of the kernel, with one of our own: a layer whose **root** is opaque hides all layers below it
//! (overlayfs ignores the mark there, so [`mount`](crate::mount) leaves those layers out).
//!
//! Layers are unpacked one by one, in any order, each into a folder of its own. Three things depend on the layers below: where a path leads
//! whose folder is a symbolic link there ([`reroute()`]), the looks of a folder that a layer only implies, and a hard link to a file of another
//! layer. [`close_gaps`] puts the latter two into one thin layer on top of them all.

mod error;
mod files;
mod gaps;
mod layers;
mod path;
mod reroute;
mod thin;
mod view;

pub use error::StackError;
pub use gaps::{Closed, ForeignLink, Gaps, close_gaps};
pub use layers::{Found, Stack};
pub use reroute::{StackLayer, reroute};

pub(crate) use layers::has_opaque_mark;
