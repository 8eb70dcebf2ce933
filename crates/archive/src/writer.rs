//! Writing an archive.

use std::io::{self, Read, Write};

use tokio_tar::{EntryType, Header};

/// The size of a tar's blocks.
const BLOCK: usize = 512;

/// The largest size that the field of a header holds in octal.
const MAX_OCTAL: u64 = (1 << 33) - 1;

/// How much is copied at a time.
const COPY: usize = 128 << 10;

/// Writes a tar as it comes. Everything belongs to root and is of the first second of 1970, so that the same content makes the same tar.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
}

impl<W: Write> Writer<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// Adds a folder.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn folder(&mut self, name: &str) -> io::Result<()> {
        self.header(EntryType::Directory, &format!("{name}/"), 0o755, 0)
    }

    /// Adds a file of `size` bytes, which are read from `source`.
    ///
    /// # Errors
    ///
    /// Those of both ends; and when the source has fewer bytes.
    pub fn file(&mut self, name: &str, mode: u32, size: u64, source: &mut dyn Read) -> io::Result<()> {
        self.header(EntryType::Regular, name, mode, size)?;
        let mut buffer = vec![0; usize::try_from(size).map_or(COPY, |size| size.min(COPY))];
        let mut left = size;
        while left > 0 {
            let len = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            let read = match source.read(&mut buffer[..len]) {
                Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("`{name}` ends early"))),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.out.write_all(&buffer[..read])?;
            left -= read as u64;
        }
        self.pad(size)
    }

    /// Ends the tar and gives the writer back.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// Writes a header, with an extension header in front where a field is too short.
    fn header(&mut self, kind: EntryType, name: &str, mode: u32, size: u64) -> io::Result<()> {
        let mut records = Vec::new();
        if name.len() > 100 {
            record(&mut records, "path", name);
        }
        if size > MAX_OCTAL {
            record(&mut records, "size", &size.to_string());
        }
        if !records.is_empty() {
            let len = records.len() as u64;
            self.out.write_all(header(EntryType::XHeader, "extension", 0o644, len)?.as_bytes())?;
            self.out.write_all(&records)?;
            self.pad(len)?;
        }
        let cut = name.char_indices().map(|(at, _)| at).chain([name.len()]).take_while(|at| *at <= 100).last();
        let size = if size > MAX_OCTAL { 0 } else { size };
        self.out.write_all(header(kind, &name[..cut.unwrap_or(0)], mode, size)?.as_bytes())
    }

    /// Fills the last block.
    fn pad(&mut self, size: u64) -> io::Result<()> {
        let rest = usize::try_from(size % BLOCK as u64).map_err(io::Error::other)?;
        if rest == 0 { Ok(()) } else { self.out.write_all(&[0; BLOCK][rest..]) }
    }
}

fn header(kind: EntryType, name: &str, mode: u32, size: u64) -> io::Result<Header> {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    Ok(header)
}

/// Appends a PAX record, `<length> <key>=<value>\n`, whose length counts itself.
fn record(records: &mut Vec<u8>, key: &str, value: &str) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + rest.to_string().len();
    // One digit more may make the length one digit longer.
    len = rest + len.to_string().len();
    records.extend_from_slice(format!("{len} {key}={value}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_themselves() {
        for len in 0..1200 {
            let mut records = Vec::new();
            record(&mut records, "path", &"x".repeat(len));
            let text = String::from_utf8(records).unwrap();
            let (said, _) = text.split_once(' ').unwrap();
            assert_eq!(said.parse::<usize>().unwrap(), text.len(), "{text}");
        }
    }
}
