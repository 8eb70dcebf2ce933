//! Pulls against a registry in the process, through the public API alone.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod archive;
mod cancel;
mod early;
mod faults;
mod import;
mod load;
mod load_hostile;
mod mirrors;
mod push;
mod push_faults;
mod ranges;
mod resolve;
mod save;
mod setup;
mod sharing;
