//! The markers by which a layer takes away what lies below it.
//!
//! Spec: OCI image-spec 1.1, layer.md, "Whiteouts".

use crate::path::split;

const PREFIX: &[u8] = b".wh.";
const META_PREFIX: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What a name that begins with `.wh.` asks for.
pub(crate) enum Marker<'a> {
    /// `name` in `folder` is gone.
    Whiteout { folder: &'a [u8], name: &'a [u8] },
    /// All that the layers below have in `folder` is gone.
    Opaque { folder: &'a [u8] },
    /// Something that AUFS kept for itself.
    Metadata,
}

impl<'a> Marker<'a> {
    /// The marker that a clean path is, if it is one.
    pub(crate) fn of(path: &'a [u8]) -> Result<Option<Self>, &'static str> {
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
pub(crate) fn is_marker(name: &[u8]) -> bool {
    name.starts_with(PREFIX)
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
