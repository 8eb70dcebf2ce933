//! Extended attributes of one inode.

/// The longest name, by Linux's own limit (`XATTR_NAME_MAX`).
const MAX_NAME: usize = 255;

/// How many bytes all attributes of an inode may take. The format has room for far more, but stacked layers have copies of some things, which lie on
/// the store's file system: this fits into the one block that ext4 has for them, with room for the marks of overlayfs.
const MAX_ALL: usize = 3 << 10;

/// What ext4 takes for each of them beside what EROFS does.
const EACH: usize = 12;

/// What an attribute takes in memory besides its bytes, about.
const COST: usize = 96;

/// What the first one takes besides that.
const FIRST: usize = 320;

/// What stands before the attributes of an inode.
pub(crate) const HEADER: usize = 12;

/// The prefixes that have a number. The access lists are whole names.
const PREFIXES: [(&[u8], u8, bool); 5] = [
    (b"user.", 1, false),
    (b"system.posix_acl_access", 2, true),
    (b"system.posix_acl_default", 3, true),
    (b"trusted.", 4, false),
    (b"security.", 6, false),
];

/// Why an attribute can't be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttributeError {
    /// EROFS has no number for its namespace.
    #[error("is of a kind that EROFS does not know")]
    Namespace,
    /// No name is left behind the namespace, or the name is longer than 255 bytes or holds a NUL.
    #[error("is malformed or too long")]
    Name,
    /// The value, or all attributes together, are longer than there is room for.
    #[error("is more than this file system can hold")]
    TooLong,
}

/// A name and its value.
type Attribute = (Box<[u8]>, Box<[u8]>);

/// The attributes of one inode, sorted by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributes {
    all: Vec<Attribute>,
    /// What they take behind their header.
    size: usize,
    /// The bytes of their names and values.
    held: usize,
}

impl Attributes {
    /// Adds an attribute, or replaces it.
    pub(crate) fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), AttributeError> {
        let (_, rest) = split(name)?;
        if name.len() > MAX_NAME || name.contains(&0) {
            return Err(AttributeError::Name);
        }
        let place = self.all.binary_search_by(|(known, _)| (**known).cmp(name));
        let old = place.map_or(0, |at| length(&self.all[at].0, &self.all[at].1));
        let size = self.size - old + entry_length(rest, value);
        let count = self.all.len() + usize::from(place.is_err());
        if size + count * EACH > MAX_ALL {
            return Err(AttributeError::TooLong);
        }
        self.size = size;
        match place {
            Ok(at) => {
                self.held = self.held - self.all[at].1.len() + value.len();
                self.all[at].1 = value.into();
            }
            Err(at) => {
                self.held += name.len() + value.len();
                self.all.insert(at, (name.into(), value.into()));
            }
        }
        Ok(())
    }

    #[cfg(test)]
    fn get(&self, name: &[u8]) -> Option<&[u8]> {
        let at = self.all.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        Some(&self.all[at].1)
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&[u8]) -> bool) {
        self.all.retain(|(name, _)| keep(name));
        self.size = self.all.iter().map(|(name, value)| length(name, value)).sum();
        self.held = self.all.iter().map(|(name, value)| name.len() + value.len()).sum();
    }

    /// What they take in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        FIRST + self.all.len() * COST + self.held
    }

    /// What they take beside the inode.
    pub(crate) fn size(&self) -> usize {
        if self.all.is_empty() { 0 } else { HEADER + self.size }
    }

    /// The number by which an inode tells their size.
    pub(crate) fn count(&self) -> u16 {
        match self.size() {
            0 => 0,
            // `set` has seen to it that it fits.
            size => u16::try_from((size - HEADER) / 4 + 1).unwrap_or(u16::MAX),
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        if self.all.is_empty() {
            return;
        }
        // No filter of names, no shared attributes.
        out.extend_from_slice(&[0; HEADER]);
        for (name, value) in &self.all {
            let Ok((index, rest)) = split(name) else { continue };
            let start = out.len();
            // Both were held against their limits by `set`.
            out.push(u8::try_from(rest.len()).unwrap_or(u8::MAX));
            out.push(index);
            out.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
            out.extend_from_slice(rest);
            out.extend_from_slice(value);
            out.resize(start + entry_length(rest, value), 0);
        }
    }
}

/// The number of a name's namespace, and what follows it.
fn split(name: &[u8]) -> Result<(u8, &[u8]), AttributeError> {
    for (prefix, index, is_whole) in PREFIXES {
        match name.strip_prefix(prefix) {
            Some(b"") if !is_whole => return Err(AttributeError::Name),
            Some(rest) if rest.is_empty() == is_whole => return Ok((index, rest)),
            _ => {}
        }
    }
    Err(AttributeError::Namespace)
}

fn length(name: &[u8], value: &[u8]) -> usize {
    split(name).map_or(0, |(_, rest)| entry_length(rest, value))
}

fn entry_length(rest: &[u8], value: &[u8]) -> usize {
    (4 + rest.len() + value.len()).next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_by_their_namespace() {
        let mut attributes = Attributes::default();
        for name in ["user.a", "trusted.overlay.opaque", "security.capability", "system.posix_acl_access"] {
            assert_eq!(attributes.set(name.as_bytes(), b"v"), Ok(()), "{name}");
            assert_eq!(attributes.get(name.as_bytes()), Some(&b"v"[..]));
        }
        for (name, error) in [
            ("user.", AttributeError::Name),
            ("user.a\0b", AttributeError::Name),
            ("system.other", AttributeError::Namespace),
            ("system.posix_acl_access2", AttributeError::Namespace),
            ("com.apple.quarantine", AttributeError::Namespace),
            ("", AttributeError::Namespace),
        ] {
            assert_eq!(attributes.set(name.as_bytes(), b"v"), Err(error), "{name:?}");
        }
        let longest = [&b"user."[..], &[b'n'; 250]].concat();
        assert_eq!(attributes.set(&longest, b"v"), Ok(()));
        assert_eq!(attributes.set(&[&longest[..], b"n"].concat(), b"v"), Err(AttributeError::Name));
    }

    #[test]
    fn their_size_is_what_they_take() {
        let mut attributes = Attributes::default();
        assert_eq!((attributes.size(), attributes.count()), (0, 0));
        for (name, value) in
            [("user.a", "1"), ("user.ab", "12"), ("user.abc", ""), ("system.posix_acl_default", "12345")]
        {
            attributes.set(name.as_bytes(), value.as_bytes()).unwrap();
            let mut bytes = Vec::new();
            attributes.encode(&mut bytes);
            assert_eq!(bytes.len(), attributes.size());
            assert_eq!(usize::from(attributes.count() - 1) * 4 + HEADER, bytes.len());
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let mut attributes = Attributes::default();
        assert_eq!(attributes.set(b"user.a", &[0; MAX_ALL]), Err(AttributeError::TooLong));
        const QUARTER: usize = MAX_ALL / 4 - EACH;
        for name in ["user.1", "user.2", "user.3", "user.4"] {
            assert!(attributes.set(name.as_bytes(), &[0; QUARTER - 8]).is_ok());
        }
        let (size, bytes) = (attributes.size(), attributes.bytes());
        assert_eq!(attributes.set(b"user.5", &[0; 64]), Err(AttributeError::TooLong));
        assert_eq!((attributes.size(), attributes.bytes()), (size, bytes));
        // Replaced, one takes no more than before.
        assert_eq!(attributes.set(b"user.1", &[1; QUARTER - 8]), Ok(()));
        assert_eq!((attributes.size(), attributes.bytes()), (size, bytes));
        attributes.retain(|name| name == b"user.2");
        assert_eq!((attributes.size(), attributes.get(b"user.1")), (HEADER + QUARTER, None));
    }
}
