//! Layers: tar archives written byte by byte, and their compressed forms.
//!
//! The writer is deliberately able to write what no sane tool writes: wrong sizes and checksums, records that contradict the header, names that
//! climb out. It must never grow a reader; what it wrote is judged by other programs.

mod compression;
mod data;
mod entry;
mod from_disk;
mod header;
mod packed;
mod pax;
mod sparse;
mod writer;

pub use compression::Compression;
pub use data::{Data, noise};
pub use entry::Entry;
pub use header::{Header, RawHeader};
pub use packed::{Layer, Packing};
pub use sparse::SparseForm;
pub use writer::LayerBuilder;

#[cfg(test)]
mod tests;
