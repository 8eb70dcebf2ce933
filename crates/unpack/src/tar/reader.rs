//! From blocks to entries.

use std::io::BufRead;

use tokio_tar::Header;

use super::blocks::{BLOCK, Blocks, check_numbers};
use super::field::number;
use super::pax::Pax;
use super::sparse::Segment;
use super::{TarError, Time};

/// How many bytes of extension headers (PAX, long names, sparse maps) one entry may have, their own headers included.
const MAX_EXTENSIONS: u64 = 1 << 20;

/// One entry of a tar. Names are as the tar has them: not cleaned, not to be trusted.
#[derive(Debug)]
pub struct Entry {
    /// The name.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// When its content last changed.
    pub mtime: Time,
    /// Extended attributes, by full name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What an entry is.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file. Its bytes follow in the [`Reader`].
    File {
        /// How long the file is, holes included.
        size: u64,
        /// For a sparse file, which parts of it follow.
        segments: Option<Vec<Segment>>,
    },
    /// A folder.
    Folder,
    /// A symbolic link to this text.
    Symlink(Vec<u8>),
    /// Another name of the entry so named.
    HardLink(Vec<u8>),
    /// A character device.
    Character {
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// Reads a tar as a stream of entries; after each file entry, its bytes.
#[derive(Debug)]
pub struct Reader<R> {
    blocks: Blocks<R>,
}

/// What came in extension headers before an entry.
#[derive(Default)]
struct Extensions {
    pax: Option<Pax>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    bytes: u64,
}

impl<R: BufRead> Reader<R> {
    /// Reads the tar in `source`.
    pub fn new(source: R) -> Self {
        Self { blocks: Blocks::new(source) }
    }

    /// Goes on to the next entry, past what is left of the current one's data. `None` at the end of the archive; the source may have
    /// more bytes, which mean nothing.
    ///
    /// # Errors
    ///
    /// When the source fails, or holds no tar that all readers would read alike.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        let mut extensions = Extensions::default();
        loop {
            let Some(header) = self.blocks.header()? else {
                if extensions.bytes > 0 {
                    let reason = "the archive ends after an extension header".into();
                    return Err(TarError::Header { offset: self.blocks.offset(), reason });
                }
                return Ok(None);
            };
            let name = header.path_bytes().into_owned();
            check_numbers(&header).map_err(|reason| TarError::entry(&name, reason))?;
            let typeflag = header.as_old().linkflag[0];
            let size = number(&header.as_old().size)
                .and_then(|size| u64::try_from(size).map_err(|_| "its size is negative"))
                .map_err(|reason| TarError::entry(&name, reason))?;
            match typeflag {
                b'x' | b'g' | b'L' | b'K' if header.as_ustar().is_none() && header.as_gnu().is_none() => {
                    return Err(TarError::entry(&name, "it is an extension header in a format that has none"));
                }
                b'x' | b'L' | b'K' => {
                    let body = self.extension(&name, size, &mut extensions)?;
                    let taken = match typeflag {
                        b'x' => {
                            let pax = Pax::parse(&body).map_err(|reason| TarError::entry(&name, reason))?;
                            extensions.pax.replace(pax).is_some()
                        }
                        b'L' => extensions.long_name.replace(self.long(body, &name)?).is_some(),
                        _ => extensions.long_link.replace(self.long(body, &name)?).is_some(),
                    };
                    if taken {
                        return Err(TarError::entry(&name, "it has two extension headers of one kind"));
                    }
                }
                // To some readers it ends what an extension header began, to others not.
                b'g' if extensions.bytes > 0 => {
                    return Err(TarError::entry(
                        &name,
                        "it is a global header between an extension header and its entry",
                    ));
                }
                // A global header would rename or resize what follows in some readers and not in others; container tools look no further than
                // at its form.
                b'g' => {
                    let body = self.extension(&name, size, &mut Extensions::default())?;
                    Pax::parse(&body).map_err(|reason| TarError::entry(&name, reason))?;
                }
                _ => return self.entry(&header, name, size, extensions).map(Some),
            }
        }
    }

    /// The next bytes of the current entry's data; empty at their end.
    ///
    /// # Errors
    ///
    /// When the source fails or ends early.
    pub fn data(&mut self) -> Result<&[u8], TarError> {
        self.blocks.data()
    }

    /// Marks bytes that [`Reader::data`] gave as used.
    pub fn consume(&mut self, len: usize) {
        self.blocks.consume(len);
    }

    /// Whether what the tar has behind the ends of files so far, up to the next block, is zeros.
    pub fn is_padded_by_zeros(&self) -> bool {
        !self.blocks.is_padding_dirty()
    }

    /// How many bytes of the tar have been read: behind an entry, where its data begin.
    pub fn offset(&self) -> u64 {
        self.blocks.offset()
    }

    /// Reads the source to its end, past whatever follows the archive, and gives it back.
    ///
    /// # Errors
    ///
    /// When the source fails.
    pub fn finish(mut self) -> Result<R, TarError> {
        self.blocks.drain()?;
        Ok(self.blocks.into_source())
    }

    /// Reads the source to its end, past whatever follows the archive.
    ///
    /// # Errors
    ///
    /// When the source fails.
    pub fn drain(self) -> Result<(), TarError> {
        self.finish().map(|_source| ())
    }

    /// Reads the body of an extension header.
    fn extension(&mut self, name: &[u8], size: u64, extensions: &mut Extensions) -> Result<Vec<u8>, TarError> {
        extensions.bytes = extensions.bytes.saturating_add(size).saturating_add(BLOCK as u64);
        if extensions.bytes > MAX_EXTENSIONS {
            return Err(TarError::entry(name, "its extension headers take more than 1 MiB"));
        }
        self.blocks.begin_data(name, size)?;
        let mut body = Vec::new();
        while self.blocks.remaining() > 0 {
            let data = self.blocks.data()?;
            body.extend_from_slice(data);
            let len = data.len();
            self.blocks.consume(len);
        }
        Ok(body)
    }

    /// The name that a GNU header holds. It ends in one NUL; of what may stand behind one, or behind a name without, readers make different
    /// things.
    fn long(&mut self, mut body: Vec<u8>, name: &[u8]) -> Result<Vec<u8>, TarError> {
        if body.last() == Some(&0) {
            body.pop();
        } else if !self.blocks.is_padded_by_zeros()? {
            return Err(TarError::entry(name, "its long name goes on behind its end"));
        }
        if body.contains(&0) { Err(TarError::entry(name, "its long name holds a NUL")) } else { Ok(body) }
    }

    /// Puts an entry together from its header and what came before it.
    fn entry(&mut self, header: &Header, name: Vec<u8>, size: u64, extensions: Extensions) -> Result<Entry, TarError> {
        let Extensions { pax, long_name, long_link, .. } = extensions;
        let mut pax = pax.unwrap_or_default();
        let sparse = std::mem::take(&mut pax.sparse);
        let own = sparse.name.clone().or(pax.path.take());
        let path = one_of(own, long_name, name.clone())
            .map_err(|()| TarError::entry(&name, "it has two long names that differ"))?;
        let refused = |reason: &str| TarError::entry(&path, reason);
        // GNU tar puts the root in its place.
        if path.is_empty() {
            return Err(refused("it has no name"));
        }
        let old = header.as_old();
        let typeflag = old.linkflag[0];
        let kind = match typeflag {
            // Programs older than POSIX wrote folders as files whose name ends in a slash. Which of two names counts, readers can't agree on.
            0 if path.ends_with(b"/") != name.ends_with(b"/") => {
                return Err(refused("it is a file by one of its names and a folder by the other"));
            }
            0 if path.ends_with(b"/") => Kind::Folder,
            b'0' | b'7' | b'S' if path.ends_with(b"/") => {
                return Err(refused("it is a file by its type and a folder by its name"));
            }
            0 | b'0' | b'7' | b'S' => Kind::File { size: 0, segments: None },
            b'5' => Kind::Folder,
            b'1' | b'2' => {
                let target = one_of(pax.link_path.take(), long_link, until_nul(old.linkname.to_vec()))
                    .map_err(|()| refused("it has two link targets that differ"))?;
                if target.is_empty() {
                    return Err(refused("it is a link to nothing"));
                }
                if typeflag == b'1' { Kind::HardLink(target) } else { Kind::Symlink(target) }
            }
            b'3' => device(header).map(|(major, minor)| Kind::Character { major, minor }).map_err(refused)?,
            b'4' => device(header).map(|(major, minor)| Kind::Block { major, minor }).map_err(refused)?,
            b'6' => Kind::Fifo,
            other => return Err(refused(&format!("its type `{}` is not known", char::from(other).escape_default()))),
        };
        let size = match (pax.size, size) {
            // All readers agree that no data follows a hard link, whatever its header says. They don't where a record says it.
            (None | Some(0), _) if typeflag == b'1' => 0,
            (Some(pax), header) if header != 0 && header != pax => {
                return Err(refused("its size in the PAX header and in the tar header differ"));
            }
            (Some(pax), _) => pax,
            (None, header) => header,
        };
        let kind = if matches!(kind, Kind::File { .. }) {
            self.content(header, &path, size, sparse)?
        } else {
            if size > 0 {
                return Err(refused("it claims to hold data, though it is no file"));
            }
            if !sparse.is_empty() {
                return Err(refused("it has a sparse map, though it is no file"));
            }
            self.blocks.begin_data(&path, 0)?;
            kind
        };
        Ok(Entry {
            kind,
            mode: number(&old.mode).map(|mode| u32::try_from(mode & 0o7777).unwrap_or_default()).map_err(refused)?,
            uid: id(pax.uid, &old.uid).ok_or_else(|| refused("its owner is no number from 0 to 4294967294"))?,
            gid: id(pax.gid, &old.gid).ok_or_else(|| refused("its group is no number from 0 to 4294967294"))?,
            mtime: pax.mtime.unwrap_or(Time { seconds: number(&old.mtime).map_err(refused)?, nanos: 0 }),
            xattrs: pax.xattrs.into_iter().collect(),
            path,
        })
    }

    /// The content of a file that takes `size` bytes of the tar.
    fn content(
        &mut self,
        header: &Header,
        path: &[u8],
        size: u64,
        sparse: super::pax::PaxSparse,
    ) -> Result<Kind, TarError> {
        let found = if header.as_old().linkflag[0] == b'S' {
            if !sparse.is_empty() {
                return Err(TarError::entry(path, "it has two sparse maps"));
            }
            let found = self.blocks.gnu_sparse(header, path, size)?;
            self.blocks.begin_data(path, size)?;
            Some(found)
        } else {
            self.blocks.begin_data(path, size)?;
            self.blocks.pax_sparse(sparse, path)?
        };
        Ok(match found {
            None => Kind::File { size, segments: None },
            Some((size, segments)) => Kind::File { size, segments: Some(segments) },
        })
    }
}

/// The numbers of a device. Linux has 12 bits for the major and 20 for the minor one.
fn device(header: &Header) -> Result<(u32, u32), &'static str> {
    let (major, minor) = match (header.as_ustar(), header.as_gnu()) {
        (Some(ustar), _) => (&ustar.dev_major, &ustar.dev_minor),
        (_, Some(gnu)) => (&gnu.dev_major, &gnu.dev_minor),
        _ => return Err("it is a device without numbers"),
    };
    let in_range = |field: &[u8], bits: u32| match number(field).map(u32::try_from) {
        Ok(Ok(value)) if value >> bits == 0 => Ok(value),
        _ => Err("its device number is out of range"),
    };
    Ok((in_range(major, 12)?, in_range(minor, 20)?))
}

/// The number of an owner or a group. The last one of 32 bits means "leave as it is" to the kernel, and is nobody's. What stands in the header
/// must be one even where a record is there in its stead.
fn id(pax: Option<u64>, field: &[u8]) -> Option<u32> {
    let own = number(field).ok().and_then(|value| u32::try_from(value).ok())?;
    let value = pax.map_or(Some(own), |value| u32::try_from(value).ok())?;
    (value != u32::MAX).then_some(value)
}

/// The name that counts: of a PAX record, of a GNU header, or the header's own. Readers differ on which of the first two wins.
fn one_of(pax: Option<Vec<u8>>, gnu: Option<Vec<u8>>, own: Vec<u8>) -> Result<Vec<u8>, ()> {
    match (pax, gnu) {
        (Some(pax), Some(gnu)) if pax != gnu => Err(()),
        (Some(name), _) | (None, Some(name)) => Ok(name),
        (None, None) => Ok(own),
    }
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}
