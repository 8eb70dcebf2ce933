//! The folder being filled: handles of its folders, and the way to each name.

use std::collections::HashMap;
use std::ffi::CString;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use layer_fs::{Dir, FileKind, remove_tree};
use rustix::fs::{AtFlags, Gid, Mode, Uid};
use rustix::io::Errno;

use super::aside::{Aside, Maker};
use super::folder::{Folder, Owed, SETGID, take_default_acl};
use super::waiting::{Unsettled, Waiting};
use super::whiteout::{is_whiteout, set_opaque};
use crate::UnpackError;
use crate::form::{MAX_LINKS, MAX_STEPS};
use crate::manifest::Contents;
use crate::marker::is_marker;
use crate::path::{MAX_NAME, MAX_PATH, join, parent, split};
use crate::tar::Shown;
use crate::writers::Writers;

/// How many folder handles are kept open. Tars are written folder by folder, so that few are needed at a time.
const MAX_OPEN: usize = 128;

/// The layer's own folder. Every step in it goes from an open folder to one plain name, never through a link.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    root: &'a Dir,
    /// Folders by their real path: there is one handle of each, which knows what the folder gets at the end.
    open: HashMap<Vec<u8>, Rc<Folder>>,
    pub(super) waiting: Waiting,
    /// Whether a folder of the layer has a default access list.
    pub(super) has_lists: bool,
    /// Whether a folder of the layer was marked for overlayfs.
    pub(super) has_marks: bool,
    pub(super) maker: Maker,
    /// Files that are made elsewhere.
    pub(super) aside: Aside<'a>,
}

/// Where an entry goes: a name in an open folder.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) folder: Rc<Folder>,
    pub(super) name: CString,
    /// The real path of the name.
    pub(super) path: Vec<u8>,
    /// Whether nothing can be there yet.
    pub(super) is_new: bool,
}

impl<'a> Tree<'a> {
    pub(super) fn new(root: &'a Dir, contents: &'a mut Contents, writers: &'a Writers) -> Result<Self, UnpackError> {
        let prepared = || -> io::Result<Folder> {
            // Whatever the root hands down comes from the machine, not from the layer.
            let stat = rustix::fs::fstat(root)?;
            if stat.st_mode & SETGID != 0 {
                rustix::fs::fchmod(root, Mode::from_raw_mode(stat.st_mode & 0o7777 & !SETGID))?;
            }
            take_default_acl(root)?;
            Ok(Folder::new(root.try_clone()?, Vec::new(), Owed::default()))
        };
        let folder = prepared().map_err(UnpackError::write("prepare the folder", b"/"))?;
        let maker = Maker {
            umask: umask().unwrap_or(0o777),
            owner: (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
        };
        let mut waiting = Waiting::default();
        waiting.add(Vec::new(), Unsettled::Implied).map_err(|reason| UnpackError::refused(b"/", reason))?;
        Ok(Self {
            root,
            open: HashMap::from([(Vec::new(), Rc::new(folder))]),
            waiting,
            has_lists: false,
            has_marks: false,
            maker,
            aside: Aside::new(writers, maker, contents),
        })
    }

    /// The place of a clean path that is not the root's; its folders are made if they aren't there. `entry` is whom to blame. What else was made
    /// of that name is there when this returns, and not only put aside.
    pub(super) fn place(&mut self, path: &[u8], entry: &[u8]) -> Result<Place, UnpackError> {
        let (above, name) = split(path);
        let c_name = name_of(name, entry)?;
        let folder = self.folder(above, entry)?;
        let path = join(&folder.path, name);
        check_length(&path, entry)?;
        let is_new = self.aside.is_new(&path);
        if !is_new {
            self.aside.catch_up()?;
        }
        Ok(Place { folder, name: c_name, path, is_new })
    }

    /// The folder at a clean path, made if it isn't there. Links of this layer on the way are followed inside the layer, as they would be
    /// in the running image.
    pub(super) fn folder(&mut self, path: &[u8], entry: &[u8]) -> Result<Rc<Folder>, UnpackError> {
        if let Some(folder) = self.open.get(path) {
            return Ok(Rc::clone(folder));
        }
        let mut start = path;
        while !start.is_empty() && !self.open.contains_key(start) {
            start = parent(start);
        }
        let mut here = self.real_folder(start, entry)?;
        // What is still to go, last component first.
        let mut todo = Vec::new();
        push_components(&mut todo, &path[start.len()..]);
        let (mut steps, mut links, mut at_once) = (0, 0, true);
        while let Some(name) = todo.pop() {
            steps += 1;
            if steps > MAX_STEPS {
                return Err(UnpackError::refused(entry, "its folder is behind links of more than 8192 components"));
            }
            if name == b".." {
                here = self.real_folder(&parent_of(&here.path), entry)?;
                continue;
            }
            if std::mem::take(&mut at_once)
                && !todo.is_empty()
                && let Some(folder) = self.descend(&here, &name, &todo, entry)?
            {
                return Ok(folder);
            }
            match self.step(&here, &name, entry)? {
                Step::Into(folder) => here = folder,
                Step::Link(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(UnpackError::refused(entry, "its folder is behind more than 40 symbolic links"));
                    }
                    if target.starts_with(b"/") {
                        here = self.real_folder(b"", entry)?;
                    }
                    push_components(&mut todo, &target);
                    at_once = true;
                }
            }
        }
        Ok(here)
    }

    /// Goes all the rest of a path in one step, which can be done if all of it is there and none of it is a link.
    fn descend(
        &mut self,
        here: &Folder,
        name: &[u8],
        todo: &[Vec<u8>],
        entry: &[u8],
    ) -> Result<Option<Rc<Folder>>, UnpackError> {
        let mut rest = name.to_vec();
        for name in todo.iter().rev() {
            if name == b".." {
                return Ok(None);
            }
            rest.push(b'/');
            rest.extend_from_slice(name);
        }
        let path = join(&here.path, &rest);
        if let Some(folder) = self.open.get(&path) {
            return Ok(Some(Rc::clone(folder)));
        }
        let Ok(dir) = here.dir.open_dir(rest.as_slice()) else { return Ok(None) };
        self.reopened(dir, path, entry).map(Some)
    }

    /// Goes from a folder to what has `name` in it.
    fn step(&mut self, above: &Rc<Folder>, name: &[u8], entry: &[u8]) -> Result<Step, UnpackError> {
        let name = name_of(name, entry)?;
        let path = join(&above.path, name.to_bytes());
        check_length(&path, entry)?;
        if let Some(folder) = self.open.get(&path) {
            return Ok(Step::Into(Rc::clone(folder)));
        }
        match above.dir.open_dir(name.as_c_str()) {
            Ok(dir) => return self.reopened(dir, path, entry).map(Step::Into),
            Err(error) => match Errno::from_io_error(&error) {
                // A file of that name may only be put aside.
                Some(Errno::NOENT) if self.aside.is_busy() && !self.aside.is_new(&path) => {
                    self.aside.catch_up()?;
                    return self.step(above, name.to_bytes(), entry);
                }
                Some(Errno::NOENT) => return self.imply(above, &name, path, entry, false).map(Step::Into),
                Some(Errno::LOOP | Errno::NOTDIR) => {}
                _ => return Err(UnpackError::write("open the folder of", entry)(error)),
            },
        }
        let stat = above.dir.stat(name.as_c_str()).map_err(UnpackError::write("look up", entry))?;
        match stat {
            Some(stat) if FileKind::of(&stat) == FileKind::Symlink => {
                let target = rustix::fs::readlinkat(&above.dir, &name, Vec::new())
                    .map_err(UnpackError::write("read the link to the folder of", entry))?;
                Ok(Step::Link(target.into_bytes()))
            }
            // Something is taken away from below, and a thing of that name put in its place.
            Some(stat) if is_whiteout(&stat) => {
                above.dir.remove_file(name.as_c_str()).map_err(UnpackError::write("replace", entry))?;
                self.imply(above, &name, path, entry, true).map(Step::Into)
            }
            _ => Err(no_folder(&path, entry)),
        }
    }

    /// The folder at a real path.
    fn real_folder(&mut self, path: &[u8], entry: &[u8]) -> Result<Rc<Folder>, UnpackError> {
        if let Some(folder) = self.open.get(path) {
            return Ok(Rc::clone(folder));
        }
        let dir = if path.is_empty() { self.root.try_clone() } else { self.root.open_dir(path) };
        let dir = dir.map_err(UnpackError::write("open the folder of", entry))?;
        self.reopened(dir, path.to_vec(), entry)
    }

    /// The folder at a place where there is one.
    pub(super) fn enter(&mut self, place: &Place, entry: &[u8]) -> Result<Rc<Folder>, UnpackError> {
        if let Some(folder) = self.open.get(&place.path) {
            return Ok(Rc::clone(folder));
        }
        let dir = place.folder.dir.open_dir(place.name.as_c_str());
        self.reopened(dir.map_err(UnpackError::write("open", entry))?, place.path.clone(), entry)
    }

    fn reopened(&mut self, dir: Dir, path: Vec<u8>, entry: &[u8]) -> Result<Rc<Folder>, UnpackError> {
        let folder =
            Folder::reopen(dir, path, self.has_lists).map_err(UnpackError::write("open the folder of", entry))?;
        self.remember(folder)
    }

    /// Keeps a folder's handle for the next entry in it.
    pub(super) fn remember(&mut self, folder: Folder) -> Result<Rc<Folder>, UnpackError> {
        if self.open.len() >= MAX_OPEN {
            // Those in use stay: what is made in them would undo what they get now.
            for (path, idle) in std::mem::take(&mut self.open) {
                // Whoever has let go of one on another thread is done with it: what it did comes before what is done here.
                let is_used = Rc::strong_count(&idle) > 1 || Arc::strong_count(&idle.dir) > 1;
                fence(Ordering::Acquire);
                if is_used {
                    self.open.insert(path, idle);
                } else {
                    idle.settle()?;
                }
            }
        }
        let folder = Rc::new(folder);
        self.open.insert(folder.path.clone(), Rc::clone(&folder));
        Ok(folder)
    }

    /// The folder at a clean path, only to look things up in: nothing is made on the way there.
    pub(super) fn existing(&self, path: &[u8], entry: &[u8]) -> Result<Option<Dir>, UnpackError> {
        match layer_fs::resolve::open_dir_in_root(self.root, path) {
            Ok(fd) => Ok(Some(fd.into())),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG) => Ok(None),
                _ => Err(UnpackError::write("open the folder of", entry)(error)),
            },
        }
    }

    /// Makes a folder that no entry has named so far.
    fn imply(
        &mut self,
        above: &Folder,
        name: &CString,
        path: Vec<u8>,
        entry: &[u8],
        opaque: bool,
    ) -> Result<Rc<Folder>, UnpackError> {
        if self.waiting.link(&path).is_some() {
            return Err(no_folder(&path, entry));
        }
        if is_marker(name.to_bytes()) {
            return Err(UnpackError::refused(entry, "its folder is behind a link to a whiteout"));
        }
        self.aside.is_new(&path);
        let made = || -> io::Result<Dir> {
            let dir = self.make_dir(above, name, 0o755)?;
            if self.maker.owner != (0, 0) {
                rustix::fs::fchown(&dir, Some(Uid::ROOT), Some(Gid::ROOT))?;
            }
            Ok(dir)
        };
        let dir = made().map_err(UnpackError::write("make the folder of", entry))?;
        if opaque {
            // It looks like a new folder: there is nothing below that could say more.
            self.has_marks = true;
            set_opaque(&dir, &path)?;
        } else {
            self.waiting.add(path.clone(), Unsettled::Implied).map_err(|reason| UnpackError::refused(entry, reason))?;
        }
        self.remember(Folder::new(dir, path, Owed::default()))
    }

    /// Makes a folder with exactly this mode and opens it.
    pub(super) fn make_dir(&self, above: &Folder, name: &CString, mode: u32) -> io::Result<Dir> {
        /// The bits of a mode that the kernel takes when it makes a folder.
        const TAKEN: u32 = 0o1777;
        rustix::fs::mkdirat(&above.dir, name, Mode::from_raw_mode(mode))?;
        let dir = above.dir.open_dir(name.as_c_str())?;
        if mode & (self.maker.umask | !TAKEN) != 0 {
            rustix::fs::fchmod(&dir, Mode::from_raw_mode(mode))?;
        }
        Ok(dir)
    }

    /// Removes what is at a place, to make room for something else. Says whether a folder that comes there has to hide what the layers below
    /// have of that name, as what was there did.
    pub(super) fn make_way(&mut self, place: &Place, entry: &[u8]) -> Result<bool, UnpackError> {
        let was_link = self.drop_link(place);
        let dir = &place.folder.dir;
        let Some(stat) = dir.stat(place.name.as_c_str()).map_err(UnpackError::write("look up", entry))? else {
            return Ok(was_link);
        };
        if FileKind::of(&stat) == FileKind::Folder {
            let path = place.path.as_slice();
            self.open.retain(|other, _| {
                !other.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
            });
            self.waiting.remove_tree(path);
            remove_tree(dir, &place.name).map_err(UnpackError::write("replace", entry))?;
        } else {
            dir.remove_file(place.name.as_c_str()).map_err(UnpackError::write("replace", entry))?;
        }
        Ok(true)
    }

    /// Forgets the hard link that waits at a place: something else comes there. Says whether there was one.
    pub(super) fn drop_link(&mut self, place: &Place) -> bool {
        self.waiting.link(&place.path).is_some() && self.waiting.remove(&place.path).is_some()
    }

    /// Gives the folders that are open what was put off.
    pub(super) fn settle(&mut self) -> Result<(), UnpackError> {
        std::mem::take(&mut self.open).values().try_for_each(|folder| folder.settle())
    }

    /// Sets the owner of something that is no open file, and was made just now.
    pub(super) fn chown_at(&self, place: &Place, uid: u32, gid: u32) -> Result<(), Errno> {
        if (uid, gid) == self.maker.owner {
            return Ok(());
        }
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::fs::chownat(&place.folder.dir, &place.name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
    }
}

/// Where one component leads.
enum Step {
    Into(Rc<Folder>),
    /// A symbolic link to this.
    Link(Vec<u8>),
}

/// Puts the components of a path, which may come from a link, on top of those still to go.
fn push_components(todo: &mut Vec<Vec<u8>>, path: &[u8]) {
    let names = path.split(|byte| *byte == b'/').rev().filter(|name| !matches!(*name, b"" | b"."));
    todo.extend(names.map(<[u8]>::to_vec));
}

/// The folder above; the root is above itself, as in a running image.
fn parent_of(path: &[u8]) -> Vec<u8> {
    if path.is_empty() { Vec::new() } else { parent(path).to_vec() }
}

fn no_folder(path: &[u8], entry: &[u8]) -> UnpackError {
    UnpackError::refused(entry, format!("its folder `{}` is no folder", Shown(path)))
}

fn check_length(real: &[u8], entry: &[u8]) -> Result<(), UnpackError> {
    if real.len() < MAX_PATH {
        return Ok(());
    }
    Err(UnpackError::refused(entry, "the links on its way make its name longer than 4095 bytes"))
}

/// A component as the kernel takes it.
pub(super) fn name_of(name: &[u8], entry: &[u8]) -> Result<CString, UnpackError> {
    if name.len() > MAX_NAME {
        return Err(UnpackError::refused(entry, "a component of its name is longer than 255 bytes"));
    }
    CString::new(name).map_err(|_| UnpackError::refused(entry, "its name holds a NUL"))
}

/// The umask of this thread, which can be read without changing it only from here.
fn umask() -> Option<u32> {
    let status = Dir::open(std::path::Path::new("/proc/thread-self")).ok()?.read("status", 1 << 16).ok()?;
    let text = String::from_utf8_lossy(&status).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(line.trim(), 8).ok()
}
