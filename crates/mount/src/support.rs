//! What this kernel can do.

use std::sync::OnceLock;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::FsOpenFlags;

/// What this kernel can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Support {
    /// It has overlayfs, and lets this process use it.
    pub overlay: bool,
    /// Layers can be added one by one (Linux 6.7 and later); a page of options limits nothing.
    pub lowerdir_append: bool,
}

/// Asks the kernel what it can do. Nothing is mounted; at most the kernel loads its overlay module.
pub fn support() -> Support {
    let method = method();
    Support { overlay: method.is_ok(), lowerdir_append: matches!(method, Ok(Method::AppendFd | Method::AppendPath)) }
}

/// The ways to hand the folders of an overlay to a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// One by one, by handle (Linux 6.13).
    AppendFd,
    /// One by one, by path (Linux 6.7).
    AppendPath,
    /// All in one string.
    Classic,
}

/// The best way that this kernel knows. It is asked until it has answered once.
pub(crate) fn method() -> Result<Method, Errno> {
    static KNOWN: OnceLock<Method> = OnceLock::new();
    if let Some(method) = KNOWN.get() {
        return Ok(*method);
    }
    ask().inspect(|method| _ = KNOWN.set(*method))
}

fn ask() -> Result<Method, Errno> {
    let context = match rustix::mount::fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC) {
        Ok(context) => context,
        // Before Linux 5.2 there is no such call; the old one gets a chance.
        Err(Errno::NOSYS) => return Ok(Method::Classic),
        Err(error) => return Err(error),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let by_handle = rustix::fs::open(c"/", flags, Mode::empty())
        .and_then(|root| rustix::mount::fsconfig_set_fd(&context, c"lowerdir+", root));
    if by_handle.is_ok() {
        return Ok(Method::AppendFd);
    }
    // A kernel that knows the option looks for the folder, and doesn't find it. One that doesn't know it says EINVAL, or, before Linux 6.5,
    // takes the text as it is and refuses it only when mounting.
    match rustix::mount::fsconfig_set_string(&context, c"lowerdir+", c"/proc/self/fd/none") {
        Err(Errno::NOENT) => Ok(Method::AppendPath),
        _ => Ok(Method::Classic),
    }
}
