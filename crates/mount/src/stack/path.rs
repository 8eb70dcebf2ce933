//! Paths inside of a layer: bytes, relative, the root being the empty one.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt as _;

use layer_fs::Dir;

/// The longest path that is given to the kernel at once; its limit is 4096 with the NUL.
const MAX_STEP: usize = 4000;

/// Whether a layer can have this path.
pub(super) fn is_proper(path: &[u8]) -> bool {
    path.is_empty()
        || path.split(|byte| *byte == b'/').all(|name| !matches!(name, b"" | b"." | b"..") && !name.contains(&0))
}

/// The path of the folder that holds `path`, and the name in it; `None` for the root.
pub(super) fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => Some((&path[..slash], &path[slash + 1..])),
        None if path.is_empty() => None,
        None => Some((b"", path)),
    }
}

/// `folder/name`.
pub(super) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}

/// All folders on the way to `path`, the root first, `path` itself not among them.
pub(super) fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let root = (!path.is_empty()).then_some(&path[..0]);
    let inner = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(slash, _)| &path[..slash]);
    root.into_iter().chain(inner)
}

/// Opens a folder below `root`, however long its path; links on the way are refused.
pub(super) fn open_folder(root: &Dir, path: &[u8]) -> io::Result<Dir> {
    let mut rest = path;
    let mut here = None;
    loop {
        let at = here.as_ref().unwrap_or(root);
        if rest.len() <= MAX_STEP {
            return if rest.is_empty() { at.try_clone() } else { at.open_dir(OsStr::from_bytes(rest)) };
        }
        let Some(slash) = rest[..=MAX_STEP].iter().rposition(|byte| *byte == b'/') else {
            return Err(rustix::io::Errno::NAMETOOLONG.into());
        };
        here = Some(at.open_dir(OsStr::from_bytes(&rest[..slash]))?);
        rest = &rest[slash + 1..];
    }
}

/// A name for the kernel.
pub(super) fn name(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::ErrorKind::InvalidInput.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proper_paths() {
        for good in ["", "a", "a/b", ".wh", "...", "a/..b"] {
            assert!(is_proper(good.as_bytes()), "{good}");
        }
        for bad in ["/", "/a", "a/", "a//b", ".", "a/./b", "..", "a/../b", "a\0b"] {
            assert!(!is_proper(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn parts() {
        assert_eq!(split(b""), None);
        assert_eq!(split(b"a"), Some((&b""[..], &b"a"[..])));
        assert_eq!(split(b"a/b/c"), Some((&b"a/b"[..], &b"c"[..])));
        assert_eq!(join(b"", b"x"), b"x");
        assert_eq!(join(b"a", b"x"), b"a/x");
        assert_eq!(ancestors(b"a/b/c").collect::<Vec<_>>(), [&b""[..], b"a", b"a/b"]);
        assert_eq!(ancestors(b"").count(), 0);
    }

    #[test]
    fn opens_folders_deeper_than_one_path_reaches() {
        let tmp = tempfile::tempdir().unwrap();
        let root = Dir::open(tmp.path()).unwrap();
        let name = "n".repeat(200);
        let mut here = root.try_clone().unwrap();
        for _ in 0..50 {
            here = here.create_dir(&name, 0o700).unwrap();
        }
        here.create_dir("end", 0o700).unwrap();
        let deep = format!("{}/end", vec![name.as_str(); 50].join("/"));
        open_folder(&root, deep.as_bytes()).unwrap();
        assert!(open_folder(&root, format!("{deep}/none").as_bytes()).is_err());
        assert!(open_folder(&root, "x".repeat(5000).as_bytes()).is_err());
        layer_fs::remove_tree(&root, &CString::new(name).unwrap()).unwrap();
    }
}
