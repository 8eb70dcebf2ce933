//! One entry of a layer: what it is, and every way in which it may be written.

use std::io::{self, Read, Write};

use super::header::{Header, NAME, RawHeader, SIZE};
use super::{Data, SparseForm, pax, sparse};

/// The map of a file with holes, and the size it unpacks to.
#[derive(Clone, Debug)]
struct Sparse {
    form: SparseForm,
    map: Vec<(u64, u64)>,
    size: u64,
}

/// One entry of a layer. Made by its type's function, refined by the others, added with [`LayerBuilder::entry`](super::LayerBuilder::entry).
///
/// Without refinement: owner 0:0, mode 0755 (folders) or 0644, modified 2023-11-14 22:13:20 UTC, PAX form.
#[derive(Clone, Debug)]
pub struct Entry {
    path: Vec<u8>,
    type_flag: u8,
    mode: u32,
    uid: i64,
    gid: i64,
    owner_names: (String, String),
    mtime: (i64, u32),
    link: Vec<u8>,
    device: (u32, u32),
    data: Data,
    sparse: Option<Sparse>,
    pax: Vec<(Vec<u8>, Vec<u8>)>,
    form: Header,
    size_field: Option<i128>,
    patches: Vec<(usize, Vec<u8>)>,
    sealed: bool,
}

impl Entry {
    fn new(type_flag: u8, path: impl AsRef<[u8]>, mode: u32) -> Self {
        Self {
            path: path.as_ref().to_vec(),
            type_flag,
            mode,
            uid: 0,
            gid: 0,
            owner_names: (String::new(), String::new()),
            mtime: (1_700_000_000, 0),
            link: Vec::new(),
            device: (0, 0),
            data: Data::Bytes(Vec::new()),
            sparse: None,
            pax: Vec::new(),
            form: Header::Pax,
            size_field: None,
            patches: Vec::new(),
            sealed: true,
        }
    }

    /// A regular file.
    pub fn file(path: impl AsRef<[u8]>, bytes: impl AsRef<[u8]>) -> Self {
        Self::data(path, Data::Bytes(bytes.as_ref().to_vec()))
    }

    /// A regular file whose content is made while it is written.
    pub fn data(path: impl AsRef<[u8]>, data: Data) -> Self {
        Self { data, ..Self::new(b'0', path, 0o644) }
    }

    /// A file with holes: `pieces` are the offsets and bytes that are there, in rising order; the rest of `size` bytes are holes.
    ///
    /// Every piece but the last must be whole blocks of 512 bytes, as GNU tar writes them: readers disagree on what follows a shorter one.
    pub fn sparse(path: impl AsRef<[u8]>, form: SparseForm, size: u64, pieces: &[(u64, &[u8])]) -> Self {
        let mut map: Vec<(u64, u64)> = pieces.iter().map(|(offset, bytes)| (*offset, bytes.len() as u64)).collect();
        if map.last().is_none_or(|(offset, length)| offset + length < size) {
            // GNU tar marks a hole at the end by an empty piece behind it.
            map.push((size, 0));
        }
        let data = Data::Bytes(pieces.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect());
        Self::sparse_with_map(path, form, size, &map, data)
    }

    /// A file with holes, its map taken as it is: overlapping, falling, beyond the size, or of any length.
    pub fn sparse_with_map(
        path: impl AsRef<[u8]>,
        form: SparseForm,
        size: u64,
        map: &[(u64, u64)],
        data: Data,
    ) -> Self {
        let type_flag = if form == SparseForm::OldGnu { b'S' } else { b'0' };
        let header = if form == SparseForm::OldGnu { Header::Gnu } else { Header::Pax };
        Self {
            data,
            sparse: Some(Sparse { form, map: map.to_vec(), size }),
            form: header,
            ..Self::new(type_flag, path, 0o644)
        }
    }

    /// A folder; its name is written with a slash at its end.
    pub fn dir(path: impl AsRef<[u8]>) -> Self {
        let mut entry = Self::new(b'5', path, 0o755);
        if !entry.path.ends_with(b"/") {
            entry.path.push(b'/');
        }
        entry
    }

    /// A symbolic link.
    pub fn symlink(path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self { link: target.as_ref().to_vec(), ..Self::new(b'2', path, 0o777) }
    }

    /// A hard link to `target`, a name in the archive's own terms.
    pub fn hard_link(path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self { link: target.as_ref().to_vec(), ..Self::new(b'1', path, 0o644) }
    }

    /// A character device.
    pub fn char_device(path: impl AsRef<[u8]>, major: u32, minor: u32) -> Self {
        Self { device: (major, minor), ..Self::new(b'3', path, 0o644) }
    }

    /// A block device.
    pub fn block_device(path: impl AsRef<[u8]>, major: u32, minor: u32) -> Self {
        Self { device: (major, minor), ..Self::new(b'4', path, 0o644) }
    }

    /// A named pipe.
    pub fn fifo(path: impl AsRef<[u8]>) -> Self {
        Self::new(b'6', path, 0o644)
    }

    /// The mark that deletes `path` of the layers below: an empty file `.wh.<name>` beside it.
    pub fn whiteout(path: impl AsRef<[u8]>) -> Self {
        let path = path.as_ref();
        let name = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
        Self::file([&path[..name], b".wh.", &path[name..]].concat(), b"")
    }

    /// The mark that hides everything the layers below have in the folder `path`; the empty path is the root.
    pub fn opaque(path: impl AsRef<[u8]>) -> Self {
        let path = path.as_ref();
        let slash: &[u8] = if path.is_empty() || path.ends_with(b"/") { b"" } else { b"/" };
        Self::file([path, slash, b".wh..wh..opq"].concat(), b"")
    }

    /// Sets the permission bits, set-ID and sticky bits included.
    pub fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    /// Sets owner and group. Any number can be written, so that out-of-range ones can be tested.
    pub fn owner(self, uid: i64, gid: i64) -> Self {
        Self { uid, gid, ..self }
    }

    /// Sets the names of owner and group, which an image must ignore.
    pub fn owner_names(self, user: &str, group: &str) -> Self {
        Self { owner_names: (user.to_owned(), group.to_owned()), ..self }
    }

    /// Sets the modification time in seconds since 1970, negative before.
    pub fn mtime(self, seconds: i64) -> Self {
        self.mtime_nanos(seconds, 0)
    }

    /// Sets the modification time to `seconds` (rounded down) and `nanos`. Only PAX can say nanoseconds; GNU form drops them.
    pub fn mtime_nanos(self, seconds: i64, nanos: u32) -> Self {
        Self { mtime: (seconds, nanos), ..self }
    }

    /// Adds an extended attribute, written as `SCHILY.xattr.<name>`.
    pub fn xattr(self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        let key = [b"SCHILY.xattr.", name.as_ref()].concat();
        self.pax(key, value)
    }

    /// Adds a PAX record as it is, behind those that the entry needs by itself.
    pub fn pax(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.pax.push((key.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// Writes long names and big numbers in GNU's form.
    pub fn gnu(self) -> Self {
        Self { form: Header::Gnu, ..self }
    }

    /// Writes the name exactly so: no slash behind a folder's name.
    pub fn exact_name(self, path: impl AsRef<[u8]>) -> Self {
        Self { path: path.as_ref().to_vec(), ..self }
    }

    /// Writes another type flag.
    pub fn type_flag(self, type_flag: u8) -> Self {
        Self { type_flag, ..self }
    }

    /// Puts content behind an entry of any type.
    pub fn content(self, bytes: impl AsRef<[u8]>) -> Self {
        Self { data: Data::Bytes(bytes.as_ref().to_vec()), ..self }
    }

    /// Writes another size in the header; the content stays as it is.
    pub fn size_field(self, size: i128) -> Self {
        Self { size_field: Some(size), ..self }
    }

    /// Overwrites bytes of the header before its checksum is made.
    pub fn patch(mut self, offset: usize, bytes: impl AsRef<[u8]>) -> Self {
        self.patches.push((offset, bytes.as_ref().to_vec()));
        self
    }

    /// Writes a wrong checksum.
    pub fn bad_checksum(self) -> Self {
        Self { sealed: false, ..self }
    }

    /// Writes the entry with everything in front of it, and fills it up to whole blocks.
    pub(super) fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        let mut records = Vec::new();
        let mut header = RawHeader::new(self.form, self.type_flag);
        header.mode(self.mode).owner_names(&self.owner_names.0, &self.owner_names.1);
        if matches!(self.type_flag, b'3' | b'4') {
            header.device(self.device.0, self.device.1);
        }
        let mut front = Vec::new();
        let mut path = self.path.clone();
        let mut size = i128::from(self.data.len());
        match &self.sparse {
            None => {}
            Some(Sparse { form: SparseForm::OldGnu, map, size }) => front = sparse::old_map(&mut header, map, *size),
            Some(Sparse { form: SparseForm::Pax10, map, size: real_size }) => {
                records.push((b"GNU.sparse.major".to_vec(), b"1".to_vec()));
                records.push((b"GNU.sparse.minor".to_vec(), b"0".to_vec()));
                records.push((b"GNU.sparse.name".to_vec(), path));
                records.push((b"GNU.sparse.realsize".to_vec(), real_size.to_string().into_bytes()));
                path = self.stand_in_name("GNUSparseFile.0");
                front = sparse::leading_map(map);
                size += front.len() as i128;
            }
            Some(Sparse { form: SparseForm::Pax01, map, size: real_size }) => {
                records.push((b"GNU.sparse.size".to_vec(), real_size.to_string().into_bytes()));
                records.push((b"GNU.sparse.numblocks".to_vec(), map.len().to_string().into_bytes()));
                records.push((b"GNU.sparse.name".to_vec(), path));
                records.push((b"GNU.sparse.map".to_vec(), sparse::record_map(map).into_bytes()));
                path = self.stand_in_name("GNUSparseFile.0");
            }
        }
        let mut long = Vec::new();
        self.name_into(&path, &mut header, &mut records, &mut long);
        self.numbers_into(size, &mut header, &mut records);
        records.extend(self.pax.iter().cloned());
        if let Some(size) = self.size_field {
            header.size(size);
        }
        for (offset, bytes) in &self.patches {
            header.patch(*offset, bytes);
        }
        if !records.is_empty() {
            let mut extension = RawHeader::new(Header::Pax, b'x');
            extension.name(&self.stand_in_name("PaxHeaders.0")).mode(0o644);
            write_extension(&mut extension, &pax::records(&records), out)?;
        }
        for (type_flag, mut name) in long {
            name.push(0);
            write_extension(RawHeader::new(Header::Gnu, type_flag).name(b"././@LongLink"), &name, out)?;
        }
        let mut sealed = header.sealed();
        if !self.sealed {
            sealed[148] ^= 1;
        }
        out.write_all(&sealed)?;
        out.write_all(&front)?;
        self.data.write_to(out)?;
        pad(self.data.len(), out)
    }

    fn name_into(
        &self,
        path: &[u8],
        header: &mut RawHeader,
        records: &mut Vec<(Vec<u8>, Vec<u8>)>,
        long: &mut Vec<(u8, Vec<u8>)>,
    ) {
        let width = NAME.1;
        header.name(path).link(&self.link);
        if self.link.len() > width {
            match self.form {
                Header::Pax => records.push((b"linkpath".to_vec(), self.link.clone())),
                Header::Gnu => long.push((b'K', self.link.clone())),
            }
        }
        if path.len() > width {
            match (self.form, split(path)) {
                (Header::Gnu, _) => long.push((b'L', path.to_vec())),
                (Header::Pax, Some((prefix, name))) => {
                    header.prefix(prefix).name(name);
                }
                (Header::Pax, None) => records.push((b"path".to_vec(), path.to_vec())),
            }
        }
    }

    fn numbers_into(&self, size: i128, header: &mut RawHeader, records: &mut Vec<(Vec<u8>, Vec<u8>)>) {
        let (seconds, nanos) = self.mtime;
        header.owner(i128::from(self.uid), i128::from(self.gid)).size(size).mtime(seconds);
        if self.form == Header::Gnu {
            return;
        }
        // The header of the POSIX family holds 0 where a record speaks.
        let width = SIZE.1;
        for (key, id) in [(b"uid", self.uid), (b"gid", self.gid)] {
            if !RawHeader::fits_octal(i128::from(id), 8) {
                records.push((key.to_vec(), id.to_string().into_bytes()));
            }
        }
        let kept = |id: i64| if RawHeader::fits_octal(i128::from(id), 8) { i128::from(id) } else { 0 };
        header.owner(kept(self.uid), kept(self.gid));
        if !RawHeader::fits_octal(size, width) {
            records.push((b"size".to_vec(), size.to_string().into_bytes()));
            header.size(0);
        }
        if nanos != 0 || !RawHeader::fits_octal(i128::from(seconds), width) {
            records.push((b"mtime".to_vec(), pax::time(seconds, nanos).into_bytes()));
            header.mtime(seconds.clamp(0, (1 << 33) - 1));
        }
    }

    /// A name for a header that readers of the extension never show.
    fn stand_in_name(&self, folder: &str) -> Vec<u8> {
        let trimmed = self.path.strip_suffix(b"/").unwrap_or(&self.path);
        let base = trimmed.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        let mut name = [folder.as_bytes(), b"/", base].concat();
        name.truncate(NAME.1);
        name
    }
}

/// Cuts a long name in two at a slash, as ustar has it: at most 155 bytes in front, at most 100 behind.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let fits = |&at: &usize| path[at] == b'/' && path.len() - at - 1 <= 100 && at + 1 < path.len();
    let at = (1..path.len().min(156)).rev().find(fits)?;
    Some((&path[..at], &path[at + 1..]))
}

/// Writes an entry that only says something about the next one.
pub(super) fn write_extension(header: &mut RawHeader, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    out.write_all(&header.size(bytes.len() as i128).sealed())?;
    out.write_all(bytes)?;
    pad(bytes.len() as u64, out)
}

fn pad(len: u64, out: &mut impl Write) -> io::Result<()> {
    io::copy(&mut io::repeat(0).take(len.next_multiple_of(512) - len), out).map(drop)
}
