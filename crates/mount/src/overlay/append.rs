//! The mount calls of Linux 6.7 and later: folders are added one by one, so their names need not fit into a page together.

use std::ffi::OsStr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags};

use super::{Folder, Folders, MountFlags, OPTIONS};
use crate::MountError;
use crate::support::Method;

/// The longest string that `fsconfig` takes, without its NUL.
const MAX_STRING: usize = 255;

pub(super) fn mount(
    method: Method,
    folders: &Folders<'_>,
    flags: MountFlags,
    place: &OwnedFd,
    target: &Path,
) -> Result<(), MountError> {
    let refused = |context: Option<&OwnedFd>, source: Errno| MountError::Mount {
        target: target.to_owned(),
        folders: folders.lowers.len(),
        words: context.map(words).unwrap_or_default(),
        source: source.into(),
    };
    let context = rustix::mount::fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(|e| refused(None, e))?;
    set(&context, "source", "overlay")?;
    for lower in &folders.lowers {
        set_folder(method, &context, "lowerdir+", lower)?;
    }
    if let Some([upper, work]) = &folders.upper {
        set_folder(method, &context, "upperdir", upper)?;
        set_folder(method, &context, "workdir", work)?;
    }
    for (key, value) in OPTIONS {
        set(&context, key, value)?;
    }
    rustix::mount::fsconfig_create(&context).map_err(|e| refused(Some(&context), e))?;
    let attributes = attributes(flags, folders.upper.is_none());
    let mounted = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .map_err(|e| refused(Some(&context), e))?;
    let by_handles = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(&mounted, c"", place, c"", by_handles).map_err(|e| refused(None, e))
}

pub(super) fn set(context: &OwnedFd, key: &str, value: &str) -> Result<(), MountError> {
    rustix::mount::fsconfig_set_string(context, key, value).map_err(|source| MountError::Option {
        option: format!("{key}={value}"),
        words: words(context),
        source: source.into(),
    })
}

fn set_folder(method: Method, context: &OwnedFd, key: &str, folder: &Folder<'_>) -> Result<(), MountError> {
    let set = match method {
        Method::AppendFd => rustix::mount::fsconfig_set_fd(context, key, &folder.fd),
        _ => rustix::mount::fsconfig_set_string(context, key, &*name(folder)),
    };
    set.map_err(|source| MountError::Option {
        option: format!("{key}={}", folder.path.display()),
        words: words(context),
        source: source.into(),
    })
}

/// A path to the folder that `fsconfig` takes: its own, which the mount table then shows; or that of its handle, when its own is too long,
/// or holds a backslash, which the kernel takes for an escape in some options.
fn name(folder: &Folder<'_>) -> PathBuf {
    let bytes = folder.path.as_os_str().as_bytes();
    if bytes.len() <= MAX_STRING && !bytes.contains(&b'\\') {
        folder.path.to_owned()
    } else {
        Path::new("/proc/self/fd").join(folder.fd.as_raw_fd().to_string())
    }
}

fn attributes(flags: MountFlags, read_only: bool) -> MountAttrFlags {
    let mut attributes = MountAttrFlags::empty();
    attributes.set(MountAttrFlags::MOUNT_ATTR_NODEV, flags.nodev);
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOSUID, flags.nosuid);
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOEXEC, flags.noexec);
    attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, read_only);
    attributes
}

/// What the kernel has written into the context about its last refusal: lines such as `e overlay: Unknown parameter 'x'`.
fn words(context: &OwnedFd) -> String {
    let mut lines = Vec::new();
    let mut buffer = [0; 1024];
    // Each read gives one message; ENODATA ends them.
    while lines.len() < 8
        && let Ok(len) = rustix::io::read(context, &mut buffer)
        && len > 2
    {
        // The first two bytes tell how grave it is.
        let line = OsStr::from_bytes(buffer[..len].trim_ascii_end());
        lines.push(line.to_string_lossy().get(2..).unwrap_or_default().to_owned());
    }
    if lines.is_empty() { String::new() } else { format!(" ({})", lines.join("; ")) }
}
