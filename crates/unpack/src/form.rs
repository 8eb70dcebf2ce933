//! What entries ask for, whatever form the layer is given.

use crate::UnpackError;
use crate::marker::Marker;
use crate::marks::steers_overlayfs;
use crate::path::{MAX_PATH, clean};
use crate::tar::{Entry, Kind, Segment};

/// How many links one path may lead through: the kernel's own limit.
pub(crate) const MAX_LINKS: usize = 40;

/// How many components one path may lead through, those of links counted: four times as many as fit in a path, so that links upon links
/// can't make each entry cost as much as a layer.
pub(crate) const MAX_STEPS: usize = 1 << 13;

/// How much names may take that can be settled only when the whole layer has been read: folders that no entry names, and hard links to what isn't
/// there. A layer within it has some 100,000 such folders; one beyond it is made to fill our memory.
pub(crate) const MAX_UNSETTLED: usize = 16 << 20;

/// What such a name takes besides its own bytes, about.
pub(crate) const UNSETTLED: usize = 64;

/// Why a layer is refused that has more of them.
pub(crate) const TOO_MUCH_UNSETTLED: &str =
    "the layer's unnamed folders and unresolved hard links take more than 16 MiB of memory";

/// A form that a layer is given, entry by entry. The paths of entries are clean by then, and what no layer may have has been refused.
pub(crate) trait Form {
    /// Takes `name` in `folder` away from the layers below. What this layer itself has of that name stays, in whatever order the two came.
    fn whiteout(&mut self, folder: &[u8], name: &[u8]) -> Result<(), UnpackError>;

    /// Takes away all that the layers below have in a folder. The root is marked, too: overlayfs doesn't look there, but whoever stacks the
    /// layers does.
    fn opaque(&mut self, folder: &[u8]) -> Result<(), UnpackError>;

    /// The root of the layer, which is there already. `entry` has the name that it came by.
    fn root(&mut self, entry: &Entry) -> Result<(), UnpackError>;

    /// A folder, which may be there.
    fn folder(&mut self, entry: &Entry) -> Result<(), UnpackError>;

    /// A file, whose bytes come next.
    fn file(&mut self, entry: &Entry, size: u64, segments: Option<&[Segment]>) -> Result<(), UnpackError>;

    /// A symbolic link.
    fn symlink(&mut self, entry: &Entry, target: &[u8]) -> Result<(), UnpackError>;

    /// A further name of the clean path `target`, which may be there, come later, or lie in a layer below.
    fn hard_link(&mut self, path: &[u8], target: Vec<u8>) -> Result<(), UnpackError>;

    /// A device or a pipe.
    fn special(&mut self, entry: &Entry) -> Result<(), UnpackError>;
}

/// Gives `form` what an entry asks for.
pub(crate) fn take(form: &mut impl Form, mut entry: Entry) -> Result<(), UnpackError> {
    let path = clean(&entry.path).map_err(|reason| UnpackError::refused(&entry.path, reason))?;
    match Marker::of(&path).map_err(|reason| UnpackError::refused(&entry.path, reason))? {
        None => {}
        Some(Marker::Whiteout { folder, name }) => return form.whiteout(folder, name),
        Some(Marker::Opaque { folder }) => return form.opaque(folder),
        Some(Marker::Metadata) => return Ok(()),
    }
    entry.xattrs.retain(|(name, _)| !steers_overlayfs(name));
    if path.is_empty() {
        if entry.kind != Kind::Folder {
            return Err(UnpackError::refused(&entry.path, "the root of an image can only be a folder"));
        }
        return form.root(&entry);
    }
    entry.path = path;
    let refused = |reason: &str| Err(UnpackError::refused(&entry.path, reason));
    match entry.kind {
        Kind::Folder => form.folder(&entry),
        Kind::File { size, ref segments } => form.file(&entry, size, segments.as_deref()),
        Kind::Symlink(ref target) if target.len() >= MAX_PATH => {
            refused("it is a symbolic link to more than 4095 bytes")
        }
        Kind::Symlink(ref target) if target.contains(&0) => refused("its target holds a NUL"),
        Kind::Symlink(ref target) => form.symlink(&entry, target),
        Kind::HardLink(ref target) => {
            let target = target_of_link(&entry.path, target)?;
            form.hard_link(&entry.path, target)
        }
        Kind::Character { major: 0, minor: 0 } => {
            refused("it is a character device 0/0, which overlayfs would take for a whiteout")
        }
        Kind::Character { .. } | Kind::Block { .. } | Kind::Fifo => form.special(&entry),
    }
}

/// What a hard link leads to. Targets are absolute in the image whether they begin with a slash or not.
fn target_of_link(path: &[u8], target: &[u8]) -> Result<Vec<u8>, UnpackError> {
    let target =
        clean(target).map_err(|reason| UnpackError::refused(path, format!("the target of the link: {reason}")))?;
    if target.is_empty() {
        return Err(UnpackError::refused(path, "it is a hard link to the root"));
    }
    if !matches!(Marker::of(&target), Ok(None)) {
        return Err(UnpackError::refused(path, "it is a hard link to a whiteout"));
    }
    Ok(target)
}
