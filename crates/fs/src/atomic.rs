//! Small files that change as a whole.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags};

use crate::Dir;
use crate::failpoint::{Step, reach};

/// Makes names of temporary files differ within the process; the lock of the store keeps other processes out.
static COUNTER: AtomicU64 = AtomicU64::new(0);

impl Dir {
    /// Replaces the file `name` by one that holds `bytes`, durably: after a crash at any moment there is the old file or the new one, and
    /// after success it is the new one.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails; the old file is then still there.
    pub fn write_atomic(&self, name: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
        let temporary = format!(".{name}.{}.tmp", COUNTER.fetch_add(1, Ordering::Relaxed));
        let result = self.write_whole(&temporary, bytes, mode).and_then(|file| {
            file.sync_all()?;
            reach(Step::ReplacementWritten);
            rustix::fs::renameat(self, &temporary, self, name)?;
            reach(Step::ReplacementNamed);
            self.sync()
        });
        if result.is_err() {
            // Best effort: the error that is reported is the first one, and the sweep at the next start gets what stays.
            let _ = self.remove_file(temporary.as_str());
        }
        result
    }

    /// Writes a file in a folder that nobody sees yet. It is as durable as all else in there: whoever publishes the folder has the
    /// file system synced before ([`Dir::sync_filesystem`]).
    ///
    /// # Errors
    ///
    /// When the disk is full or fails; a part of it may be there then.
    pub fn write_unseen(&self, name: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
        self.write_whole(name, bytes, mode).map(drop)
    }

    fn write_whole(&self, name: &str, bytes: &[u8], mode: u32) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(self, name, flags, Mode::from_raw_mode(mode))?);
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
        file.write_all(bytes)?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_whole_and_leaves_nothing_else() {
        let tmp = tempfile::tempdir().unwrap();
        let root = Dir::open(tmp.path()).unwrap();
        root.write_atomic("f", b"one", 0o600).unwrap();
        root.write_atomic("f", b"two", 0o400).unwrap();
        assert_eq!(root.read("f", 10).unwrap(), b"two");
        assert_eq!(root.stat("f").unwrap().unwrap().st_mode & 0o7777, 0o400);
        assert_eq!(root.entries().unwrap().len(), 1);
    }

    #[test]
    fn a_failed_write_keeps_the_old_file() {
        let tmp = tempfile::tempdir().unwrap();
        let root = Dir::open(tmp.path()).unwrap();
        root.ensure_dir("taken", 0o700).unwrap().ensure_dir("full", 0o700).unwrap();
        assert!(root.write_atomic("taken", b"x", 0o600).is_err());
        assert_eq!(root.entries().unwrap().len(), 1);
    }
}
