//! Layers that write through a symbolic link of a layer below.
//!
//! A layer with `bin/tool` and no entry for `bin`, on layers in which `bin` is a link to `usr/bin`, means `usr/bin/tool`: that is where any program
//! that unpacks layer upon layer puts it. The layer's own folder, unpacked by itself, has a folder `bin`, which would hide the link and all that
//! is behind it. Such a layer is written anew for the stack: the same files, hard-linked, where the links lead; or copies, if it is a file system of its own.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::io;
use std::path::PathBuf;

use layer_fs::{Dir, FileKind};
use rustix::fs::{Mode, XattrFlags};
use rustix::io::Errno;

use super::files::Files;
use super::thin::Appearance;
use super::{ForeignLink, Gaps, Stack, StackError, path};

/// How many links one path may lead through: the kernel's own limit.
const MAX_HOPS: usize = 40;

/// A layer of a stack, with what it could not say by itself.
#[derive(Clone, Debug)]
pub struct StackLayer {
    /// Its folder.
    pub path: PathBuf,
    /// Folders that no entry of it names.
    pub implied_parents: Vec<Vec<u8>>,
    /// Hard links to files of the layers below.
    pub foreign_links: Vec<ForeignLink>,
}

impl<'a> Gaps<'a> {
    /// The gaps of a layer.
    pub fn of(layer: &'a StackLayer) -> Self {
        Self { implied_parents: &layer.implied_parents, foreign_links: &layer.foreign_links }
    }
}

/// Writes those of `layers` (base first) anew that write through a link of a layer below, into folders of their own in `dir`, which lies at
/// `dir_path`. The others stay as they are. Nothing is synced.
///
/// # Errors
///
/// When a layer can't be read, or one can't be written.
pub fn reroute(layers: Vec<StackLayer>, dir: &Dir, dir_path: &std::path::Path) -> Result<Vec<StackLayer>, StackError> {
    let mut settled: Vec<StackLayer> = Vec::with_capacity(layers.len());
    for layer in layers {
        // Most layers name all their folders, and need not be held against those below.
        if layer.implied_parents.iter().all(Vec::is_empty) {
            settled.push(layer);
            continue;
        }
        // Topmost first, as a stack is looked through.
        let paths: Vec<_> = settled.iter().rev().map(|layer| layer.path.clone()).collect();
        let below = Stack::open(&paths)?;
        if !writes_through_link(&below, &layer)? {
            settled.push(layer);
            continue;
        }
        tracing::debug!(layer = %layer.path.display(), "writing a layer anew that leads through links below it");
        let name = settled.len().to_string();
        let make = |source| StackError::Make { path: Vec::new(), source };
        let root = dir.create_dir(&name, 0o755).map_err(make)?;
        settled.push(Rewrite::new(&below, &layer, root)?.run(dir_path.join(name))?);
    }
    Ok(settled)
}

/// Whether a folder that the layer only implies is a symbolic link in the layers below.
fn writes_through_link(below: &Stack, layer: &StackLayer) -> Result<bool, StackError> {
    for path in &layer.implied_parents {
        if is_link(below, path)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_link(below: &Stack, path: &[u8]) -> Result<bool, StackError> {
    let found = below.lookup(path).map_err(read(path))?;
    Ok(found.is_some_and(|found| FileKind::of(&found.stat) == FileKind::Symlink))
}

/// A layer on its way to its new form.
struct Rewrite<'a> {
    below: &'a Stack,
    old: &'a StackLayer,
    old_root: Dir,
    root: Dir,
    files: Files,
    was_implied: BTreeSet<&'a [u8]>,
    implied: BTreeSet<Vec<u8>>,
    /// Folders whose path has changed, as they were and as they are.
    moved: Vec<(Vec<u8>, Vec<u8>)>,
}

impl<'a> Rewrite<'a> {
    fn new(below: &'a Stack, old: &'a StackLayer, root: Dir) -> Result<Self, StackError> {
        let old_root = Dir::open(&old.path).map_err(|source| StackError::Layer { path: old.path.clone(), source })?;
        let was_implied: BTreeSet<&[u8]> = old.implied_parents.iter().map(Vec::as_slice).collect();
        let implied = was_implied.contains(&b""[..]).then(Vec::new).into_iter().collect();
        Ok(Self { below, old, old_root, root, files: Files::default(), was_implied, implied, moved: Vec::new() })
    }

    fn run(mut self, path: PathBuf) -> Result<StackLayer, StackError> {
        // Where each folder of the old layer goes, in an order in which a folder comes before what is in it.
        let mut todo = vec![(Vec::new(), Vec::new())];
        let mut named = vec![(Vec::new(), Vec::new())];
        while let Some((from, to)) = todo.pop() {
            let folder = path::open_folder(&self.old_root, &from).map_err(read(&from))?;
            for (name, kind) in folder.entries().map_err(read(&from))? {
                let old = path::join(&from, name.to_bytes());
                let new = path::join(&to, name.to_bytes());
                if kind != FileKind::Folder {
                    self.put(&folder, &name, &new)?;
                } else if self.was_implied.contains(old.as_slice()) {
                    let new = self.landing(&new)?;
                    self.ensure(&new)?;
                    self.keep_marks(&old, &new)?;
                    if old != new {
                        self.moved.push((old.clone(), new.clone()));
                    }
                    todo.push((old, new));
                } else {
                    self.ensure(&new)?;
                    self.implied.remove(&new);
                    named.push((old.clone(), new.clone()));
                    todo.push((old, new));
                }
            }
        }
        // Deepest first: what is done inside of a folder changes its times.
        for (old, new) in named.iter().rev() {
            self.keep_marks(old, new)?;
            let looks = path::open_folder(&self.old_root, old).and_then(Appearance::of).map_err(read(old))?;
            path::open_folder(&self.root, new).and_then(|folder| looks.give(&folder)).map_err(make(new))?;
        }
        let foreign_links = self.old.foreign_links.iter().map(|link| self.moved_link(link)).collect();
        Ok(StackLayer { path, implied_parents: self.implied.into_iter().collect(), foreign_links })
    }

    /// Where a path leads in the layers below, every link on it followed, inside.
    fn landing(&self, path: &[u8]) -> Result<Vec<u8>, StackError> {
        let components = |path: &[u8]| -> Vec<Vec<u8>> {
            let names = path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
            names.rev().map(<[u8]>::to_vec).collect()
        };
        let mut todo = components(path);
        let mut here: Vec<u8> = Vec::new();
        let mut hops = 0;
        while let Some(name) = todo.pop() {
            if name == b".." {
                here = path::split(&here).map(|(folder, _)| folder.to_vec()).unwrap_or_default();
                continue;
            }
            let next = path::join(&here, &name);
            let found = self.below.lookup(&next).map_err(read(&next))?;
            let Some(found) = found.filter(|found| FileKind::of(&found.stat) == FileKind::Symlink) else {
                here = next;
                continue;
            };
            hops += 1;
            if hops > MAX_HOPS {
                return Err(read(path)(Errno::LOOP.into()));
            }
            let text = self
                .below
                .open_folder(found.index, &here)
                .and_then(|folder| Ok(rustix::fs::readlinkat(&folder, path::name(&name)?, Vec::new())?.into_bytes()));
            let text = text.map_err(read(&next))?;
            if text.starts_with(b"/") {
                here.clear();
            }
            todo.extend(components(&text));
        }
        Ok(here)
    }

    /// Makes a folder and those on the way to it, all implied until something names them.
    fn ensure(&mut self, path: &[u8]) -> Result<(), StackError> {
        for folder in path::ancestors(path).skip(1).chain((!path.is_empty()).then_some(path)) {
            let Some((above, name)) = path::split(folder) else { continue };
            let make_it = || -> io::Result<bool> {
                let above = path::open_folder(&self.root, above)?;
                match rustix::fs::mkdirat(&above, path::name(name)?, Mode::from_raw_mode(0o755)) {
                    Ok(()) => Ok(true),
                    Err(Errno::EXIST) => Ok(false),
                    Err(error) => Err(error.into()),
                }
            };
            if make_it().map_err(make(folder))? {
                self.implied.insert(folder.to_vec());
            }
        }
        Ok(())
    }

    /// Gives a file its place. Where two meet, the first one stays.
    fn put(&mut self, from: &Dir, name: &CStr, new: &[u8]) -> Result<(), StackError> {
        match self.files.put(from, name, &self.root, new, false) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(make(new)(error)),
            _ => Ok(()),
        }
    }

    /// Copies what overlayfs has to know of a folder: that it is opaque, or holds whiteouts.
    fn keep_marks(&self, old: &[u8], new: &[u8]) -> Result<(), StackError> {
        let from = path::open_folder(&self.old_root, old).map_err(read(old))?;
        for (name, value) in layer_fs::list_xattrs(&from).map_err(read(old))? {
            if name.to_bytes().starts_with(b"trusted.overlay.") {
                let set = || -> io::Result<()> {
                    let to = path::open_folder(&self.root, new)?;
                    Ok(rustix::fs::fsetxattr(&to, &name, &value, XattrFlags::empty())?)
                };
                set().map_err(make(new))?;
            }
        }
        Ok(())
    }

    fn moved_link(&self, link: &ForeignLink) -> ForeignLink {
        let inside =
            |old: &[u8]| link.path.strip_prefix(old).and_then(|rest| rest.strip_prefix(b"/")).map(<[u8]>::to_vec);
        // The deepest folder that was moved says where the link is now.
        let moved = self.moved.iter().filter_map(|(old, new)| Some((old.len(), path::join(new, &inside(old)?))));
        let path = moved.max_by_key(|(len, _)| *len).map_or_else(|| link.path.clone(), |(_, path)| path);
        ForeignLink { path, target: link.target.clone() }
    }
}

fn read(path: &[u8]) -> impl FnOnce(io::Error) -> StackError {
    move |source| StackError::Read { path: path.to_vec(), source }
}

fn make(path: &[u8]) -> impl FnOnce(io::Error) -> StackError {
    move |source| StackError::Make { path: path.to_vec(), source }
}

#[cfg(test)]
mod tests;
