//! Copies, for where a hard link can't lead to.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use crate::Dir;
use crate::dir::is_component;
use crate::xattr::{list_xattrs_at, remove_xattr_at, set_xattr_at};

/// How much of a file is read at a time.
const READ: usize = 128 << 10;
/// Where a piece of this size is all zeros, the copy has a hole: not every file system tells where its own are.
const PIECE: usize = 4096;

/// The access list that a new file gets from its folder.
const ACCESS_LIST: &CStr = c"system.posix_acl_access";

/// Makes `to_name` in the folder `to` a copy of `name` in `from`: content, with holes where there are zeros, owner, mode, times and extended attributes. A link is
/// copied, not followed. What overlayfs marks its own files with is left out.
///
/// # Errors
///
/// `AlreadyExists` when something has the name, `InvalidInput` for a folder; otherwise when the one can't be read, or the other not be
/// written. Nothing is left of it then.
pub fn copy_entry(from: &Dir, name: &CStr, to: &Dir, to_name: &CStr) -> io::Result<()> {
    if !is_component(name) || !is_component(to_name) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let stat = from.stat(name)?.ok_or(io::ErrorKind::NotFound)?;
    // Whose copy it will be is still to be said; until then it's nobody else's to open.
    let mode = Mode::RUSR | Mode::WUSR;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let content = match kind {
        FileType::RegularFile => {
            // Opened before anything is made.
            let source = from.open_file(name)?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            Some((source, File::from(rustix::fs::openat(to, to_name, flags, mode)?)))
        }
        FileType::Symlink => {
            rustix::fs::symlinkat(rustix::fs::readlinkat(from, name, Vec::new())?, to, to_name)?;
            None
        }
        FileType::CharacterDevice | FileType::BlockDevice | FileType::Fifo | FileType::Socket => {
            rustix::fs::mknodat(to, to_name, kind, mode, stat.st_rdev)?;
            None
        }
        FileType::Directory | FileType::Unknown => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let fill = || {
        if let Some((source, copy)) = &content {
            copy_content(source, copy)?;
        }
        copy_looks(from, name, &stat, to, to_name)
    };
    fill().inspect_err(|_| {
        // Best effort: the error that is reported is the first one.
        let _ = to.remove_file(to_name);
    })
}

/// Copies from data to data; what lies between them is a hole in the copy, too, and so is what is nothing but zeros.
fn copy_content(from: &File, to: &File) -> io::Result<()> {
    let len = from.metadata()?.len();
    let mut buffer = vec![0; READ];
    let mut at = 0;
    while at < len {
        at = match rustix::fs::seek(from, SeekFrom::Data(at)) {
            // A hole up to the end.
            Err(Errno::NXIO) => break,
            data => data?,
        };
        let end = rustix::fs::seek(from, SeekFrom::Hole(at))?;
        while at < end {
            let part = usize::try_from(end - at).map_or(READ, |rest| rest.min(READ));
            from.read_exact_at(&mut buffer[..part], at)?;
            write_data(to, &buffer[..part], at)?;
            at += part as u64;
        }
    }
    to.set_len(len)
}

/// Writes what isn't all zeros, in as few calls as there are runs of it.
fn write_data(to: &File, bytes: &[u8], mut at: u64) -> io::Result<()> {
    let is_zero = |piece: &[u8]| piece.iter().all(|byte| *byte == 0);
    let mut rest = bytes;
    while !rest.is_empty() {
        let zeros: usize = rest.chunks(PIECE).take_while(|piece| is_zero(piece)).map(<[u8]>::len).sum();
        let data: usize = rest[zeros..].chunks(PIECE).take_while(|piece| !is_zero(piece)).map(<[u8]>::len).sum();
        to.write_all_at(&rest[zeros..zeros + data], at + zeros as u64)?;
        at += (zeros + data) as u64;
        rest = &rest[zeros + data..];
    }
    Ok(())
}

/// Gives a new file the looks of another. The order counts: another owner takes set-ID bits and capabilities away, and the times come last.
fn copy_looks(from: &Dir, name: &CStr, stat: &Stat, to: &Dir, to_name: &CStr) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(to, to_name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
    if !FileType::from_raw_mode(stat.st_mode).is_symlink() {
        remove_xattr_at(to, to_name, ACCESS_LIST)?;
        // It is no link, as we have just made it.
        rustix::fs::chmodat(to, to_name, Mode::from_raw_mode(stat.st_mode & 0o7777), AtFlags::empty())?;
    }
    for (attribute, value) in list_xattrs_at(from, name)? {
        if !is_overlay_mark(&attribute) {
            set_xattr_at(to, to_name, &attribute, &value)?;
        }
    }
    Ok(rustix::fs::utimensat(to, to_name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Whether overlayfs marks its own files and folders by this attribute. Such marks count in one place only, and say nothing about looks.
pub fn is_overlay_mark(attribute: &CStr) -> bool {
    let attribute = attribute.to_bytes();
    attribute.starts_with(b"trusted.overlay.") || attribute.starts_with(b"user.overlay.")
}

/// When a file was read and written last.
pub fn times(stat: &Stat) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime, tv_nsec: stat.st_atime_nsec as _ },
        last_modification: Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ },
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::fs;
    use std::os::unix::fs::{FileExt as _, MetadataExt as _, symlink};
    use std::path::Path;

    use rustix::fs::CWD;

    use super::*;

    /// Everything that a copy has of its original, but the content.
    #[derive(Debug, PartialEq)]
    struct Looks {
        mode: u32,
        owner: (u32, u32),
        device: u64,
        times: [(i64, i64); 2],
        attributes: Vec<(CString, Vec<u8>)>,
    }

    fn looks(dir: &Dir, name: &CStr) -> Looks {
        let stat = dir.stat(name).unwrap().unwrap();
        let times = times(&stat);
        let mut attributes = list_xattrs_at(dir, name).unwrap();
        attributes.sort();
        Looks {
            mode: stat.st_mode,
            owner: (stat.st_uid, stat.st_gid),
            device: stat.st_rdev,
            times: [times.last_access, times.last_modification].map(|time| (time.tv_sec, time.tv_nsec)),
            attributes,
        }
    }

    fn set_times(path: &Path) {
        let time = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
        let times = Timestamps { last_access: time(-5, 7), last_modification: time(1_000_000_000, 123_456_789) };
        rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }

    /// An access list: u::rw- g::r-- m::rwx o::---, and rwx for user 5.
    fn access_list() -> Vec<u8> {
        let entry =
            |tag: u16, bits: u16, id: u32| [&tag.to_le_bytes()[..], &bits.to_le_bytes(), &id.to_le_bytes()].concat();
        let none = u32::MAX;
        let entries = [entry(1, 6, none), entry(2, 7, 5), entry(4, 4, none), entry(16, 7, none), entry(32, 0, none)];
        [vec![2, 0, 0, 0], entries.concat()].concat()
    }

    #[test]
    fn root_a_copy_has_all_that_its_original_has() {
        let tmp = tempfile::tempdir_in(".").unwrap();
        let at = |name: &str| tmp.path().join("from").join(name);
        fs::create_dir_all(at("folder")).unwrap();
        fs::create_dir(tmp.path().join("to")).unwrap();
        let (from, to) = (Dir::open(&at("")).unwrap(), Dir::open(&tmp.path().join("to")).unwrap());
        // What new files get from their folder is not to stay on a copy.
        set_xattr_at(Dir::open(tmp.path()).unwrap(), c"to", c"system.posix_acl_default", &access_list()).unwrap();

        for name in ["plain", "listed", "able"] {
            fs::write(at(name), name).unwrap();
        }
        let able = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let kinds = [
            ("pipe", FileType::Fifo, 0),
            ("disk", FileType::BlockDevice, rustix::fs::makedev(7, 300)),
            ("whiteout", FileType::CharacterDevice, 0),
            ("socket", FileType::Socket, 0),
        ];
        for (name, kind, device) in kinds {
            rustix::fs::mknodat(CWD, at(name), kind, Mode::from_raw_mode(0o640), device).unwrap();
        }
        symlink("nowhere/at all", at("link")).unwrap();
        let owned = ["plain", "listed", "able", "pipe", "disk", "whiteout", "socket", "link"];
        for (n, name) in (40..).zip(owned) {
            std::os::unix::fs::lchown(at(name), Some(n), Some(n + 100)).unwrap();
        }
        for (name, mode) in [("plain", 0o6751), ("able", 0o1700), ("pipe", 0o777)] {
            rustix::fs::chmodat(CWD, at(name), Mode::from_raw_mode(mode), AtFlags::empty()).unwrap();
        }
        let set = |name: &CStr, attribute: &CStr, value: &[u8]| set_xattr_at(&from, name, attribute, value).unwrap();
        set(c"listed", c"system.posix_acl_access", &access_list());
        set(c"listed", c"user.long", &[7; 3000]);
        set(c"plain", c"user.\xff", b"\0");
        set(c"plain", c"trusted.theirs", b"");
        set(c"able", c"security.capability", &able);
        for name in [c"link", c"whiteout"] {
            set(name, c"trusted.of-it", b"1");
        }
        for name in owned {
            set_times(&at(name));
            let name = CString::new(name).unwrap();
            let expected = looks(&from, &name);
            copy_entry(&from, &name, &to, &name).unwrap();
            assert_eq!(looks(&to, &name), expected, "{name:?}");
        }
        assert_eq!(fs::read(tmp.path().join("to/listed")).unwrap(), b"listed");
        assert_eq!(looks(&to, c"plain").mode & 0o7777, 0o6751);
        assert_eq!(looks(&to, c"able").attributes, [(c"security.capability".to_owned(), able.to_vec())]);
        assert_eq!(fs::read_link(tmp.path().join("to/link")).unwrap(), Path::new("nowhere/at all"));
        let entries = to.entries().unwrap().len();

        assert_eq!(copy_entry(&from, c"plain", &to, c"link").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(copy_entry(&from, c"folder", &to, c"new").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(copy_entry(&from, c"none", &to, c"new").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(copy_entry(&from, c"plain", &to, c"..").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(to.entries().unwrap().len(), entries);
    }

    #[test]
    fn root_marks_of_overlays_stay_behind() {
        let tmp = tempfile::tempdir_in(".").unwrap();
        let root = Dir::open(tmp.path()).unwrap();
        root.open_or_create("a", 0o600).unwrap();
        for attribute in [c"trusted.overlay.metacopy", c"user.overlay.redirect", c"user.overlays"] {
            set_xattr_at(&root, c"a", attribute, b"1").unwrap();
        }
        copy_entry(&root, c"a", &root, c"b").unwrap();
        assert_eq!(looks(&root, c"b").attributes, [(c"user.overlays".to_owned(), b"1".to_vec())]);
    }

    #[test]
    fn zeros_become_holes() {
        let tmp = tempfile::tempdir_in(".").unwrap();
        let root = Dir::open(tmp.path()).unwrap();
        let file = root.open_or_create("a", 0o600).unwrap();
        file.write_all_at(&vec![0; 5_000_000], 0).unwrap();
        // Data in the middle of a piece, over the end of one, at the end of what is read at once, and at the end.
        for (at, len) in [(5_000, 10), (40_959, 2), (131_071, 1), (262_144, 300_000), (4_999_999, 1)] {
            file.write_all_at(&vec![7; len], at).unwrap();
        }
        copy_entry(&root, c"a", &root, c"b").unwrap();
        let [one, other] = ["a", "b"].map(|name| tmp.path().join(name));
        assert_eq!(fs::read(&one).unwrap(), fs::read(&other).unwrap());
        let taken = other.metadata().unwrap().blocks() * 512;
        assert!((300_000..400_000).contains(&taken), "{taken}");
    }

    #[test]
    fn holes_stay_holes() {
        let tmp = tempfile::tempdir_in(".").unwrap();
        let root = Dir::open(tmp.path()).unwrap();
        let file = root.open_or_create("a", 0o600).unwrap();
        for at in [1_u64 << 20, 30 << 20] {
            file.write_all_at(&[1; 10_000], at).unwrap();
        }
        file.set_len(64 << 20).unwrap();
        copy_entry(&root, c"a", &root, c"b").unwrap();
        let [one, other] = ["a", "b"].map(|name| tmp.path().join(name));
        assert_eq!(fs::read(&one).unwrap(), fs::read(&other).unwrap());
        assert!(other.metadata().unwrap().blocks() <= one.metadata().unwrap().blocks());
        for name in ["empty", "hole"] {
            root.open_or_create(name, 0o600).unwrap();
        }
        root.open_or_create("hole", 0o600).unwrap().set_len(5 << 20).unwrap();
        copy_entry(&root, c"empty", &root, c"empty2").unwrap();
        copy_entry(&root, c"hole", &root, c"hole2").unwrap();
        assert_eq!(root.stat("empty2").unwrap().unwrap().st_size, 0);
        assert_eq!(root.stat("hole2").unwrap().unwrap().st_size, 5 << 20);
    }
}
