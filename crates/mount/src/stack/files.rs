//! Files of layers in a folder that is written for one stack.

use std::collections::HashMap;
use std::ffi::CStr;
use std::io;

use layer_fs::{Dir, copy_entry};
use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::path;

/// Puts files of layers into one folder: as hard links, or as copies where the layer is another file system. What is one file under several
/// names stays one.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Where copies are that may get further names, by device and number of their originals.
    copies: HashMap<(u64, u64), Vec<u8>>,
}

impl Files {
    /// Puts the file `name` of `from`, of any kind but a folder, at `path` below `root`. `further` says that names may be asked for that the
    /// file doesn't have in its layer. Tells whether it is a copy.
    pub(super) fn put(&mut self, from: &Dir, name: &CStr, root: &Dir, path: &[u8], further: bool) -> io::Result<bool> {
        let (folder, new_name) = path::split(path).unwrap_or_default();
        let (folder, new_name) = (path::open_folder(root, folder)?, path::name(new_name)?);
        match rustix::fs::linkat(from, name, &folder, &new_name, AtFlags::empty()) {
            Err(Errno::XDEV) => {}
            linked => return Ok(linked.map(|()| false)?),
        }
        let stat = from.stat(name)?.ok_or(io::ErrorKind::NotFound)?;
        let original = (stat.st_dev, stat.st_ino);
        if let Some(copy) = self.copies.get(&original) {
            let (first, first_name) = path::split(copy).unwrap_or_default();
            let (first, first_name) = (path::open_folder(root, first)?, path::name(first_name)?);
            rustix::fs::linkat(&first, &first_name, &folder, &new_name, AtFlags::empty())?;
            return Ok(true);
        }
        copy_entry(from, name, &folder, &new_name)?;
        if further || stat.st_nlink > 1 {
            self.copies.insert(original, path.to_vec());
        }
        Ok(true)
    }
}
