//! Extended attributes.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

use rustix::fs::XattrFlags;
use rustix::io::Errno;

use crate::dir::is_component;

/// All extended attributes of an open file, as name and value.
///
/// # Errors
///
/// When they can't be read. A file system without attributes has none.
pub fn list_xattrs(file: impl AsFd) -> io::Result<Vec<(CString, Vec<u8>)>> {
    let file = file.as_fd();
    list(|buffer| rustix::fs::flistxattr(file, buffer), |name, buffer| rustix::fs::fgetxattr(file, name, buffer))
}

/// All extended attributes of `name` in the folder `dir`, of a link itself, without opening it.
///
/// # Errors
///
/// When they can't be read. A file system without attributes has none.
pub fn list_xattrs_at(dir: impl AsFd, name: &CStr) -> io::Result<Vec<(CString, Vec<u8>)>> {
    let path = path_of(&dir, name)?;
    list(|buffer| rustix::fs::llistxattr(&path, buffer), |name, buffer| rustix::fs::lgetxattr(&path, name, buffer))
}

/// Sets an attribute of `name` in the folder `dir`, of a link itself, without opening it.
pub(crate) fn set_xattr_at(dir: impl AsFd, name: &CStr, attribute: &CStr, value: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::lsetxattr(path_of(&dir, name)?, attribute, value, XattrFlags::empty())?)
}

/// Removes an attribute of `name` in the folder `dir`, of a link itself. It's no error when it has none, or can't have any.
pub(crate) fn remove_xattr_at(dir: impl AsFd, name: &CStr, attribute: &CStr) -> io::Result<()> {
    match rustix::fs::lremovexattr(path_of(&dir, name)?, attribute) {
        Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A path to `name` in an open folder. There is no call for attributes relative to a handle before Linux 6.13, so the handle goes into the
/// path. The last component is not to be followed.
fn path_of(dir: &impl AsFd, name: &CStr) -> io::Result<CString> {
    if !is_component(name) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut path = format!("/proc/self/fd/{}/", dir.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    Ok(CString::new(path)?)
}

fn list(
    list: impl Fn(&mut [u8]) -> Result<usize, Errno>,
    get: impl Fn(&CStr, &mut [u8]) -> Result<usize, Errno>,
) -> io::Result<Vec<(CString, Vec<u8>)>> {
    let names = match grow(list) {
        Ok(names) => names,
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut attributes = Vec::new();
    for name in names.split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        match grow(|buffer| get(name, buffer)) {
            Ok(value) => attributes.push((name.to_owned(), value)),
            Err(Errno::NODATA) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(attributes)
}

/// Gives `to` the attributes of `from` whose names `wanted` accepts.
///
/// # Errors
///
/// When they can't be read or set.
pub fn copy_xattrs(from: impl AsFd, to: impl AsFd, wanted: impl Fn(&CStr) -> bool) -> io::Result<()> {
    let to = to.as_fd();
    for (name, value) in list_xattrs(from)? {
        if wanted(&name) {
            rustix::fs::fsetxattr(to, &name, &value, XattrFlags::empty())?;
        }
    }
    Ok(())
}

/// Calls `read` with a buffer that grows until the answer fits.
fn grow(read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; 512];
    loop {
        match read(&mut buffer) {
            Ok(len) => {
                buffer.truncate(len);
                return Ok(buffer);
            }
            // The kernel's own limit is 64 KiB for either list or value.
            Err(Errno::RANGE) if buffer.len() < 1 << 17 => buffer.resize(buffer.len() * 4, 0),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dir;

    #[test]
    fn copies_what_is_wanted() {
        let tmp = tempfile::tempdir_in(".").unwrap();
        let root = Dir::open(tmp.path()).unwrap();
        let (from, to) = (root.open_or_create("a", 0o600).unwrap(), root.open_or_create("b", 0o600).unwrap());
        let long = vec![7; 3000];
        rustix::fs::fsetxattr(&from, c"user.long", &long, XattrFlags::empty()).unwrap();
        rustix::fs::fsetxattr(&from, c"user.no", b"1", XattrFlags::empty()).unwrap();
        copy_xattrs(&from, &to, |name| name != c"user.no").unwrap();
        assert_eq!(list_xattrs(&to).unwrap(), [(c"user.long".to_owned(), long)]);
    }
}
