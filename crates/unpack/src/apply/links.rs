//! Hard links, which may come before what they link to, or link to what another layer has.

use std::ffi::CString;
use std::io::BufRead;

use layer_fs::{Dir, FileKind};
use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;

use super::tree::{Place, Tree};
use super::waiting::Unsettled;
use super::whiteout::{is_whiteout, mark_whiteouts};
use super::{ForeignLink, Unpack};
use crate::UnpackError;
use crate::form::MAX_LINKS;
use crate::path::split;

impl<R: BufRead> Unpack<'_, R> {
    pub(super) fn make_hard_link(&mut self, path: &[u8], mut target: Vec<u8>) -> Result<(), UnpackError> {
        // What is linked to may only be put aside.
        self.tree.aside.catch_up()?;
        let place = self.tree.place(path, path)?;
        if self.tree.link(&place, &target, path)? {
            return Ok(());
        }
        target = self.tree.end_of_links(target, path)?;
        if place.path == target {
            return Err(UnpackError::refused(path, "it is a hard link to itself"));
        }
        // It takes the place of what is there, as it would if it could be made now.
        self.tree.make_way(&place, path)?;
        self.tree.waiting.add(place.path, Unsettled::Link(target)).map_err(|reason| UnpackError::refused(path, reason))
    }
}

impl Tree<'_> {
    /// Makes the links whose targets have come meanwhile. The others are to files of the layers below.
    pub(super) fn settle_links(&mut self) -> Result<Vec<ForeignLink>, UnpackError> {
        let links = self.waiting.iter().filter_map(|(path, what)| match what {
            Unsettled::Implied => None,
            Unsettled::Link(target) => Some((path.to_vec(), target.clone())),
        });
        let links: Vec<_> = links.collect();
        let mut foreign = Vec::new();
        for (path, target) in links {
            let target = self.end_of_links(target, &path)?;
            let place = self.place(&path, &path)?;
            if !self.link(&place, &target, &path)? {
                // Until the layers are stacked it stands for the link: it hides what the layers below have there.
                rustix::fs::mknodat(&place.folder.dir, &place.name, FileType::CharacterDevice, Mode::empty(), 0)
                    .map_err(UnpackError::write("hold the place of", &path))?;
                self.has_marks = true;
                mark_whiteouts(&place.folder.dir, &path)?;
                foreign.push(ForeignLink { path, target });
            }
        }
        Ok(foreign)
    }

    /// Where a path leads if it is one of the links that wait: they stand for what they will be.
    fn end_of_links(&self, mut target: Vec<u8>, entry: &[u8]) -> Result<Vec<u8>, UnpackError> {
        for _ in 0..=MAX_LINKS {
            match self.waiting.link(&target) {
                Some(next) => target = next.to_vec(),
                None => return Ok(target),
            }
        }
        Err(UnpackError::refused(entry, "it is behind more than 40 hard links that come before what they link to"))
    }

    /// Makes a hard link if its target is in this layer, and says whether it is.
    fn link(&mut self, to: &Place, target: &[u8], entry: &[u8]) -> Result<bool, UnpackError> {
        let Some((from, from_name)) = self.find(target, entry)? else { return Ok(false) };
        let make = || rustix::fs::linkat(&from, &from_name, &to.folder.dir, &to.name, AtFlags::empty());
        let inode = |dir: &Dir, name: &CString| dir.stat(name.as_c_str()).ok().flatten().map(|stat| stat.st_ino);
        match make() {
            Err(Errno::EXIST) => {
                // Another name of one file already: making way would remove the file that is meant.
                if inode(&from, &from_name) == inode(&to.folder.dir, &to.name) {
                    return Ok(true);
                }
                if target.strip_prefix(to.path.as_slice()).is_some_and(|rest| rest.starts_with(b"/")) {
                    return Err(inside_itself(entry));
                }
                self.make_way(to, entry)?;
                match make() {
                    // A link has led into it.
                    Err(Errno::NOENT) => return Err(inside_itself(entry)),
                    made => made,
                }
            }
            result => {
                self.drop_link(to);
                result
            }
        }
        .map_err(UnpackError::write("make the hard link", entry))?;
        Ok(true)
    }

    /// Finds a file of this layer, without making anything on the way. One that this layer takes away is one of the layers below.
    fn find(&self, path: &[u8], entry: &[u8]) -> Result<Option<(Dir, CString)>, UnpackError> {
        let (above, name) = split(path);
        let Some(dir) = self.existing(above, entry)? else { return Ok(None) };
        let name = super::tree::name_of(name, entry)?;
        match dir.stat(name.as_c_str()).map_err(UnpackError::write("look up", entry))? {
            None => Ok(None),
            Some(stat) if is_whiteout(&stat) => Ok(None),
            Some(stat) if FileKind::of(&stat) == FileKind::Folder => {
                Err(UnpackError::refused(entry, "it is a hard link to a folder"))
            }
            Some(_) => Ok(Some((dir, name))),
        }
    }
}

fn inside_itself(entry: &[u8]) -> UnpackError {
    UnpackError::refused(entry, "it is a hard link to a file in the folder that it replaces")
}
