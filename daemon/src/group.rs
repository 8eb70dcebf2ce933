//! From the name of a group to its number.

use std::fs;
use std::io;

/// Where groups are listed. Groups that only a directory service knows can be given by number.
const GROUPS: &str = "/etc/group";

/// The number of a group; `None` if there is none of that name. A number stands for itself.
pub(crate) fn number_of(name: &str) -> io::Result<Option<u32>> {
    if let Ok(number) = name.parse() {
        return Ok(Some(number));
    }
    match fs::read(GROUPS) {
        Ok(bytes) => Ok(find(&bytes, name)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Spec: group(5).
fn find(list: &[u8], name: &str) -> Option<u32> {
    list.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let is_it = fields.next() == Some(name.as_bytes());
        let number = fields.nth(1)?;
        if is_it { std::str::from_utf8(number).ok()?.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_by_their_whole_name() {
        let list = b"root:x:0:\nlayerd2:x:7:\nlayer\xff:x:8:\nlayerd:x:991:alice,bob\nbroken\nodd:x:y:\n";
        assert_eq!(find(list, "layerd"), Some(991));
        assert_eq!(find(list, "root"), Some(0));
        for none in ["layer", "odd", "broken", "", "alice"] {
            assert_eq!(find(list, none), None, "{none}");
        }
    }

    #[test]
    fn a_number_needs_no_list() {
        assert_eq!(number_of("4711").unwrap(), Some(4711));
        assert_eq!(number_of("root").unwrap(), Some(0));
    }
}
