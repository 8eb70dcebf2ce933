//! Where everything of an index lies, and writing it there.
//!
//! Inodes come first, a folder's together, each on a boundary of its own size; small folders and links have their data right behind their inode, where
//! they must not reach into the next block. Behind the inodes are the folders and links that are larger.

use std::collections::VecDeque;
use std::io::{self, Write};

use crate::format::{BLOCK, BLOCK_LEN, Data, Format, HEAD_LEN, HOLE, INODE, Inode, RECORD, SLOT, Superblock, device};
use crate::tree::{Folder, Is, Kind, Node, NodeId, Tree};

/// How much is collected before it is written.
const BATCH: usize = 256 << 10;

/// Why an index can't be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// An image has at most 2^32 blocks: 2 TiB.
    #[error("an EROFS image of more than 2 TiB")]
    TooLarge,
    /// The disk refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The first [`HEAD`](crate::HEAD) bytes of an image, but for its UUID.
#[derive(Debug)]
pub struct Head {
    root: u16,
    inodes: u64,
    blocks: u32,
    first_block: u32,
    has_chunks: bool,
}

impl Head {
    /// The bytes. Images with the same UUID are one and the same to some programs.
    pub fn with_uuid(&self, uuid: [u8; 16]) -> [u8; HEAD_LEN] {
        let Self { root, inodes, blocks, first_block, has_chunks } = *self;
        Superblock { root, inodes, blocks, first_block, has_chunks, uuid }.encode()
    }
}

/// Where a node lies.
#[derive(Clone, Copy, Default)]
struct Place {
    /// The number of its slot; 0 until it has one, which nothing gets.
    slot: u32,
    /// The first of its blocks, counted from behind the inodes; `None` when its data are inline or elsewhere.
    block: Option<u32>,
}

struct Layout<'a> {
    tree: &'a Tree,
    places: Vec<Place>,
    /// The nodes in the order of their slots.
    order: Vec<NodeId>,
    /// The bytes of all inodes, and the blocks behind them.
    inode_bytes: u64,
    blocks: u64,
    has_chunks: bool,
}

impl Tree {
    /// Writes the index of the tree, which begins at byte `start` of the image, a multiple of [`BLOCK`].
    ///
    /// # Errors
    ///
    /// When the image is too large, or `out` fails.
    pub fn write(&self, start: u64, out: &mut impl Write) -> Result<Head, WriteError> {
        let layout = Layout::of(self)?;
        let small = |blocks: u64| u32::try_from(blocks).map_err(|_| WriteError::TooLarge);
        let first_block = small(start / BLOCK)?;
        let behind = start / BLOCK + layout.inode_bytes / BLOCK;
        let blocks = small(behind + layout.blocks)?;
        let mut out = Batches { out, bytes: Vec::with_capacity(BATCH + BLOCK_LEN), written: 0 };
        layout.write_inodes(&mut out, behind)?;
        layout.write_blocks(&mut out)?;
        out.flush()?;
        debug_assert_eq!(out.written, (layout.inode_bytes + layout.blocks * BLOCK));
        let root = layout.slot(Self::ROOT);
        // The root is the first of them.
        let root = u16::try_from(root).map_err(|_| WriteError::TooLarge)?;
        let (inodes, has_chunks) = (layout.order.len() as u64, layout.has_chunks);
        Ok(Head { root, inodes, blocks, first_block, has_chunks })
    }
}

impl<'a> Layout<'a> {
    /// Finds a place for everything, folder by folder.
    fn of(tree: &'a Tree) -> Result<Self, WriteError> {
        let mut layout = Self {
            tree,
            places: vec![Place::default(); tree.capacity()],
            order: Vec::with_capacity(tree.capacity()),
            // Nothing lies at slot 0: its number would be no inode's to those who list folders.
            inode_bytes: INODE,
            blocks: 0,
            has_chunks: false,
        };
        layout.place(Tree::ROOT)?;
        let mut folders = VecDeque::from([Tree::ROOT]);
        while let Some(folder) = folders.pop_front() {
            for (_, child) in tree.children(folder) {
                if layout.slot(child) == 0 {
                    layout.place(child)?;
                }
                if tree.is_folder(child) {
                    folders.push_back(child);
                }
            }
        }
        layout.inode_bytes = layout.inode_bytes.next_multiple_of(BLOCK);
        Ok(layout)
    }

    fn place(&mut self, id: NodeId) -> Result<(), WriteError> {
        let node = self.tree.node(id);
        let own = INODE + node.attributes.as_ref().map_or(0, |attributes| attributes.size() as u64);
        let tail = match &node.is {
            Is::Folder(folder) => folder_size(folder),
            Is::Other(Kind::Symlink(target)) => target.len() as u64,
            Is::Other(_) => 0,
        };
        // A list of chunks may go on in the next block.
        let listed = match &node.is {
            Is::Other(Kind::Holed { start, size, holes }) => {
                let end = start.checked_add(*size).filter(|end| end / BLOCK < u64::from(HOLE));
                end.ok_or(WriteError::TooLarge)?;
                self.has_chunks = true;
                (holes.filled().len() * size_of::<u32>()) as u64
            }
            _ => 0,
        };
        let mut at = self.inode_bytes.next_multiple_of(INODE);
        let fits = |at: u64| tail < BLOCK && (at + own) % BLOCK + tail <= BLOCK;
        let mut block = None;
        let mut len = own + tail + listed;
        if !fits(at) {
            let aligned = at.next_multiple_of(BLOCK);
            if fits(aligned) {
                at = aligned;
            } else {
                block = Some(u32::try_from(self.blocks).map_err(|_| WriteError::TooLarge)?);
                self.blocks += tail.div_ceil(BLOCK);
                len = own;
            }
        }
        let slot = u32::try_from(at / SLOT).map_err(|_| WriteError::TooLarge)?;
        self.places[id.index()] = Place { slot, block };
        self.order.push(id);
        self.inode_bytes = at + len;
        Ok(())
    }

    fn slot(&self, id: NodeId) -> u32 {
        self.places[id.index()].slot
    }

    /// `behind` is the number of the block behind the inodes.
    fn write_inodes(&self, out: &mut Batches<'_, impl Write>, behind: u64) -> Result<(), WriteError> {
        for &id in &self.order {
            let node = self.tree.node(id);
            let Place { slot, block } = self.places[id.index()];
            out.pad_to(u64::from(slot) * SLOT)?;
            let block = block.map(|block| u32::try_from(behind + u64::from(block)));
            let block = block.transpose().map_err(|_| WriteError::TooLarge)?;
            self.inode(node, slot, block)?.encode(&mut out.bytes);
            if block.is_none() {
                self.tail(id, node, &mut out.bytes);
            }
            out.pass_on()?;
        }
        out.pad_to(self.inode_bytes)
    }

    fn inode<'n>(&self, node: &'n Node, slot: u32, block: Option<u32>) -> Result<Inode<'n>, WriteError> {
        let of_tail = block.map_or(Data::Inline, Data::Plain);
        let (format, size, data, links) = match &node.is {
            Is::Folder(folder) => {
                let folders = folder.children.values().filter(|child| self.tree.is_folder(**child)).count();
                let links = u32::try_from(folders).unwrap_or(u32::MAX).saturating_add(2);
                (Format::FOLDER, folder_size(folder), of_tail, links)
            }
            Is::Other(kind) => {
                let (size, data) = match kind {
                    Kind::Symlink(target) => (target.len() as u64, of_tail),
                    Kind::File { size: 0, .. } | Kind::Fifo | Kind::Folder => (0, Data::Device(0)),
                    Kind::File { start, size } => {
                        (*size, Data::Plain(u32::try_from(start / BLOCK).map_err(|_| WriteError::TooLarge)?))
                    }
                    Kind::Holed { size, holes, .. } => (*size, Data::Chunks(holes.bits())),
                    Kind::Character { major, minor } | Kind::Block { major, minor } => {
                        (0, Data::Device(device(*major, *minor)))
                    }
                };
                (Format::of(kind), size, data, node.names)
            }
        };
        let attributes = node.attributes.as_deref();
        Ok(Inode { looks: node.looks, format, size, data, number: slot, links, attributes })
    }

    fn write_blocks(&self, out: &mut Batches<'_, impl Write>) -> Result<(), WriteError> {
        for &id in &self.order {
            if self.places[id.index()].block.is_some() {
                match &self.tree.node(id).is {
                    Is::Folder(folder) => {
                        for block in blocks(folder) {
                            self.folder_block(id, folder, &block, &mut out.bytes);
                            out.pad_to(out.position().next_multiple_of(BLOCK))?;
                            out.pass_on()?;
                        }
                    }
                    Is::Other(_) => self.tail(id, self.tree.node(id), &mut out.bytes),
                }
                out.pad_to(out.position().next_multiple_of(BLOCK))?;
                out.pass_on()?;
            }
        }
        Ok(())
    }

    /// The data of a folder or a symbolic link, or where those of a file are.
    fn tail(&self, id: NodeId, node: &Node, out: &mut Vec<u8>) {
        match &node.is {
            // What lies behind an inode is less than a block.
            Is::Folder(folder) => blocks(folder).for_each(|block| self.folder_block(id, folder, &block, out)),
            Is::Other(Kind::Symlink(target)) => out.extend_from_slice(target),
            Is::Other(Kind::Holed { start, holes, .. }) => {
                for (number, is_filled) in holes.filled().iter().enumerate() {
                    let block = (start + ((number as u64) << holes.bits())) / BLOCK;
                    // `place` has seen to it that the last block has a number.
                    let block = if *is_filled { u32::try_from(block).unwrap_or(HOLE) } else { HOLE };
                    out.extend_from_slice(&block.to_le_bytes());
                }
            }
            Is::Other(_) => {}
        }
    }

    /// A block of the names of a folder: records of one size first, then the names.
    fn folder_block(&self, id: NodeId, folder: &Folder, block: &[Name<'_>], out: &mut Vec<u8>) {
        let mut name_at = block.len() * RECORD;
        for name in block {
            let (node, file_type) = match name {
                Name::Own => (id, Format::FOLDER.file_type),
                Name::Above => (folder.parent, Format::FOLDER.file_type),
                Name::Child(_, child) => (*child, self.file_type(*child)),
            };
            out.extend_from_slice(&u64::from(self.slot(node)).to_le_bytes());
            out.extend_from_slice(&u16::try_from(name_at).unwrap_or(u16::MAX).to_le_bytes());
            out.extend_from_slice(&[file_type, 0]);
            name_at += name.bytes().len();
        }
        block.iter().for_each(|name| out.extend_from_slice(name.bytes()));
    }

    fn file_type(&self, id: NodeId) -> u8 {
        self.tree.kind(id).map_or(Format::FOLDER, Format::of).file_type
    }
}

/// A name in a folder.
#[derive(Clone, Copy)]
enum Name<'a> {
    /// The folder itself.
    Own,
    /// The one above it.
    Above,
    Child(&'a [u8], NodeId),
}

impl<'a> Name<'a> {
    fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Own => b".",
            Self::Above => b"..",
            Self::Child(name, _) => name,
        }
    }
}

/// The names of a folder in order, as those two are among them that every folder has.
fn names(folder: &Folder) -> impl Iterator<Item = Name<'_>> {
    let mut children = folder.children.iter().map(|(name, child)| Name::Child(name, *child)).peekable();
    let mut own = [Name::Own, Name::Above].into_iter().peekable();
    std::iter::from_fn(move || match (own.peek(), children.peek()) {
        (Some(one), Some(child)) if child.bytes() < one.bytes() => children.next(),
        (Some(_), _) => own.next(),
        (None, _) => children.next(),
    })
}

/// The names of a folder, block by block.
fn blocks(folder: &Folder) -> impl Iterator<Item = Vec<Name<'_>>> {
    let mut names = names(folder).peekable();
    std::iter::from_fn(move || {
        let mut block = Vec::new();
        let mut left = BLOCK_LEN;
        while let Some(name) = names.next_if(|name| RECORD + name.bytes().len() <= left) {
            left -= RECORD + name.bytes().len();
            block.push(name);
        }
        (!block.is_empty()).then_some(block)
    })
}

/// The bytes of a folder's names: whole blocks, but for the last.
fn folder_size(folder: &Folder) -> u64 {
    let (mut full, mut used) = (0, 0);
    for name in names(folder) {
        let len = (RECORD + name.bytes().len()) as u64;
        if used + len > BLOCK {
            full += 1;
            used = 0;
        }
        used += len;
    }
    full * BLOCK + used
}

/// Bytes on their way out, some at a time.
struct Batches<'a, W> {
    out: &'a mut W,
    bytes: Vec<u8>,
    written: u64,
}

impl<W: Write> Batches<'_, W> {
    fn position(&self) -> u64 {
        self.written + self.bytes.len() as u64
    }

    fn pad_to(&mut self, position: u64) -> Result<(), WriteError> {
        let missing = usize::try_from(position - self.position()).map_err(|_| WriteError::TooLarge)?;
        self.bytes.resize(self.bytes.len() + missing, 0);
        Ok(())
    }

    fn pass_on(&mut self) -> io::Result<()> {
        if self.bytes.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.bytes)?;
        self.written += self.bytes.len() as u64;
        self.bytes.clear();
        Ok(())
    }
}
