//! What the process takes of the machine: as many descriptors as it may, and no more memory than it uses.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Takes as many file descriptors as the administrator allows: each client and each layer needs some, and the usual number is for programs that
/// wait by old calls, which this one doesn't.
pub(crate) fn take_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::debug!(%error, "the limit of file descriptors stays as it is");
    }
}

/// Has threads share two pools of memory. glibc gives each thread one of its own, up to eight for each core, of which what is freed stays where it
/// was: 60 MiB for a pull of 46 layers, and 48 MiB with two, in the same time.
pub(crate) fn bound_arenas() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "mallopt has no safe wrapper")]
    // SAFETY: it sets a number in the allocator, and there is no other thread yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}
