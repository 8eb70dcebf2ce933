//! What a layer could not say by itself, and the thin layer that says it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::rc::Rc;

use super::thin::Thin;
use super::view::{Looks, Place, View};
use super::{Stack, StackError, path};

/// What a layer could not say by itself, because the answer lies in the layers below it.
///
/// Paths are relative, without empty components, `.` or `..`; the root is the empty path.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gaps<'a> {
    /// Folders that exist in this layer only because something inside does. The root belongs here when the layer has no entry for it. A
    /// folder that the layer itself had whited out before does not: there is nothing below to take looks from.
    pub implied_parents: &'a [Vec<u8>],
    /// Hard links whose targets other layers brought. Of equal paths the last one counts; one may be the target of another. A whiteout should stand at each of their paths in the
    /// layer's folder, so that what was there before stays hidden.
    pub foreign_links: &'a [ForeignLink],
}

/// A hard link to a file of another, lower layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignLink {
    /// The link.
    pub path: Vec<u8>,
    /// The file, as the layer names it: relative to the root, with or without a leading `/`. Symbolic links on the way to it are followed.
    pub target: Vec<u8>,
}

/// What the thin layer holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// Folders that got their looks from a lower layer than before.
    pub folders: usize,
    /// Hard links.
    pub links: usize,
}

impl Closed {
    /// Whether there was nothing to close. The stack looks the same without the thin layer then.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// Builds in `dir`, an empty folder, the thin topmost layer that closes the gaps of `layers` (topmost first).
///
/// - A folder whose topmost layer only implies it gets owner, mode, times and extended attributes of the highest layer below that names it,
///   as far as nothing in between hides that. When none does, it stays as it is.
/// - A foreign link that no higher layer hides becomes a hard link of the file that its target named in the layers below its own. Where that
///   layer is another file system than `dir`'s, it becomes a copy, which is then seen under all names that the file has in the stack.
/// - Folders on the way to either look as they did, and so does the root: `dir` gets its looks even when nothing was to be closed.
///
/// Nothing is synced. After an error `dir` holds a part of the layer and is to be removed.
///
/// # Errors
///
/// [`StackError::DanglingLink`] when no layer below has the target of a link; otherwise when a path is none, a layer can't be read, or the
/// thin layer can't be written.
pub fn close_gaps(layers: &[(PathBuf, Gaps<'_>)], dir: BorrowedFd<'_>) -> Result<Closed, StackError> {
    let stack = Stack::of(layers.iter().map(|(path, _)| path.as_path()))?;
    let mut view = View::new(stack, layers.iter().map(|(_, gaps)| gaps))?;
    let folders = implied_folders(&mut view, layers)?;
    let links = shown_links(&mut view, layers)?;
    let closed = Closed { folders: folders.len(), links: links.len() };

    // What the thin layer needs besides: everything on the way, looking as it does without it.
    let mut all: BTreeMap<&[u8], Looks> = BTreeMap::new();
    let ends = folders.keys().copied().chain(links.iter().map(|(path, _)| *path));
    let on_the_way: BTreeSet<&[u8]> = ends.flat_map(path::ancestors).chain([&b""[..]]).collect();
    for path in on_the_way {
        all.insert(path, view.looks(path)?.unwrap_or(Looks::Default));
    }
    all.extend(folders);

    let mut thin = Thin::new(dir)?;
    for path in all.keys() {
        thin.make_folder(path)?;
    }
    let mut copied = BTreeSet::new();
    for (path, place) in &links {
        if thin.make_link(view.stack(), path, place)? {
            copied.insert(Rc::clone(place));
        }
    }
    // The copy takes the place of its original, wherever that is seen: they are to be one file.
    let names = view.names(&copied)?;
    for (path, place) in &names {
        for folder in path::ancestors(path) {
            if !all.contains_key(folder) {
                thin.make_folder(folder)?;
                all.insert(folder, view.looks(folder)?.unwrap_or(Looks::Default));
            }
        }
        thin.make_link(view.stack(), path, place)?;
    }
    // Deepest first: what is done inside of a folder changes its times, and a default access list its new folders.
    for (path, looks) in all.iter().rev() {
        thin.give_looks(view.stack(), path, *looks)?;
    }
    Ok(closed)
}

/// The implied folders whose looks a lower layer has.
fn implied_folders<'a>(
    view: &mut View<'_>,
    layers: &[(PathBuf, Gaps<'a>)],
) -> Result<BTreeMap<&'a [u8], Looks>, StackError> {
    let implied: BTreeSet<&'a [u8]> =
        layers.iter().flat_map(|(_, gaps)| gaps.implied_parents).map(Vec::as_slice).collect();
    let mut folders = BTreeMap::new();
    for path in implied {
        if let Some(looks @ Looks::Below(_)) = view.looks(path)? {
            folders.insert(path, looks);
        }
    }
    Ok(folders)
}

/// The links that no higher layer hides, with the files they lead to.
fn shown_links<'a>(view: &mut View<'_>, layers: &[(PathBuf, Gaps<'a>)]) -> Result<Vec<(&'a [u8], Place)>, StackError> {
    let mut links = Vec::new();
    for (index, (_, gaps)) in layers.iter().enumerate() {
        for (number, link) in gaps.foreign_links.iter().enumerate() {
            if view.shows_link(index, number)? {
                links.push((link.path.as_slice(), view.target(index, number)?));
            }
        }
    }
    Ok(links)
}

#[cfg(test)]
mod tests;
