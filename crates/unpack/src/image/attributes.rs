//! Extended attributes, by the rules that the kernel has for those who set them on a folder's files.

use layer_erofs::{AttributeError, NodeId, Tree};

use super::tree::TOO_MANY_ATTRIBUTES;
use crate::UnpackError;
use crate::left_out::LeftOut;
use crate::marks::steers_overlayfs;
use crate::tar::{Entry, Kind, Shown};

const ACCESS: &[u8] = b"system.posix_acl_access";
const DEFAULT: &[u8] = b"system.posix_acl_default";
const CAPABILITY: &[u8] = b"security.capability";

/// The longest name that the kernel takes (`XATTR_NAME_MAX`).
const MAX_NAME: usize = 255;

/// The longest value that the kernel takes (`XATTR_SIZE_MAX`).
const MAX_VALUE: usize = 1 << 16;

/// Gives a thing the attributes of its entry.
pub(super) fn give(tree: &mut Tree, node: NodeId, entry: &Entry, left_out: &mut LeftOut) -> Result<(), UnpackError> {
    for (name, value) in &entry.xattrs {
        let refused = |why: &str| UnpackError::refused(&entry.path, format!("its attribute `{}` {why}", Shown(name)));
        let malformed = || refused("is malformed or too long");
        // In the order in which the kernel looks at them.
        if name.contains(&0) {
            return Err(refused("has a NUL in its name"));
        }
        if name.len() > MAX_NAME || value.len() > MAX_VALUE {
            return Err(malformed());
        }
        let is_stored = match name.as_slice() {
            ACCESS | DEFAULT => match AccessList::read(value).map_err(|()| malformed())? {
                Read::Foreign => Some(false),
                Read::Nothing => None,
                Read::List(_) if matches!(entry.kind, Kind::Symlink(_)) => Some(false),
                Read::List(_) if name == DEFAULT && entry.kind != Kind::Folder => {
                    return Err(refused("is one that only folders have"));
                }
                Read::List(list) => {
                    let list = list.validate().ok_or_else(malformed)?;
                    if name == ACCESS {
                        let mut looks = tree.looks(node);
                        looks.mode = looks.mode & !0o777 | list.mode;
                        tree.set_looks(node, looks);
                    }
                    // A list that a mode says all of is none.
                    if name == ACCESS && list.is_mode { None } else { Some(true) }
                }
            },
            // The kernel keeps a user's attributes to files and folders.
            name if name.starts_with(b"user.") && !matches!(entry.kind, Kind::File { .. } | Kind::Folder) => {
                Some(false)
            }
            CAPABILITY if !is_capability(value) => return Err(malformed()),
            _ => Some(true),
        };
        match is_stored {
            Some(true) => match tree.set_attribute(node, name, value) {
                Ok(()) => {}
                Err(AttributeError::Namespace) => left_out.add(name, entry),
                Err(AttributeError::Name) => return Err(malformed()),
                Err(AttributeError::TooLong) => return Err(TOO_MANY_ATTRIBUTES),
            },
            Some(false) => left_out.add(name, entry),
            // It takes off what isn't there.
            None => {}
        }
    }
    Ok(())
}

/// Whether a folder keeps an attribute when a later entry says anew how it looks: the marks that this layer's own whiteouts have left.
pub(super) fn stays(name: &[u8]) -> bool {
    let from_entry = name.starts_with(b"user.")
        || (name.starts_with(b"trusted.") && !steers_overlayfs(name))
        || name.starts_with(b"system.")
        || name == CAPABILITY;
    !from_entry
}

/// Whether the kernel would take this for the capabilities of a file (`struct vfs_cap_data`, revisions 2 and 3).
fn is_capability(value: &[u8]) -> bool {
    // All but the revision and one flag must be nothing, and an owner somebody.
    match value.split_first_chunk::<4>() {
        Some(([0 | 1, 0, 0, 2], rest)) => rest.len() == 16,
        Some(([0 | 1, 0, 0, 3], rest)) => rest.len() == 20 && rest[16..] != [0xff; 4],
        _ => false,
    }
}

/// An access list as programs hand it to the kernel: a version, and entries of tag, permissions and ID (`struct posix_acl_xattr_entry`).
struct AccessList<'a>(&'a [u8]);

/// What a value is that should be an access list.
enum Read<'a> {
    /// One of a version that no kernel knows.
    Foreign,
    /// One without entries.
    Nothing,
    List(AccessList<'a>),
}

/// What a list says.
struct Valid {
    /// The permissions that it stands for in a mode.
    mode: u16,
    /// Whether a mode says all that it says.
    is_mode: bool,
}

const VERSION: [u8; 4] = 2u32.to_le_bytes();
const OWNER: u16 = 1;
const USER: u16 = 2;
const GROUP_OWNER: u16 = 4;
const GROUP: u16 = 8;
const MASK: u16 = 16;
const OTHERS: u16 = 32;

impl<'a> AccessList<'a> {
    /// Looks at the form of a value as the kernel does before it looks at whose it is (`posix_acl_from_xattr`).
    fn read(value: &'a [u8]) -> Result<Read<'a>, ()> {
        if value.is_empty() {
            return Ok(Read::Nothing);
        }
        let (version, entries) = value.split_first_chunk::<4>().ok_or(())?;
        if *version != VERSION {
            return Ok(Read::Foreign);
        }
        if entries.is_empty() {
            return Ok(Read::Nothing);
        }
        let is_known = |entry: &[u8]| match u16::from_le_bytes([entry[0], entry[1]]) {
            OWNER | GROUP_OWNER | MASK | OTHERS => true,
            // The last ID is nobody's.
            USER | GROUP => entry[4..] != [0xff; 4],
            _ => false,
        };
        if entries.len().is_multiple_of(8) && entries.chunks_exact(8).all(is_known) {
            Ok(Read::List(Self(entries)))
        } else {
            Err(())
        }
    }

    /// What it says, if it is one by the kernel's rules (`posix_acl_valid`).
    fn validate(&self) -> Option<Valid> {
        // What may come next: the parts of a list stand in one order.
        let mut next = OWNER;
        let (mut owner, mut group, mut others, mut mask) = (0, 0, None, None);
        let mut is_named = false;
        for entry in self.0.chunks_exact(8) {
            let [tag, permissions] = [0, 2].map(|at| u16::from_le_bytes([entry[at], entry[at + 1]]));
            if permissions > 7 {
                return None;
            }
            match tag {
                OWNER if next == OWNER => (owner, next) = (permissions, USER),
                USER if next == USER => is_named = true,
                GROUP_OWNER if next == USER => (group, next) = (permissions, GROUP),
                GROUP if next == GROUP => is_named = true,
                MASK if next == GROUP => (mask, next) = (Some(permissions), OTHERS),
                OTHERS if next == OTHERS || (next == GROUP && !is_named) => (others, next) = (Some(permissions), 0),
                _ => return None,
            }
        }
        let mode = owner << 6 | mask.unwrap_or(group) << 3 | others?;
        Some(Valid { mode, is_mode: mask.is_none() && !is_named })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut bytes = VERSION.to_vec();
        for (tag, permissions, id) in entries {
            bytes.extend_from_slice(&tag.to_le_bytes());
            bytes.extend_from_slice(&permissions.to_le_bytes());
            bytes.extend_from_slice(&id.to_le_bytes());
        }
        bytes
    }

    fn read(value: &[u8]) -> Option<(u16, bool)> {
        match AccessList::read(value) {
            Ok(Read::List(list)) => list.validate().map(|valid| (valid.mode, valid.is_mode)),
            _ => None,
        }
    }

    #[test]
    fn lists_are_read_by_the_rules_of_the_kernel() {
        let nobody = u32::MAX;
        let simple = list(&[(1, 6, nobody), (4, 4, nobody), (32, 0, nobody)]);
        assert_eq!(read(&simple), Some((0o640, true)));
        let full = [(1, 7, nobody), (2, 7, 5), (4, 7, nobody), (8, 1, 6), (16, 5, nobody), (32, 1, nobody)];
        assert_eq!(read(&list(&full)), Some((0o751, false)));
        // Not an owner, in another order, without the mask that named ones need, with permissions that there aren't, for nobody, cut short, too long.
        for bad in [
            &[(4, 4, nobody), (32, 0, nobody)][..],
            &[(4, 4, nobody), (1, 6, nobody), (32, 0, nobody)],
            &[(1, 6, nobody), (2, 6, 5), (4, 4, nobody), (32, 0, nobody)],
            &[(1, 8, nobody), (4, 4, nobody), (32, 0, nobody)],
            &[(1, 6, nobody), (2, 6, nobody), (4, 4, nobody), (16, 7, nobody), (32, 0, nobody)],
            &[(1, 6, nobody), (4, 4, nobody)],
            &[(1, 6, nobody), (4, 4, nobody), (32, 0, nobody), (32, 0, nobody)],
        ] {
            assert_eq!(read(&list(bad)), None, "{bad:?}");
        }
        assert!(AccessList::read(&simple[..simple.len() - 1]).is_err());
        assert!(AccessList::read(&simple[..3]).is_err());
        assert!(matches!(AccessList::read(&simple[1..]), Ok(Read::Foreign)));
        assert!(matches!(AccessList::read(b""), Ok(Read::Nothing)));
        assert!(matches!(AccessList::read(&VERSION), Ok(Read::Nothing)));
    }

    #[test]
    fn capabilities_are_those_that_the_kernel_gives_back() {
        let value = |magic: u32, len: usize| [&magic.to_le_bytes()[..], &vec![0; len]].concat();
        assert!(is_capability(&value(0x0200_0001, 16)) && is_capability(&value(0x0300_0000, 20)));
        for (magic, len) in
            [(0x0200_0001, 20), (0x0300_0000, 16), (0x0200_0002, 16), (0x0200_0101, 16), (0x0100_0000, 8)]
        {
            assert!(!is_capability(&value(magic, len)), "{magic:x}");
        }
        let nobodys = [&value(0x0300_0000, 16)[..], &[0xff; 4]].concat();
        assert!(!is_capability(&nobodys) && !is_capability(b""));
    }
}
