//! The one `mount` call of kernels before Linux 6.7.
//!
//! All options go into one page there, which the paths of some fifty layers overflow. So the call is made by a thread whose working folder
//! is `/proc/self/fd`: from there the number of a handle is the whole path of its folder, and 500 of them fit.

use std::ffi::CString;
use std::fmt::Write as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::MountFlags as Ms;
use rustix::thread::UnshareFlags;

use super::{Folders, MountFlags};
use crate::MountError;

/// The room for options, with their NUL: one page of the smallest kind.
const PAGE: usize = 4096;

pub(super) fn mount(
    folders: &Folders<'_>,
    flags: MountFlags,
    place: &OwnedFd,
    target: &Path,
) -> Result<(), MountError> {
    call(folders, flags, place).map_err(|source| MountError::Mount {
        target: target.to_owned(),
        folders: folders.lowers.len(),
        words: String::new(),
        source: source.into(),
    })
}

fn call(folders: &Folders<'_>, flags: MountFlags, place: &OwnedFd) -> Result<(), Errno> {
    let options = options(folders);
    if options.len() >= PAGE {
        return Err(Errno::TOOBIG);
    }
    let options = CString::new(options).map_err(|_| Errno::INVAL)?;
    let place = place.as_raw_fd().to_string();
    let flags = mount_flags(flags, folders.upper.is_none());
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("mount".to_owned()).spawn_scoped(scope, || {
            #[expect(deprecated, reason = "deprecated for what other flags do; FS parts only the working folder")]
            rustix::thread::unshare(UnshareFlags::FS)?;
            rustix::process::chdir(c"/proc/self/fd")?;
            rustix::mount::mount(c"overlay", &*place, c"overlay", flags, options.as_c_str())
        });
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Errno::IO),
            Err(_) => Err(Errno::AGAIN),
        }
    })
}

/// All options in the form of `mount`; numbers need no escapes.
fn options(folders: &Folders<'_>) -> String {
    let mut options = String::from("lowerdir=");
    for (index, lower) in folders.lowers.iter().enumerate() {
        let colon = if index == 0 { "" } else { ":" };
        // Writing to a string can't fail.
        let _ = write!(options, "{colon}{}", lower.fd.as_raw_fd());
    }
    if let Some([upper, work]) = &folders.upper {
        let _ = write!(options, ",upperdir={},workdir={}", upper.fd.as_raw_fd(), work.fd.as_raw_fd());
    }
    for (key, value) in folders.options() {
        let _ = write!(options, ",{key}={value}");
    }
    options
}

fn mount_flags(flags: MountFlags, read_only: bool) -> Ms {
    let mut result = Ms::empty();
    result.set(Ms::NODEV, flags.nodev);
    result.set(Ms::NOSUID, flags.nosuid);
    result.set(Ms::NOEXEC, flags.noexec);
    result.set(Ms::RDONLY, read_only);
    result
}
