//! What a tree takes on the disk.

use std::collections::HashSet;
use std::io;

use rustix::fs::Stat;

use crate::{Dir, FileKind};

/// The bytes that the disk gives for a file or folder, as `du` counts them: blocks, not the length of what is in it.
pub fn allocated(stat: &Stat) -> u64 {
    // The unit of `st_blocks` is 512 bytes on every file system.
    stat.st_blocks.cast_unsigned().saturating_mul(512)
}

/// The bytes that a folder takes with all that is in it, a file with several names once, as `du -s` counts them. Links are not followed, and what
/// goes meanwhile may not be counted.
///
/// # Errors
///
/// When a part of the tree can't be read.
pub fn tree_allocated(root: &Dir) -> io::Result<u64> {
    let mut total = allocated(&rustix::fs::fstat(root)?);
    let mut linked = HashSet::new();
    // A stack of open folders in place of recursion, as trees may be as deep as they like.
    let mut levels = vec![(root.try_clone()?, root.entries()?)];
    while let Some((dir, entries)) = levels.last_mut() {
        let Some((name, kind)) = entries.pop() else {
            levels.pop();
            continue;
        };
        let Some(stat) = dir.stat(name.as_c_str())? else { continue };
        if kind != FileKind::Folder {
            if stat.st_nlink <= 1 || linked.insert(stat.st_ino) {
                total = total.saturating_add(allocated(&stat));
            }
            continue;
        }
        total = total.saturating_add(allocated(&stat));
        let below = match dir.open_dir(name.as_c_str()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            below => below?,
        };
        let entries = below.entries()?;
        levels.push((below, entries));
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_tree_takes_what_du_says() {
        let tmp = tempfile::tempdir().unwrap();
        let root = tmp.path();
        fs::create_dir_all(root.join("a/b/c")).unwrap();
        fs::write(root.join("a/large"), vec![7; 300_000]).unwrap();
        fs::write(root.join("a/b/small"), "x").unwrap();
        fs::write(root.join("a/empty"), "").unwrap();
        fs::hard_link(root.join("a/large"), root.join("a/b/c/again")).unwrap();
        fs::File::create(root.join("hole")).unwrap().set_len(50 << 20).unwrap();
        symlink("/usr", root.join("link")).unwrap();
        let output = Command::new("du").args(["-s", "--block-size=1"]).arg(root).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let du: u64 = text.split_whitespace().next().unwrap().parse().unwrap();
        assert_eq!(tree_allocated(&Dir::open(root).unwrap()).unwrap(), du);
        assert!((300_000..1_000_000).contains(&du), "{du}");
    }
}
