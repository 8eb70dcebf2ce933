//! File work relative to directory handles.
//!
//! Everything that the daemon does on disk goes through a [`Dir`]: an open folder from which names are resolved, so that no path string
//! built from foreign bytes ever reaches the kernel as an absolute path. Foreign paths are resolved by [`resolve`], which cannot leave the
//! folder it starts from, whatever links lie in it. Files appear whole or not at all, by themselves ([`Dir::write_atomic`]) or
//! with the folder they lie in ([`Dir::write_unseen`], [`Dir::publish`]).
//!
//! This crate knows nothing of images, and never follows a path out of its root.

mod atomic;
mod copy;
mod dir;
pub mod failpoint;
mod lock;
pub mod resolve;
mod tree;
mod usage;
mod writeback;
mod xattr;

pub use copy::{copy_entry, is_overlay_mark, times};
pub use dir::{Dir, FileKind, Name};
pub use lock::{Lock, LockError};
pub use tree::remove_tree;
pub use usage::{allocated, tree_allocated};
pub use writeback::start_writeback;
pub use xattr::{copy_xattrs, list_xattrs, list_xattrs_at};
