//! Making each kind of thing.

use std::ffi::CString;
use std::fs::File;
use std::io::{BufRead, ErrorKind};
use std::os::fd::{AsFd as _, BorrowedFd};

use layer_fs::FileKind;
use rustix::fs::{AtFlags, FileType, Gid, Mode, Uid};
use rustix::io::Errno;

use super::Unpack;
use super::aside::{Dress, Maker, SET_ID_BITS, SMALL};
use super::attributes::{Bearer, strip};
use super::folder::{DEFAULT_ACL, Folder, Owed, SETGID, times};
use super::tree::Place;
use super::whiteout::set_opaque;
use crate::UnpackError;
use crate::manifest::ContentHasher;
use crate::tar::{Entry, Kind, Segment};

/// From this size on, a file's write-back is started as soon as it is written, so that the sync at the end has less to wait for.
const EARLY_WRITEBACK: u64 = 1 << 20;

impl<R: BufRead> Unpack<'_, R> {
    /// The root of the layer, which is there already.
    pub(super) fn make_root(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        // It hands down to new files what it gets, until that is put off.
        self.tree.aside.catch_up()?;
        let root = self.tree.folder(b"", &entry.path)?;
        self.dress_again(&root, entry)
    }

    pub(super) fn make_folder(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        let place = self.tree.place(&entry.path, &entry.path)?;
        let mode = entry.mode & !SETGID;
        let made = match self.tree.make_dir(&place.folder, &place.name, mode) {
            Ok(dir) => Ok((dir, self.tree.drop_link(&place))),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let there = place.folder.dir.stat(place.name.as_c_str());
                let there = there.map_err(UnpackError::write("look up", &entry.path))?;
                if there.is_some_and(|stat| FileKind::of(&stat) == FileKind::Folder) {
                    let folder = self.tree.enter(&place, &entry.path)?;
                    return self.dress_again(&folder, entry);
                }
                let opaque = self.tree.make_way(&place, &entry.path)?;
                self.tree.make_dir(&place.folder, &place.name, mode).map(|dir| (dir, opaque))
            }
            Err(error) => Err(error),
        };
        let (dir, opaque) = made.map_err(UnpackError::write("make the folder", &entry.path))?;
        // What was there hid the folders of that name in the layers below, and so must the folder in its place.
        if opaque {
            self.tree.has_marks = true;
            set_opaque(&dir, &place.path)?;
        }
        let folder = self.tree.remember(Folder::new(dir, place.path, Owed::default()))?;
        if (entry.uid, entry.gid) != self.tree.maker.owner {
            chown(folder.dir.as_fd(), entry)?;
        }
        self.dress_folder(&folder, entry)
    }

    /// Gives a folder that was there before what its entry says, and nothing else.
    fn dress_again(&mut self, folder: &Folder, entry: &Entry) -> Result<(), UnpackError> {
        strip(&folder.dir).map_err(UnpackError::write("take the attributes off", &entry.path))?;
        rustix::fs::fchmod(&folder.dir, Mode::from_raw_mode(entry.mode & !SETGID))
            .map_err(UnpackError::write("set the mode of", &entry.path))?;
        chown(folder.dir.as_fd(), entry)?;
        self.dress_folder(folder, entry)
    }

    /// Gives a folder what its entry says beyond mode and owner, now or at the end.
    fn dress_folder(&mut self, folder: &Folder, entry: &Entry) -> Result<(), UnpackError> {
        let mut owed = Owed { mtime: entry.mtime, setgid: entry.mode & SETGID != 0, default_acl: None };
        for attribute in &entry.xattrs {
            self.attributes.set(Bearer::Open(folder.dir.as_fd()), attribute, entry)?;
            if attribute.0 == DEFAULT_ACL.to_bytes() {
                // It was set to see whether it can be.
                owed.default_acl =
                    super::folder::take_default_acl(&folder.dir).map_err(UnpackError::write("read", &entry.path))?;
                self.tree.has_lists = true;
            }
        }
        folder.owe(owed);
        self.tree.waiting.remove(&folder.path);
        Ok(())
    }

    pub(super) fn make_file(
        &mut self,
        entry: &Entry,
        size: u64,
        segments: Option<&[Segment]>,
    ) -> Result<(), UnpackError> {
        let place = self.tree.place(&entry.path, &entry.path)?;
        let is_small = size <= SMALL && segments.is_none() && entry.xattrs.is_empty();
        if is_small && place.is_new && self.tree.aside.has_room() {
            return self.put_aside(place, entry, size);
        }
        let dress = Dress::of(entry);
        let file = self.in_place(&place, entry, "make the file", |dir, name| Maker::create(dir, name, dress))?;
        let mut hasher = if segments.is_some() { ContentHasher::sparse() } else { ContentHasher::whole() };
        match segments {
            None => self.write(&file, entry, 0, size, &mut hasher)?,
            Some(segments) => {
                for segment in segments {
                    self.write(&file, entry, segment.offset, segment.len, &mut hasher)?;
                }
                rustix::fs::ftruncate(&file, size).map_err(UnpackError::write("set the size of", &entry.path))?;
            }
        }
        let stat = rustix::fs::fstat(&file).map_err(UnpackError::write("look up", &entry.path))?;
        self.tree.aside.contents.add(stat.st_ino, hasher.finish());
        self.tree.maker.own(&file, dress, &entry.path)?;
        for attribute in &entry.xattrs {
            self.attributes.set(Bearer::Open(file.as_fd()), attribute, entry)?;
        }
        Maker::date(&file, dress, &entry.path)?;
        if size >= EARLY_WRITEBACK {
            layer_fs::start_writeback(&file);
        }
        Ok(())
    }

    /// Leaves a small file to another thread.
    fn put_aside(&mut self, place: Place, entry: &Entry, size: u64) -> Result<(), UnpackError> {
        let mut left = usize::try_from(size).unwrap_or_default();
        self.tree.aside.put(place, entry, left);
        while left > 0 {
            let data = self.reader.data()?;
            let len = left.min(data.len());
            self.tree.aside.append(&data[..len]);
            self.reader.consume(len);
            left -= len;
        }
        self.applied.bytes += size;
        self.tree.aside.pass_on()
    }

    /// Writes the next `len` bytes of the entry's data at `offset`, straight from the buffer that they came in, and hashes them.
    fn write(
        &mut self,
        file: &File,
        entry: &Entry,
        mut offset: u64,
        len: u64,
        hasher: &mut ContentHasher,
    ) -> Result<(), UnpackError> {
        let end = offset + len;
        while offset < end {
            let data = self.reader.data()?;
            let part = usize::try_from(end - offset).map_or(data.len(), |rest| rest.min(data.len()));
            let written = match rustix::io::pwrite(file, &data[..part], offset) {
                Ok(0) => return Err(UnpackError::write("write", &entry.path)(ErrorKind::WriteZero)),
                Ok(written) => written,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(UnpackError::write("write", &entry.path)(error)),
            };
            hasher.update(offset, &data[..written]);
            self.reader.consume(written);
            self.applied.bytes += written as u64;
            offset += written as u64;
        }
        Ok(())
    }

    pub(super) fn make_symlink(&mut self, entry: &Entry, target: &[u8]) -> Result<(), UnpackError> {
        let target = CString::new(target).map_err(|_| UnpackError::refused(&entry.path, "its target holds a NUL"))?;
        self.make_at(entry, "make the link", |dir, name| rustix::fs::symlinkat(&target, dir, name))
    }

    pub(super) fn make_special(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        let (kind, device) = match entry.kind {
            Kind::Character { major, minor } => (FileType::CharacterDevice, rustix::fs::makedev(major, minor)),
            Kind::Block { major, minor } => (FileType::BlockDevice, rustix::fs::makedev(major, minor)),
            _ => (FileType::Fifo, 0),
        };
        let mode = Mode::from_raw_mode(entry.mode);
        self.make_at(entry, "make the node", |dir, name| rustix::fs::mknodat(dir, name, kind, mode, device))
    }

    /// Makes something that isn't opened, and dresses it by its name.
    fn make_at(
        &mut self,
        entry: &Entry,
        action: &'static str,
        make: impl Fn(BorrowedFd<'_>, &CString) -> Result<(), Errno>,
    ) -> Result<(), UnpackError> {
        let place = self.tree.place(&entry.path, &entry.path)?;
        self.in_place(&place, entry, action, make)?;
        self.tree
            .chown_at(&place, entry.uid, entry.gid)
            .map_err(UnpackError::write("set the owner of", &entry.path))?;
        if !matches!(entry.kind, Kind::Symlink(_)) && entry.mode & (SET_ID_BITS | self.tree.maker.umask) != 0 {
            // Nothing can have put a link in its place: the folder is ours alone.
            rustix::fs::chmodat(&place.folder.dir, &place.name, Mode::from_raw_mode(entry.mode), AtFlags::empty())
                .map_err(UnpackError::write("set the mode of", &entry.path))?;
        }
        for attribute in &entry.xattrs {
            self.attributes.set(Bearer::Named(&place), attribute, entry)?;
        }
        rustix::fs::utimensat(&place.folder.dir, &place.name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(UnpackError::write("set the time of", &entry.path))
    }

    /// Makes something at a place, in place of what is there.
    fn in_place<T>(
        &mut self,
        place: &Place,
        entry: &Entry,
        action: &'static str,
        make: impl Fn(BorrowedFd<'_>, &CString) -> Result<T, Errno>,
    ) -> Result<T, UnpackError> {
        let dir = place.folder.dir.as_fd();
        match make(dir, &place.name) {
            Err(Errno::EXIST) => {
                self.tree.make_way(place, &entry.path)?;
                make(dir, &place.name)
            }
            result => {
                self.tree.drop_link(place);
                result
            }
        }
        .map_err(UnpackError::write(action, &entry.path))
    }
}

fn chown(file: BorrowedFd<'_>, entry: &Entry) -> Result<(), UnpackError> {
    let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    rustix::fs::fchown(file, Some(uid), Some(gid)).map_err(UnpackError::write("set the owner of", &entry.path))
}
