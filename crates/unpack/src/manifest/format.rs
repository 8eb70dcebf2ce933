//! How records are written: fixed numbers in little-endian order, texts with their length in front. A file takes some 80 bytes.

use std::io::{self, BufRead, Read, Write};

use super::{Content, Names, Record, What};
use crate::tar::Time;

const BEGIN: &[u8] = b"layer tree 1\n";

/// The end of a folder.
const END: u8 = b'.';

/// In place of a group's number, where the groups were too many to be told apart.
const UNCOUNTED: u32 = u32::MAX;

/// Larger attributes the kernel doesn't take.
const MAX_VALUE: u32 = 64 << 10;

/// A step of the list.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Record(Record),
    End,
}

pub(super) struct Writer<W>(W);

impl<W: Write> Writer<W> {
    pub(super) fn begin(mut out: W) -> io::Result<Self> {
        out.write_all(BEGIN)?;
        Ok(Self(out))
    }

    pub(super) fn end(&mut self) -> io::Result<()> {
        self.0.write_all(&[END])
    }

    pub(super) fn record(&mut self, record: &Record) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(128);
        bytes.push(match &record.what {
            What::Folder => b'd',
            What::File { content: Content::Whole(_), .. } => b'f',
            What::File { content: Content::Sparse(_), .. } => b's',
            What::Symlink(_) => b'l',
            What::Character { .. } => b'c',
            What::Block { .. } => b'b',
            What::Fifo => b'p',
            What::Whiteout => b'w',
        });
        short(&mut bytes, &record.name)?;
        for number in [record.mode, record.uid, record.gid, record.mtime.nanos] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(record.mtime.seconds.to_le_bytes());
        let names = match record.names {
            Names::One => 0,
            Names::Group(number) => number,
            Names::Uncounted => UNCOUNTED,
        };
        bytes.extend(names.to_le_bytes());
        bytes.extend(u16::try_from(record.xattrs.len()).map_err(io::Error::other)?.to_le_bytes());
        for (name, value) in &record.xattrs {
            short(&mut bytes, name)?;
            bytes.extend(u32::try_from(value.len()).map_err(io::Error::other)?.to_le_bytes());
            bytes.extend(value);
        }
        match &record.what {
            What::File { size, content: Content::Whole(hash) | Content::Sparse(hash) } => {
                bytes.extend(size.to_le_bytes());
                bytes.extend(hash);
            }
            What::Symlink(target) => short(&mut bytes, target)?,
            What::Character { major, minor } | What::Block { major, minor } => {
                bytes.extend(major.to_le_bytes());
                bytes.extend(minor.to_le_bytes());
            }
            What::Folder | What::Fifo | What::Whiteout => {}
        }
        self.0.write_all(&bytes)
    }
}

fn short(bytes: &mut Vec<u8>, text: &[u8]) -> io::Result<()> {
    bytes.extend(u16::try_from(text.len()).map_err(io::Error::other)?.to_le_bytes());
    bytes.extend(text);
    Ok(())
}

pub(super) struct Reader<R>(R);

impl<R: BufRead> Reader<R> {
    pub(super) fn begin(mut source: R) -> io::Result<Self> {
        let mut begin = [0; BEGIN.len()];
        source.read_exact(&mut begin)?;
        if begin == BEGIN { Ok(Self(source)) } else { Err(malformed("it does not begin as one")) }
    }

    /// The next step; `None` at the end of the source.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        if self.0.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let [kind] = self.bytes()?;
        if kind == END {
            return Ok(Some(Line::End));
        }
        let name = self.short()?;
        let (mode, uid, gid, nanos) = (self.number()?, self.number()?, self.number()?, self.number()?);
        let mtime = Time { seconds: i64::from_le_bytes(self.bytes()?), nanos };
        let names = match self.number()? {
            0 => Names::One,
            UNCOUNTED => Names::Uncounted,
            number => Names::Group(number),
        };
        let mut xattrs = Vec::new();
        for _ in 0..u16::from_le_bytes(self.bytes()?) {
            let name = self.short()?;
            let len = self.number()?;
            if len > MAX_VALUE {
                return Err(malformed("it has an attribute that is too long"));
            }
            xattrs.push((name, self.text(len as usize)?));
        }
        let what = match kind {
            b'd' => What::Folder,
            b'f' | b's' => {
                let size = u64::from_le_bytes(self.bytes()?);
                let hash = self.bytes()?;
                What::File { size, content: if kind == b'f' { Content::Whole(hash) } else { Content::Sparse(hash) } }
            }
            b'l' => What::Symlink(self.short()?),
            b'c' => What::Character { major: self.number()?, minor: self.number()? },
            b'b' => What::Block { major: self.number()?, minor: self.number()? },
            b'p' => What::Fifo,
            b'w' => What::Whiteout,
            _ => return Err(malformed("it has a kind of record that is not known")),
        };
        Ok(Some(Line::Record(Record { name, what, mode, uid, gid, mtime, xattrs, names })))
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn number(&mut self) -> io::Result<u32> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn text(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        (&mut self.0).take(len as u64).read_to_end(&mut text)?;
        if text.len() == len { Ok(text) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn short(&mut self) -> io::Result<Vec<u8>> {
        let len = u16::from_le_bytes(self.bytes()?);
        self.text(usize::from(len))
    }
}

pub(super) fn malformed(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn what() -> impl Strategy<Value = What> {
        let content =
            prop_oneof![any::<[u8; 32]>().prop_map(Content::Whole), any::<[u8; 32]>().prop_map(Content::Sparse)];
        prop_oneof![
            Just(What::Folder),
            (any::<u64>(), content).prop_map(|(size, content)| What::File { size, content }),
            any::<Vec<u8>>().prop_map(What::Symlink),
            any::<(u32, u32)>().prop_map(|(major, minor)| What::Character { major, minor }),
            any::<(u32, u32)>().prop_map(|(major, minor)| What::Block { major, minor }),
            Just(What::Fifo),
            Just(What::Whiteout),
        ]
    }

    proptest! {
        #[test]
        fn round_trips(
            what in what(),
            (name, mode, uid, gid, seconds, nanos) in any::<(Vec<u8>, u32, u32, u32, i64, u32)>(),
            xattrs in any::<Vec<(Vec<u8>, Vec<u8>)>>(),
            group in prop_oneof![Just(Names::One), Just(Names::Uncounted), (1..u32::MAX).prop_map(Names::Group)],
        ) {
            let mtime = Time { seconds, nanos };
            let record = Record { name, what, mode, uid, gid, mtime, xattrs, names: group };
            let mut bytes = Vec::new();
            let mut writer = Writer::begin(&mut bytes).unwrap();
            writer.record(&record).unwrap();
            writer.end().unwrap();
            let mut reader = Reader::begin(bytes.as_slice()).unwrap();
            prop_assert_eq!(reader.next().unwrap(), Some(Line::Record(record)));
            prop_assert_eq!(reader.next().unwrap(), Some(Line::End));
            prop_assert_eq!(reader.next().unwrap(), None);
        }

        #[test]
        fn anything_else_is_an_error_and_no_panic(rest: Vec<u8>) {
            let bytes = [BEGIN, &rest].concat();
            let mut reader = Reader::begin(bytes.as_slice()).unwrap();
            while let Ok(Some(_)) = reader.next() {}
            prop_assert!(Reader::begin(&b"layer tree 2\n"[..]).is_err());
        }
    }
}
