//! An open folder, and what can be done from it.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, RawDir, ResolveFlags, Stat};

use crate::resolve;

/// A handle on a folder. Names given to its methods are single components, unless said otherwise.
#[derive(Debug)]
pub struct Dir(OwnedFd);

/// A name in a folder: bytes without `/` or NUL, neither `.` nor `..`.
pub type Name = CString;

/// What a directory entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// A folder.
    Folder,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A device, a FIFO or a socket.
    Special,
}

impl FileKind {
    /// The kind that the mode of a `stat` tells.
    pub fn of(stat: &Stat) -> Self {
        match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
            rustix::fs::FileType::Directory => Self::Folder,
            rustix::fs::FileType::RegularFile => Self::File,
            rustix::fs::FileType::Symlink => Self::Symlink,
            _ => Self::Special,
        }
    }
}

const OPEN_DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Dir {
    /// Opens the folder at `path`, which comes from the administrator and may hold links.
    ///
    /// # Errors
    ///
    /// When it isn't there, isn't a folder, or can't be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(rustix::fs::open(path, OPEN_DIR, Mode::empty())?))
    }

    /// Opens a folder below this one. `path` may have several components; links are refused in all of them.
    ///
    /// # Errors
    ///
    /// When it isn't there, isn't a folder, or a link or mount lies on the way.
    pub fn open_dir(&self, path: impl rustix::path::Arg) -> io::Result<Self> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        Ok(Self(resolve::openat2(&self.0, path, OPEN_DIR, Mode::empty(), resolve)?))
    }

    /// Makes a folder with exactly this mode, or takes the one that is there.
    ///
    /// # Errors
    ///
    /// When it can't be made or opened, or something else has the name.
    pub fn ensure_dir(&self, name: &str, mode: u32) -> io::Result<Self> {
        match rustix::fs::mkdirat(&self.0, name, Mode::from_raw_mode(mode)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let dir = self.open_dir(name)?;
        rustix::fs::fchmod(&dir.0, Mode::from_raw_mode(mode))?;
        Ok(dir)
    }

    /// Makes a new folder with exactly this mode.
    ///
    /// # Errors
    ///
    /// When something has the name already, or it can't be made.
    pub fn create_dir(&self, name: &str, mode: u32) -> io::Result<Self> {
        rustix::fs::mkdirat(&self.0, name, Mode::from_raw_mode(mode))?;
        let dir = self.open_dir(name)?;
        rustix::fs::fchmod(&dir.0, Mode::from_raw_mode(mode))?;
        Ok(dir)
    }

    /// Opens a file for reading; a link is refused. A pipe that somebody has put in its place is empty, and keeps nobody waiting.
    ///
    /// # Errors
    ///
    /// When it isn't there or can't be read.
    pub fn open_file(&self, name: impl rustix::path::Arg) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.0, name, flags, Mode::empty())?.into())
    }

    /// Opens a file for reading and writing, and makes it if need be; a link is refused.
    ///
    /// # Errors
    ///
    /// When it can't be made or opened.
    pub fn open_or_create(&self, name: &str, mode: u32) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.0, name, flags, Mode::from_raw_mode(mode))?.into())
    }

    /// Reads a whole file of at most `cap` bytes.
    ///
    /// # Errors
    ///
    /// When it can't be read, or is longer (`InvalidData`).
    pub fn read(&self, name: &str, cap: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open_file(name)?.take(cap + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > cap {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("longer than {cap} bytes")));
        }
        Ok(bytes)
    }

    /// The `stat` of a name, of a link itself; `None` when there is nothing.
    ///
    /// # Errors
    ///
    /// When the kernel can't tell.
    pub fn stat(&self, name: impl rustix::path::Arg) -> io::Result<Option<Stat>> {
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a file, link or device. It's no error when there is none.
    ///
    /// # Errors
    ///
    /// When it is a folder, or can't be removed.
    pub fn remove_file(&self, name: impl rustix::path::Arg) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The names in this folder with their kinds, in the order of the file system; `.` and `..` are left out.
    ///
    /// # Errors
    ///
    /// When the folder can't be read.
    pub fn entries(&self) -> io::Result<Vec<(Name, FileKind)>> {
        // A handle of its own: reading moves the offset of the handle.
        let fd = rustix::fs::openat(&self.0, c".", OPEN_DIR, Mode::empty())?;
        let mut buffer = [MaybeUninit::uninit(); 8192];
        let mut reader = RawDir::new(fd, &mut buffer);
        let mut entries = Vec::new();
        while let Some(entry) = reader.next() {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let kind = match entry.file_type() {
                rustix::fs::FileType::Directory => FileKind::Folder,
                rustix::fs::FileType::RegularFile => FileKind::File,
                rustix::fs::FileType::Symlink => FileKind::Symlink,
                // Some file systems don't tell.
                rustix::fs::FileType::Unknown => self.stat(name)?.map_or(FileKind::Special, |stat| FileKind::of(&stat)),
                _ => FileKind::Special,
            };
            entries.push((name.to_owned(), kind));
        }
        Ok(entries)
    }

    /// Moves `name` to `to`/`new_name`, in one step.
    ///
    /// # Errors
    ///
    /// When `new_name` is taken (`AlreadyExists`), or the move fails.
    pub fn publish(&self, name: impl rustix::path::Arg, to: &Dir, new_name: impl rustix::path::Arg) -> io::Result<()> {
        Ok(rustix::fs::renameat_with(&self.0, name, &to.0, new_name, rustix::fs::RenameFlags::NOREPLACE)?)
    }

    /// Has the folder's own entries written to the disk.
    ///
    /// # Errors
    ///
    /// When the disk fails, or has failed since the entries were made.
    pub fn sync(&self) -> io::Result<()> {
        rustix::fs::fsync(&self.0)?;
        // XFS has nothing to write, and no error to tell, once it has thrown away what it could not write; but it opens nothing any more.
        drop(rustix::fs::openat(&self.0, c".", OPEN_DIR, Mode::empty())?);
        Ok(())
    }

    /// Has the whole file system that this folder lies on written to the disk.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn sync_filesystem(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.0)?)
    }

    /// The bytes that are free for this process on the file system of this folder.
    ///
    /// # Errors
    ///
    /// When the kernel can't tell.
    pub fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::fstatvfs(&self.0)?;
        let blocks = if rustix::process::geteuid().is_root() { stat.f_bfree } else { stat.f_bavail };
        Ok(blocks.saturating_mul(stat.f_frsize))
    }

    /// The size of the file system of this folder, in bytes.
    ///
    /// # Errors
    ///
    /// When the kernel can't tell.
    pub fn total_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::fstatvfs(&self.0)?;
        Ok(stat.f_blocks.saturating_mul(stat.f_frsize))
    }

    /// A second handle on the same folder.
    ///
    /// # Errors
    ///
    /// When the process has too many open files.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }
}

impl From<OwnedFd> for Dir {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Whether `name` is usable as a single component.
pub(crate) fn is_component(name: &CStr) -> bool {
    let bytes = name.to_bytes();
    !bytes.is_empty() && bytes != b"." && bytes != b".." && !bytes.contains(&b'/')
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn folders_get_their_exact_mode_and_links_are_refused() {
        let tmp = tempfile::tempdir().unwrap();
        let root = Dir::open(tmp.path()).unwrap();
        root.ensure_dir("a", 0o700).unwrap().ensure_dir("b", 0o711).unwrap();
        assert_eq!(tmp.path().join("a/b").metadata().unwrap().permissions().mode() & 0o7777, 0o711);
        root.open_dir("a/b").unwrap();
        symlink("a", tmp.path().join("link")).unwrap();
        assert!(root.open_dir("link").is_err());
        assert!(root.open_dir("../").is_err());
        assert!(root.open_file("link").is_err());
        assert!(root.create_dir("a", 0o700).is_err());
    }

    #[test]
    fn a_pipe_keeps_nobody_waiting() {
        let tmp = tempfile::tempdir().unwrap();
        let root = Dir::open(tmp.path()).unwrap();
        rustix::fs::mknodat(&root, "pipe", rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(root.read("pipe", 10).unwrap(), b"");
    }

    #[test]
    fn entries_tell_names_and_kinds() {
        let tmp = tempfile::tempdir().unwrap();
        let root = Dir::open(tmp.path()).unwrap();
        root.ensure_dir("d", 0o700).unwrap();
        root.open_or_create("f", 0o600).unwrap();
        symlink("x", tmp.path().join("l")).unwrap();
        let mut entries = root.entries().unwrap();
        entries.sort();
        let seen: Vec<_> = entries.iter().map(|(name, kind)| (name.to_str().unwrap(), *kind)).collect();
        assert_eq!(seen, [("d", FileKind::Folder), ("f", FileKind::File), ("l", FileKind::Symlink)]);
        // A second look starts at the beginning.
        assert_eq!(root.entries().unwrap().len(), 3);
    }

    #[test]
    fn publish_never_replaces() {
        let tmp = tempfile::tempdir().unwrap();
        let root = Dir::open(tmp.path()).unwrap();
        root.ensure_dir("one", 0o700).unwrap();
        root.ensure_dir("two", 0o700).unwrap();
        assert_eq!(root.publish("one", &root, "two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        root.publish("one", &root, "three").unwrap();
        assert!(root.stat("one").unwrap().is_none() && root.stat("three").unwrap().is_some());
    }

    #[test]
    fn read_is_bounded() {
        let tmp = tempfile::tempdir().unwrap();
        std::fs::write(tmp.path().join("f"), b"12345").unwrap();
        let root = Dir::open(tmp.path()).unwrap();
        assert_eq!(root.read("f", 5).unwrap(), b"12345");
        assert_eq!(root.read("f", 4).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
