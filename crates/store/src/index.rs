//! The two generations of `index.json`.
//!
//! The names of images are in that file and nowhere else. So the version before the present one is kept beside it as `index.json.bak`: a file of
//! its own, written by an earlier change, that no later one touches. Both are replaced as a whole; at no moment is one of them half written.

use std::io;

use layer_fs::Dir;
use layer_fs::failpoint::{Step, reach};
use rustix::fs::AtFlags;

/// The names.
pub(crate) const FILE: &str = "index.json";
/// The names before the last change.
pub(crate) const BACKUP: &str = "index.json.bak";
/// A hard link on its way to become the backup. The next start clears it, since it is named as what an interrupted write leaves.
const LINK: &str = ".index.json.bak.tmp";
/// Room that is given up so that names can be taken away while the disk is full: without that no room could be made.
const RESERVE: &str = "reserve";
const RESERVE_BYTES: u64 = 256 << 10;

/// Replaces `index.json` durably, and keeps what it was.
///
/// # Errors
///
/// When the disk is full or fails; the old file is then still there.
pub(crate) fn replace(root: &Dir, bytes: &[u8]) -> io::Result<()> {
    reach(Step::IndexWriting);
    keep_previous(root);
    reach(Step::IndexKept);
    let mut result = root.write_atomic(FILE, bytes, 0o600);
    let is_full = |result: &io::Result<()>| {
        result
            .as_ref()
            .is_err_and(|error| matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    };
    if is_full(&result) && shrinks(root, bytes) {
        tracing::warn!("the disk is full: the reserve is given up, so that names can be taken away");
        root.remove_file(RESERVE)?;
        result = root.write_atomic(FILE, bytes, 0o600);
    }
    reach(Step::IndexWritten);
    result
}

/// Whether the new file is shorter: then a name is taken away.
fn shrinks(root: &Dir, bytes: &[u8]) -> bool {
    matches!(root.stat(FILE), Ok(Some(stat)) if stat.st_size.cast_unsigned() > bytes.len() as u64)
}

/// Keeps the present `index.json` under its second name. It is a help for bad days, and the change that it precedes doesn't fail for it.
pub(crate) fn keep_previous(root: &Dir) {
    let keep = || -> io::Result<()> {
        root.remove_file(LINK)?;
        match rustix::fs::linkat(root, FILE, root, LINK, AtFlags::empty()) {
            Ok(()) => {
                rustix::fs::renameat(root, LINK, root, BACKUP)?;
                // Nothing is renamed if both names are the same file's already.
                root.remove_file(LINK)
            }
            // At the first start there is nothing to keep.
            Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    };
    if let Err(error) = keep() {
        tracing::warn!(%error, "could not keep the old `{FILE}`");
    }
}

/// Sets some room aside, unless that has been done. Without room to spare it is done at another start.
pub(crate) fn keep_reserve(root: &Dir) {
    let keep = || -> io::Result<()> {
        if root.stat(RESERVE)?.is_some_and(|stat| stat.st_size.cast_unsigned() == RESERVE_BYTES) {
            return Ok(());
        }
        let file = root.open_or_create(RESERVE, 0o600)?;
        Ok(rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, RESERVE_BYTES)?)
    };
    if let Err(error) = keep() {
        tracing::debug!(%error, "no reserve could be set aside");
        // A part of it is none.
        let _ = root.remove_file(RESERVE);
    }
}

/// The entries that can be read of a file that may be damaged: of a whole one all, of another those that are whole.
pub(crate) fn salvage(bytes: &[u8]) -> Vec<serde_json::Value> {
    let mut entries = Vec::new();
    let mut at = 0;
    while let Some(brace) = bytes.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'{')) {
        at += brace;
        let mut stream = serde_json::Deserializer::from_slice(&bytes[at..]).into_iter::<serde_json::Value>();
        match stream.next() {
            Some(Ok(value)) => {
                at += stream.byte_offset();
                match value.get("manifests").and_then(serde_json::Value::as_array) {
                    Some(manifests) => entries.extend(manifests.iter().cloned()),
                    None => entries.push(value),
                }
            }
            _ => at += 1,
        }
    }
    entries.retain(|entry| entry.get("digest").is_some_and(serde_json::Value::is_string));
    entries
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(number: usize) -> serde_json::Value {
        json!({"mediaType": "x/y", "digest": format!("sha256:{number}"), "size": 1, "annotations": {"n": "{"}})
    }

    #[test]
    fn what_is_whole_of_a_damaged_file_is_found() {
        let all: Vec<_> = (0..4).map(entry).collect();
        finds_what_is_whole(&all, serde_json::to_vec_pretty(&json!({"schemaVersion": 2, "manifests": all})).unwrap());
        let lines: Vec<_> = all.iter().map(|entry| format!("    {entry}")).collect();
        let lines = lines.join(",\n");
        finds_what_is_whole(&all, format!("{{\n  \"schemaVersion\": 2,\n  \"manifests\": [\n{lines}\n  ]\n}}").into());
    }

    fn finds_what_is_whole(all: &[serde_json::Value], bytes: Vec<u8>) {
        assert_eq!(salvage(&bytes), all);
        // Cut anywhere, what comes before the cut is there, and nothing else.
        for cut in 0..bytes.len() {
            let found = salvage(&bytes[..cut]);
            assert!(found.len() <= 4 && found == all[..found.len()], "{cut}: {found:?}");
        }
        assert_eq!(salvage(&bytes[..bytes.len() - 3]).len(), 4);
        // Damaged in the middle, both ends are.
        let at = bytes.windows(8).position(|window| window == b"sha256:1").unwrap();
        let mut torn = bytes.clone();
        torn[at - 1] = 0xff;
        assert_eq!(salvage(&torn), [entry(0), entry(2), entry(3)]);
        assert!(salvage(b"").is_empty() && salvage(&[0xff; 100]).is_empty() && salvage(b"{{{{[[").is_empty());
    }

    #[test]
    fn the_version_before_is_kept_in_a_file_of_its_own() {
        let tmp = tempfile::tempdir().unwrap();
        let root = Dir::open(tmp.path()).unwrap();
        for text in ["one", "two", "three"] {
            replace(&root, text.as_bytes()).unwrap();
        }
        assert_eq!(root.read(FILE, 10).unwrap(), b"three");
        assert_eq!(root.read(BACKUP, 10).unwrap(), b"two");
        let inode = |name| root.stat(name).unwrap().unwrap().st_ino;
        assert_ne!(inode(FILE), inode(BACKUP));
        assert_eq!(root.entries().unwrap().len(), 2);
        // Doing it again without a change in between leaves nothing else, either.
        keep_previous(&root);
        keep_previous(&root);
        assert_eq!(root.read(BACKUP, 10).unwrap(), b"three");
        assert_eq!(root.entries().unwrap().len(), 2);
    }
}
