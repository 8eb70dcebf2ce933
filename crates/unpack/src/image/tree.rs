//! The layer as a tree in memory, and the way to each name.

use std::collections::{HashMap, HashSet};

use layer_erofs::{Kind, Looks, NodeId, Tree};

use crate::UnpackError;
use crate::form::{MAX_LINKS, MAX_STEPS, MAX_UNSETTLED, TOO_MUCH_UNSETTLED, UNSETTLED};
use crate::marker::is_marker;
use crate::marks::{OPAQUE, ORIGIN};
use crate::path::{MAX_NAME, MAX_PATH, join, split};
use crate::tar::Shown;

/// A layer's tree, and what can be settled only when the whole of it has been read.
pub(super) struct Layer {
    pub(super) tree: Tree,
    /// Folders that no entry has named so far.
    implied: HashSet<NodeId>,
    /// Hard links to what wasn't there when they came. In the tree a whiteout holds their place.
    waiting: HashMap<NodeId, Waiting>,
    /// What these two take, about.
    unsettled: usize,
    /// The folder that was found last, by its path: tars are written folder by folder.
    recent: Option<(Vec<u8>, NodeId)>,
}

/// A hard link whose target may come.
struct Waiting {
    target: Vec<u8>,
    /// The length of its own path.
    path_length: usize,
}

/// Where an entry goes: a name in a folder.
pub(super) struct Place<'a> {
    pub(super) folder: NodeId,
    pub(super) name: &'a [u8],
}

/// The kernel goes some ways in one step that take many here: a folder may get further.
pub(super) const TOO_MANY_STEPS: UnpackError =
    UnpackError::Unfit { reason: "it has something behind links of more than 8192 components" };

/// A folder's file system may hold them, or says itself that it doesn't.
pub(super) const TOO_MANY_ATTRIBUTES: UnpackError =
    UnpackError::Unfit { reason: "the attributes of one of its things take more than 3 KiB" };

/// What a thing looks like that no entry describes.
const PLAIN: Looks = Looks { mode: 0, uid: 0, gid: 0, seconds: 0, nanos: 0 };

impl Layer {
    pub(super) fn new() -> Self {
        Self {
            tree: Tree::new(),
            implied: HashSet::from([Tree::ROOT]),
            waiting: HashMap::new(),
            unsettled: UNSETTLED,
            recent: None,
        }
    }

    /// What all of it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.tree.bytes() + self.unsettled
    }

    /// The place of a clean path that is not the root's; its folders are made if they aren't there. `entry` is whom to blame.
    pub(super) fn place<'a>(&mut self, path: &'a [u8], entry: &[u8]) -> Result<Place<'a>, UnpackError> {
        let (above, name) = split(path);
        check_name(name, entry)?;
        let folder = self.folder(above, entry)?;
        self.check_length(folder, name, entry)?;
        Ok(Place { folder, name })
    }

    /// What is at a place; a hard link that waits is something, too.
    pub(super) fn at(&self, place: &Place<'_>) -> Option<NodeId> {
        self.tree.child(place.folder, place.name)
    }

    /// The folder at a clean path, made if it isn't there. Links of this layer on the way are followed inside the layer, as they would be
    /// in the running image.
    pub(super) fn folder(&mut self, path: &[u8], entry: &[u8]) -> Result<NodeId, UnpackError> {
        if let Some((known, folder)) = &self.recent
            && known == path
        {
            return Ok(*folder);
        }
        let mut here = Tree::ROOT;
        let mut way = Way::to(path);
        while let Some(name) = way.next()? {
            if name == b".." {
                here = self.tree.parent(here);
                continue;
            }
            check_name(&name, entry)?;
            self.check_length(here, &name, entry)?;
            match self.tree.child(here, &name) {
                None => here = self.imply(here, &name, entry)?,
                Some(node) if self.tree.is_folder(node) => here = node,
                Some(node) if self.awaited(node).is_some() => return Err(self.no_folder(here, &name, entry)),
                Some(node) => match self.tree.kind(node) {
                    Some(Kind::Symlink(target)) => {
                        here = way.follow(target, here).ok_or_else(|| {
                            UnpackError::refused(entry, "its folder is behind more than 40 symbolic links")
                        })?;
                    }
                    // Something is taken away from below, and a thing of that name put in its place.
                    Some(kind) if *kind == Kind::WHITEOUT => {
                        check_marker(&name, entry)?;
                        self.tree.remove(here, &name);
                        here = self.tree.add(here, &name, Kind::Folder, Looks { mode: 0o755, ..PLAIN });
                        // It looks like a new folder: there is nothing below that could say more.
                        self.set_opaque(here)?;
                    }
                    _ => return Err(self.no_folder(here, &name, entry)),
                },
            }
        }
        self.recent = Some((path.to_vec(), here));
        Ok(here)
    }

    /// Makes a folder that no entry has named so far.
    fn imply(&mut self, above: NodeId, name: &[u8], entry: &[u8]) -> Result<NodeId, UnpackError> {
        check_marker(name, entry)?;
        self.count_unsettled(UNSETTLED + self.tree.path_length(above, name), entry)?;
        let node = self.tree.add(above, name, Kind::Folder, Looks { mode: 0o755, ..PLAIN });
        self.implied.insert(node);
        Ok(node)
    }

    /// Says that a folder is no longer one that only its content speaks for.
    pub(super) fn name_folder(&mut self, node: NodeId) {
        if self.implied.remove(&node) {
            let path_length = self.tree.path_length(self.tree.parent(node), self.tree.name(node));
            self.unsettled -= UNSETTLED + path_length;
        }
    }

    /// Puts a hard link at a place where nothing is, which waits for its target.
    pub(super) fn wait(&mut self, place: &Place<'_>, target: Vec<u8>, entry: &[u8]) -> Result<(), UnpackError> {
        let path_length = self.tree.path_length(place.folder, place.name);
        self.count_unsettled(UNSETTLED + path_length + target.len(), entry)?;
        let node = self.tree.add(place.folder, place.name, Kind::WHITEOUT, PLAIN);
        self.waiting.insert(node, Waiting { target, path_length });
        Ok(())
    }

    /// What a hard link leads to that waits; `None` for everything else.
    pub(super) fn awaited(&self, node: NodeId) -> Option<&[u8]> {
        self.waiting.get(&node).map(|waiting| waiting.target.as_slice())
    }

    /// Whether any hard link waits.
    pub(super) fn awaits_any(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn count_unsettled(&mut self, bytes: usize, entry: &[u8]) -> Result<(), UnpackError> {
        self.unsettled += bytes;
        if self.unsettled > MAX_UNSETTLED { Err(UnpackError::refused(entry, TOO_MUCH_UNSETTLED)) } else { Ok(()) }
    }

    /// Removes what is at a place, to make room for something else.
    pub(super) fn make_way(&mut self, place: &Place<'_>) {
        let Some(node) = self.at(place) else { return };
        // The paths that led through it may lead elsewhere now.
        self.recent = None;
        self.forget(node);
        self.tree.remove(place.folder, place.name);
    }

    /// Forgets what is to be settled of a thing that goes, and of all that is in it.
    fn forget(&mut self, node: NodeId) {
        let mut gone = vec![node];
        while let Some(node) = gone.pop() {
            self.name_folder(node);
            if let Some(Waiting { target, path_length }) = self.waiting.remove(&node) {
                self.unsettled -= UNSETTLED + path_length + target.len();
            }
            gone.extend(self.tree.children(node).map(|(_, child)| child));
        }
    }

    pub(super) fn whiteout(&mut self, folder: &[u8], name: &[u8]) -> Result<(), UnpackError> {
        let path = join(folder, name);
        let place = self.place(&path, &path)?;
        match self.at(&place) {
            None => {
                self.tree.add(place.folder, place.name, Kind::WHITEOUT, PLAIN);
                self.mark_whiteouts(place.folder)?;
            }
            // A folder merges with the one below unless it is told not to; anything else hides it.
            Some(node) if self.tree.is_folder(node) => {
                self.set_opaque(node)?;
                // Nothing is below any more that could say how it looks.
                self.name_folder(node);
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Keeps a folder from merging with those of the layers below.
    pub(super) fn set_opaque(&mut self, folder: NodeId) -> Result<(), UnpackError> {
        self.mark(folder, OPAQUE.to_bytes(), b"y")
    }

    /// Has overlayfs look for whiteouts where it lists a folder.
    pub(super) fn mark_whiteouts(&mut self, folder: NodeId) -> Result<(), UnpackError> {
        self.mark(folder, ORIGIN.to_bytes(), b"")
    }

    fn mark(&mut self, folder: NodeId, name: &[u8], value: &[u8]) -> Result<(), UnpackError> {
        self.tree.set_attribute(folder, name, value).map_err(|_| TOO_MANY_ATTRIBUTES)
    }

    /// The folders that no entry has named, in the order of their paths.
    pub(super) fn implied_folders(&self) -> Vec<Vec<u8>> {
        let mut paths: Vec<_> = self.implied.iter().map(|folder| self.path(*folder)).collect();
        paths.sort_unstable();
        paths
    }

    /// The path of a folder.
    pub(super) fn path(&self, mut folder: NodeId) -> Vec<u8> {
        let mut names = Vec::new();
        while folder != Tree::ROOT {
            let above = self.tree.parent(folder);
            names.push(self.tree.name(folder));
            folder = above;
        }
        names.reverse();
        names.join(&b'/')
    }

    pub(super) fn no_folder(&self, above: NodeId, name: &[u8], entry: &[u8]) -> UnpackError {
        let path = join(&self.path(above), name);
        UnpackError::refused(entry, format!("its folder `{}` is no folder", Shown(&path)))
    }

    fn check_length(&self, folder: NodeId, name: &[u8], entry: &[u8]) -> Result<(), UnpackError> {
        if self.tree.path_length(folder, name) < MAX_PATH {
            return Ok(());
        }
        Err(UnpackError::refused(entry, "the links on its way make its name longer than 4095 bytes"))
    }
}

pub(super) fn check_name(name: &[u8], entry: &[u8]) -> Result<(), UnpackError> {
    if name.len() <= MAX_NAME {
        return Ok(());
    }
    Err(UnpackError::refused(entry, "a component of its name is longer than 255 bytes"))
}

fn check_marker(name: &[u8], entry: &[u8]) -> Result<(), UnpackError> {
    if is_marker(name) {
        return Err(UnpackError::refused(entry, "its folder is behind a link to a whiteout"));
    }
    Ok(())
}

/// What is still to go of a path, through the links on it.
pub(super) struct Way {
    /// Last component first.
    todo: Vec<Vec<u8>>,
    steps: usize,
    links: usize,
}

impl Way {
    pub(super) fn to(path: &[u8]) -> Self {
        let mut way = Self { todo: Vec::new(), steps: 0, links: 0 };
        way.push(path);
        way
    }

    /// The next component.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, UnpackError> {
        self.steps += 1;
        if self.steps > MAX_STEPS && !self.todo.is_empty() {
            return Err(TOO_MANY_STEPS);
        }
        Ok(self.todo.pop())
    }

    /// Goes on where a link in the folder `here` leads, and gives the folder from which; `None` if there were too many before.
    pub(super) fn follow(&mut self, target: &[u8], here: NodeId) -> Option<NodeId> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return None;
        }
        self.push(target);
        Some(if target.starts_with(b"/") { Tree::ROOT } else { here })
    }

    fn push(&mut self, path: &[u8]) {
        let names = path.split(|byte| *byte == b'/').rev().filter(|name| !matches!(*name, b"" | b"."));
        self.todo.extend(names.map(<[u8]>::to_vec));
    }
}
