//! Names of entries, cleaned.

/// The longest path that is taken, as the kernel's `PATH_MAX`.
pub(crate) const MAX_PATH: usize = 4096;

/// The longest component that is taken, as the kernel's `NAME_MAX`.
pub(crate) const MAX_NAME: usize = 255;

/// Brings an entry's name into the form `a/b/c`: without leading or trailing slashes, empty components, `.` and `..`. The empty result
/// is the root of the layer.
///
/// # Errors
///
/// With the reason when the name is empty, too long, holds a NUL, or climbs out of the root by `..`.
pub(crate) fn clean(name: &[u8]) -> Result<Vec<u8>, &'static str> {
    if name.is_empty() {
        return Err("it has no name");
    }
    if name.contains(&0) {
        return Err("its name holds a NUL");
    }
    let mut path: Vec<u8> = Vec::with_capacity(name.len());
    for component in name.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                if path.is_empty() {
                    return Err("its name leads out of the image by `..`");
                }
                path.truncate(parent(&path).len());
            }
            _ => {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(component);
            }
        }
    }
    if path.len() >= MAX_PATH {
        return Err("its name is longer than 4095 bytes");
    }
    Ok(path)
}

/// The path of the folder that a clean, non-empty path lies in; empty for the root.
pub(crate) fn parent(path: &[u8]) -> &[u8] {
    split(path).0
}

/// A clean, non-empty path as its folder and its last component.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// A folder's clean path and a component, joined.
pub(crate) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cleans_or_refuses() {
        for (name, want) in [
            ("a/b", "a/b"),
            ("./a//b/.", "a/b"),
            ("/etc/passwd", "etc/passwd"),
            ("///", ""),
            (".", ""),
            ("a/../b", "b"),
            ("a/b/..", "a"),
            ("a/..", ""),
            ("...", "..."),
        ] {
            assert_eq!(clean(name.as_bytes()).unwrap(), want.as_bytes(), "{name}");
        }
        for name in ["", "..", "../a", "a/../../b", "/..", "a\0b"] {
            assert!(clean(name.as_bytes()).is_err(), "{name:?}");
        }
        assert!(clean(&[b'a'; 4096]).is_err());
        assert!(clean(&[b'a'; 4095]).is_ok());
    }

    proptest! {
        #[test]
        fn clean_paths_are_plain_and_stay_so(name in prop::collection::vec(prop::sample::select(b"a./\xff".to_vec()), 0..40)) {
            if let Ok(path) = clean(&name)
                && !path.is_empty()
            {
                    for component in path.split(|byte| *byte == b'/') {
                        prop_assert!(!matches!(component, b"" | b"." | b".."));
                    }
                    prop_assert_eq!(clean(&path).unwrap(), path.clone());
                    let (folder, last) = split(&path);
                    prop_assert_eq!(join(folder, last), path);
            }
        }
    }
}
