//! One open folder of the layer, and what it gets only when nothing is made in it any more.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use layer_fs::Dir;
use rustix::fs::{Mode, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;

use crate::UnpackError;
use crate::tar::Time;

/// The default access list that a folder hands down to what is made in it.
pub(super) const DEFAULT_ACL: &std::ffi::CStr = c"system.posix_acl_default";

/// The bit by which a folder hands its group down to what is made in it.
pub(super) const SETGID: u32 = 0o2000;

/// An open folder of the layer, in which things are made.
///
/// Making something changes the folder's time, and takes over what the folder hands down. So these are put off until the handle is given
/// up, and taken off again when the folder is opened once more: the disk remembers them, however many folders there are.
#[derive(Debug)]
pub(super) struct Folder {
    /// Held by files that are put aside, too.
    pub(super) dir: Arc<Dir>,
    /// Where it really is: no component of this path is a link.
    pub(super) path: Vec<u8>,
    owed: RefCell<Owed>,
}

/// What a folder gets at the end.
#[derive(Debug, Default)]
pub(super) struct Owed {
    pub(super) mtime: Time,
    pub(super) setgid: bool,
    pub(super) default_acl: Option<Vec<u8>>,
}

impl Folder {
    /// A folder that was made just now, and hands nothing down.
    pub(super) fn new(dir: Dir, path: Vec<u8>, owed: Owed) -> Self {
        Self { dir: Arc::new(dir), path, owed: RefCell::new(owed) }
    }

    /// A folder that is there already. `lists` says whether it may have a default access list.
    pub(super) fn reopen(dir: Dir, path: Vec<u8>, lists: bool) -> io::Result<Self> {
        let stat = rustix::fs::fstat(&dir)?;
        let nanos = u32::try_from(stat.st_mtime_nsec).unwrap_or_default();
        let mut owed = Owed { mtime: Time { seconds: stat.st_mtime, nanos }, ..Owed::default() };
        if stat.st_mode & SETGID != 0 {
            rustix::fs::fchmod(&dir, Mode::from_raw_mode(stat.st_mode & 0o7777 & !SETGID))?;
            owed.setgid = true;
        }
        if lists {
            owed.default_acl = take_default_acl(&dir)?;
        }
        Ok(Self::new(dir, path, owed))
    }

    /// Replaces what the folder gets at the end.
    pub(super) fn owe(&self, owed: Owed) {
        self.owed.replace(owed);
    }

    /// Gives the folder what was put off.
    pub(super) fn settle(&self) -> Result<(), UnpackError> {
        let owed = self.owed.borrow();
        if owed.setgid {
            let stat = rustix::fs::fstat(&self.dir).map_err(UnpackError::write("look up", &self.path))?;
            rustix::fs::fchmod(&self.dir, Mode::from_raw_mode(stat.st_mode & 0o7777 | SETGID))
                .map_err(UnpackError::write("set the mode of", &self.path))?;
        }
        if let Some(acl) = &owed.default_acl {
            rustix::fs::fsetxattr(&self.dir, DEFAULT_ACL, acl, XattrFlags::empty())
                .map_err(UnpackError::write("set the default access list of", &self.path))?;
        }
        rustix::fs::futimens(&self.dir, &times(owed.mtime)).map_err(UnpackError::write("set the time of", &self.path))
    }
}

/// Removes a folder's default access list and returns it.
pub(super) fn take_default_acl(dir: &Dir) -> io::Result<Option<Vec<u8>>> {
    // As large as an attribute can be.
    let mut value = vec![0; 1 << 16];
    match rustix::fs::fgetxattr(dir, DEFAULT_ACL, value.as_mut_slice()) {
        Ok(len) => value.truncate(len),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    rustix::fs::fremovexattr(dir, DEFAULT_ACL)?;
    Ok(Some(value))
}

/// A time as the kernel takes it, for access and change alike: a tar has only one, and the result must not depend on the day.
pub(super) fn times(time: Time) -> Timestamps {
    let time = Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanos) };
    Timestamps { last_access: time, last_modification: time }
}
