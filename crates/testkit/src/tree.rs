//! Folder trees described in full, compared path by path, and made by GNU tar as the oracle for stacked layers.
//!
//! Everything is read through folder handles, so that names may be as long as the kernel takes them. Nothing here changes the trees it reads.

mod difference;
mod gnu_tar;

use std::collections::{BTreeMap, HashMap};
use std::ffi::CStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
pub use difference::{assert_same, differences};
pub use gnu_tar::{gnu_tar_apply, gnu_tar_reference};
use rustix::fs::{Mode, OFlags};

use crate::content::Hashing;

/// A folder and everything under it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// Each name relative to the root; the root itself is `.`.
    pub entries: BTreeMap<PathBuf, Entry>,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Kind {
    File,
    Folder,
    Symlink,
    CharDevice,
    BlockDevice,
    Fifo,
    Socket,
}

/// All that can be said of one name, times of access and change aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its type.
    pub kind: Kind,
    /// The permission bits, set-ID and sticky bits included.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// A file's size; 0 for all else.
    pub size: u64,
    /// The modification time: seconds, rounded down, and nanoseconds.
    pub mtime: (i64, i64),
    /// A device's major and minor number.
    pub device: Option<(u32, u32)>,
    /// Where a symbolic link points.
    pub target: Option<PathBuf>,
    /// Extended attributes of every namespace that may be read.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// A file's content as `sha256:<hex>`.
    pub content: Option<String>,
    /// The first name, in the order of the map, of the inode that has several.
    pub linked_to: Option<PathBuf>,
    /// Whether a file has holes: fewer blocks than its size needs. Files of up to one page are never counted as sparse, since some filesystems
    /// keep them outside of blocks.
    pub sparse: bool,
}

impl Tree {
    /// Reads a tree.
    ///
    /// # Errors
    /// Anything in it can't be read.
    pub fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        let mut inodes = HashMap::new();
        let meta = fs::metadata(root).with_context(|| format!("look at `{}`", root.display()))?;
        let described = describe(root, &meta).with_context(|| format!("read `{}`", root.display()))?;
        tree.entries.insert(PathBuf::from("."), described);
        let handle = File::open(root).with_context(|| format!("open `{}`", root.display()))?;
        tree.walk(&handle, Path::new(""), &mut inodes)?;
        // Inodes with one name in this tree are linked to nothing here.
        let mut names: BTreeMap<(u64, u64), Vec<PathBuf>> = BTreeMap::new();
        for (name, inode) in inodes {
            names.entry(inode).or_default().push(name);
        }
        for mut group in names.into_values().filter(|group| group.len() > 1) {
            group.sort();
            for name in &group {
                if let Some(entry) = tree.entries.get_mut(name) {
                    entry.linked_to = Some(group[0].clone());
                }
            }
        }
        Ok(tree)
    }

    /// The same tree as if no file had holes, for comparisons where they don't matter.
    pub fn without_holes(mut self) -> Self {
        self.entries.values_mut().for_each(|entry| entry.sparse = false);
        self
    }

    /// The same tree without the extended attributes whose name starts with `prefix`.
    pub fn without_xattrs(mut self, prefix: &str) -> Self {
        self.entries.values_mut().for_each(|entry| entry.xattrs.retain(|name, _| !name.starts_with(prefix.as_bytes())));
        self
    }

    fn walk(&mut self, folder: &File, at: &Path, inodes: &mut HashMap<PathBuf, (u64, u64)>) -> Result<()> {
        // A name below a handle is short whatever the depth.
        let base = PathBuf::from(format!("/proc/self/fd/{}", folder.as_fd().as_raw_fd()));
        let list =
            || -> io::Result<Vec<_>> { fs::read_dir(&base)?.map(|item| item.map(|item| item.file_name())).collect() };
        for name in list().with_context(|| format!("list `{}`", at.display()))? {
            let path = at.join(&name);
            let look = || format!("read `{}`", path.display());
            let place = base.join(&name);
            let meta = fs::symlink_metadata(&place).with_context(look)?;
            self.entries.insert(path.clone(), describe(&place, &meta).with_context(look)?);
            if meta.is_dir() {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let inner = rustix::fs::openat(folder, &name, flags, Mode::empty()).with_context(look)?;
                self.walk(&File::from(inner), &path, inodes)?;
            } else if meta.nlink() > 1 {
                inodes.insert(path, (meta.dev(), meta.ino()));
            }
        }
        Ok(())
    }
}

fn describe(place: &Path, meta: &fs::Metadata) -> Result<Entry> {
    let kind = match meta.file_type() {
        kind if kind.is_dir() => Kind::Folder,
        kind if kind.is_symlink() => Kind::Symlink,
        kind if kind.is_char_device() => Kind::CharDevice,
        kind if kind.is_block_device() => Kind::BlockDevice,
        kind if kind.is_fifo() => Kind::Fifo,
        kind if kind.is_socket() => Kind::Socket,
        _ => Kind::File,
    };
    let (major, minor) = (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
    let content = if kind == Kind::File {
        let mut hashing = Hashing::new(io::sink());
        io::copy(&mut File::open(place)?, &mut hashing)?;
        Some(hashing.finish().1)
    } else {
        None
    };
    Ok(Entry {
        kind,
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
        size: if kind == Kind::File { meta.len() } else { 0 },
        mtime: (meta.mtime(), meta.mtime_nsec()),
        device: matches!(kind, Kind::CharDevice | Kind::BlockDevice).then_some((major, minor)),
        target: if kind == Kind::Symlink { Some(fs::read_link(place)?) } else { None },
        xattrs: xattrs(place)?.into_iter().collect(),
        content,
        linked_to: None,
        sparse: kind == Kind::File && meta.len() > 4096 && meta.blocks() * 512 < meta.len(),
    })
}

/// The extended attributes of a file, of every namespace that may be read, sorted by name; links are not followed.
pub(crate) fn xattrs(path: &Path) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let asked = || format!("read the attributes of `{}`", path.display());
    let mut names = vec![0; 65536]; // The kernel's own limit.
    let count = match rustix::fs::llistxattr(path, &mut names[..]) {
        Ok(count) => count,
        Err(rustix::io::Errno::NOTSUP) => 0,
        Err(error) => return Err(error).with_context(asked),
    };
    let mut found = Vec::new();
    for name in names[..count].split_inclusive(|&byte| byte == 0) {
        let name = CStr::from_bytes_with_nul(name).with_context(asked)?;
        let mut value = vec![0; 65536];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).with_context(asked)?;
        value.truncate(length);
        found.push((name.to_bytes().to_vec(), value));
    }
    found.sort();
    Ok(found)
}

/// A path of bytes, as archives have them.
fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests;
