//! Whether files are still what they were when they were read.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The files and folders that something was read from, or would have been if they had been there.
#[derive(Debug, Default)]
pub(super) struct Watch(Vec<(PathBuf, Option<Stamp>)>);

/// What changes when a file is written to or replaced, and when a folder gets or loses a file.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Watch {
    /// Remembers how `path` is now, and whether it is there. To be called before it is read, so that no change falls in between.
    pub(super) fn note(&mut self, path: &Path) -> bool {
        let stamp = Stamp::of(path);
        let there = stamp.is_some();
        self.0.push((path.to_owned(), stamp));
        there
    }

    /// Whether all is as it was.
    pub(super) fn holds(&self) -> bool {
        self.0.iter().all(|(path, stamp)| Stamp::of(path) == *stamp)
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_replaced_written_or_removed_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        let watched = || {
            let mut watch = Watch::default();
            watch.note(folder.path());
            watch.note(&file);
            watch
        };
        let before = watched();
        assert!(before.holds());
        std::fs::write(&file, "1").unwrap();
        assert!(!before.holds());
        let before = watched();
        std::fs::write(&file, "12").unwrap();
        assert!(!before.holds());
        let before = watched();
        std::fs::write(folder.path().join("b"), "21").unwrap();
        std::fs::rename(folder.path().join("b"), &file).unwrap();
        assert!(!before.holds());
        let before = watched();
        std::fs::remove_file(&file).unwrap();
        assert!(!before.holds());
    }
}
