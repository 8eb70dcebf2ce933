//! What stands where on the disk. All numbers are little-endian.

use crate::attributes::Attributes;
use crate::tree::{Kind, Looks};

/// The size of a block. Linux reads blocks that are smaller than its pages since 6.4.
pub const BLOCK: u64 = BLOCK_LEN as u64;

/// How many bytes are before what the image's maker puts there: a page, of which one block is the superblock's.
pub const HEAD: u64 = HEAD_LEN as u64;

pub(crate) const HEAD_LEN: usize = 4096;

pub(crate) const BLOCK_LEN: usize = 512;

/// Where the superblock lies.
pub(crate) const SUPERBLOCK: usize = 1024;

/// Inodes are counted by slots of this size.
pub(crate) const SLOT: u64 = 32;

/// The size of an extended inode.
pub(crate) const INODE: u64 = INODE_LEN as u64;

const INODE_LEN: usize = 64;

/// What stands in a list of chunks for a hole.
pub(crate) const HOLE: u32 = u32::MAX;

/// The size of a name's record in a folder.
pub(crate) const RECORD: usize = 12;

/// How the data of an inode lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    /// In blocks that begin with this one.
    Plain(u32),
    /// Behind the inode.
    Inline,
    /// In chunks, whose first blocks are listed behind the inode; their size as a power of two.
    Chunks(u32),
    /// There are none, but the number of a device, or nothing.
    Device(u32),
}

/// An inode as it is written.
pub(crate) struct Inode<'a> {
    pub(crate) looks: Looks,
    pub(crate) format: Format,
    pub(crate) size: u64,
    pub(crate) data: Data,
    /// The number that programs of 32 bits see.
    pub(crate) number: u32,
    pub(crate) links: u32,
    pub(crate) attributes: Option<&'a Attributes>,
}

/// The kind of a thing: its bits in a mode, and its number in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) mode: u16,
    pub(crate) file_type: u8,
}

impl Format {
    pub(crate) const FOLDER: Self = Self { mode: 0o040_000, file_type: 2 };

    pub(crate) fn of(kind: &Kind) -> Self {
        let (mode, file_type) = match kind {
            Kind::Folder => return Self::FOLDER,
            Kind::File { .. } | Kind::Holed { .. } => (0o100_000, 1),
            Kind::Character { .. } => (0o020_000, 3),
            Kind::Block { .. } => (0o060_000, 4),
            Kind::Fifo => (0o010_000, 5),
            Kind::Symlink(_) => (0o120_000, 7),
        };
        Self { mode, file_type }
    }
}

impl Inode<'_> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let (layout, data) = match self.data {
            Data::Plain(block) => (0, block),
            Data::Inline => (2, 0),
            Data::Chunks(bits) => (4, bits - BLOCK.trailing_zeros()),
            Data::Device(number) => (0, number),
        };
        let format: u16 = 1 | layout << 1;
        out.extend_from_slice(&format.to_le_bytes());
        out.extend_from_slice(&self.attributes.map_or(0, Attributes::count).to_le_bytes());
        out.extend_from_slice(&(self.format.mode | self.looks.mode & 0o7777).to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&self.size.to_le_bytes());
        for number in [data, self.number, self.looks.uid, self.looks.gid] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.looks.seconds.to_le_bytes());
        out.extend_from_slice(&self.looks.nanos.to_le_bytes());
        out.extend_from_slice(&self.links.to_le_bytes());
        out.resize(start + INODE_LEN, 0);
        if let Some(attributes) = self.attributes {
            attributes.encode(out);
        }
    }
}

/// The number of a device as Linux writes it (`new_encode_dev`).
pub(crate) fn device(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major & 0xfff) << 8 | (minor & 0xf_ff00) << 12
}

/// What is said of an image as a whole.
pub(crate) struct Superblock {
    pub(crate) root: u16,
    pub(crate) inodes: u64,
    pub(crate) blocks: u32,
    pub(crate) first_block: u32,
    /// Whether a file is in chunks.
    pub(crate) has_chunks: bool,
    pub(crate) uuid: [u8; 16],
}

impl Superblock {
    pub(crate) fn encode(&self) -> [u8; HEAD_LEN] {
        const MAGIC: u32 = 0xe0f5_e1e2;
        /// Inodes have times.
        const HAS_TIMES: u32 = 2;
        const CHUNKED_FILE: u32 = 4;
        const BLOCK_BITS: u8 = 9;
        const { assert!(1 << BLOCK_BITS == BLOCK) };
        let mut head = [0; HEAD_LEN];
        let mut put = |at: usize, bytes: &[u8]| head[SUPERBLOCK + at..][..bytes.len()].copy_from_slice(bytes);
        put(0, &MAGIC.to_le_bytes());
        put(8, &HAS_TIMES.to_le_bytes());
        put(12, &[BLOCK_BITS]);
        put(14, &self.root.to_le_bytes());
        put(16, &self.inodes.to_le_bytes());
        put(36, &self.blocks.to_le_bytes());
        put(40, &self.first_block.to_le_bytes());
        put(48, &self.uuid);
        put(80, &if self.has_chunks { CHUNKED_FILE } else { 0 }.to_le_bytes());
        head
    }
}
