//! Resolving foreign paths so that they can't leave the folder they start from.
//!
//! The kernel does it (`openat2`, Linux 5.6) where it can. Where it can't, or where a sandbox forbids the call, `walk` goes one component
//! at a time with the same answer.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::path::Arg;

/// How many links one path may lead through: the kernel's own limit.
const MAX_LINKS: usize = 40;

/// Set once the kernel has said that it has no `openat2`.
static WITHOUT_OPENAT2: AtomicBool = AtomicBool::new(false);

/// Opens the folder at `path` as if `root` were `/`: links, absolute ones too, and `..` stay inside, and no mount is crossed.
///
/// # Errors
///
/// When there is no such folder, a component is no folder, or the path crosses a mount.
pub fn open_dir_in_root(root: impl AsFd, path: &[u8]) -> io::Result<OwnedFd> {
    const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
    let path = if path.is_empty() { b"." } else { path };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    openat2(root, OsStr::from_bytes(path), FLAGS, Mode::empty(), resolve)
}

/// Opens the file at `path` for reading as if `root` were `/`: links, absolute ones too, and `..` stay inside, and no mount is crossed. Nothing
/// but a regular file is opened.
///
/// # Errors
///
/// When there is no such file (`NotFound`), it is something else (`InvalidInput`), or the path crosses a mount.
pub fn open_file_in_root(root: impl AsFd, path: &[u8]) -> io::Result<File> {
    const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
    let root = root.as_fd();
    let mut path = path.to_vec();
    for _ in 0..=MAX_LINKS {
        let (above, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => path.split_at(slash + 1),
            None => (&b""[..], path.as_slice()),
        };
        if matches!(name, b"" | b"." | b"..") {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let dir = open_dir_in_root(root, above)?;
        let name = CString::new(name).map_err(|_| Errno::INVAL)?;
        let stat = rustix::fs::statat(&dir, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => return Ok(rustix::fs::openat(&dir, &name, FLAGS, Mode::empty())?.into()),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&dir, &name, Vec::new())?.into_bytes();
                path = if target.starts_with(b"/") { target } else { [above, &target].concat() };
            }
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        }
    }
    Err(Errno::LOOP.into())
}

/// `openat2`, or the same by steps where the kernel lacks it.
pub(crate) fn openat2(
    root: impl AsFd,
    path: impl Arg,
    flags: OFlags,
    mode: Mode,
    resolve: ResolveFlags,
) -> io::Result<OwnedFd> {
    let root = root.as_fd();
    path.into_with_c_str(|path| {
        if !WITHOUT_OPENAT2.load(Ordering::Relaxed) {
            // EAGAIN: something was renamed meanwhile; the kernel asks to try again.
            for _ in 0..16 {
                match rustix::fs::openat2(root, path, flags, mode, resolve) {
                    Err(Errno::AGAIN | Errno::INTR) => {}
                    Err(Errno::NOSYS | Errno::PERM) => {
                        WITHOUT_OPENAT2.store(true, Ordering::Relaxed);
                        break;
                    }
                    result => return result,
                }
            }
        }
        walk(root, path.to_bytes(), flags, mode, resolve)
    })
    .map_err(io::Error::from)
}

/// The answer of `openat2`, one component at a time: every step opens a folder without following links, and links are read and spliced in.
fn walk(root: BorrowedFd<'_>, path: &[u8], flags: OFlags, mode: Mode, resolve: ResolveFlags) -> Result<OwnedFd, Errno> {
    const STEP: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
    let device = rustix::fs::fstat(root)?.st_dev;
    let beneath = resolve.contains(ResolveFlags::BENEATH);
    if beneath && path.starts_with(b"/") {
        return Err(Errno::XDEV);
    }
    // What is still to go, last component first, and the folders passed so far; the root is the one below them all.
    let mut todo: Vec<Vec<u8>> = components(path);
    let mut passed: Vec<OwnedFd> = Vec::new();
    let mut links = 0;
    while let Some(name) = todo.pop() {
        let here = passed.last().map_or(root, AsFd::as_fd);
        if name == b".." {
            if passed.pop().is_none() && beneath {
                return Err(Errno::XDEV);
            }
            continue;
        }
        let name = CString::new(name).map_err(|_| Errno::INVAL)?;
        let stat = rustix::fs::statat(here, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        if resolve.contains(ResolveFlags::NO_XDEV) && stat.st_dev != device {
            return Err(Errno::XDEV);
        }
        if FileType::from_raw_mode(stat.st_mode).is_symlink() {
            links += 1;
            if links > MAX_LINKS || resolve.contains(ResolveFlags::NO_SYMLINKS) {
                return Err(Errno::LOOP);
            }
            let target = rustix::fs::readlinkat(here, &name, Vec::new())?;
            if target.to_bytes().starts_with(b"/") {
                passed.clear();
            }
            todo.extend(components(target.to_bytes()));
            continue;
        }
        passed.push(rustix::fs::openat(here, &name, STEP, Mode::empty())?);
    }
    let end = passed.last().map_or(root, AsFd::as_fd);
    rustix::fs::openat(end, c".", flags, mode)
}

/// The components of a path, last first, without the empty ones and `.`.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/').rev().filter(|name| !matches!(*name, b"" | b".")).map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

    /// The inode that both ways lead to, or the error that both give.
    fn both(root: &std::path::Path, path: &str, resolve: ResolveFlags) -> Result<u64, Errno> {
        let root = rustix::fs::open(root, FLAGS, Mode::empty()).unwrap();
        let kernel = rustix::fs::openat2(&root, path, FLAGS, Mode::empty(), resolve);
        let steps = walk(root.as_fd(), path.as_bytes(), FLAGS, Mode::empty(), resolve);
        let inode = |fd: OwnedFd| rustix::fs::fstat(fd).unwrap().st_ino;
        let (kernel, steps) = (kernel.map(inode), steps.map(inode));
        assert_eq!(kernel, steps, "{path}");
        kernel
    }

    #[test]
    fn files_are_found_inside_and_nothing_else_is_opened() {
        use std::io::Read as _;

        let tmp = tempfile::tempdir().unwrap();
        fs::write(tmp.path().join("passwd"), "outside").unwrap();
        let root = tmp.path().join("root");
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::create_dir_all(root.join("usr/share")).unwrap();
        fs::write(root.join("usr/share/passwd"), "inside").unwrap();
        symlink("/usr/share/passwd", root.join("etc/passwd")).unwrap();
        symlink("../../../../../usr/share/passwd", root.join("etc/up")).unwrap();
        symlink("../../passwd", root.join("etc/escape")).unwrap();
        symlink("loop", root.join("etc/loop")).unwrap();
        symlink("/usr/share/", root.join("etc/slash")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, root.join("etc/pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let open = |path: &str| {
            let root = rustix::fs::open(&root, FLAGS, Mode::empty()).unwrap();
            open_file_in_root(root, path.as_bytes()).map(|mut file| {
                let mut text = String::new();
                file.read_to_string(&mut text).unwrap();
                text
            })
        };
        for path in ["etc/passwd", "/etc/up", "usr/share/passwd"] {
            assert_eq!(open(path).unwrap(), "inside", "{path}");
        }
        for path in ["etc/escape", "etc/none", "none/none"] {
            assert_eq!(open(path).unwrap_err().kind(), io::ErrorKind::NotFound, "{path}");
        }
        for path in ["etc/pipe", "etc", "etc/loop", "etc/slash", "", "etc/.."] {
            assert!(open(path).is_err(), "{path}");
        }
    }

    #[test]
    fn stays_inside_by_both_ways() {
        let tmp = tempfile::tempdir().unwrap();
        let root = tmp.path().join("root");
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        fs::create_dir(tmp.path().join("outside")).unwrap();
        fs::write(root.join("file"), "").unwrap();
        symlink("usr/lib", root.join("lib")).unwrap();
        symlink("/usr", root.join("abs")).unwrap();
        symlink("../../../../outside", root.join("escape")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("../lib", root.join("usr/up")).unwrap();

        let in_root = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let lib = both(&root, "usr/lib", in_root).unwrap();
        assert_eq!(both(&root, "lib", in_root), Ok(lib));
        assert_eq!(both(&root, "abs/lib", in_root), Ok(lib));
        assert_eq!(both(&root, "usr/up", in_root), Ok(lib));
        assert_eq!(both(&root, "/../../usr/lib/.", in_root), Ok(lib));
        assert_eq!(both(&root, "escape", in_root), Err(Errno::NOENT));
        assert_eq!(both(&root, "loop", in_root), Err(Errno::LOOP));
        assert_eq!(both(&root, "file", in_root), Err(Errno::NOTDIR));
        assert_eq!(both(&root, "missing", in_root), Err(Errno::NOENT));

        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        assert_eq!(both(&root, "usr/lib", beneath), Ok(lib));
        assert_eq!(both(&root, "lib", beneath), Err(Errno::LOOP));
        assert_eq!(both(&root, "../outside", beneath), Err(Errno::XDEV));
        assert_eq!(both(&root, "/usr", beneath), Err(Errno::XDEV));
    }
}
