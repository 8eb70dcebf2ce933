//! The stack with what the layers' folders don't show: which folders are only implied, and where the foreign links stand.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::rc::Rc;

use rustix::fs::FileType;

use super::layers::{Entry, Stack};
use super::{ForeignLink, Gaps, StackError, path};

/// How many links one target may lead through: the kernel's own limit.
const MAX_HOPS: usize = 40;

/// Layers by number, topmost first.
type Layers = Rc<[usize]>;

/// A file in a layer.
pub(super) type Place = Rc<(usize, Vec<u8>)>;

pub(super) struct View<'a> {
    stack: Stack,
    layers: Vec<Layer<'a>>,
    /// For each layer that somebody started from: the layers that are merged at a path, when those above it are left out.
    merged: HashMap<usize, HashMap<Vec<u8>, Layers>>,
    /// For each layer with links: the layers above it whose folders at a path are merged with its own; `None` when they hide its own.
    above: HashMap<usize, HashMap<Vec<u8>, Option<Layers>>>,
    /// Where the links lead that were followed already, by layer and number.
    targets: HashMap<(usize, usize), Place>,
}

struct Layer<'a> {
    implied: HashSet<&'a [u8]>,
    links: &'a [ForeignLink],
    /// The links by their paths, of equal ones the last.
    link_at: HashMap<&'a [u8], usize>,
    /// The folders that a link implies, whether or not they were made.
    link_parents: HashSet<&'a [u8]>,
}

/// What a layer has at a path.
enum Seen {
    Absent,
    Whiteout,
    File(FileType),
    /// One of the foreign links, by its number.
    Link(usize),
    Folder {
        /// The layer only implies it.
        implied: bool,
        /// It is in the layer's folder, not just thought to be there.
        real: bool,
    },
}

/// Where a folder of the merged tree gets its owner, mode, times and attributes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looks {
    /// No layer has anything to say.
    Default,
    /// The layer whose folder is the topmost one.
    Topmost(usize),
    /// A layer below the topmost one.
    Below(usize),
}

/// Where a path leads.
enum End {
    Nothing,
    Folder,
    File(usize, Vec<u8>),
    /// A foreign link, by its layer and number.
    Link(usize, usize),
}

impl<'a> View<'a> {
    /// `gaps` has one entry for each layer of `stack`.
    pub(super) fn new(stack: Stack, gaps: impl Iterator<Item = &'a Gaps<'a>>) -> Result<Self, StackError> {
        let layers = gaps.map(Layer::new).collect::<Result<Vec<_>, _>>()?;
        debug_assert_eq!(layers.len(), stack.len());
        Ok(Self { stack, layers, merged: HashMap::new(), above: HashMap::new(), targets: HashMap::new() })
    }

    pub(super) fn stack(&self) -> &Stack {
        &self.stack
    }

    /// Where the folder at `path` gets its looks from; `None` when there is no folder.
    pub(super) fn looks(&mut self, path: &[u8]) -> Result<Option<Looks>, StackError> {
        let among = match path::split(path) {
            Some((folder, _)) => self.merged(0, folder)?,
            // All of them: an opaque root hides what is in the roots below, not how they look.
            None => (0..self.layers.len()).collect(),
        };
        let mut any = false;
        let mut topmost = None;
        for &index in &*among {
            match self.at(index, path)? {
                Seen::Absent => {}
                Seen::Whiteout | Seen::File(_) | Seen::Link(_) => break,
                // Opaque or not: a folder that is emptied keeps its looks.
                Seen::Folder { implied: true, real } => {
                    any = true;
                    topmost = topmost.or(real.then_some(index));
                }
                Seen::Folder { .. } => {
                    return Ok(Some(if any { Looks::Below(index) } else { Looks::Topmost(index) }));
                }
            }
        }
        Ok(match topmost {
            Some(index) => Some(Looks::Topmost(index)),
            None if any => Some(Looks::Default),
            None => None,
        })
    }

    /// Whether no higher layer hides this link, nor a later entry of its own layer.
    pub(super) fn shows_link(&mut self, index: usize, number: usize) -> Result<bool, StackError> {
        let layer = &self.layers[index];
        let link = &layer.links[number];
        let path = link.path.as_slice();
        if layer.link_parents.contains(path) || layer.link_at.get(path) != Some(&number) {
            return Ok(false);
        }
        let Some((folder, _)) = path::split(path) else { return Ok(false) };
        let Some(above) = self.above(index, folder)? else { return Ok(false) };
        for &higher in &*above {
            if !matches!(self.at(higher, path)?, Seen::Absent) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The layers above `index` whose folders at `folder` are merged with the one that `index` has or implies there; `None` when they hide it.
    fn above(&mut self, index: usize, folder: &[u8]) -> Result<Option<Layers>, StackError> {
        let mut among: Option<Layers> = self.stack.merged_roots(0).contains(&index).then(|| (0..index).collect());
        for prefix in path::ancestors(folder).skip(1).chain((!folder.is_empty()).then_some(folder)) {
            let Some(layers) = among else { break };
            if let Some(known) = self.above.get(&index).and_then(|known| known.get(prefix)) {
                among = known.clone();
                continue;
            }
            among = self.merge_above(&layers, prefix)?;
            self.above.entry(index).or_default().insert(prefix.to_vec(), among.clone());
        }
        Ok(among)
    }

    fn merge_above(&self, among: &[usize], path: &[u8]) -> Result<Option<Layers>, StackError> {
        let mut merged = Vec::new();
        for &index in among {
            match self.at(index, path)? {
                Seen::Absent => {}
                Seen::Folder { real, .. } if !(real && self.is_opaque(index, path)?) => merged.push(index),
                Seen::Folder { .. } | Seen::Whiteout | Seen::File(_) | Seen::Link(_) => return Ok(None),
            }
        }
        Ok(Some(merged.into()))
    }

    /// The file that a link leads to: the one that its target named when its layer was put on those below.
    pub(super) fn target(&mut self, index: usize, number: usize) -> Result<Place, StackError> {
        self.target_within(index, number, MAX_HOPS)
    }

    fn target_within(&mut self, index: usize, number: usize, hops: usize) -> Result<Place, StackError> {
        // Each round goes to another link of the layer or to a lower layer, so there is an end.
        let (mut at, mut passed) = ((index, number), HashSet::new());
        let place = loop {
            if let Some(place) = self.targets.get(&at) {
                break Rc::clone(place);
            }
            passed.insert(at);
            let (index, number) = at;
            if let Some(other) = self.layers[index].link_to_link(number)
                && !passed.contains(&(index, other))
            {
                at = (index, other);
                continue;
            }
            let ForeignLink { path, target } = &self.layers[index].links[number];
            match self.find(index + 1, target, hops)? {
                End::File(index, path) => break Rc::new((index, path)),
                End::Link(index, number) => at = (index, number),
                End::Nothing => {
                    return Err(StackError::DanglingLink { path: path.clone(), target: target.clone() });
                }
                End::Folder => return Err(StackError::LinkToFolder { path: path.clone(), target: target.clone() }),
            }
        };
        self.targets.extend(passed.into_iter().map(|at| (at, Rc::clone(&place))));
        Ok(place)
    }

    /// Where `target` leads in the merged tree of the layers from `start` down. Symbolic links on the way to it are followed, and stay inside;
    /// at its end they are what is found.
    fn find(&mut self, start: usize, target: &[u8], mut hops: usize) -> Result<End, StackError> {
        let mut todo: Vec<Vec<u8>> = components(target).rev().map(<[u8]>::to_vec).collect();
        let mut here = Vec::new();
        while let Some(name) = todo.pop() {
            if name == b".." {
                here = path::split(&here).map(|(folder, _)| folder.to_vec()).unwrap_or_default();
                continue;
            }
            let path = path::join(&here, &name);
            // Folders are known by their path; only what is none needs a closer look.
            if !todo.is_empty() && !self.merged(start, &path)?.is_empty() {
                here = path;
                continue;
            }
            let (index, kind, path) = match self.first(start, &here, &path)? {
                None => return Ok(End::Nothing),
                Some((_, Seen::Folder { .. })) => {
                    here = path;
                    continue;
                }
                Some((index, Seen::Link(number))) if todo.is_empty() => return Ok(End::Link(index, number)),
                Some((index, Seen::File(kind))) => (index, kind, path),
                Some((index, Seen::Link(number))) => {
                    // A hard link to a symbolic link, in the middle of a path.
                    hops -= 1;
                    if hops == 0 {
                        return Ok(End::Nothing);
                    }
                    let place = self.target_within(index, number, hops)?;
                    let Seen::File(kind) = self.at(place.0, &place.1)? else { return Ok(End::Nothing) };
                    (place.0, kind, place.1.clone())
                }
                Some((_, Seen::Absent | Seen::Whiteout)) => return Ok(End::Nothing),
            };
            if todo.is_empty() {
                return Ok(End::File(index, path));
            }
            hops -= 1;
            if hops == 0 || !kind.is_symlink() {
                return Ok(End::Nothing);
            }
            let text = self.read_link(index, &path)?;
            if text.starts_with(b"/") {
                here.clear();
            }
            todo.extend(components(&text).rev().map(<[u8]>::to_vec));
        }
        Ok(End::Folder)
    }

    fn read_link(&self, index: usize, path: &[u8]) -> Result<Vec<u8>, StackError> {
        let (folder, name) = path::split(path).unwrap_or_default();
        let read = || -> io::Result<_> {
            let folder = self.stack.open_folder(index, folder)?;
            Ok(rustix::fs::readlinkat(&folder, path::name(name)?, Vec::new())?.into_bytes())
        };
        read().map_err(|source| StackError::Read { path: path.to_vec(), source })
    }

    /// The names under which the merged tree shows these files, all that they have in their layers.
    pub(super) fn names(&mut self, files: &BTreeSet<Place>) -> Result<Vec<(Vec<u8>, Place)>, StackError> {
        // Files with several names, by layer and number. One may be here by two of them.
        let mut several: BTreeMap<usize, HashMap<u64, Place>> = BTreeMap::new();
        let mut names = Vec::new();
        for place in files {
            let (index, path) = &**place;
            let read = |source| StackError::Read { path: path.clone(), source };
            match self.stack.entry(*index, path).map_err(read)? {
                Entry::File(stat) if stat.st_nlink > 1 => {
                    several.entry(*index).or_default().insert(stat.st_ino, Rc::clone(place));
                }
                _ => names.push((path.clone(), Rc::clone(place))),
            }
        }
        for (index, files) in several {
            self.stack.each_file(index, |path, stat| {
                names.extend(files.get(&stat.st_ino).map(|place| (path, Rc::clone(place))));
            })?;
        }
        let mut shown = Vec::new();
        for (path, place) in names {
            let Some((folder, _)) = path::split(&path) else { continue };
            if matches!(self.first(0, folder, &path)?, Some((index, Seen::File(_))) if index == place.0) {
                shown.push((path, place));
            }
        }
        Ok(shown)
    }

    /// The topmost layer from `start` down that has anything at `path`, which lies in the folder `folder`.
    fn first(&mut self, start: usize, folder: &[u8], path: &[u8]) -> Result<Option<(usize, Seen)>, StackError> {
        for &index in &*self.merged(start, folder)? {
            match self.at(index, path)? {
                Seen::Absent => {}
                seen => return Ok(Some((index, seen))),
            }
        }
        Ok(None)
    }

    /// The layers from `start` down whose folders at `path` are merged.
    fn merged(&mut self, start: usize, path: &[u8]) -> Result<Layers, StackError> {
        let mut among: Layers = self.stack.merged_roots(start).into();
        for prefix in path::ancestors(path).skip(1).chain((!path.is_empty()).then_some(path)) {
            if let Some(known) = self.merged.get(&start).and_then(|known| known.get(prefix)) {
                among = Rc::clone(known);
                continue;
            }
            among = self.merge(&among, prefix)?;
            self.merged.entry(start).or_default().insert(prefix.to_vec(), Rc::clone(&among));
        }
        Ok(among)
    }

    fn merge(&self, among: &[usize], path: &[u8]) -> Result<Layers, StackError> {
        let mut merged = Vec::new();
        for &index in among {
            match self.at(index, path)? {
                Seen::Absent => {}
                Seen::Whiteout | Seen::File(_) | Seen::Link(_) => break,
                Seen::Folder { real, .. } => {
                    merged.push(index);
                    if real && self.is_opaque(index, path)? {
                        break;
                    }
                }
            }
        }
        Ok(merged.into())
    }

    fn is_opaque(&self, index: usize, path: &[u8]) -> Result<bool, StackError> {
        self.stack.is_opaque(index, path).map_err(|source| StackError::Read { path: path.to_vec(), source })
    }

    fn at(&self, index: usize, path: &[u8]) -> Result<Seen, StackError> {
        let layer = &self.layers[index];
        let implies = layer.link_parents.contains(path);
        if !implies && let Some(number) = layer.link_at.get(path) {
            return Ok(Seen::Link(*number));
        }
        let entry = self.stack.entry(index, path).map_err(|source| StackError::Read { path: path.to_vec(), source })?;
        Ok(match entry {
            Entry::Absent if implies => Seen::Folder { implied: true, real: false },
            Entry::Absent => Seen::Absent,
            Entry::Whiteout => Seen::Whiteout,
            Entry::File(stat) => Seen::File(FileType::from_raw_mode(stat.st_mode)),
            Entry::Folder(_) => Seen::Folder { implied: layer.implied.contains(path), real: true },
        })
    }
}

impl<'a> Layer<'a> {
    fn new(gaps: &Gaps<'a>) -> Result<Self, StackError> {
        let proper = |path: &'a Vec<u8>| {
            if path::is_proper(path) { Ok(path.as_slice()) } else { Err(StackError::BadPath { path: path.clone() }) }
        };
        let mut layer = Self {
            implied: gaps.implied_parents.iter().map(proper).collect::<Result<_, _>>()?,
            links: gaps.foreign_links,
            link_at: HashMap::new(),
            link_parents: HashSet::new(),
        };
        for (number, link) in gaps.foreign_links.iter().enumerate() {
            let path = proper(&link.path)?;
            if path.is_empty() {
                return Err(StackError::BadPath { path: Vec::new() });
            }
            layer.link_at.insert(path, number);
            layer.link_parents.extend(path::ancestors(path));
        }
        Ok(layer)
    }

    /// The link of this layer that the target of a link names. The own layer goes before those below, whichever of the two links came first.
    fn link_to_link(&self, number: usize) -> Option<usize> {
        let target = components(&self.links[number].target).collect::<Vec<_>>().join(&b'/');
        if self.link_parents.contains(target.as_slice()) {
            return None;
        }
        self.link_at.get(target.as_slice()).copied()
    }
}

/// The components of a path, without those that say nothing.
fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."))
}
