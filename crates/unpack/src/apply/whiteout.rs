//! What a layer takes away from those below, as overlayfs wants to see it: a whiteout is a character device 0/0 of the name that is gone, and an
//! opaque folder has an attribute.
//!
//! Spec: Linux, Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories".

use layer_fs::{Dir, FileKind};
use rustix::fs::{FileType, Mode, Stat, XattrFlags};
use rustix::io::Errno;

use super::tree::Tree;
use crate::UnpackError;
use crate::marks::{OPAQUE, ORIGIN};
use crate::path::join;

impl Tree<'_> {
    pub(super) fn whiteout(&mut self, folder: &[u8], name: &[u8]) -> Result<(), UnpackError> {
        let path = join(folder, name);
        let place = self.place(&path, &path)?;
        if self.waiting.link(&place.path).is_some() {
            return Ok(());
        }
        match rustix::fs::mknodat(&place.folder.dir, &place.name, FileType::CharacterDevice, Mode::empty(), 0) {
            Ok(()) => return mark_whiteouts(&place.folder.dir, &path),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(UnpackError::write("make the whiteout of", &path)(error)),
        }
        let there = place.folder.dir.stat(place.name.as_c_str()).map_err(UnpackError::write("look up", &path))?;
        if there.is_some_and(|stat| FileKind::of(&stat) == FileKind::Folder) {
            // A folder merges with the one below unless it is told not to; anything else hides it.
            let own = place.folder.dir.open_dir(place.name.as_c_str()).map_err(UnpackError::write("open", &path))?;
            set_opaque(&own, &path)?;
            // Nothing is below any more that could say how it looks.
            self.waiting.remove(&place.path);
        }
        Ok(())
    }

    pub(super) fn opaque(&mut self, folder: &[u8]) -> Result<(), UnpackError> {
        let folder = self.folder(folder, folder)?;
        set_opaque(&folder.dir, &folder.path)
    }
}

/// Whether a `stat` is that of a whiteout in overlay form.
pub(super) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_char_device() && stat.st_rdev == 0
}

/// Has overlayfs look for whiteouts where it lists a folder.
pub(super) fn mark_whiteouts(dir: &Dir, path: &[u8]) -> Result<(), UnpackError> {
    rustix::fs::fsetxattr(dir, ORIGIN, b"", XattrFlags::empty()).map_err(UnpackError::write("mark the folder of", path))
}

/// Keeps a folder from merging with those of the layers below.
pub(super) fn set_opaque(dir: &Dir, path: &[u8]) -> Result<(), UnpackError> {
    rustix::fs::fsetxattr(dir, OPAQUE, b"y", XattrFlags::empty()).map_err(UnpackError::write("make opaque", path))
}
