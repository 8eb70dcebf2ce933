//! The attributes by which a layer tells overlayfs what to do with a folder.

use std::ffi::CStr;

/// On a folder: it hides what the layers below have at its path. The value is `y`.
pub(crate) const OPAQUE: &CStr = c"trusted.overlay.opaque";

/// On a folder, empty: there are whiteouts in it. Overlayfs looks for them of itself only where folders of several layers merge.
pub(crate) const ORIGIN: &CStr = c"trusted.overlay.origin";

/// Whether overlayfs would take this attribute for one of its own. An image must not say what a mount of it shows.
pub(crate) fn steers_overlayfs(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.")
}
