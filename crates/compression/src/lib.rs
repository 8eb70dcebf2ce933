//! Decompression of layers, as a blocking stream.
//!
//! What a layer is compressed with is told by its first bytes, not by its media type: registries hold layers whose label is wrong, and every
//! client reads them. [`Decoder`] covers what occurs in the field: gzip of several members (stargz, pigz) and with zero padding behind it,
//! zstd of several frames with skippable ones between, and plain tar. Archives that hold images also come in xz and bzip2.
//!
//! The codecs are those of async-compression, polled on the calling thread: their input here never has to be waited for asynchronously, so
//! that no runtime is involved and no byte changes threads. This crate touches neither files nor sockets, and bounds what a stream may make
//! it hold: a window of 128 MiB for zstd, 128 MiB in all for xz, 32 KiB for gzip.

mod blocking;
mod decoder;
mod format;

pub use decoder::Decoder;
pub use format::Compression;
