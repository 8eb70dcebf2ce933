//! The list of what a layer's folder holds, by which the folder can be proven later.
//!
//! ```text
//! "layer tree 1\n"                       so that a reader knows what it reads
//! the root, and behind each folder its content in the order of the names, each folder closed by an end
//! ```
//!
//! [`write()`] lists a folder right after it was filled, with the digests that [`crate::apply_noting()`] took of the bytes as they passed.
//! [`compare()`] walks the same folder again, side by side with the list, and tells what differs. Both hold one folder's names at a time, at most
//! 64 handles, and go by handles alone.
//!
//! What isn't listed: access and change times, what the machine's security modules attach, and when a whiteout was made.

mod compare;
mod content;
mod format;
mod walk;

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Write};

use layer_fs::Dir;

pub use compare::{Aspect, CompareError, Compared, Difference, compare};
pub(crate) use content::ContentHasher;
pub use content::{Content, Contents};

use crate::tar::Time;
use format::Writer;
use walk::{Look, Walk};

/// How many files with several names are told apart, in some 4 MiB. Of further ones it is listed that they have several, and not which.
const MAX_GROUPS: usize = 1 << 17;

/// One thing in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    /// Its name in the folder; empty for the root.
    name: Vec<u8>,
    what: What,
    /// Permission bits with setuid, setgid and sticky.
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: Time,
    /// Extended attributes in the order of their names.
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    names: Names,
}

/// Whether something has other names in the same layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    One,
    /// All that have this number, from 1 on, are one file.
    Group(u32),
    Uncounted,
}

/// What something is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Folder,
    File {
        size: u64,
        content: Content,
    },
    Symlink(Vec<u8>),
    Character {
        major: u32,
        minor: u32,
    },
    Block {
        major: u32,
        minor: u32,
    },
    Fifo,
    /// A character device 0/0, which takes a name away from the layers below.
    Whiteout,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Folder => "a folder",
            Self::File { .. } => "a file",
            Self::Symlink(_) => "a symbolic link",
            Self::Character { .. } => "a character device",
            Self::Block { .. } => "a block device",
            Self::Fifo => "a named pipe",
            Self::Whiteout => "a whiteout",
        })
    }
}

/// Lists what `root` holds. `contents` is what is known of its files; the others are read. Gives the bytes that it takes on the disk, as
/// [`layer_fs::tree_allocated`] counts them, unless too many of its files have several names.
///
/// # Errors
///
/// When the folder can't be read, or `out` not be written.
pub fn write(root: &Dir, contents: &Contents, out: &mut dyn Write) -> io::Result<Option<u64>> {
    let mut writer = Writer::begin(out)?;
    let mut groups = Groups::default();
    let mut walk = Walk::new(root)?;
    let look = walk::look_at_root(root)?;
    let mut allocated = Some(look.allocated);
    writer.record(&listed(look, Vec::new(), Names::One, |_| Err(io::ErrorKind::NotADirectory.into()))?)?;
    loop {
        while let Some(name) = walk.peek() {
            let name = name.to_bytes().to_vec();
            let look = if contents.bear_no_attributes { walk.look_for_plain()? } else { walk.look()? };
            let is_folder = look.what == walk::Kind::Folder;
            let known = groups.0.len();
            let names = if is_folder || look.links < 2 { Names::One } else { groups.of(look.inode) };
            match names {
                Names::One => allocated = allocated.map(|bytes| bytes.saturating_add(look.allocated)),
                Names::Group(_) if groups.0.len() > known => {
                    allocated = allocated.map(|bytes| bytes.saturating_add(look.allocated));
                }
                Names::Group(_) => {}
                Names::Uncounted => allocated = None,
            }
            let inode = look.inode;
            let record = listed(look, name, names, |size| match contents.get(inode) {
                Some(content) => Ok(content),
                None => {
                    content::read(&walk.open_file()?, size, None, &|| false)?.ok_or(io::ErrorKind::Interrupted.into())
                }
            })?;
            writer.record(&record)?;
            if is_folder { walk.enter()? } else { walk.skip() }
        }
        writer.end()?;
        if !walk.leave() {
            return Ok(allocated);
        }
    }
}

fn listed(
    look: Look,
    name: Vec<u8>,
    names: Names,
    content: impl FnOnce(u64) -> io::Result<Content>,
) -> io::Result<Record> {
    let what = match look.what {
        walk::Kind::Folder => What::Folder,
        walk::Kind::File { size } => What::File { size, content: content(size)? },
        walk::Kind::Symlink(target) => What::Symlink(target),
        walk::Kind::Character { major: 0, minor: 0 } => What::Whiteout,
        walk::Kind::Character { major, minor } => What::Character { major, minor },
        walk::Kind::Block { major, minor } => What::Block { major, minor },
        walk::Kind::Fifo => What::Fifo,
        walk::Kind::Socket => return Err(io::Error::other("there is a socket, which no layer has")),
    };
    let Look { mode, uid, gid, mtime, xattrs, .. } = look;
    Ok(Record { name, what, mode, uid, gid, mtime, xattrs, names })
}

/// The files with several names, numbered as they are met.
#[derive(Debug, Default)]
struct Groups(HashMap<u64, u32>);

impl Groups {
    fn of(&mut self, inode: u64) -> Names {
        let next = self.0.len();
        match self.0.get(&inode) {
            Some(number) => Names::Group(*number),
            None if next >= MAX_GROUPS => Names::Uncounted,
            None => {
                let number = u32::try_from(next + 1).unwrap_or(u32::MAX);
                self.0.insert(inode, number);
                Names::Group(number)
            }
        }
    }
}
