//! One owner of a folder at a time.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};

use rustix::fs::FlockOperation;

use crate::Dir;

/// Exclusive ownership of a folder, held until it is dropped or the process dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why the lock can't be had.
#[derive(Debug)]
pub enum LockError {
    /// Another process has it; its ID where the file tells.
    Held(Option<u32>),
    /// The lock file can't be used.
    Io(io::Error),
}

impl From<io::Error> for LockError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Lock {
    /// Takes the lock file `name` in `dir`, and writes this process's ID into it for whoever comes second.
    ///
    /// # Errors
    ///
    /// [`LockError::Held`] at once when another process has it.
    pub fn take(dir: &Dir, name: &str) -> Result<Self, LockError> {
        let mut file = dir.open_or_create(name, 0o600)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                let holder = (&file).take(32).read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(LockError::Held(holder));
            }
            Err(error) => return Err(LockError::Io(error.into())),
        }
        // Always of one length, and written over the last one: that works on a full disk, too. The lock itself holds without it.
        let _ = file.rewind().and_then(|()| writeln!(file, "{:<10}", std::process::id()));
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_holds_it() {
        let tmp = tempfile::tempdir().unwrap();
        let root = Dir::open(tmp.path()).unwrap();
        let first = Lock::take(&root, "lock").unwrap();
        match Lock::take(&root, "lock") {
            Err(LockError::Held(pid)) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(first);
        Lock::take(&root, "lock").unwrap();
    }
}
