//! A walk over a folder in the order of the names, by handles.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;

use layer_fs::Dir;
use rustix::fs::{FileType, Mode, OFlags, Stat};

use crate::path::join;
use crate::tar::Time;

/// How many folder handles are kept open, however deep the tree is.
pub(super) const MAX_OPEN: usize = 64;

/// How something in a folder looks.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) what: Kind,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Time,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) inode: u64,
    /// How many names it has, in this folder and elsewhere.
    pub(super) links: u64,
    /// The bytes that the disk gives for it.
    pub(super) allocated: u64,
}

/// What something is, as a `stat` tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    File { size: u64 },
    Symlink(Vec<u8>),
    Character { major: u32, minor: u32 },
    Block { major: u32, minor: u32 },
    Fifo,
    Socket,
}

/// Where a walk is: in a folder, before one of its names or behind the last.
pub(super) struct Walk<'a> {
    root: &'a Dir,
    /// The folders from the root to here; never empty until the walk is over.
    levels: Vec<Level>,
}

struct Level {
    path: Vec<u8>,
    /// `None` while the walk is far below.
    dir: Option<Dir>,
    /// The names still to go, the next one last.
    names: Vec<CString>,
}

impl Level {
    fn new(dir: Dir, path: Vec<u8>) -> io::Result<Self> {
        let mut names: Vec<_> = dir.entries()?.into_iter().map(|(name, _)| name).collect();
        names.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Self { path, dir: Some(dir), names })
    }
}

impl<'a> Walk<'a> {
    pub(super) fn new(root: &'a Dir) -> io::Result<Self> {
        let level = Level::new(root.try_clone()?, Vec::new())?;
        Ok(Self { root, levels: vec![level] })
    }

    /// The next name in this folder; `None` behind the last.
    pub(super) fn peek(&self) -> Option<&CStr> {
        self.levels.last()?.names.last().map(CString::as_c_str)
    }

    /// The path of a name in this folder.
    pub(super) fn path(&self, name: &[u8]) -> Vec<u8> {
        self.levels.last().map_or_else(Vec::new, |level| join(&level.path, name))
    }

    /// How the next one looks.
    pub(super) fn look(&mut self) -> io::Result<Look> {
        self.look_for(true)
    }

    /// The same, of something that is known to have no attributes.
    pub(super) fn look_for_plain(&mut self) -> io::Result<Look> {
        self.look_for(false)
    }

    fn look_for(&mut self, attributes: bool) -> io::Result<Look> {
        let (dir, name) = self.next()?;
        let stat = dir.stat(name)?.ok_or(io::ErrorKind::NotFound)?;
        let mut look = look(&stat, if attributes { layer_fs::list_xattrs_at(dir, name)? } else { Vec::new() });
        if let Kind::Symlink(target) = &mut look.what {
            *target = rustix::fs::readlinkat(dir, name, Vec::new())?.into_bytes();
        }
        Ok(look)
    }

    /// Opens the next one, which has been seen to be a file. What has taken its place since can't hold us up.
    pub(super) fn open_file(&mut self) -> io::Result<File> {
        let (dir, name) = self.next()?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOATIME | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(dir, name, flags, Mode::empty())?.into())
    }

    /// Goes past the next one.
    pub(super) fn skip(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            level.names.pop();
        }
    }

    /// Goes into the next one, a folder. It counts as passed even if that fails.
    pub(super) fn enter(&mut self) -> io::Result<()> {
        let opened = self.next().and_then(|(dir, name)| Ok((dir.open_dir(name)?, name.to_bytes().to_vec())));
        self.skip();
        let (dir, name) = opened?;
        let path = self.path(&name);
        let level = Level::new(dir, path)?;
        self.levels.push(level);
        if let Some(far) = self.levels.len().checked_sub(MAX_OPEN + 1).and_then(|far| self.levels.get_mut(far)) {
            far.dir = None;
        }
        Ok(())
    }

    /// Leaves this folder, for the one above; false when there is none.
    pub(super) fn leave(&mut self) -> bool {
        self.levels.pop();
        !self.levels.is_empty()
    }

    /// This folder, and the next name in it.
    fn next(&mut self) -> io::Result<(&Dir, &CStr)> {
        let level = self.levels.last_mut().ok_or(io::ErrorKind::NotFound)?;
        let dir = match &mut level.dir {
            Some(dir) => dir,
            gone => gone.insert(if level.path.is_empty() {
                self.root.try_clone()?
            } else {
                self.root.open_dir(level.path.as_slice())?
            }),
        };
        let name = level.names.last().ok_or(io::ErrorKind::NotFound)?;
        Ok((dir, name))
    }
}

/// How the folder itself looks that a walk begins with.
pub(super) fn look_at_root(root: &Dir) -> io::Result<Look> {
    Ok(look(&rustix::fs::fstat(root)?, layer_fs::list_xattrs(root)?))
}

fn look(stat: &Stat, xattrs: Vec<(CString, Vec<u8>)>) -> Look {
    let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    let what = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Kind::Folder,
        FileType::RegularFile => Kind::File { size: stat.st_size.cast_unsigned() },
        FileType::Symlink => Kind::Symlink(Vec::new()),
        FileType::CharacterDevice => Kind::Character { major, minor },
        FileType::BlockDevice => Kind::Block { major, minor },
        FileType::Fifo => Kind::Fifo,
        FileType::Socket | FileType::Unknown => Kind::Socket,
    };
    let mut xattrs: Vec<_> = xattrs
        .into_iter()
        .map(|(name, value)| (name.into_bytes(), value))
        .filter(|(name, _)| is_of_layer(name))
        .collect();
    xattrs.sort_unstable();
    Look {
        what,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: Time { seconds: stat.st_mtime, nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or_default() },
        xattrs,
        inode: stat.st_ino,
        links: stat.st_nlink,
        allocated: layer_fs::allocated(stat),
    }
}

/// Whether an attribute is the layer's own, and not one that the machine's security modules attach and change as they please.
fn is_of_layer(name: &[u8]) -> bool {
    name.starts_with(b"user.")
        || name.starts_with(b"trusted.")
        || matches!(name, b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default")
}
