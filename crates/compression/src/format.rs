//! Telling formats apart.

use std::fmt;

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// The `.xz` format of XZ Utils. Archives come in it, layers don't.
    Xz,
    /// The format of `bzip2`. Archives come in it, layers don't.
    Bzip2,
}

impl Compression {
    /// How many bytes [`Compression::sniff`] wants to see.
    pub const SNIFF_LEN: usize = 4;

    /// Tells the format by the first bytes of a stream. What begins like neither gzip nor zstd is taken for a tar.
    pub fn sniff(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or a skippable frame in front of one.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }

    /// Tells the format of an archive by its first bytes: those of layers, and what else people pack files with.
    pub fn sniff_archive(start: &[u8]) -> Self {
        match start {
            [0xfd, b'7', b'z', b'X', ..] => Self::Xz,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            _ => Self::sniff(start),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "tar",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
        })
    }
}
