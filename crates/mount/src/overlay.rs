//! Mounting a stack of folders.

mod append;
mod classic;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::MountError;
use crate::stack::has_opaque_mark;
use crate::support::{Method, method};
use crate::target::open_target;

/// How many folders the kernel stacks below the writable one (`OVL_MAX_STACK`).
pub const MAX_FOLDERS: usize = 500;

/// What every overlay of ours is mounted with, since layers come from strangers: no marker inside of a layer may send a look-up to another
/// place of the layers below (`redirect_dir`) or lend a file the content of another one (`metacopy`). `redirect_dir=off` would not do: a
/// kernel may be built to follow nevertheless. The index would tie a writable folder to its layers for good.
const OPTIONS: [(&str, &str); 3] = [("redirect_dir", "nofollow"), ("metacopy", "off"), ("index", "off")];

/// A stack of folders to be seen as one tree.
#[derive(Clone, Debug)]
pub struct Overlay<'a> {
    /// The read-only folders, **topmost first**. Those below a folder whose root is opaque take no part, as whoever made that layer wanted
    /// it; overlayfs itself has no opaque roots. Without an [`upper`](Self::upper), two must be left: add an empty folder of the same file
    /// system to a single layer.
    pub lowers: &'a [PathBuf],
    /// Where changes go. Without it the tree is read-only.
    pub upper: Option<Upper>,
    /// What the mounted tree may not be used for.
    pub flags: MountFlags,
}

/// The writable part of an overlay. Both folders must be on one file system, and serve one mount at a time.
#[derive(Clone, Debug)]
pub struct Upper {
    /// The folder that gets the changes.
    pub upper: PathBuf,
    /// An empty folder in which the kernel prepares them.
    pub work: PathBuf,
}

/// What a mounted tree may not be used for. The default is to forbid devices and set-user-id programs, as befits the files of strangers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountFlags {
    /// Devices can't be opened.
    pub nodev: bool,
    /// Set-user-id and set-group-id bits and file capabilities have no effect.
    pub nosuid: bool,
    /// No program can be run.
    pub noexec: bool,
}

impl Default for MountFlags {
    fn default() -> Self {
        Self { nodev: true, nosuid: true, noexec: false }
    }
}

/// Mounts the stack on the folder `target`, which must exist and may hold files or carry another mount; they are covered.
///
/// The mount point itself may not be a symbolic link; links on the way to it are followed.
///
/// # Errors
///
/// When the stack has too few or too many folders, one of them or the target can't be opened, or the kernel refuses.
pub fn mount(overlay: &Overlay<'_>, target: &Path) -> Result<(), MountError> {
    let method = method().map_err(|source| MountError::Unsupported { source: source.into() })?;
    mount_by(method, overlay, target)
}

pub(crate) fn mount_by(method: Method, overlay: &Overlay<'_>, target: &Path) -> Result<(), MountError> {
    let folders = Folders::open(overlay)?;
    let place = open_target(target)?;
    tracing::debug!(target = %target.display(), folders = folders.lowers.len(), ?method, "mounting an overlay");
    match method {
        Method::AppendFd | Method::AppendPath => append::mount(method, &folders, overlay.flags, &place, target),
        Method::Classic => classic::mount(&folders, overlay.flags, &place, target),
    }
}

/// The folders of an overlay, opened.
struct Folders<'a> {
    /// Topmost first, without those that an opaque root hides.
    lowers: Vec<Folder<'a>>,
    /// The folder for changes and the work folder.
    upper: Option<[Folder<'a>; 2]>,
    /// Whether they lie on several file systems, as layers that are images do.
    is_mixed: bool,
}

/// Has all of a tree look like one device, though its layers are file systems of their own: there are programs that stay on one device. Where the
/// numbers of inodes leave no room for that, the kernel does without.
const ONE_DEVICE: (&str, &str) = ("xino", "on");

struct Folder<'a> {
    path: &'a Path,
    fd: OwnedFd,
    device: u64,
}

impl<'a> Folders<'a> {
    fn open(overlay: &'a Overlay<'_>) -> Result<Self, MountError> {
        let mut lowers = Vec::with_capacity(overlay.lowers.len());
        for path in overlay.lowers {
            let folder = Folder::open(path)?;
            let opaque =
                has_opaque_mark(&folder.fd).map_err(|source| MountError::Folder { path: path.clone(), source })?;
            lowers.push(folder);
            if opaque {
                break;
            }
        }
        let upper = match &overlay.upper {
            Some(Upper { upper, work }) => Some([Folder::open(upper)?, Folder::open(work)?]),
            None => None,
        };
        let devices = lowers.iter().chain(upper.iter().flatten()).map(|folder| folder.device);
        let is_mixed = lowers.first().is_some_and(|first| devices.into_iter().any(|other| other != first.device));
        let folders = lowers.len();
        match (folders, &upper) {
            (0, _) | (1, None) => Err(MountError::TooFew { folders }),
            (MAX_FOLDERS.., _) if folders > MAX_FOLDERS => Err(MountError::TooMany { folders }),
            _ => Ok(Self { lowers, upper, is_mixed }),
        }
    }

    /// The options besides those that name them.
    fn options(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        OPTIONS.into_iter().chain(self.is_mixed.then_some(ONE_DEVICE))
    }
}

impl<'a> Folder<'a> {
    fn open(path: &'a Path) -> Result<Self, MountError> {
        // Not O_PATH: before Linux 6.15 fsconfig takes no such handle.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened =
            rustix::fs::open(path, flags, Mode::empty()).and_then(|fd| Ok((rustix::fs::fstat(&fd)?.st_dev, fd)));
        match opened {
            Ok((device, fd)) => Ok(Self { path, fd, device }),
            Err(source) => Err(MountError::Folder { path: path.to_owned(), source: source.into() }),
        }
    }
}

#[cfg(test)]
mod tests;
