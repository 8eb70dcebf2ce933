//! Pulls against a registry in the process, through the public API alone.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod cancel;
mod early;
mod faults;
mod push;
mod push_faults;
mod resolve;
mod setup;
mod sharing;
