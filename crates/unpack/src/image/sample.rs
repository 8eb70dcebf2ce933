//! A small image to try a kernel with.

use std::ffi::CStr;
use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;

use layer_erofs::{HEAD, Tree};

use super::tree::TOO_MANY_ATTRIBUTES;
use super::{disk, not_written};
use crate::UnpackError;
use crate::marks::OPAQUE;

/// One attribute that steers overlayfs, and one of each other kind that a kernel can be built without.
const ATTRIBUTES: [(&CStr, &[u8]); 4] = [
    (OPAQUE, b"y"),
    (c"user.sample", b"value"),
    (c"security.sample", b"value"),
    (c"system.posix_acl_default", &ACCESS_LIST),
];

/// Version 2, then a tag, permissions and an ID each: the owner, user 1000, the group, the mask, others.
#[rustfmt::skip]
const ACCESS_LIST: [u8; 44] = [
    2, 0, 0, 0,
    1, 0, 7, 0, 255, 255, 255, 255,
    2, 0, 5, 0, 232, 3, 0, 0,
    4, 0, 5, 0, 255, 255, 255, 255,
    16, 0, 5, 0, 255, 255, 255, 255,
    32, 0, 0, 0, 255, 255, 255, 255,
];

/// Makes an image in `file`, which is empty, of nothing but a root that has attributes of all kinds. Says what they are: a kernel that doesn't show
/// them shows other trees than the layers'.
///
/// # Errors
///
/// When the file can't be written.
pub fn sample_image(file: &File) -> Result<&'static [(&'static CStr, &'static [u8])], UnpackError> {
    let mut tree = Tree::new();
    for (name, value) in ATTRIBUTES {
        tree.set_attribute(Tree::ROOT, name.to_bytes(), value).map_err(|_| TOO_MANY_ATTRIBUTES)?;
    }
    (&*file).seek(SeekFrom::Start(HEAD)).map_err(disk)?;
    let head = tree.write(HEAD, &mut &*file).map_err(not_written)?;
    file.write_all_at(&head.with_uuid([0; 16]), 0).map_err(disk)?;
    Ok(&ATTRIBUTES)
}
