//! The folder that a tree is mounted on.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use crate::{MountError, holders};

/// `OVERLAYFS_SUPER_MAGIC`.
const OVERLAY_MAGIC: u64 = 0x794c_7630;

/// A handle on the folder at `target`, or on the root of what is mounted there. A link is refused: what we mount on must be what
/// [`unmount`], which refuses them too, finds again.
pub(crate) fn open_target(target: &Path) -> Result<OwnedFd, MountError> {
    open(target).map_err(|error| {
        let is_link =
            rustix::fs::lstat(target).is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_symlink());
        let source = if error == Errno::NOTDIR && is_link {
            io::Error::new(io::ErrorKind::NotADirectory, "it is a symbolic link")
        } else {
            error.into()
        };
        MountError::Target { path: target.to_owned(), source }
    })
}

fn open(target: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(target, flags, Mode::empty())
}

/// Whether something is mounted on exactly this folder. A folder that isn't there has nothing mounted on it.
///
/// # Errors
///
/// When the folder can't be looked at, or the kernel can't tell (`Unsupported`, before Linux 5.8).
pub fn is_mounted(target: &Path) -> io::Result<bool> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let statx = match rustix::fs::statx(CWD, target, flags, StatxFlags::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(false),
        statx => statx?,
    };
    if !statx.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "this kernel doesn't tell mount points"));
    }
    Ok(statx.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Unmounts the overlay on `target`; the topmost one when there are several. Other kinds of mounts are left alone.
///
/// # Errors
///
/// [`MountError::NotMounted`] when no overlay is mounted there, [`MountError::Busy`] when somebody uses it; it then stays mounted.
pub fn unmount(target: &Path) -> Result<(), MountError> {
    take_off(target, UnmountFlags::NOFOLLOW)
}

/// Takes the overlay off `target` even when somebody uses it: it can't be seen any more, and goes with the last who does.
///
/// # Errors
///
/// [`MountError::NotMounted`] when no overlay is mounted there.
pub fn detach(target: &Path) -> Result<(), MountError> {
    take_off(target, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH)
}

fn take_off(target: &Path, flags: UnmountFlags) -> Result<(), MountError> {
    let fail = |source: io::Error| MountError::Unmount { target: target.to_owned(), source };
    let not_mounted = || MountError::NotMounted { target: target.to_owned() };
    if !is_mounted(target).map_err(fail)? || !is_of_kind(target, OVERLAY_MAGIC).map_err(fail)? {
        return Err(not_mounted());
    }
    match rustix::mount::unmount(target, flags) {
        Ok(()) => Ok(()),
        // Somebody else was faster.
        Err(Errno::INVAL) => Err(not_mounted()),
        Err(Errno::BUSY) => Err(MountError::Busy { target: target.to_owned(), holders: holders::of(target) }),
        Err(error) => Err(fail(error.into())),
    }
}

/// Whether `target` lies on a file system of this kind, told by its magic number. The handle is closed before anything is unmounted.
pub(crate) fn is_of_kind(target: &Path, magic: u64) -> io::Result<bool> {
    let fd = open(target)?;
    // The type of `f_type` depends on the machine.
    Ok(u64::try_from(rustix::fs::fstatfs(&fd)?.f_type) == Ok(magic))
}

#[cfg(test)]
mod tests;
