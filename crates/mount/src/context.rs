//! The contexts in which mounts are prepared (`fsopen`).

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The longest string that `fsconfig` takes, without its NUL.
const MAX_STRING: usize = 255;

/// A path to something opened that `fsconfig` takes: its own, which the mount table then shows; or that of its handle, when its own is too
/// long, or holds a backslash, which the kernel takes for an escape in some options.
pub(crate) fn name(path: &Path, fd: impl AsFd) -> Cow<'_, Path> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() <= MAX_STRING && !bytes.contains(&b'\\') { path.into() } else { of_handle(fd).into() }
}

/// The path of a handle, by which this process reaches what it has opened.
pub(crate) fn of_handle(fd: impl AsFd) -> PathBuf {
    Path::new("/proc/self/fd").join(fd.as_fd().as_raw_fd().to_string())
}

/// What the kernel has written into the context about its last refusal: lines such as `e overlay: Unknown parameter 'x'`.
pub(crate) fn words(context: &OwnedFd) -> String {
    let mut lines = Vec::new();
    let mut buffer = [0; 1024];
    // Each read gives one message; ENODATA ends them.
    while lines.len() < 8
        && let Ok(len) = rustix::io::read(context, &mut buffer)
        && len > 2
    {
        // The first two bytes tell how grave it is.
        let line = OsStr::from_bytes(buffer[..len].trim_ascii_end());
        lines.push(line.to_string_lossy().get(2..).unwrap_or_default().to_owned());
    }
    if lines.is_empty() { String::new() } else { format!(" ({})", lines.join("; ")) }
}
