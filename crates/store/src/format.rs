//! The version of the layout on disk: the file `format`, a number and a line end.
//!
//! | format | what it has |
//! | --- | --- |
//! | 1 | no file `format` |
//! | 2 | the file, and `index.json.bak` |
//!
//! A store of an older format becomes one of the present in place, step by step, before anything else is read. Each step can be done again:
//! the file names the new format only when the step is done, so that a start that is broken off is followed by one that does the rest.

use std::io;

use layer_fs::Dir;
use layer_fs::failpoint::{Step, reach};

use crate::index;

/// What this program writes.
pub(crate) const PRESENT: u32 = 2;

const FILE: &str = "format";
const MAX_FILE: u64 = 64;

/// What the format of a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// There is no store yet.
    New,
    /// One that this program can use, or make into one that it can.
    Known(u32),
    /// One that a newer program has written.
    Newer(u32),
}

/// Looks which format a store has. Nothing is changed.
///
/// # Errors
///
/// When the file can't be read, or says no number (`InvalidData`).
pub(crate) fn look(root: &Dir) -> io::Result<Found> {
    let bytes = match root.read(FILE, MAX_FILE) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(if root.stat(index::FILE)?.is_some() { Found::Known(1) } else { Found::New });
        }
        Err(error) => return Err(error),
    };
    let text = String::from_utf8_lossy(&bytes);
    match text.trim().parse() {
        Ok(number) if number > PRESENT => Ok(Found::Newer(number)),
        Ok(number) if number > 0 => Ok(Found::Known(number)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, format!("it says `{}`, and not a number", text.trim()))),
    }
}

/// Takes a store from `found` to the present format.
///
/// # Errors
///
/// When the disk is full or fails. The next start goes on.
pub(crate) fn migrate(root: &Dir, found: u32) -> io::Result<()> {
    for number in found..PRESENT {
        if number == 1 {
            index::keep_previous(root);
        }
        reach(Step::FormatMigrated);
        write(root, number + 1)?;
        tracing::info!(from = number, to = number + 1, "migrated the store");
    }
    Ok(())
}

/// Says that the store has a format.
pub(crate) fn write(root: &Dir, number: u32) -> io::Result<()> {
    root.write_atomic(FILE, format!("{number}\n").as_bytes(), 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_says_what_can_be_done() {
        let tmp = tempfile::tempdir().unwrap();
        let root = Dir::open(tmp.path()).unwrap();
        assert_eq!(look(&root).unwrap(), Found::New);
        root.write_atomic(index::FILE, b"{}", 0o600).unwrap();
        assert_eq!(look(&root).unwrap(), Found::Known(1));
        migrate(&root, 1).unwrap();
        assert_eq!(look(&root).unwrap(), Found::Known(PRESENT));
        assert_eq!(root.read(index::BACKUP, 10).unwrap(), b"{}");
        write(&root, PRESENT + 1).unwrap();
        assert_eq!(look(&root).unwrap(), Found::Newer(PRESENT + 1));
        for text in ["", "two", "-1", "0", "99999999999999"] {
            root.write_atomic(FILE, text.as_bytes(), 0o600).unwrap();
            assert_eq!(look(&root).unwrap_err().kind(), io::ErrorKind::InvalidData, "{text}");
        }
    }
}
