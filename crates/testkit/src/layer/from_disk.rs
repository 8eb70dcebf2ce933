//! Files of this machine as entries, with owner, mode, times, hard links, devices and extended attributes.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{major, minor};

use super::{Data, Entry};
use crate::tree::xattrs;

type Seen = HashMap<(u64, u64), Vec<u8>>;

/// Entries for `root` and everything under it, named relative to `into`, folders before their content, names sorted.
pub(super) fn tree(seen: &mut Seen, root: &Path, into: &[u8]) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let name = if into.is_empty() { b"./".to_vec() } else { into.to_vec() };
    entries.push(entry(seen, root, name)?);
    walk(seen, root, into, &mut entries)?;
    Ok(entries)
}

fn walk(seen: &mut Seen, folder: &Path, into: &[u8], entries: &mut Vec<Entry>) -> Result<()> {
    let list =
        || -> std::io::Result<Vec<_>> { fs::read_dir(folder)?.map(|item| item.map(|item| item.file_name())).collect() };
    let mut names = list().with_context(|| format!("list `{}`", folder.display()))?;
    names.sort();
    for name in names {
        let from = folder.join(&name);
        let slash: &[u8] = if into.is_empty() || into.ends_with(b"/") { b"" } else { b"/" };
        let to = [into, slash, name.as_bytes()].concat();
        let kind = fs::symlink_metadata(&from).with_context(|| format!("look at `{}`", from.display()))?.file_type();
        if kind.is_socket() {
            continue;
        }
        entries.push(entry(seen, &from, to.clone())?);
        if kind.is_dir() {
            walk(seen, &from, &to, entries)?;
        }
    }
    Ok(())
}

/// Entries for each of `paths` by itself, sorted, so that folders come before their content.
pub(super) fn paths(seen: &mut Seen, paths: impl IntoIterator<Item = impl AsRef<Path>>) -> Result<Vec<Entry>> {
    let mut found = BTreeSet::new();
    for path in paths {
        let path = path.as_ref();
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            continue; // The root.
        };
        let parent = fs::canonicalize(parent).with_context(|| format!("resolve `{}`", parent.display()))?;
        found.insert(parent.join(name));
    }
    found.iter().map(|path| entry(seen, path, relative(path))).collect()
}

fn relative(path: &Path) -> Vec<u8> {
    PathBuf::from(path.strip_prefix("/").unwrap_or(path)).into_os_string().into_vec()
}

fn entry(seen: &mut Seen, from: &Path, to: Vec<u8>) -> Result<Entry> {
    let look = || format!("look at `{}`", from.display());
    let meta = fs::symlink_metadata(from).with_context(look)?;
    let kind = meta.file_type();
    if !kind.is_dir() && meta.nlink() > 1 {
        if let Some(first) = seen.get(&(meta.dev(), meta.ino())) {
            return Ok(Entry::hard_link(to, first));
        }
        seen.insert((meta.dev(), meta.ino()), to.clone());
    }
    let (device_major, device_minor) = (major(meta.rdev()), minor(meta.rdev()));
    let mut entry = if kind.is_dir() {
        Entry::dir(to)
    } else if kind.is_file() {
        Entry::data(to, Data::File { path: from.to_owned(), len: meta.len() })
    } else if kind.is_symlink() {
        Entry::symlink(to, fs::read_link(from).with_context(look)?.into_os_string().into_vec())
    } else if kind.is_char_device() {
        Entry::char_device(to, device_major, device_minor)
    } else if kind.is_block_device() {
        Entry::block_device(to, device_major, device_minor)
    } else if kind.is_fifo() {
        Entry::fifo(to)
    } else {
        bail!("`{}` is a socket, which no tar holds", from.display());
    };
    let nanos = u32::try_from(meta.mtime_nsec()).context("nanoseconds of a time")?;
    entry = entry
        .mode(meta.mode() & 0o7777)
        .owner(i64::from(meta.uid()), i64::from(meta.gid()))
        .mtime_nanos(meta.mtime(), nanos);
    for (name, value) in xattrs(from)? {
        entry = entry.xattr(name, value);
    }
    Ok(entry)
}
