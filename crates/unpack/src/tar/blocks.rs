//! From a stream to blocks: what lies where, before anyone asks what it means.

use std::io::{BufRead, ErrorKind};

use tokio_tar::Header;

use super::TarError;
use super::field::{number, octal};

pub(super) const BLOCK: usize = 512;

/// A tar as headers, and data of a known length behind each.
#[derive(Debug)]
pub(super) struct Blocks<R> {
    source: R,
    /// How many bytes of tar have been read.
    offset: u64,
    /// What is left of the current data, and of the padding behind it.
    remaining: u64,
    padding: u64,
    is_padding_dirty: bool,
    ended: bool,
}

impl<R: BufRead> Blocks<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, offset: 0, remaining: 0, padding: 0, is_padding_dirty: false, ended: false }
    }

    /// How many bytes of tar have been read.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether anything but zeros has filled the last block of some data so far.
    pub(super) fn is_padding_dirty(&self) -> bool {
        self.is_padding_dirty
    }

    /// How many bytes of the current data are left.
    pub(super) fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The next header, past what is left of the data before it; `None` at the end of the archive, which is two blocks of zeros or the end of
    /// the stream.
    pub(super) fn header(&mut self) -> Result<Option<Header>, TarError> {
        self.skip_data()?;
        if self.ended {
            return Ok(None);
        }
        let offset = self.offset;
        let refused = |reason: &str| TarError::Header { offset, reason: reason.to_owned() };
        let mut header = Header::new_old();
        if !self.block(header.as_mut_bytes())? {
            self.ended = true;
            return Ok(None);
        }
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            self.ended = true;
            let mut second = [0; BLOCK];
            if self.block(&mut second)? && second.iter().any(|byte| *byte != 0) {
                return Err(refused("a single block of zeros stands between entries"));
            }
            return Ok(None);
        }
        check_sum(&header).map_err(refused)?;
        check_format(&mut header).map_err(refused)?;
        Ok(Some(header))
    }

    /// Says that this many bytes of data follow.
    pub(super) fn begin_data(&mut self, name: &[u8], size: u64) -> Result<(), TarError> {
        if size > i64::MAX as u64 - BLOCK as u64 {
            return Err(TarError::entry(name, "its size is out of range"));
        }
        self.remaining = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
        Ok(())
    }

    /// The next bytes of the current data; empty at their end.
    pub(super) fn data(&mut self) -> Result<&[u8], TarError> {
        if self.remaining == 0 {
            return Ok(&[]);
        }
        let (offset, remaining) = (self.offset, self.remaining);
        let buffer = self.fill()?;
        if buffer.is_empty() {
            return Err(TarError::Truncated { offset });
        }
        let len = usize::try_from(remaining).map_or(buffer.len(), |rest| rest.min(buffer.len()));
        Ok(&buffer[..len])
    }

    /// Marks bytes that `data` gave as used.
    pub(super) fn consume(&mut self, len: usize) {
        self.source.consume(len);
        self.offset += len as u64;
        self.remaining = self.remaining.saturating_sub(len as u64);
    }

    /// Fills a block; `false` when the source ends just before it.
    pub(super) fn block(&mut self, block: &mut [u8; BLOCK]) -> Result<bool, TarError> {
        let mut filled = 0;
        while filled < BLOCK {
            let buffer = self.fill()?;
            if buffer.is_empty() {
                return if filled == 0 { Ok(false) } else { Err(TarError::Truncated { offset: self.offset }) };
            }
            let len = buffer.len().min(BLOCK - filled);
            block[filled..filled + len].copy_from_slice(&buffer[..len]);
            self.source.consume(len);
            self.offset += len as u64;
            filled += len;
        }
        Ok(true)
    }

    /// Fills a block from the current data; `false` when less than a block of it is left.
    pub(super) fn data_block(&mut self, block: &mut [u8; BLOCK]) -> Result<bool, TarError> {
        if self.remaining < BLOCK as u64 {
            return Ok(false);
        }
        if !self.block(block)? {
            return Err(TarError::Truncated { offset: self.offset });
        }
        self.remaining -= BLOCK as u64;
        Ok(true)
    }

    /// Goes past what fills the last block of the data, which has been read, and says whether it is zeros.
    pub(super) fn is_padded_by_zeros(&mut self) -> Result<bool, TarError> {
        self.remaining = std::mem::take(&mut self.padding);
        let mut zeros = true;
        while self.remaining > 0 {
            let data = self.data()?;
            zeros &= data.iter().all(|byte| *byte == 0);
            let len = data.len();
            self.consume(len);
        }
        Ok(zeros)
    }

    pub(super) fn into_source(self) -> R {
        self.source
    }

    /// Reads the source to its end.
    pub(super) fn drain(&mut self) -> Result<(), TarError> {
        loop {
            let len = self.fill()?.len();
            if len == 0 {
                return Ok(());
            }
            self.source.consume(len);
        }
    }

    fn skip_data(&mut self) -> Result<(), TarError> {
        while self.remaining > 0 {
            let len = self.data()?.len();
            self.consume(len);
        }
        // What fills their last block.
        self.is_padding_dirty |= !self.is_padded_by_zeros()?;
        Ok(())
    }

    /// What the source has ready, or next; empty at its end.
    fn fill(&mut self) -> Result<&[u8], TarError> {
        while let Err(error) = self.source.fill_buf() {
            if error.kind() != ErrorKind::Interrupted {
                return Err(TarError::Read(error));
            }
        }
        self.source.fill_buf().map_err(TarError::Read)
    }
}

/// The checksum field counts as eight blanks. Some old programs added signed bytes; every reader takes both.
fn check_sum(header: &Header) -> Result<(), &'static str> {
    let bytes = header.as_bytes();
    let stored = octal(&header.as_old().cksum).map_err(|_| "its checksum is no number")?;
    let others = || bytes[..148].iter().chain(&bytes[156..]);
    let unsigned = others().map(|byte| i64::from(*byte)).sum::<i64>() + 8 * 32;
    let signed = others().map(|byte| i64::from(byte.cast_signed())).sum::<i64>() + 8 * 32;
    if stored == unsigned || stored == signed { Ok(()) } else { Err("its checksum is wrong") }
}

/// Refuses headers of a family in which readers would look for the name in different places.
fn check_format(header: &mut Header) -> Result<(), &'static str> {
    const VERSION: std::ops::Range<usize> = 263..265;
    const TYPE: usize = 156;
    const PREFIX: usize = 345;
    /// Where the prefix ends that the star family has; times stand behind it.
    const STAR_PREFIX_END: usize = PREFIX + 130;
    let bytes = header.as_bytes();
    if bytes[257..263] == *b"ustar\0" {
        let matters = bytes[PREFIX] != 0 || matches!(bytes[TYPE], b'x' | b'g' | b'L' | b'K');
        if matters && bytes[VERSION] != *b"00" {
            return Err("its version is not that of POSIX");
        }
        if bytes[508..] == *b"tar\0" && bytes[STAR_PREFIX_END] != 0 {
            return Err("its long name is star's or POSIX's");
        }
        // All readers take it for POSIX's; the type that we read it by asks for the version, too.
        header.as_mut_bytes()[VERSION].copy_from_slice(b"00");
    } else if bytes[257..262] == *b"ustar" && header.as_gnu().is_none() {
        return Err("its format is neither POSIX nor GNU");
    }
    Ok(())
}

/// Refuses headers in which a number is malformed, also one that nobody asks for: Go refuses them all.
pub(super) fn check_numbers(header: &Header) -> Result<(), &'static str> {
    let old = header.as_old();
    let devices: [&[u8]; 2] = match (header.as_ustar(), header.as_gnu()) {
        (Some(ustar), _) => [&ustar.dev_major, &ustar.dev_minor],
        (_, Some(gnu)) => [&gnu.dev_major, &gnu.dev_minor],
        (None, None) => [&[], &[]],
    };
    // Some programs once wrote names where GNU has times, and Go takes them for that.
    let times: [&[u8]; 2] = header.as_gnu().map_or([&[], &[]], |gnu| [&gnu.atime, &gnu.ctime]);
    let fields = [&old.mode[..], &old.uid, &old.gid, &old.size, &old.mtime].into_iter().chain(devices);
    let fields = fields.chain(times.into_iter().filter(|time| time.first() != Some(&0)));
    for field in fields {
        number(field)?;
    }
    Ok(())
}
