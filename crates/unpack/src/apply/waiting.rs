//! Names that can be settled only when the whole layer has been read.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::form::{MAX_UNSETTLED, TOO_MUCH_UNSETTLED, UNSETTLED};

/// What is known of a name so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unsettled {
    /// A folder that exists because something lies in it. An entry for it may come.
    Implied,
    /// A hard link to this path, where nothing was when it came. Nothing is on the disk.
    Link(Vec<u8>),
}

/// The names, by real path.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    names: BTreeMap<Vec<u8>, Unsettled>,
    bytes: usize,
}

impl Waiting {
    /// Adds a name, or replaces what is known of it.
    ///
    /// # Errors
    ///
    /// With the reason when they take too much.
    pub(super) fn add(&mut self, path: Vec<u8>, what: Unsettled) -> Result<(), &'static str> {
        self.remove(&path);
        self.bytes += cost(&path, &what);
        if self.bytes > MAX_UNSETTLED {
            return Err(TOO_MUCH_UNSETTLED);
        }
        self.names.insert(path, what);
        Ok(())
    }

    /// Removes a name: an entry has settled it.
    pub(super) fn remove(&mut self, path: &[u8]) -> Option<Unsettled> {
        let (path, what) = self.names.remove_entry(path)?;
        self.bytes -= cost(&path, &what);
        Some(what)
    }

    /// Removes a name and all below it: the folder is gone.
    pub(super) fn remove_tree(&mut self, path: &[u8]) {
        self.remove(path);
        // The paths below are those that begin with `path/`: all that lie between it and `path0`, as `0` is next to the slash.
        let [first, end] = [b"/", b"0"].map(|last| [path, last].concat());
        let range = (Bound::Included(first), Bound::Excluded(end));
        while let Some((name, _)) = self.names.range(range.clone()).next() {
            let name = name.clone();
            self.remove(&name);
        }
    }

    /// The target of the hard link that waits at `path`.
    pub(super) fn link(&self, path: &[u8]) -> Option<&[u8]> {
        match self.names.get(path) {
            Some(Unsettled::Link(target)) => Some(target),
            _ => None,
        }
    }

    /// The folders that no entry has named, in order.
    pub(super) fn into_implied(self) -> Vec<Vec<u8>> {
        let implied = self.names.into_iter().filter(|(_, what)| *what == Unsettled::Implied);
        implied.map(|(path, _)| path).collect()
    }

    /// All names, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &Unsettled)> {
        self.names.iter().map(|(path, what)| (path.as_slice(), what))
    }
}

fn cost(path: &[u8], what: &Unsettled) -> usize {
    let target = match what {
        Unsettled::Implied => 0,
        Unsettled::Link(target) => target.len(),
    };
    UNSETTLED + path.len() + target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_goes_as_a_whole_and_nothing_beside_it() {
        let mut waiting = Waiting::default();
        for path in ["", "a", "a-b", "a/b", "a/b/c", "a0", "b"] {
            waiting.add(path.into(), Unsettled::Implied).unwrap();
        }
        waiting.add(b"a/l".to_vec(), Unsettled::Link(b"x".to_vec())).unwrap();
        assert_eq!(waiting.link(b"a/l"), Some(&b"x"[..]));
        waiting.remove_tree(b"a");
        let left: Vec<_> = waiting.iter().map(|(path, _)| path.to_vec()).collect();
        assert_eq!(left, [&b""[..], b"a-b", b"a0", b"b"]);
        for path in left {
            assert_eq!(waiting.remove(&path), Some(Unsettled::Implied));
        }
        assert_eq!(waiting.bytes, 0);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut waiting = Waiting::default();
        let path = |at: u32| [&at.to_be_bytes()[..], &[b'x'; 4000]].concat();
        let first_refused = (0..10_000).find(|at| waiting.add(path(*at), Unsettled::Implied).is_err()).unwrap();
        assert_eq!(first_refused as usize, MAX_UNSETTLED / (4004 + UNSETTLED));
        // The same name over and over is one name.
        let mut waiting = Waiting::default();
        for _ in 0..10_000 {
            waiting.add(path(0), Unsettled::Link(vec![0; 4000])).unwrap();
        }
    }
}
