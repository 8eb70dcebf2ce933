//! Pulls against a registry in the process, through the public API alone.

mod cancel;
mod faults;
mod resolve;
mod setup;
mod sharing;
