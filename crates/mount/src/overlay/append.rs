//! The mount calls of Linux 6.7 and later: folders are added one by one, so their names need not fit into a page together.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags};

use super::{Folder, Folders, MountFlags};
use crate::MountError;
use crate::context::{name, words};
use crate::support::Method;

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
    for (key, value) in folders.options() {
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
        _ => rustix::mount::fsconfig_set_string(context, key, &*name(folder.path, &folder.fd)),
    };
    set.map_err(|source| MountError::Option {
        option: format!("{key}={}", folder.path.display()),
        words: words(context),
        source: source.into(),
    })
}

fn attributes(flags: MountFlags, read_only: bool) -> MountAttrFlags {
    let mut attributes = MountAttrFlags::empty();
    attributes.set(MountAttrFlags::MOUNT_ATTR_NODEV, flags.nodev);
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOSUID, flags.nosuid);
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOEXEC, flags.noexec);
    attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, read_only);
    attributes
}
