//! The tar on its way into the file.

use std::fs::File;
use std::io::{self, BufRead, Read, Write as _};

/// A stream of which all that is read goes to a file, by the buffers in which it came.
pub(super) struct Tee<'a, R> {
    source: R,
    file: &'a File,
    written: u64,
    /// How much of what the source holds now is in the file.
    ahead: usize,
}

/// The file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("write the tar")]
pub(super) struct NotWritten(#[source] pub(super) io::Error);

impl<'a, R> Tee<'a, R> {
    pub(super) fn new(source: R, file: &'a File) -> Self {
        Self { source, file, written: 0, ahead: 0 }
    }

    /// How many bytes are in the file.
    pub(super) fn written(&self) -> u64 {
        self.written
    }
}

impl<R: BufRead> Read for Tee<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let len = bytes.len().min(buf.len());
        buf[..len].copy_from_slice(&bytes[..len]);
        self.consume(len);
        Ok(len)
    }
}

impl<R: BufRead> BufRead for Tee<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let bytes = self.source.fill_buf()?;
        // A source may have more now than when it was asked last.
        let new = bytes.get(self.ahead..).unwrap_or_default();
        if !new.is_empty() {
            self.file.write_all(new).map_err(|source| io::Error::other(NotWritten(source)))?;
            self.written += new.len() as u64;
            self.ahead = bytes.len();
        }
        Ok(bytes)
    }

    fn consume(&mut self, amount: usize) {
        self.source.consume(amount);
        self.ahead = self.ahead.saturating_sub(amount);
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn every_byte_is_written_once() {
        let bytes: Vec<u8> = (0..10_000u32).flat_map(u32::to_le_bytes).collect();
        let file = tempfile::tempfile().unwrap();
        let mut tee = Tee::new(BufReader::with_capacity(333, bytes.as_slice()), &file);
        let mut read = Vec::new();
        let mut step = 0;
        loop {
            let buffer = tee.fill_buf().unwrap();
            if buffer.is_empty() {
                break;
            }
            step = step % 50 + 1;
            let len = buffer.len().min(step);
            read.extend_from_slice(&buffer[..len]);
            tee.consume(len);
        }
        assert_eq!((&read, tee.written()), (&bytes, 40_000));
        let mut written = Vec::new();
        let mut file = &file;
        io::Seek::rewind(&mut file).unwrap();
        file.read_to_end(&mut written).unwrap();
        assert_eq!(written, bytes);
    }
}
