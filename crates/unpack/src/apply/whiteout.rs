//! The markers by which a layer takes away what lies below it.
//!
//! Spec: OCI image-spec 1.1, layer.md, "Whiteouts". In overlay form a whiteout is a character device 0/0 of the name that is gone, and an
//! opaque folder has an attribute (Linux, Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories").

use layer_fs::{Dir, FileKind};
use rustix::fs::{FileType, Mode, Stat, XattrFlags};
use rustix::io::Errno;

use super::tree::Tree;
use crate::UnpackError;
use crate::path::{join, split};

const PREFIX: &[u8] = b".wh.";
const META_PREFIX: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What a name that begins with `.wh.` asks for.
pub(super) enum Marker<'a> {
    /// `name` in `folder` is gone.
    Whiteout { folder: &'a [u8], name: &'a [u8] },
    /// All that the layers below have in `folder` is gone.
    Opaque { folder: &'a [u8] },
    /// Something that AUFS kept for itself.
    Metadata,
}

impl<'a> Marker<'a> {
    /// The marker that a clean path is, if it is one.
    pub(super) fn of(path: &'a [u8]) -> Result<Option<Self>, &'static str> {
        if !path.windows(PREFIX.len()).any(|window| window == PREFIX) {
            return Ok(None);
        }
        let (folder, last) = split(path);
        for component in folder.split(|byte| *byte == b'/') {
            if component.starts_with(META_PREFIX) {
                return Ok(Some(Self::Metadata));
            }
            if component.starts_with(PREFIX) {
                return Err("it lies in a folder that is a whiteout");
            }
        }
        if last == OPAQUE {
            return Ok(Some(Self::Opaque { folder }));
        }
        if last.starts_with(META_PREFIX) {
            return Ok(Some(Self::Metadata));
        }
        match last.strip_prefix(PREFIX) {
            None => Ok(None),
            Some(b"" | b"." | b"..") => Err("it is a whiteout of nothing that has a name"),
            Some(name) => Ok(Some(Self::Whiteout { folder, name })),
        }
    }
}

/// Whether a name is kept for markers: nothing can be called so.
pub(super) fn is_marker(name: &[u8]) -> bool {
    name.starts_with(PREFIX)
}

impl Tree<'_> {
    /// Takes `name` away from the layers below. What this layer itself has of that name stays, in whatever order the two came.
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

    /// Takes away all that the layers below have in a folder. The root is marked, too: overlayfs doesn't look there, but whoever stacks the
    /// layers does.
    pub(super) fn opaque(&mut self, folder: &[u8]) -> Result<(), UnpackError> {
        let folder = self.folder(folder, folder)?;
        set_opaque(&folder.dir, &folder.path)
    }
}

/// Whether a `stat` is that of a whiteout in overlay form.
pub(super) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_char_device() && stat.st_rdev == 0
}

/// Has overlayfs look for whiteouts where it lists a folder. It does so of itself only where folders of several layers merge.
pub(super) fn mark_whiteouts(dir: &Dir, path: &[u8]) -> Result<(), UnpackError> {
    rustix::fs::fsetxattr(dir, c"trusted.overlay.origin", b"", XattrFlags::empty())
        .map_err(UnpackError::write("mark the folder of", path))
}

/// Keeps a folder from merging with those of the layers below.
pub(super) fn set_opaque(dir: &Dir, path: &[u8]) -> Result<(), UnpackError> {
    rustix::fs::fsetxattr(dir, c"trusted.overlay.opaque", b"y", XattrFlags::empty())
        .map_err(UnpackError::write("make opaque", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers() {
        let of = |path: &'static str| Marker::of(path.as_bytes());
        assert!(matches!(of("etc/.wh.passwd"), Ok(Some(Marker::Whiteout { folder: b"etc", name: b"passwd" }))));
        assert!(matches!(of(".wh.x"), Ok(Some(Marker::Whiteout { folder: b"", name: b"x" }))));
        assert!(matches!(of("a/.wh..wh..opq"), Ok(Some(Marker::Opaque { folder: b"a" }))));
        assert!(matches!(of(".wh..wh..opq"), Ok(Some(Marker::Opaque { folder: b"" }))));
        assert!(matches!(of(".wh..wh.plnk"), Ok(Some(Marker::Metadata))));
        assert!(matches!(of(".wh..wh.plnk/123.456"), Ok(Some(Marker::Metadata))));
        assert!(matches!(of(".wh..wh.aufs"), Ok(Some(Marker::Metadata))));
        assert!(matches!(of("a/x.wh.y"), Ok(None)));
        assert!(matches!(of("a.wh./b"), Ok(None)));
        assert!(of("a/.wh.").is_err());
        assert!(of("a/.wh..").is_err());
        assert!(of("a/.wh...").is_err());
        assert!(of(".wh.a/b").is_err());
    }
}
