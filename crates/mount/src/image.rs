//! Layers in the form of image files, which the kernel mounts as they are.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags};

use crate::MountError;
use crate::context::{name, of_handle, words};
use crate::overlay::{Overlay, mount};
use crate::target::{is_mounted, is_of_kind, open_target};

/// `EROFS_SUPER_MAGIC_V1`.
const EROFS_MAGIC: u64 = 0xe0f5_e1e2;

/// What an image is mounted with. An overlay takes over none of it: what may be done with its files is up to its own flags. So nobody who
/// comes across the image's own mount gets a device or a set-user-id program there.
const ATTRIBUTES: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOSUID)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// An EROFS image, mounted where nobody sees it. It goes when this is dropped, or, if something in it is open, after that.
#[derive(Debug)]
pub struct LayerImage {
    mount: OwnedFd,
    file: PathBuf,
}

impl LayerImage {
    /// Mounts the image in `file`. The file may be removed as long as it is mounted, but must not be written to.
    ///
    /// The kernel reads images from files of a disk's file system only (ext4, XFS, Btrfs), not of tmpfs or another overlay.
    ///
    /// # Errors
    ///
    /// [`MountError::NoErofs`] when the kernel has no EROFS, [`MountError::NotFromFile`] when it has, but doesn't read it from this file;
    /// [`MountError::Image`] when the file can't be opened, or holds no such image.
    pub fn open(file: &Path) -> Result<Self, MountError> {
        let refused = |context: Option<&OwnedFd>, source: io::Error| MountError::Image {
            file: file.to_owned(),
            words: context.map(words).unwrap_or_default(),
            source,
        };
        let context = rustix::mount::fsopen(c"erofs", FsOpenFlags::FSOPEN_CLOEXEC)
            .map_err(|source| MountError::NoErofs { source: source.into() })?;
        let opened = open_file(file).map_err(|e| refused(None, e))?;
        rustix::mount::fsconfig_set_string(&context, c"source", &*name(file, &opened))
            .and_then(|()| rustix::mount::fsconfig_set_flag(&context, c"ro"))
            .map_err(|e| refused(Some(&context), e.into()))?;
        match rustix::mount::fsconfig_create(&context) {
            Ok(()) => {}
            // The kernel has looked for a disk, since it can't take the file.
            Err(source @ Errno::NOTBLK) => {
                return Err(MountError::NotFromFile { file: file.to_owned(), source: source.into() });
            }
            Err(error) => return Err(refused(Some(&context), error.into())),
        }
        let mounted = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, ATTRIBUTES)
            .map_err(|e| refused(Some(&context), e.into()))?;
        tracing::debug!(file = %file.display(), "mounted a layer image");
        Ok(Self { mount: mounted, file: file.to_owned() })
    }

    /// A path by which this process can open the image's root, as long as this lives.
    pub fn path(&self) -> PathBuf {
        of_handle(&self.mount)
    }

    /// Shows the image at the folder `target`, which must exist. Whatever gets to see new mounts of `target`'s own mount, such as other
    /// namespaces on most systems, sees this one too, and its end.
    ///
    /// # Errors
    ///
    /// When the target can't be opened, or the kernel refuses.
    pub fn attach(self, target: &Path) -> Result<AttachedImage, MountError> {
        let place = open_target(target)?;
        let refused = |source: Errno| MountError::Attach { target: target.to_owned(), source: source.into() };
        let by_handles = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        rustix::mount::move_mount(&self.mount, c"", &place, c"", by_handles).map_err(refused)?;
        let attached = AttachedImage(target.to_owned());
        // What others may mount inside of it shows up nowhere else then. The image itself has gone where new mounts of the place go.
        rustix::mount::mount_change(self.path(), MountPropagationFlags::PRIVATE).map_err(refused)?;
        Ok(attached)
    }
}

/// Opens a file for reading; nothing that could keep us waiting.
fn open_file(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"))
    }
}

/// An image that can be seen at a folder. It is detached when this is dropped; an overlay that was mounted on it keeps what it needs.
#[derive(Debug)]
pub struct AttachedImage(PathBuf);

impl AttachedImage {
    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for AttachedImage {
    fn drop(&mut self) {
        if let Err(error) = detach(&self.0) {
            tracing::warn!(target = %self.0.display(), %error, "a layer image can't be detached");
        }
    }
}

/// Detaches what [`LayerImage::attach`] has put on `target`, also by a process that was killed: all images that lie there on each other, down to
/// the first mount of another kind, which is left alone. Says whether there was one.
///
/// # Errors
///
/// When the folder can't be looked at, or the kernel refuses.
fn detach_image(target: &Path) -> io::Result<bool> {
    let mut any = false;
    while is_mounted(target)? && is_of_kind(target, EROFS_MAGIC)? {
        match detach(target) {
            Ok(()) => any = true,
            // Somebody else was faster.
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(any)
}

/// Mounts the stack as [`mount`](crate::mount()) does, some layers of which are `images`, named in it by their [`LayerImage::path`]. When it is mounted, it keeps
/// what it needs of them. One image may be in several stacks, which read it into memory once.
///
/// Kernels before Linux 6.15 stack only what can be seen. For these the images are shown for that moment, in folders that are made in `folder`.
///
/// # Errors
///
/// As [`mount`](crate::mount()) and [`LayerImage::attach`], and when the folders can't be made.
pub fn mount_images(
    overlay: &Overlay<'_>,
    images: &[Arc<LayerImage>],
    folder: &Path,
    target: &Path,
) -> Result<(), MountError> {
    match mount(overlay, target) {
        // What else may be wrong shows up once more.
        Err(MountError::Mount { .. } | MountError::Option { .. }) if !images.is_empty() => {
            mount_shown(overlay, images, folder, target)
        }
        mounted => mounted,
    }
}

fn mount_shown(
    overlay: &Overlay<'_>,
    images: &[Arc<LayerImage>],
    folder: &Path,
    target: &Path,
) -> Result<(), MountError> {
    tracing::debug!(images = images.len(), "showing layer images while they are stacked");
    let mut lowers = overlay.lowers.to_vec();
    let mut shown = Vec::with_capacity(images.len());
    for (number, image) in images.iter().enumerate() {
        let (hidden, place) = (image.path(), folder.join(number.to_string()));
        std::fs::create_dir_all(&place).map_err(|source| MountError::Attach { target: place.clone(), source })?;
        // Shown, it would be gone from where others may use it.
        let attached = LayerImage::open(&image.file)?.attach(&place)?;
        lowers.iter_mut().filter(|lower| **lower == hidden).for_each(|lower| lower.clone_from(&place));
        shown.push(attached);
    }
    mount(&Overlay { lowers: &lowers, ..overlay.clone() }, target)
}

/// Detaches what a process that was killed in [`mount_images`] may have left in `folder`, which need not be there.
///
/// # Errors
///
/// When the folder can't be read, or the kernel refuses.
pub fn detach_images(folder: &Path) -> io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        if detach_image(&path)? {
            tracing::info!(path = %path.display(), "detached a layer image that was left behind");
        }
    }
    Ok(())
}

fn detach(target: &Path) -> Result<(), Errno> {
    rustix::mount::unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
}

#[cfg(test)]
mod tests;
