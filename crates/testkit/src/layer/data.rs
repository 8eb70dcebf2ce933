//! Content of files that need not be in memory.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

/// The content of a file, made when it is written.
#[derive(Clone, Debug)]
pub enum Data {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The same byte over and over: packs to almost nothing.
    Fill {
        /// The byte.
        byte: u8,
        /// How often.
        len: u64,
    },
    /// Bytes that don't compress, the same for the same seed; see [`noise`].
    Noise {
        /// Chooses the bytes.
        seed: u64,
        /// How many.
        len: u64,
    },
    /// The first `len` bytes of a file of this machine.
    File {
        /// The file.
        path: PathBuf,
        /// How many bytes of it.
        len: u64,
    },
}

impl Data {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Fill { len, .. } | Self::Noise { len, .. } | Self::File { len, .. } => *len,
        }
    }

    pub(super) fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => out.write_all(bytes),
            Self::Fill { byte, len } => copy_exactly(&mut io::repeat(*byte), *len, out),
            Self::Noise { seed, len } => copy_exactly(&mut Noise::new(*seed), *len, out),
            Self::File { path, len } => {
                let named = |source: io::Error| io::Error::new(source.kind(), format!("{}: {source}", path.display()));
                copy_exactly(&mut File::open(path).map_err(named)?, *len, out).map_err(named)
            }
        }
    }
}

fn copy_exactly(from: &mut impl Read, len: u64, out: &mut impl Write) -> io::Result<()> {
    let copied = io::copy(&mut from.take(len), out)?;
    if copied == len { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// `len` bytes that don't compress and are the same for the same seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Noise::new(seed).fill(&mut bytes);
    bytes
}

/// A xorshift generator read as a stream.
pub(super) struct Noise {
    state: u64,
    left: [u8; 8],
    used: usize,
}

impl Noise {
    pub(super) fn new(seed: u64) -> Self {
        // A state of zero would stay zero; the odd constant spreads neighbouring seeds.
        Self { state: seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, left: [0; 8], used: 8 }
    }

    fn next(&mut self) -> [u8; 8] {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state.to_le_bytes()
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        let (left, rest) = bytes.split_at_mut(bytes.len().min(8 - self.used));
        left.copy_from_slice(&self.left[self.used..self.used + left.len()]);
        self.used += left.len();
        let mut words = rest.chunks_exact_mut(8);
        for word in &mut words {
            word.copy_from_slice(&self.next());
        }
        let end = words.into_remainder();
        if !end.is_empty() {
            self.left = self.next();
            end.copy_from_slice(&self.left[..end.len()]);
            self.used = end.len();
        }
    }
}

impl Read for Noise {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.fill(into);
        Ok(into.len())
    }
}
