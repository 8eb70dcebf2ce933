//! Hard links, which may come before what they link to, or link to what another layer has.

use layer_erofs::{Kind, NodeId, Tree};

use super::tree::{Layer, Place, Way};
use crate::form::MAX_LINKS;
use crate::path::{join, split};
use crate::{ForeignLink, UnpackError};

/// How many names a file may have: as many as on an ext4, where it may have to be copied to.
const MAX_NAMES: u32 = 65_000;

/// A folder's file system may have no such limit.
const TOO_MANY_NAMES: UnpackError = UnpackError::Unfit { reason: "one of its files has more than 65000 names" };

impl Layer {
    pub(super) fn hard_link(&mut self, path: &[u8], mut target: Vec<u8>) -> Result<(), UnpackError> {
        let place = self.place(path, path)?;
        if self.link(&place, &target, path)? {
            return Ok(());
        }
        target = self.end_of_links(target, path)?;
        if join(&self.path(place.folder), place.name) == target {
            return Err(UnpackError::refused(path, "it is a hard link to itself"));
        }
        // It takes the place of what is there, as it would if it could be made now.
        self.make_way(&place);
        self.wait(&place, target, path)
    }

    /// Makes the links whose targets have come meanwhile. The others are to files of the layers below: until the layers are stacked, a whiteout
    /// stands for each, and hides what the layers below have there.
    pub(super) fn settle_links(&mut self) -> Result<Vec<ForeignLink>, UnpackError> {
        let mut links = self.waiting_links();
        links.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let mut foreign = Vec::new();
        for (path, target) in links {
            let target = self.end_of_links(target, &path)?;
            let place = self.place(&path, &path)?;
            if !self.link(&place, &target, &path)? {
                self.mark_whiteouts(place.folder)?;
                foreign.push(ForeignLink { path, target });
            }
        }
        Ok(foreign)
    }

    /// The links that wait, each with its path and target.
    fn waiting_links(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut links = Vec::new();
        if !self.awaits_any() {
            return links;
        }
        let mut folders = vec![Tree::ROOT];
        while let Some(folder) = folders.pop() {
            for (name, child) in self.tree.children(folder) {
                if self.tree.is_folder(child) {
                    folders.push(child);
                } else if let Some(target) = self.awaited(child) {
                    links.push((join(&self.path(folder), name), target.to_vec()));
                }
            }
        }
        links
    }

    /// Where a path leads if it is one of the links that wait: they stand for what they will be.
    fn end_of_links(&self, mut target: Vec<u8>, entry: &[u8]) -> Result<Vec<u8>, UnpackError> {
        for _ in 0..=MAX_LINKS {
            match self.exactly(&target).and_then(|node| self.awaited(node)) {
                Some(next) => target = next.to_vec(),
                None => return Ok(target),
            }
        }
        Err(UnpackError::refused(entry, "it is behind more than 40 hard links that come before what they link to"))
    }

    /// What has this path, no link being followed.
    fn exactly(&self, path: &[u8]) -> Option<NodeId> {
        path.split(|byte| *byte == b'/').try_fold(Tree::ROOT, |here, name| self.tree.child(here, name))
    }

    /// Makes a hard link if its target is in this layer, and says whether it is.
    fn link(&mut self, to: &Place<'_>, target: &[u8], entry: &[u8]) -> Result<bool, UnpackError> {
        let Some((folder, node)) = self.find(target, entry)? else { return Ok(false) };
        let own = join(&self.path(to.folder), to.name);
        let is_inside = target.strip_prefix(own.as_slice()).is_some_and(|rest| rest.starts_with(b"/"));
        match self.at(to) {
            // Another name of one file already: making way would remove the file that is meant.
            Some(there) if there == node => return Ok(true),
            // By its name, or by where a link has led.
            Some(there) if is_inside || (self.tree.is_folder(there) && self.tree.is_within(folder, there)) => {
                return Err(UnpackError::refused(entry, "it is a hard link to a file in the folder that it replaces"));
            }
            _ => self.make_way(to),
        }
        self.tree.link(to.folder, to.name, node);
        if self.tree.names(node) > MAX_NAMES { Err(TOO_MANY_NAMES) } else { Ok(true) }
    }

    /// Finds a file of this layer and its folder, without making anything on the way. One that this layer takes away is one of the layers
    /// below, and so is one that a link leads to that still waits.
    fn find(&self, path: &[u8], entry: &[u8]) -> Result<Option<(NodeId, NodeId)>, UnpackError> {
        let (above, name) = split(path);
        let Some(folder) = self.existing(above)? else { return Ok(None) };
        super::tree::check_name(name, entry)?;
        let Some(node) = self.tree.child(folder, name) else { return Ok(None) };
        match self.tree.kind(node) {
            None => Err(UnpackError::refused(entry, "it is a hard link to a folder")),
            Some(kind) if *kind == Kind::WHITEOUT => Ok(None),
            Some(_) => Ok(Some((folder, node))),
        }
    }

    /// The folder at a clean path, only to look things up in: nothing is made on the way there.
    fn existing(&self, path: &[u8]) -> Result<Option<NodeId>, UnpackError> {
        let mut here = Tree::ROOT;
        let mut way = Way::to(path);
        while let Some(name) = way.next()? {
            if name == b".." {
                here = self.tree.parent(here);
                continue;
            }
            let Some(node) = self.tree.child(here, &name) else { return Ok(None) };
            match self.tree.kind(node) {
                None => here = node,
                Some(Kind::Symlink(target)) => match way.follow(target, here) {
                    Some(from) => here = from,
                    None => return Ok(None),
                },
                Some(_) => return Ok(None),
            }
        }
        Ok(Some(here))
    }
}
