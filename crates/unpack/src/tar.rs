//! The tar reader: a stream of bytes becomes a stream of entries.
//!
//! The block layout comes from tokio-tar's header types. The walk over the blocks is our own, because a layer must be read the one way on
//! which GNU tar and Go, in which the other engines are written, agree, and refused where they don't: see
//! docs/decisions/0002-tar-reader.md. In short:
//!
//! - a PAX size wins over the header's, and two sizes that differ are refused; so is data behind what is no file;
//! - PAX and GNU records describe the next entry proper, each thing once; global PAX headers are checked for their form, otherwise skipped,
//!   and refused where they stand between a record and its entry;
//! - all records of an entry together take at most 1 MiB, a sparse map at most 262,144 pieces;
//! - a sparse map is in order, adds up, reaches to the end, and lies on whole blocks, since readers differ on what follows a broken one;
//! - names and link targets aren't empty, hold no NUL, and tell a folder from a file no differently than the type does;
//! - numbers are range-checked where they are read, and have one meaning.

mod blocks;
mod error;
mod field;
mod pax;
mod reader;
mod sparse;

pub(crate) use error::Shown;
pub use error::TarError;
pub use reader::{Entry, Kind, Reader};
pub use sparse::Segment;

/// A moment: seconds since 1970, which may be negative, and nanoseconds after that second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// Seconds since the epoch.
    pub seconds: i64,
    /// Nanoseconds, under a thousand million.
    pub nanos: u32,
}
