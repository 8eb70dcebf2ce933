//! The compressed forms of a layer that registries serve, the odd ones included.

use std::io::{self, Read, Write};

use flate2::write::GzEncoder;

use super::Packing;

/// How a tar is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Plain,
    /// One gzip member.
    Gzip,
    /// This many gzip members, one behind the other, as `pigz -i`, eStargz and bgzip write.
    GzipMembers(usize),
    /// One gzip member and this many zero bytes behind it.
    GzipThenZeroes(usize),
    /// One zstd frame.
    Zstd,
    /// This many zstd frames, with a skippable frame before each and behind the last, as zstd:chunked writes.
    ZstdFrames(usize),
}

impl Compression {
    /// The family that names the media type.
    pub fn packing(self) -> Packing {
        match self {
            Self::Plain => Packing::Plain,
            Self::Gzip | Self::GzipMembers(_) | Self::GzipThenZeroes(_) => Packing::Gzip,
            Self::Zstd | Self::ZstdFrames(_) => Packing::Zstd,
        }
    }

    /// Packs `len` bytes of `tar` into `out`, streaming.
    pub(super) fn pack(self, tar: &mut dyn Read, len: u64, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Plain => io::copy(tar, out).map(drop),
            Self::Gzip => gzip(tar, out),
            Self::GzipMembers(count) => pieces(tar, len, count, |piece| gzip(piece, out)),
            Self::GzipThenZeroes(count) => {
                gzip(tar, out)?;
                out.write_all(&vec![0; count])
            }
            Self::Zstd => zstd(tar, out),
            Self::ZstdFrames(count) => {
                pieces(tar, len, count, |piece| {
                    out.write_all(SKIPPABLE)?;
                    zstd(piece, out)
                })?;
                out.write_all(SKIPPABLE)
            }
        }
    }
}

/// A frame that every zstd decoder jumps over: magic, length 5, five bytes.
const SKIPPABLE: &[u8] = b"\x50\x2a\x4d\x18\x05\x00\x00\x00stamp";

fn pieces(
    tar: &mut dyn Read,
    len: u64,
    count: usize,
    mut pack: impl FnMut(&mut dyn Read) -> io::Result<()>,
) -> io::Result<()> {
    let count = count.max(1) as u64;
    for index in 0..count {
        let size = len * (index + 1) / count - len * index / count;
        pack(&mut Read::take(&mut *tar, size))?;
    }
    Ok(())
}

fn gzip(tar: &mut dyn Read, out: &mut dyn Write) -> io::Result<()> {
    let mut encoder = GzEncoder::new(out, flate2::Compression::fast());
    io::copy(tar, &mut encoder)?;
    encoder.finish().map(drop)
}

fn zstd(tar: &mut dyn Read, out: &mut dyn Write) -> io::Result<()> {
    let mut encoder = zstd::Encoder::new(out, 1)?;
    io::copy(tar, &mut encoder)?;
    encoder.finish().map(drop)
}
