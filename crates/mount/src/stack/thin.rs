//! Writing the thin layer.

use std::collections::HashMap;
use std::ffi::CStr;
use std::io;
use std::os::fd::BorrowedFd;

use layer_fs::{Dir, is_overlay_mark, list_xattrs};
use rustix::fs::{Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::files::Files;
use super::view::{Looks, Place};
use super::{Stack, StackError, path};

/// Access lists, which new folders may get from the one they are made in.
const ACCESS_LISTS: [&CStr; 2] = [c"system.posix_acl_access", c"system.posix_acl_default"];

pub(super) struct Thin {
    root: Dir,
    files: Files,
}

impl Thin {
    pub(super) fn new(dir: BorrowedFd<'_>) -> Result<Self, StackError> {
        let make = |source: io::Error| StackError::Make { path: Vec::new(), source };
        Ok(Self { root: dir.try_clone_to_owned().map_err(make)?.into(), files: Files::default() })
    }

    /// Makes a folder in one that is there; the root is.
    pub(super) fn make_folder(&self, path: &[u8]) -> Result<(), StackError> {
        let Some((folder, name)) = path::split(path) else { return Ok(()) };
        let make = || -> io::Result<()> {
            let folder = path::open_folder(&self.root, folder)?;
            Ok(rustix::fs::mkdirat(&folder, path::name(name)?, Mode::RWXU)?)
        };
        make().map_err(|source| StackError::Make { path: path.to_vec(), source })
    }

    /// Gives the file at `place` in a layer a name here, too, and tells whether this had to be a copy. A symbolic link is not followed.
    pub(super) fn make_link(&mut self, stack: &Stack, path: &[u8], place: &Place) -> Result<bool, StackError> {
        let (index, target) = &**place;
        let mut make = || -> io::Result<bool> {
            let (folder, name) = path::split(target).unwrap_or_default();
            self.files.put(&stack.open_folder(*index, folder)?, &path::name(name)?, &self.root, path, true)
        };
        make().map_err(|source| StackError::Make { path: path.to_vec(), source })
    }

    /// Gives a folder owner, mode, times and attributes.
    pub(super) fn give_looks(&self, stack: &Stack, path: &[u8], looks: Looks) -> Result<(), StackError> {
        let from = match looks {
            Looks::Default => None,
            Looks::Topmost(index) | Looks::Below(index) => Some(index),
        };
        let from = from
            .map(|index| stack.open_folder(index, path).and_then(Appearance::of))
            .transpose()
            .map_err(|source| StackError::Read { path: path.to_vec(), source })?;
        let give = || from.unwrap_or_default().give(&path::open_folder(&self.root, path)?);
        give().map_err(|source| StackError::Make { path: path.to_vec(), source })
    }
}

/// How a folder looks.
pub(super) struct Appearance {
    owner: (u32, u32),
    mode: u32,
    times: Timestamps,
    attributes: HashMap<std::ffi::CString, Vec<u8>>,
}

impl Default for Appearance {
    /// A folder that nobody described.
    fn default() -> Self {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let times = Timestamps { last_access: zero, last_modification: zero };
        Self { owner: (0, 0), mode: 0o755, times, attributes: HashMap::new() }
    }
}

impl Appearance {
    pub(super) fn of(folder: Dir) -> io::Result<Self> {
        let stat = rustix::fs::fstat(&folder)?;
        let attributes = list_xattrs(&folder)?.into_iter().filter(|(name, _)| !is_overlay_mark(name)).collect();
        Ok(Self {
            owner: (stat.st_uid, stat.st_gid),
            mode: stat.st_mode & 0o7777,
            times: layer_fs::times(&stat),
            attributes,
        })
    }

    /// Makes `folder` look like this. The times come last, since everything else may change them.
    pub(super) fn give(&self, folder: &Dir) -> io::Result<()> {
        let (user, group) = (Uid::from_raw(self.owner.0), Gid::from_raw(self.owner.1));
        rustix::fs::fchown(folder, Some(user), Some(group))?;
        for name in ACCESS_LISTS {
            if !self.attributes.contains_key(name) {
                match rustix::fs::fremovexattr(folder, name) {
                    Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        rustix::fs::fchmod(folder, Mode::from_raw_mode(self.mode))?;
        for (name, value) in &self.attributes {
            rustix::fs::fsetxattr(folder, name, value, XattrFlags::empty())?;
        }
        Ok(rustix::fs::futimens(folder, &self.times)?)
    }
}
