//! Asking the kernel to begin writing early.

use std::os::fd::{AsFd, AsRawFd as _};

/// Starts writing a file's dirty pages to the disk, without waiting. What is on its way then need not be waited for by the sync that makes a
/// layer durable. It promises nothing: errors, too, are left to that sync.
#[expect(unsafe_code, reason = "sync_file_range has no safe wrapper")]
pub fn start_writeback(file: impl AsFd) {
    // SAFETY: the descriptor is open for the whole call, and the call takes no memory.
    unsafe {
        libc::sync_file_range(file.as_fd().as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE);
    }
}
