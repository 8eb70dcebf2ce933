//! The engine as a program would use it, against a registry in the process and the kernel's own overlay mounts.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod bundles;
mod images;
mod mounts;
mod prune;
mod setup;
mod trees;
mod verify;
