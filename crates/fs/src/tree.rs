//! Removing whole trees.

use std::ffi::CStr;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::dir::is_component;
use crate::{Dir, FileKind};

/// Removes `name` in `parent` with all that is in it. Links are removed, not followed, and nothing on another file system is touched. It's
/// no error when there is nothing.
///
/// # Errors
///
/// When something can't be removed (`ResourceBusy` for a mount); what could be is gone.
pub fn remove_tree(parent: impl AsFd, name: &CStr) -> io::Result<()> {
    if !is_component(name) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let parent = parent.as_fd();
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    let device = rustix::fs::fstat(parent)?.st_dev;
    // A stack of open folders in place of recursion: trees may be as deep as they like. Each level holds one handle, so depth is bounded by
    // the open-file limit, and an error, not an overflow, ends a tree that is deeper.
    let mut levels = vec![Level::open(parent, name, device)?];
    loop {
        let Some(level) = levels.last_mut() else { return Ok(()) };
        if let Some((child, kind)) = level.children.pop() {
            if kind == FileKind::Folder {
                let next = Level::open(level.dir.as_fd(), &child, device)?;
                levels.push(next);
            } else {
                level.dir.remove_file(child.as_c_str())?;
            }
            continue;
        }
        let Some(done) = levels.pop() else { return Ok(()) };
        let above = levels.last().map_or(parent, |level| level.dir.as_fd());
        rustix::fs::unlinkat(above, &done.name, AtFlags::REMOVEDIR)?;
    }
}

struct Level {
    dir: Dir,
    name: std::ffi::CString,
    children: Vec<(std::ffi::CString, FileKind)>,
}

impl Level {
    fn open(parent: std::os::fd::BorrowedFd<'_>, name: &CStr, device: u64) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(parent, name, flags, Mode::empty())?;
        if rustix::fs::fstat(&fd)?.st_dev != device {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "something is mounted there"));
        }
        let dir = Dir::from(fd);
        let children = dir.entries()?;
        Ok(Self { dir, name: name.to_owned(), children })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn removes_all_below_and_nothing_beside() {
        let tmp = tempfile::tempdir().unwrap();
        let outside = tmp.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("canary"), "alive").unwrap();
        let deep = (0..300).fold(tmp.path().join("tree"), |path, _| path.join("d"));
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("f"), "").unwrap();
        symlink(&outside, tmp.path().join("tree/link")).unwrap();

        let root = Dir::open(tmp.path()).unwrap();
        remove_tree(&root, c"tree").unwrap();
        assert!(root.stat("tree").unwrap().is_none());
        assert_eq!(fs::read_to_string(outside.join("canary")).unwrap(), "alive");
        remove_tree(&root, c"tree").unwrap();
        assert!(remove_tree(&root, c"..").is_err());
        assert!(remove_tree(&root, c"a/b").is_err());
    }
}
