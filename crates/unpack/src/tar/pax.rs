//! PAX extended headers.
//!
//! Spec: POSIX.1-2024, pax, "pax Extended Header"; the sparse and xattr keys are GNU tar's and star's.

use std::collections::BTreeMap;

use super::Time;
use super::field::{decimal, time};
use super::sparse::Segment;

/// What the records of one extended header say.
#[derive(Debug, Default)]
pub(crate) struct Pax {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link_path: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<u64>,
    pub(crate) gid: Option<u64>,
    pub(crate) mtime: Option<Time>,
    /// Names without the `SCHILY.xattr.` in front.
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) sparse: PaxSparse,
}

/// The records of the three PAX forms of a sparse file.
#[derive(Debug, Default)]
pub(crate) struct PaxSparse {
    pub(crate) major: Option<u64>,
    pub(crate) minor: Option<u64>,
    pub(crate) name: Option<Vec<u8>>,
    /// Forms 0.0 and 0.1 say `size`, form 1.0 `realsize`.
    pub(crate) real_size: Option<u64>,
    /// Forms 0.0 (offset and numbytes in turn) and 0.1 (one list).
    pub(crate) map: Vec<Segment>,
    /// How many pieces these have.
    pub(crate) pieces: Option<u64>,
    pending_offset: Option<u64>,
}

impl PaxSparse {
    /// Whether there is no record of a sparse file.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { major, minor, name, real_size, map, pieces, pending_offset } = self;
        let numbers = [major, minor, real_size, pieces, pending_offset];
        numbers.iter().all(|number| number.is_none()) && name.is_none() && map.is_empty()
    }
}

const XATTR: &[u8] = b"SCHILY.xattr.";

impl Pax {
    /// Reads the body of an `x` header.
    pub(crate) fn parse(mut body: &[u8]) -> Result<Self, &'static str> {
        let mut pax = Self::default();
        while !body.is_empty() {
            let (key, value, rest) = record(body).ok_or("its PAX header is malformed")?;
            pax.take(key, value)?;
            body = rest;
        }
        if pax.sparse.pending_offset.is_some() {
            return Err("its sparse map is malformed");
        }
        Ok(pax)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        if let Some(name) = key.strip_prefix(XATTR) {
            if name.is_empty() {
                return Err("the name of an extended attribute is malformed");
            }
            self.xattrs.insert(name.to_vec(), value.to_vec());
            return Ok(());
        }
        let number = || decimal(value);
        match key {
            b"path" => once(&mut self.path, text(value)?)?,
            b"linkpath" => once(&mut self.link_path, text(value)?)?,
            b"size" => once(&mut self.size, number()?)?,
            b"uid" => once(&mut self.uid, number()?)?,
            b"gid" => once(&mut self.gid, number()?)?,
            b"mtime" => once(&mut self.mtime, time(value)?)?,
            b"GNU.sparse.major" => once(&mut self.sparse.major, number()?)?,
            b"GNU.sparse.minor" => once(&mut self.sparse.minor, number()?)?,
            b"GNU.sparse.name" => once(&mut self.sparse.name, text(value)?)?,
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => once(&mut self.sparse.real_size, number()?)?,
            b"GNU.sparse.numblocks" => once(&mut self.sparse.pieces, number()?)?,
            b"GNU.sparse.offset" => {
                let unmatched = self.sparse.pending_offset.replace(decimal(value)?);
                unmatched.map_or(Ok(()), |_| Err("its sparse map is malformed"))?;
            }
            b"GNU.sparse.numbytes" => {
                let offset = self.sparse.pending_offset.take().ok_or("its sparse map is malformed")?;
                self.sparse.map.push(Segment { offset, len: decimal(value)? });
            }
            b"GNU.sparse.map" if !self.sparse.map.is_empty() => return Err("it has two sparse maps"),
            b"GNU.sparse.map" => {
                let numbers = value.split(|byte| *byte == b',').map(decimal).collect::<Result<Vec<_>, _>>()?;
                let pairs = numbers.chunks_exact(2);
                if !pairs.remainder().is_empty() {
                    return Err("its sparse map is malformed");
                }
                self.sparse.map = pairs.map(|pair| Segment { offset: pair[0], len: pair[1] }).collect();
            }
            // Times of access and change, names of owners, comments, what vendors add: nothing that a layer needs.
            _ => {}
        }
        Ok(())
    }
}

/// Takes a record. Of two that differ some readers take the first, some the last.
fn once<T: PartialEq>(field: &mut Option<T>, value: T) -> Result<(), &'static str> {
    match field.replace(value) {
        Some(first) if field.as_ref() != Some(&first) => Err("its PAX header says one thing twice, and not the same"),
        _ => Ok(()),
    }
}

/// A path. To some readers an empty one takes the record back, to others it is the name.
fn text(value: &[u8]) -> Result<Vec<u8>, &'static str> {
    match value {
        [] => Err("a path in its PAX header is empty"),
        _ if value.contains(&0) => Err("a path in its PAX header holds a NUL"),
        _ => Ok(value.to_vec()),
    }
}

/// Takes the first record, `<length> <key>=<value>\n`, off a body.
fn record(body: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = body.iter().take(20).position(|byte| *byte == b' ')?;
    let len = usize::try_from(decimal(&body[..space]).ok()?).ok()?;
    let (record, rest) = body.split_at_checked(len)?;
    let text = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = text.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (&text[..equals], &text[equals + 1..]);
    (!key.is_empty() && !key.contains(&0)).then_some((key, value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_records() {
        let pax =
            Pax::parse(b"12 path=a/b\n20 mtime=-1.5000000\n29 SCHILY.xattr.user.k=a=b\nc\n11 size=77\n12 path=a/b\n")
                .unwrap();
        assert_eq!(pax.path.unwrap(), b"a/b");
        assert_eq!(pax.mtime, Some(Time { seconds: -2, nanos: 500_000_000 }));
        assert_eq!(pax.xattrs, [(b"user.k".to_vec(), b"a=b\nc".to_vec())].into());
        assert_eq!(pax.size, Some(77));
    }

    #[test]
    fn refuses_malformed_records() {
        for body in [
            &b"path=a\n"[..],
            b"12 path=a/b",
            b"13 path=a/b\n",
            b"999999999999999999999999 path=a/b\n",
            b"10 noequal\n",
            b"6 =x\n",
            b"11 uid=1e3\n",
            b"10 uid=-1\n",
            b"12 path=a\0b\n",
            b"14 mtime=NaNs\n",
            b"0 \n",
            b"24 GNU.sparse.offset=1\n\n",
            b"25 GNU.sparse.map=1,2,3\n",
            b"8 size=\n",
            b"8 path=\n",
            b"9 mtime=\n",
            b"9 size=7\n9 size=8\n",
            b"10 path=a\n10 path=b\n",
        ] {
            assert!(Pax::parse(body).is_err(), "{}", String::from_utf8_lossy(body));
        }
    }
}
