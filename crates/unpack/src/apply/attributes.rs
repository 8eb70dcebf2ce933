//! Extended attributes.

use std::ffi::CString;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use layer_fs::Dir;
use rustix::fs::XattrFlags;
use rustix::io::Errno;

use super::folder::DEFAULT_ACL;
use super::tree::Place;
use crate::UnpackError;
use crate::left_out::LeftOut;
use crate::marks::steers_overlayfs;
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

/// Gives things their attributes.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    left_out: LeftOut,
    /// Whether any entry had one.
    pub(super) any: bool,
}

impl Attributes {
    /// Gives `bearer` an attribute of its entry.
    pub(super) fn set(
        &mut self,
        bearer: Bearer<'_>,
        (name, value): &(Vec<u8>, Vec<u8>),
        entry: &Entry,
    ) -> Result<(), UnpackError> {
        self.any = true;
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
            Err(Errno::OPNOTSUPP) => {
                self.left_out.add(name, entry);
                Ok(())
            }
            // The kernel keeps a user's attributes to files and folders.
            Err(Errno::PERM)
                if name.starts_with(b"user.") && !matches!(entry.kind, Kind::File { .. } | Kind::Folder) =>
            {
                self.left_out.add(name, entry);
                Ok(())
            }
            Err(Errno::ACCESS) if name == DEFAULT_ACL.to_bytes() => Err(refused("is one that only folders have")),
            Err(Errno::INVAL | Errno::TOOBIG | Errno::RANGE) => Err(refused("is malformed or too long")),
            // The kernel says so too when a file has more of them than its file system can hold.
            Err(Errno::NOSPC) if has_room(dir) => Err(refused("is more than this file system can hold")),
            Err(error) => Err(UnpackError::write("set an attribute of", &entry.path)(error)),
        }
    }

    /// Says once for the layer what was left out.
    pub(super) fn report(&self) {
        self.left_out.report();
    }
}

/// Takes the attributes off a folder that an earlier entry gave it, except the mark that this layer's own whiteouts have left, and what the
/// machine's security modules have put there.
pub(super) fn strip(dir: &Dir) -> std::io::Result<()> {
    for (name, _) in layer_fs::list_xattrs(dir)? {
        let bytes = name.to_bytes();
        let from_entry = bytes.starts_with(b"user.")
            || (bytes.starts_with(b"trusted.") && !steers_overlayfs(bytes))
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
