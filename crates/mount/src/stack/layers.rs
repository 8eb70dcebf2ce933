//! Layer folders, and looking paths up in all of them at once.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use layer_fs::{Dir, FileKind};
use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use super::{StackError, path};

/// How many folder handles are kept besides those of the layers themselves.
const MAX_RECENT: usize = 128;

/// Layer folders, topmost first.
#[derive(Debug)]
pub struct Stack {
    roots: Vec<Root>,
    /// The folder of a layer that was asked for last, with its path.
    recent: Mutex<HashMap<usize, (Vec<u8>, Dir)>>,
}

#[derive(Debug)]
struct Root {
    dir: Dir,
    opaque: bool,
}

/// What a path leads to.
#[derive(Clone, Debug)]
pub struct Found {
    /// The layer whose entry is seen; for a merged folder the one that gives its looks.
    pub index: usize,
    /// The entry.
    pub stat: Stat,
}

/// What one layer has at a path.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// Nothing; the layers below decide.
    Absent,
    /// A whiteout: nothing, and nothing of the layers below.
    Whiteout,
    /// A file of any kind but a folder. It hides what lies below.
    File(Stat),
    /// A folder, which is merged with those below unless it is opaque.
    Folder(Stat),
}

impl Stack {
    /// Opens the folders of a stack, topmost first. All of them stay open.
    ///
    /// # Errors
    ///
    /// [`StackError::Layer`] when one of them can't be opened.
    pub fn open(lowers: &[PathBuf]) -> Result<Self, StackError> {
        Self::of(lowers.iter().map(PathBuf::as_path))
    }

    pub(super) fn of<'a>(lowers: impl Iterator<Item = &'a Path>) -> Result<Self, StackError> {
        let open =
            |path: &'a Path| Root::open(path).map_err(|source| StackError::Layer { path: path.to_owned(), source });
        Ok(Self { roots: lowers.map(open).collect::<Result<_, _>>()?, recent: Mutex::default() })
    }

    /// What the mounted tree has at `path`: bytes, relative, the empty one being the root. Links on the way are not followed, as everything
    /// lies in folders. `None` when there is nothing.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a path that no layer can have (absolute, empty components, `.`, `..`, NUL); else when a layer can't be read.
    pub fn lookup(&self, path: &[u8]) -> io::Result<Option<Found>> {
        check(path)?;
        let Some((folder, _)) = path::split(path) else {
            return self
                .roots
                .first()
                .map(|root| Ok(Found { index: 0, stat: rustix::fs::fstat(&root.dir)? }))
                .transpose();
        };
        for index in self.folder(folder)? {
            match self.entry(index, path)? {
                Entry::Absent => {}
                Entry::Whiteout => return Ok(None),
                Entry::File(stat) | Entry::Folder(stat) => return Ok(Some(Found { index, stat })),
            }
        }
        Ok(None)
    }

    /// The layers whose folders at `path` are merged, topmost first. None when there is no folder, or something else.
    ///
    /// # Errors
    ///
    /// As [`lookup`](Self::lookup).
    pub fn providers(&self, path: &[u8]) -> io::Result<Vec<usize>> {
        check(path)?;
        self.folder(path)
    }

    fn folder(&self, path: &[u8]) -> io::Result<Vec<usize>> {
        let mut among = self.merged_roots(0);
        for prefix in path::ancestors(path).skip(1).chain((!path.is_empty()).then_some(path)) {
            among = self.merge(&among, prefix)?;
        }
        Ok(among)
    }

    /// The layers from `start` down whose roots are merged.
    pub(super) fn merged_roots(&self, start: usize) -> Vec<usize> {
        let last = self.roots.iter().enumerate().skip(start).find(|(_, root)| root.opaque);
        let end = last.map_or(self.roots.len(), |(index, _)| index + 1);
        (start..end).collect()
    }

    /// Those of the layers `among` whose folders at `path` are merged, when `among` are those that are merged one level up.
    fn merge(&self, among: &[usize], path: &[u8]) -> io::Result<Vec<usize>> {
        let mut merged = Vec::new();
        for &index in among {
            match self.entry(index, path)? {
                Entry::Absent => {}
                Entry::Whiteout | Entry::File(_) => break,
                Entry::Folder(_) => {
                    merged.push(index);
                    if self.is_opaque(index, path)? {
                        break;
                    }
                }
            }
        }
        Ok(merged)
    }

    pub(super) fn len(&self) -> usize {
        self.roots.len()
    }

    /// What one layer alone has at `path`, which must be proper.
    pub(super) fn entry(&self, index: usize, path: &[u8]) -> io::Result<Entry> {
        let Some((folder, name)) = path::split(path) else {
            return Ok(Entry::Folder(rustix::fs::fstat(&self.roots[index].dir)?));
        };
        let name = path::name(name)?;
        let stat = match self.within(index, folder, |folder| folder.stat(&*name)) {
            Ok(Some(stat)) => stat,
            Ok(None) => return Ok(Entry::Absent),
            Err(error) => {
                return match Errno::from_io_error(&error) {
                    Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG) => Ok(Entry::Absent),
                    _ => Err(error),
                };
            }
        };
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Entry::Folder(stat),
            FileType::CharacterDevice if stat.st_rdev == 0 => Entry::Whiteout,
            _ => Entry::File(stat),
        })
    }

    /// Whether the folder at `path` in one layer hides those below.
    pub(super) fn is_opaque(&self, index: usize, path: &[u8]) -> io::Result<bool> {
        self.within(index, path, has_opaque_mark)
    }

    /// Works with a folder of one layer, and keeps its handle: most questions are about neighbours.
    fn within<T>(&self, index: usize, path: &[u8], work: impl FnOnce(&Dir) -> io::Result<T>) -> io::Result<T> {
        let root = &self.roots[index].dir;
        if path.is_empty() {
            return work(root);
        }
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, folder)) = recent.get(&index)
            && known == path
        {
            return work(folder);
        }
        let folder = path::open_folder(root, path)?;
        let result = work(&folder);
        if recent.len() >= MAX_RECENT {
            recent.clear();
        }
        recent.insert(index, (path.to_vec(), folder));
        result
    }

    /// Shows all that one layer has but folders, with paths.
    pub(super) fn each_file(&self, index: usize, mut show: impl FnMut(Vec<u8>, &Stat)) -> Result<(), StackError> {
        let mut todo = vec![Vec::new()];
        while let Some(path) = todo.pop() {
            let mut read = || -> io::Result<()> {
                let folder = self.open_folder(index, &path)?;
                for (name, kind) in folder.entries()? {
                    let path = path::join(&path, name.to_bytes());
                    if kind == FileKind::Folder {
                        todo.push(path);
                    } else if let Some(stat) = folder.stat(&*name)? {
                        show(path, &stat);
                    }
                }
                Ok(())
            };
            read().map_err(|source| StackError::Read { path: path.clone(), source })?;
        }
        Ok(())
    }

    /// The folder at `path` in one layer alone.
    pub(super) fn open_folder(&self, index: usize, path: &[u8]) -> io::Result<Dir> {
        path::open_folder(&self.roots[index].dir, path)
    }
}

fn check(path: &[u8]) -> io::Result<()> {
    if path::is_proper(path) { Ok(()) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

impl Root {
    fn open(path: &Path) -> io::Result<Self> {
        let dir = Dir::open(path)?;
        let opaque = has_opaque_mark(&dir)?;
        Ok(Self { dir, opaque })
    }
}

/// Whether a folder hides those of its path in the layers below.
pub(crate) fn has_opaque_mark(folder: &impl AsFd) -> io::Result<bool> {
    let mut value = [0; 1];
    match rustix::fs::fgetxattr(folder, c"trusted.overlay.opaque", &mut value) {
        Ok(len) => Ok(value[..len] == *b"y"),
        // A longer value is none that the kernel knows; nor is there a mark where there are no attributes.
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
