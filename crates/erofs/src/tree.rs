//! The tree while it grows.

use std::collections::BTreeMap;

use crate::attributes::Attributes;
use crate::{AttributeError, Holes};

/// What a thing takes in memory besides its names and what it holds, about: its own record, in a vector that may be half empty, and its place in the
/// index.
const COST: usize = 160;

/// What a name takes besides its bytes, about: its place in the folder's list, and what an allocation costs.
const NAME: usize = 72;

/// What a folder takes besides that, and its own name again.
const FOLDER: usize = 128;

/// What a folder takes in addition that isn't empty: the first part of its list.
const LIST: usize = 256;

/// Something in a tree. It means nothing once the thing was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

/// Mode, owner and time of a thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Looks {
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u16,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// When its content last changed: seconds since 1970, which may be negative.
    pub seconds: i64,
    /// Nanoseconds after that second.
    pub nanos: u32,
}

/// What a thing is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder, which is made empty.
    Folder,
    /// A file.
    File {
        /// Where its content begins, in bytes of the image: a multiple of [`BLOCK`](crate::BLOCK).
        start: u64,
        /// The length of its content.
        size: u64,
    },
    /// A file with holes, which lies in the image in its full length.
    Holed {
        /// Where its content begins, in bytes of the image: a multiple of [`BLOCK`](crate::BLOCK).
        start: u64,
        /// The length of its content.
        size: u64,
        /// Which parts of it are holes.
        holes: Box<Holes>,
    },
    /// A symbolic link to this text.
    Symlink(Box<[u8]>),
    /// A character device. 0/0 is overlayfs' whiteout.
    Character {
        /// Its major number, of 12 bits.
        major: u32,
        /// Its minor number, of 20 bits.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Its major number, of 12 bits.
        major: u32,
        /// Its minor number, of 20 bits.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

impl Kind {
    /// What overlayfs takes for a name that is gone.
    pub const WHITEOUT: Self = Self::Character { major: 0, minor: 0 };
}

/// A tree of folders, files and other things, as an image will show it.
#[derive(Debug)]
pub struct Tree {
    nodes: Vec<Node>,
    /// Nodes that were removed, to be used again.
    free: Vec<NodeId>,
    bytes: usize,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) looks: Looks,
    pub(crate) is: Is,
    pub(crate) attributes: Option<Box<Attributes>>,
    /// How many names it has; none once it was removed.
    pub(crate) names: u32,
}

#[derive(Debug)]
pub(crate) enum Is {
    Folder(Box<Folder>),
    Other(Kind),
}

#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) parent: NodeId,
    pub(crate) children: BTreeMap<Box<[u8]>, NodeId>,
    name: Box<[u8]>,
    /// The length of its path in bytes; 0 for the root.
    path_length: usize,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// The folder that all others lie in.
    pub const ROOT: NodeId = NodeId(0);

    /// A tree that is nothing but a root, of mode 0755.
    pub fn new() -> Self {
        let root = Folder { parent: Self::ROOT, children: BTreeMap::new(), name: Box::default(), path_length: 0 };
        let looks = Looks { mode: 0o755, ..Looks::default() };
        let root = Node { looks, is: Is::Folder(Box::new(root)), attributes: None, names: 1 };
        Self { nodes: vec![root], free: Vec::new(), bytes: COST }
    }

    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What `folder` has of that name. Nothing, if it is no folder.
    pub fn child(&self, folder: NodeId, name: &[u8]) -> Option<NodeId> {
        self.folder(folder)?.children.get(name).copied()
    }

    /// The names in a folder, in order.
    pub fn children(&self, folder: NodeId) -> impl Iterator<Item = (&[u8], NodeId)> {
        let children = self.folder(folder).into_iter().flat_map(|folder| &folder.children);
        children.map(|(name, node)| (&**name, *node))
    }

    /// Whether it is a folder.
    pub fn is_folder(&self, node: NodeId) -> bool {
        self.folder(node).is_some()
    }

    /// What a thing is; `None` for a folder.
    pub fn kind(&self, node: NodeId) -> Option<&Kind> {
        match &self.node(node).is {
            Is::Folder(_) => None,
            Is::Other(kind) => Some(kind),
        }
    }

    /// The folder that a folder lies in; the root lies in itself.
    pub fn parent(&self, folder: NodeId) -> NodeId {
        self.folder(folder).map_or(Self::ROOT, |folder| folder.parent)
    }

    /// The name of a folder; empty for the root.
    pub fn name(&self, folder: NodeId) -> &[u8] {
        self.folder(folder).map_or(b"", |folder| &folder.name)
    }

    /// Whether a folder is another one, or lies somewhere in it.
    pub fn is_within(&self, mut inner: NodeId, outer: NodeId) -> bool {
        loop {
            if inner == outer {
                return true;
            }
            if inner == Self::ROOT {
                return false;
            }
            inner = self.parent(inner);
        }
    }

    /// The length of the path that something called `name` in `folder` has, without a slash in front.
    pub fn path_length(&self, folder: NodeId, name: &[u8]) -> usize {
        match self.folder(folder).map_or(0, |folder| folder.path_length) {
            0 => name.len(),
            above => above + 1 + name.len(),
        }
    }

    /// Makes something in a folder that has nothing of that name; what is no folder gets nothing.
    pub fn add(&mut self, folder: NodeId, name: &[u8], kind: Kind, looks: Looks) -> NodeId {
        debug_assert!(self.child(folder, name).is_none());
        let path_length = self.path_length(folder, name);
        self.bytes += COST + held(&kind) + if kind == Kind::Folder { FOLDER + name.len() } else { 0 };
        let is = match kind {
            Kind::Folder => {
                let children = BTreeMap::new();
                Is::Folder(Box::new(Folder { parent: folder, children, name: name.into(), path_length }))
            }
            kind => Is::Other(kind),
        };
        let node = Node { looks, is, attributes: None, names: 0 };
        let id = match self.free.pop() {
            Some(id) => {
                self.nodes[id.index()] = node;
                id
            }
            None => {
                self.nodes.push(node);
                // The bytes of a tree are bounded long before.
                NodeId(u32::try_from(self.nodes.len() - 1).unwrap_or(u32::MAX))
            }
        };
        self.link(folder, name, id);
        id
    }

    /// Gives something that is no folder a further name, where there is nothing of that name.
    pub fn link(&mut self, folder: NodeId, name: &[u8], node: NodeId) {
        let Some(above) = self.folder_mut(folder) else { return };
        let first = if above.children.is_empty() { LIST } else { 0 };
        above.children.insert(name.into(), node);
        self.nodes[node.index()].names += 1;
        self.bytes += NAME + name.len() + first;
    }

    /// How many names something has that is no folder.
    pub fn names(&self, node: NodeId) -> u32 {
        self.nodes[node.index()].names
    }

    /// Removes a name, and with a folder all that is in it.
    pub fn remove(&mut self, folder: NodeId, name: &[u8]) {
        let Some(above) = self.folder_mut(folder) else { return };
        let Some(node) = above.children.remove(name) else { return };
        let last = if above.children.is_empty() { LIST } else { 0 };
        self.bytes -= NAME + name.len() + last;
        // Not by recursion: a tree may be deeper than a stack.
        let mut gone = vec![node];
        while let Some(id) = gone.pop() {
            let node = &mut self.nodes[id.index()];
            node.names -= 1;
            if node.names > 0 {
                continue;
            }
            if let Some(attributes) = node.attributes.take() {
                self.bytes -= attributes.bytes();
            }
            self.bytes -= COST;
            match std::mem::replace(&mut node.is, Is::Other(Kind::Fifo)) {
                Is::Folder(folder) => {
                    self.bytes -= FOLDER + folder.name.len() + if folder.children.is_empty() { 0 } else { LIST };
                    self.bytes -= folder.children.keys().map(|name| NAME + name.len()).sum::<usize>();
                    gone.extend(folder.children.into_values());
                }
                Is::Other(kind) => self.bytes -= held(&kind),
            }
            self.free.push(id);
        }
    }

    /// Says where the content of a file lies, if it was made before that was known.
    pub fn set_content(&mut self, file: NodeId, start: u64, size: u64, holes: Holes) {
        if let Is::Other(kind @ Kind::File { .. }) = &mut self.nodes[file.index()].is {
            self.bytes += holes.bytes();
            *kind = Kind::Holed { start, size, holes: Box::new(holes) };
        }
    }

    /// Mode, owner and time of a thing.
    pub fn looks(&self, node: NodeId) -> Looks {
        self.node(node).looks
    }

    /// Changes them.
    pub fn set_looks(&mut self, node: NodeId, looks: Looks) {
        self.nodes[node.index()].looks = looks;
    }

    /// Gives a thing an extended attribute, by its full name, in place of one that it has of that name.
    ///
    /// # Errors
    ///
    /// When it is none that an image can hold.
    pub fn set_attribute(&mut self, node: NodeId, name: &[u8], value: &[u8]) -> Result<(), AttributeError> {
        let own = &mut self.nodes[node.index()].attributes;
        let before = own.as_ref().map_or(0, |own| own.bytes());
        let attributes = own.get_or_insert_default();
        let set = attributes.set(name, value);
        self.bytes = self.bytes + attributes.bytes() - before;
        set
    }

    /// Takes those attributes off a thing that `keep` doesn't want.
    pub fn retain_attributes(&mut self, node: NodeId, keep: impl Fn(&[u8]) -> bool) {
        if let Some(attributes) = &mut self.nodes[node.index()].attributes {
            let before = attributes.bytes();
            attributes.retain(keep);
            self.bytes = self.bytes + attributes.bytes() - before;
        }
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// How many nodes there are or were at a time: no ID is larger.
    pub(crate) fn capacity(&self) -> usize {
        self.nodes.len()
    }

    fn folder(&self, id: NodeId) -> Option<&Folder> {
        match &self.node(id).is {
            Is::Folder(folder) => Some(folder),
            Is::Other(_) => None,
        }
    }

    fn folder_mut(&mut self, id: NodeId) -> Option<&mut Folder> {
        match &mut self.nodes[id.index()].is {
            Is::Folder(folder) => Some(folder),
            Is::Other(_) => None,
        }
    }
}

impl NodeId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a thing holds in memory besides its record.
fn held(kind: &Kind) -> usize {
    match kind {
        Kind::Symlink(target) => target.len(),
        Kind::Holed { holes, .. } => holes.bytes(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(tree: &mut Tree, folder: NodeId, name: &str) -> NodeId {
        tree.add(folder, name.as_bytes(), Kind::File { start: 0, size: 0 }, Looks::default())
    }

    #[test]
    fn what_is_removed_leaves_nothing_and_its_room_is_used_again() {
        let mut tree = Tree::new();
        let empty = tree.bytes();
        for _ in 0..3 {
            let a = tree.add(Tree::ROOT, b"a", Kind::Folder, Looks::default());
            let b = tree.add(a, b"b", Kind::Folder, Looks::default());
            file(&mut tree, b, "c");
            tree.add(b, b"l", Kind::Symlink((*b"target").into()), Looks::default());
            tree.set_attribute(b, b"user.x", b"value").unwrap();
            assert_eq!(tree.path_length(b, b"c"), "a/b/c".len());
            assert!(tree.is_within(b, a) && tree.is_within(b, Tree::ROOT) && !tree.is_within(a, b));
            tree.remove(Tree::ROOT, b"a");
            assert_eq!(tree.bytes(), empty);
            assert_eq!(tree.child(Tree::ROOT, b"a"), None);
        }
        assert_eq!(tree.capacity(), 5);
    }

    #[test]
    fn a_file_lives_as_long_as_it_has_a_name() {
        let mut tree = Tree::new();
        let folder = tree.add(Tree::ROOT, b"folder", Kind::Folder, Looks::default());
        let first = file(&mut tree, folder, "first");
        tree.link(Tree::ROOT, b"second", first);
        tree.remove(Tree::ROOT, b"folder");
        assert_eq!(tree.child(Tree::ROOT, b"second"), Some(first));
        assert_eq!(tree.node(first).names, 1);
        let other = file(&mut tree, Tree::ROOT, "other");
        assert_ne!(other, first);
    }

    #[test]
    fn a_deep_tree_can_be_removed() {
        let mut tree = Tree::new();
        let mut here = Tree::ROOT;
        for _ in 0..200_000 {
            here = tree.add(here, b"d", Kind::Folder, Looks::default());
        }
        tree.remove(Tree::ROOT, b"d");
        assert_eq!(tree.bytes(), COST);
    }
}
