//! A folder against its list.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufRead};

use layer_fs::Dir;

use super::format::{Line, Reader, malformed};
use super::walk::{self, Look, Walk};
use super::{Content, Names, Record, What, content};
use crate::tar::{Shown, Time};

/// Something that is not as it was listed.
#[derive(Debug)]
pub struct Difference {
    /// Where; empty for the folder itself.
    pub path: Vec<u8>,
    /// What about it.
    pub aspect: Aspect,
}

/// What about something differs from the list.
#[derive(Debug)]
#[non_exhaustive]
pub enum Aspect {
    /// It is gone, with all that was in it.
    Missing,
    /// It is not in the list, nor what is in it.
    Extra,
    /// It is something else than it was, as told in words.
    Kind {
        /// What it was.
        want: String,
        /// What it is.
        got: String,
    },
    /// The permission bits.
    Mode {
        /// What they were.
        want: u32,
        /// What they are.
        got: u32,
    },
    /// User and group.
    Owner {
        /// What they were.
        want: (u32, u32),
        /// What they are.
        got: (u32, u32),
    },
    /// When the content last changed.
    Time {
        /// What it was.
        want: Time,
        /// What it is.
        got: Time,
    },
    /// How long a file is, in bytes.
    Size {
        /// What it was.
        want: u64,
        /// What it is.
        got: u64,
    },
    /// What a file holds.
    Content,
    /// Where a symbolic link leads.
    Target {
        /// Where it led.
        want: Vec<u8>,
        /// Where it leads.
        got: Vec<u8>,
    },
    /// The numbers of a device, major and minor.
    Device {
        /// What they were.
        want: (u32, u32),
        /// What they are.
        got: (u32, u32),
    },
    /// An extended attribute of this name is gone, new or changed.
    Attribute(Vec<u8>),
    /// With which other names it shares a file.
    Link,
    /// It can't be read.
    Unreadable(io::Error),
}

impl Aspect {
    /// The aspect in one word, for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Kind { .. } => "type",
            Self::Mode { .. } => "mode",
            Self::Owner { .. } => "owner",
            Self::Time { .. } => "time",
            Self::Size { .. } => "size",
            Self::Content => "content",
            Self::Target { .. } => "target",
            Self::Device { .. } => "device",
            Self::Attribute(_) => "attribute",
            Self::Link => "link",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing"),
            Self::Extra => f.write_str("is not of the layer"),
            Self::Kind { want, got } => write!(f, "is {got}, and was {want}"),
            Self::Mode { want, got } => write!(f, "has mode {got:04o}, and had {want:04o}"),
            Self::Owner { want, got } => {
                write!(f, "belongs to {}:{}, and belonged to {}:{}", got.0, got.1, want.0, want.1)
            }
            Self::Time { want, got } => {
                let show = |time: &Time| format!("{}.{:09}", time.seconds, time.nanos);
                write!(f, "was changed at {}, and should have been at {}", show(got), show(want))
            }
            Self::Size { want, got } => write!(f, "has {got} bytes, and had {want}"),
            Self::Content => f.write_str("holds other bytes than it did"),
            Self::Target { want, got } => write!(f, "leads to `{}`, and led to `{}`", Shown(got), Shown(want)),
            Self::Device { want, got } => {
                write!(f, "is device {}/{}, and was {}/{}", got.0, got.1, want.0, want.1)
            }
            Self::Attribute(name) => write!(f, "has another attribute `{}` than it had", Shown(name)),
            Self::Link => f.write_str("shares a file with other names than it did"),
            Self::Unreadable(error) => write!(f, "can't be read: {error}"),
        }
    }
}

/// How much was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Things in the list.
    pub entries: u64,
    /// Bytes of files that were read, or that a hole stood for.
    pub bytes: u64,
}

/// Why a folder can't be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// The list can't be read, or is none.
    #[error("read the list of the layer's files")]
    Manifest(#[from] io::Error),
    /// It was asked to stop.
    #[error("stopped")]
    Stopped,
}

/// Compares `root` with its list, and tells what differs, in the order of the paths. Files are read from the disk where the kernel allows, not from
/// its memory. `stop` is asked often, and ends it.
///
/// # Errors
///
/// When the list is damaged, or it was stopped; what was told until then holds. What can't be read of the folder is a difference.
pub fn compare(
    root: &Dir,
    manifest: impl BufRead,
    stop: &dyn Fn() -> bool,
    tell: &mut dyn FnMut(Difference),
) -> Result<Compared, CompareError> {
    let mut reader = Reader::begin(manifest)?;
    let Some(Line::Record(want)) = reader.next()? else { return Err(malformed("it lists no root").into()) };
    let mut comparison =
        Comparison { stop, tell, compared: Compared::default(), groups: HashMap::new(), inodes: HashMap::new() };
    let walk = walk::look_at_root(root).and_then(|look| Ok((look, Walk::new(root)?)));
    let mut walk = match walk {
        Ok((look, walk)) => {
            comparison.look(&want, &look, Vec::new());
            walk
        }
        Err(error) => {
            comparison.tell(Vec::new(), Aspect::Unreadable(error));
            return Ok(comparison.compared);
        }
    };
    loop {
        if stop() {
            return Err(CompareError::Stopped);
        }
        match reader.next()? {
            Some(Line::Record(want)) => {
                while let Some(name) = walk.peek().map(|name| name.to_bytes().to_vec())
                    && name < want.name
                {
                    comparison.tell(walk.path(&name), Aspect::Extra);
                    walk.skip();
                }
                if !comparison.record(&mut walk, &want)? && want.what == What::Folder {
                    pass(&mut reader)?;
                }
            }
            Some(Line::End) => {
                while let Some(name) = walk.peek().map(|name| name.to_bytes().to_vec()) {
                    comparison.tell(walk.path(&name), Aspect::Extra);
                    walk.skip();
                }
                if !walk.leave() {
                    break;
                }
            }
            None => return Err(malformed("it ends early").into()),
        }
    }
    match reader.next()? {
        None => Ok(comparison.compared),
        Some(_) => Err(malformed("it goes on behind its end").into()),
    }
}

/// Passes over what the list has of a folder that isn't there.
fn pass(reader: &mut Reader<impl BufRead>) -> io::Result<()> {
    let mut depth = 1u64;
    while depth > 0 {
        match reader.next()? {
            Some(Line::Record(record)) => depth += u64::from(record.what == What::Folder),
            Some(Line::End) => depth -= 1,
            None => return Err(malformed("it ends early")),
        }
    }
    Ok(())
}

struct Comparison<'a> {
    stop: &'a dyn Fn() -> bool,
    tell: &'a mut dyn FnMut(Difference),
    compared: Compared,
    /// Which inode stands for a group of names, and the other way round; 0 for a file that should have one name here.
    groups: HashMap<u32, u64>,
    inodes: HashMap<u64, u32>,
}

impl Comparison<'_> {
    fn tell(&mut self, path: Vec<u8>, aspect: Aspect) {
        (self.tell)(Difference { path, aspect });
    }

    /// Compares the thing that the walk stands before with its record, and goes on behind it or into it. Says whether it has gone into a folder.
    fn record(&mut self, walk: &mut Walk<'_>, want: &Record) -> Result<bool, CompareError> {
        let path = walk.path(&want.name);
        self.compared.entries += 1;
        if walk.peek().is_none_or(|name| name.to_bytes() != want.name) {
            self.tell(path, Aspect::Missing);
            return Ok(false);
        }
        let look = match walk.look() {
            Ok(look) => look,
            Err(error) => {
                self.tell(path, Aspect::Unreadable(error));
                walk.skip();
                return Ok(false);
            }
        };
        if !self.look(want, &look, path.clone()) {
            walk.skip();
            return Ok(false);
        }
        match (&want.what, &look.what) {
            (What::Folder, _) => match walk.enter() {
                Ok(()) => return Ok(true),
                Err(error) => self.tell(path, Aspect::Unreadable(error)),
            },
            (What::File { size, content }, walk::Kind::File { size: got }) => {
                if size != got {
                    self.tell(path, Aspect::Size { want: *size, got: *got });
                } else {
                    self.content(walk, path, *size, *content)?;
                }
                walk.skip();
            }
            _ => walk.skip(),
        }
        Ok(false)
    }

    fn content(&mut self, walk: &mut Walk<'_>, path: Vec<u8>, size: u64, want: Content) -> Result<(), CompareError> {
        let read = walk.open_file().and_then(|file| {
            content::forget(&file);
            content::read(&file, size, Some(want), self.stop)
        });
        match read {
            Ok(None) => return Err(CompareError::Stopped),
            Ok(Some(got)) if got == want => {}
            Ok(Some(_)) => self.tell(path, Aspect::Content),
            Err(error) => self.tell(path, Aspect::Unreadable(error)),
        }
        self.compared.bytes = self.compared.bytes.saturating_add(size);
        Ok(())
    }

    /// Compares all that a look shows; says whether it is of the right kind.
    fn look(&mut self, want: &Record, look: &Look, path: Vec<u8>) -> bool {
        if let Some(got) = other_kind(&want.what, &look.what) {
            self.tell(path, Aspect::Kind { want: want.what.to_string(), got: got.to_owned() });
            return false;
        }
        if want.mode != look.mode {
            self.tell(path.clone(), Aspect::Mode { want: want.mode, got: look.mode });
        }
        if (want.uid, want.gid) != (look.uid, look.gid) {
            self.tell(path.clone(), Aspect::Owner { want: (want.uid, want.gid), got: (look.uid, look.gid) });
        }
        // A whiteout has the time at which it was made, which nobody sees.
        if want.mtime != look.mtime && want.what != What::Whiteout {
            self.tell(path.clone(), Aspect::Time { want: want.mtime, got: look.mtime });
        }
        match (&want.what, &look.what) {
            (What::Symlink(want), walk::Kind::Symlink(got)) if want != got => {
                self.tell(path.clone(), Aspect::Target { want: want.clone(), got: got.clone() });
            }
            (What::Character { major, minor }, walk::Kind::Character { major: other, minor: minor_other })
            | (What::Block { major, minor }, walk::Kind::Block { major: other, minor: minor_other })
                if (major, minor) != (other, minor_other) =>
            {
                self.tell(path.clone(), Aspect::Device { want: (*major, *minor), got: (*other, *minor_other) });
            }
            _ => {}
        }
        for name in other_attributes(&want.xattrs, &look.xattrs) {
            self.tell(path.clone(), Aspect::Attribute(name));
        }
        if want.what != What::Folder && self.has_other_names(want.names, look) {
            self.tell(path, Aspect::Link);
        }
        true
    }

    /// Whether something shares its file with other names of this folder than it should. Names outside of it don't count: a mount may have some.
    fn has_other_names(&mut self, names: Names, look: &Look) -> bool {
        let group = match names {
            Names::Uncounted => return false,
            Names::One if look.links < 2 => return false,
            Names::One => 0,
            Names::Group(number) => number,
        };
        let first = self.inodes.get(&look.inode).copied();
        if group == 0 {
            self.inodes.entry(look.inode).or_insert(0);
            return first.is_some();
        }
        let inode = *self.groups.entry(group).or_insert(look.inode);
        self.inodes.entry(look.inode).or_insert(group);
        inode != look.inode || first.is_some_and(|first| first != group)
    }
}

/// What something is in words, if it isn't what it should be.
fn other_kind(want: &What, got: &walk::Kind) -> Option<&'static str> {
    let (words, is_same) = match got {
        walk::Kind::Folder => ("a folder", matches!(want, What::Folder)),
        walk::Kind::File { .. } => ("a file", matches!(want, What::File { .. })),
        walk::Kind::Symlink(_) => ("a symbolic link", matches!(want, What::Symlink(_))),
        walk::Kind::Character { major: 0, minor: 0 } => ("a whiteout", matches!(want, What::Whiteout)),
        walk::Kind::Character { .. } => ("a character device", matches!(want, What::Character { .. })),
        walk::Kind::Block { .. } => ("a block device", matches!(want, What::Block { .. })),
        walk::Kind::Fifo => ("a named pipe", matches!(want, What::Fifo)),
        walk::Kind::Socket => ("a socket", false),
    };
    (!is_same).then_some(words)
}

/// The names of attributes that only one side has, or that have other values; both are in order.
fn other_attributes(want: &[(Vec<u8>, Vec<u8>)], got: &[(Vec<u8>, Vec<u8>)]) -> Vec<Vec<u8>> {
    let mut names: Vec<_> = want.iter().filter(|one| !got.contains(one)).map(|(name, _)| name.clone()).collect();
    names.extend(got.iter().filter(|one| !want.contains(one)).map(|(name, _)| name.clone()));
    names.sort_unstable();
    names.dedup();
    names
}
