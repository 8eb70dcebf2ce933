//! What can go wrong with a mount.

use std::io;
use std::path::PathBuf;

/// Why something could not be mounted or unmounted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MountError {
    /// This kernel has no overlayfs, or doesn't let this process use it.
    #[error("this kernel offers no overlay file system")]
    Unsupported {
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// This kernel has no EROFS, or doesn't let this process use it.
    #[error(
        "this kernel offers no EROFS, in which layer images are: Linux 6.12 or later is needed, with CONFIG_EROFS_FS_BACKED_BY_FILE"
    )]
    NoErofs {
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// This kernel has EROFS, but mounts it from disks only, or not from a file of this file system.
    #[error(
        "this kernel doesn't mount `{}` from the file: Linux 6.12 or later is needed, with CONFIG_EROFS_FS_BACKED_BY_FILE, and a file on a disk, \
         not on tmpfs or an overlay",
        file.display()
    )]
    NotFromFile {
        /// The layer's image.
        file: PathBuf,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// A layer's image can't be opened, or the kernel doesn't take it.
    #[error("mount the layer image `{}`{words}", file.display())]
    Image {
        /// The layer's image.
        file: PathBuf,
        /// What the kernel said about it, with a leading space and in brackets, or nothing.
        words: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A mounted image can't be shown at a folder.
    #[error("attach a layer image to `{}`", target.display())]
    Attach {
        /// The folder.
        target: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// An overlay without a writable part needs two folders.
    #[error("an overlay needs two visible folders or a writable one, and has {folders}")]
    TooFew {
        /// How many there were, those below an opaque root not counted.
        folders: usize,
    },
    /// More folders than the kernel stacks.
    #[error("an overlay of {folders} folders: the kernel stacks {max} at most", max = crate::MAX_FOLDERS)]
    TooMany {
        /// How many there were.
        folders: usize,
    },
    /// A folder of the stack can't be opened.
    #[error("open the layer folder `{}`", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The folder to mount on can't be opened.
    #[error("open the mount point `{}`", path.display())]
    Target {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The kernel didn't take an option or a folder of the overlay.
    #[error("set up an overlay: option `{option}`{words}")]
    Option {
        /// The option with its value.
        option: String,
        /// What the kernel said about it, with a leading space and in brackets, or nothing.
        words: String,
        /// The bare error number.
        #[source]
        source: io::Error,
    },
    /// The kernel refused the overlay as a whole.
    #[error("mount an overlay of {folders} folders on `{}`{words}", target.display())]
    Mount {
        /// Where it was to go.
        target: PathBuf,
        /// How many folders it has.
        folders: usize,
        /// What the kernel said about it, with a leading space and in brackets, or nothing.
        words: String,
        /// The bare error number.
        #[source]
        source: io::Error,
    },
    /// There is no overlay to unmount.
    #[error("no overlay is mounted on `{}`", target.display())]
    NotMounted {
        /// The folder that was named.
        target: PathBuf,
    },
    /// Something uses the mounted tree.
    #[error("`{}` is busy{}", target.display(), list(holders))]
    Busy {
        /// Where the tree is mounted.
        target: PathBuf,
        /// Who uses it, as far as that could be found out, such as "`bash` (pid 17) works in it".
        holders: Vec<String>,
    },
    /// The kernel refused to unmount.
    #[error("unmount `{}`", target.display())]
    Unmount {
        /// Where the tree is mounted.
        target: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

fn list(holders: &[String]) -> String {
    if holders.is_empty() { String::new() } else { format!(": {}", holders.join(", ")) }
}
