//! EROFS images whose file contents are there already.
//!
//! EROFS is Linux's read-only file system: inodes, folders as sorted lists of names, and files as runs of blocks. With blocks of 512 bytes
//! the content of a file may lie wherever a tar has it, since a tar begins each content at such a block. So an image is
//!
//! ```text
//! 0                [`HEAD`] bytes, the superblock among them
//! HEAD             the tar, as it came
//! start            the index: an inode for each thing in the tree, and the names in its folders
//! ```
//!
//! [`Tree`] is the tree while it grows, in memory; [`Tree::write`] writes its index. This crate knows no tar: whoever fills the tree says where
//! the contents lie.
//!
//! Spec: Linux, `fs/erofs/erofs_fs.h` and Documentation/filesystems/erofs.rst. What is used of it is what Linux 6.4 reads: extended inodes, plain and
//! inline data, attributes beside the inode, files in chunks where they have holes. Nothing is compressed and nothing shared.

mod attributes;
mod format;
mod holes;
mod layout;
mod tree;

pub use attributes::AttributeError;
pub use format::{BLOCK, HEAD};
pub use holes::Holes;
pub use layout::{Head, WriteError};
pub use tree::{Kind, Looks, NodeId, Tree};
