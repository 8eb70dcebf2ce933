//! Extended attributes.

use std::ffi::CString;
use std::fmt::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use layer_fs::Dir;
use rustix::fs::XattrFlags;
use rustix::io::Errno;

use super::tree::Place;
use crate::UnpackError;
use crate::tar::{Entry, Kind, Shown};

/// Below this much free space, a disk that has no room for an attribute is a full disk.
const ROOM: u64 = 1 << 20;

/// What gets attributes.
#[derive(Clone, Copy)]
pub(super) enum Bearer<'a> {
    /// An open file or folder.
    Open(BorrowedFd<'a>),
    /// Something that isn't opened: a link, a device, a pipe.
    Named(&'a Place),
}

/// Attributes that were left out, because no Linux or not this file system could hold them. Images bring them from other systems, and run
/// without them under any other engine.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    count: u64,
    /// The first of them, and whose it is.
    first: String,
}

impl LeftOut {
    /// Gives `bearer` an attribute of its entry.
    pub(super) fn set(
        &mut self,
        bearer: Bearer<'_>,
        (name, value): &(Vec<u8>, Vec<u8>),
        entry: &Entry,
    ) -> Result<(), UnpackError> {
        let refused = |why: &str| {
            let reason = format!("its attribute `{}` {why}", Shown(name));
            UnpackError::refused(&entry.path, reason)
        };
        let Ok(attribute) = CString::new(name.as_slice()) else { return Err(refused("has a NUL in its name")) };
        let (set, dir) = match bearer {
            Bearer::Open(file) => (rustix::fs::fsetxattr(file, &attribute, value, XattrFlags::empty()), file),
            Bearer::Named(place) => {
                let dir = place.folder.dir.as_fd();
                // There is no call for attributes relative to a handle, so the handle goes into the path. The last component isn't followed.
                let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
                path.extend_from_slice(place.name.to_bytes());
                (rustix::fs::lsetxattr(path.as_slice(), &attribute, value, XattrFlags::empty()), dir)
            }
        };
        match set {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP) => self.leave_out(name, entry),
            // The kernel keeps a user's attributes to files and folders.
            Err(Errno::PERM)
                if name.starts_with(b"user.") && !matches!(entry.kind, Kind::File { .. } | Kind::Folder) =>
            {
                self.leave_out(name, entry)
            }
            Err(Errno::INVAL | Errno::TOOBIG | Errno::RANGE) => Err(refused("is malformed or too long")),
            // The kernel says so too when a file has more of them than its file system can hold.
            Err(Errno::NOSPC) if has_room(dir) => Err(refused("is more than this file system can hold")),
            Err(error) => Err(UnpackError::write("set an attribute of", &entry.path)(error)),
        }
    }

    fn leave_out(&mut self, name: &[u8], entry: &Entry) -> Result<(), UnpackError> {
        if self.count == 0 {
            // Writing to a string can't fail.
            let _ = write!(self.first, "{} of {}", Shown(name), Shown(&entry.path));
        }
        self.count += 1;
        Ok(())
    }

    /// Says so once for the layer.
    pub(super) fn report(&self) {
        if self.count > 0 {
            tracing::warn!(
                attributes = self.count,
                first = self.first,
                "left out attributes that can't be stored here"
            );
        }
    }
}

/// Takes the attributes off a folder that an earlier entry gave it, except the mark that this layer's own whiteouts have left, and what the
/// machine's security modules have put there.
pub(super) fn strip(dir: &Dir) -> std::io::Result<()> {
    for (name, _) in layer_fs::list_xattrs(dir)? {
        let bytes = name.to_bytes();
        let from_entry = bytes.starts_with(b"user.")
            || (bytes.starts_with(b"trusted.") && !super::steers_overlayfs(bytes))
            || matches!(bytes, b"security.capability" | b"system.posix_acl_access");
        if from_entry {
            rustix::fs::fremovexattr(dir, &name)?;
        }
    }
    Ok(())
}

fn has_room(dir: BorrowedFd<'_>) -> bool {
    rustix::fs::fstatvfs(dir).is_ok_and(|stat| stat.f_bfree.saturating_mul(stat.f_frsize) >= ROOM)
}
