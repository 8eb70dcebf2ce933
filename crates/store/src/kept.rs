//! What was read from files that never change, kept for as long as there is room for it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// Values by key, as long as they take no more than a bound in all.
///
/// What goes when there is no more room is whichever comes first, in an order that means nothing. Lists and sweeps go through everything again
/// and again: to let go of what was not used for the longest time would be to let go of what is needed next.
#[derive(Debug)]
pub(crate) struct Kept<K, V> {
    inner: Mutex<Inner<K, V>>,
    most: usize,
}

#[derive(Debug)]
struct Inner<K, V> {
    values: HashMap<K, (Arc<V>, usize)>,
    /// What all of them take.
    taken: usize,
    /// How often something was forgotten.
    forgotten: u64,
}

impl<K: Copy + Eq + Hash, V> Kept<K, V> {
    /// Keeps values that take `most` bytes in all.
    pub(crate) fn new(most: usize) -> Self {
        Self { inner: Mutex::new(Inner { values: HashMap::new(), taken: 0, forgotten: 0 }), most }
    }

    /// The value of a key: the one that is kept, or the one that `read` gives with the bytes that it takes.
    ///
    /// It is not kept if it takes more than all the room, or something was forgotten while it was read: that may have been this one.
    pub(crate) fn get_or<E>(&self, key: K, read: impl FnOnce() -> Result<(V, usize), E>) -> Result<Arc<V>, E> {
        let kept = self.with(|inner| inner.values.get(&key).map(|(value, _)| Arc::clone(value)).ok_or(inner.forgotten));
        let forgotten = match kept {
            Ok(value) => return Ok(value),
            Err(forgotten) => forgotten,
        };
        let (value, bytes) = read()?;
        let value = Arc::new(value);
        self.with(|inner| {
            if bytes <= self.most && inner.forgotten == forgotten {
                inner.put(key, Arc::clone(&value), bytes, self.most - bytes);
            }
        });
        Ok(value)
    }

    /// The same for something that may not be there.
    pub(crate) fn find<E>(
        &self,
        key: K,
        read: impl FnOnce() -> Result<Option<(V, usize)>, E>,
    ) -> Result<Option<Arc<V>>, E> {
        match self.get_or(key, || read().map_err(Some)?.ok_or(None)) {
            Ok(value) => Ok(Some(value)),
            Err(error) => error.map_or(Ok(None), Err),
        }
    }

    /// Forgets a value, and whatever somebody has read and not put here yet.
    pub(crate) fn forget(&self, key: K) {
        self.with(|inner| {
            inner.forgotten += 1;
            if let Some((_, bytes)) = inner.values.remove(&key) {
                inner.taken -= bytes;
            }
        });
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.with(|inner| inner.values.len())
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner<K, V>) -> T) -> T {
        act(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<K: Eq + Hash, V> Inner<K, V> {
    /// Keeps a value, and no more beside it than there is room for.
    fn put(&mut self, key: K, value: Arc<V>, bytes: usize, room: usize) {
        if let Some((_, before)) = self.values.remove(&key) {
            self.taken -= before;
        }
        if self.taken > room {
            for (_, (_, other)) in self.values.extract_if(|_, _| true) {
                self.taken -= other;
                if self.taken <= room {
                    break;
                }
            }
        }
        self.taken += bytes;
        self.values.insert(key, (value, bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a key had to be read, to a value that takes so many bytes.
    fn reads(kept: &Kept<usize, usize>, key: usize, bytes: usize) -> bool {
        let mut was_read = false;
        let value = kept.get_or(key, || {
            was_read = true;
            Ok::<_, ()>((key, bytes))
        });
        assert_eq!(value.as_deref(), Ok(&key));
        was_read
    }

    fn taken(kept: &Kept<usize, usize>) -> (usize, usize) {
        (kept.len(), kept.inner.lock().unwrap().taken)
    }

    #[test]
    fn what_is_kept_has_its_bound_and_most_of_it_stays() {
        let kept = Kept::new(10 * 100);
        for key in 0..100 {
            assert!(reads(&kept, key, 100) && !reads(&kept, key, 100), "the last one is there");
            assert!(kept.len() <= 10 && taken(&kept).1 <= kept.most);
        }
        assert_eq!(kept.len(), 10);
        // Going through a few more than there is room for finds most of them still there.
        let kept = Kept::new(1000 * 100);
        let found = (0..10 * 1100).filter(|number| !reads(&kept, number % 1100, 100)).count();
        assert!(found > 9 * 1100 / 2, "{found}");
        // A large one takes the place of as many as it must.
        assert!(reads(&kept, 5000, 50 * 1000) && !reads(&kept, 5000, 0));
        assert_eq!(taken(&kept), (501, 1000 * 100));
    }

    #[test]
    fn what_takes_more_than_all_the_room_or_is_forgotten_is_not_kept() {
        let kept = Kept::new(10_000);
        for bytes in [5000, 0, 10_000] {
            assert!(reads(&kept, 1, bytes));
            assert_eq!(taken(&kept), (1, bytes));
            kept.forget(1);
            kept.forget(1);
            assert_eq!(taken(&kept), (0, 0));
        }
        assert!(reads(&kept, 2, 1000));
        // Nothing goes for it.
        for bytes in [10_001, usize::MAX] {
            assert!(reads(&kept, 3, bytes) && reads(&kept, 3, bytes));
            assert_eq!(taken(&kept), (1, 1000));
        }
        assert!(reads(&kept, 3, 9000));
        assert_eq!(taken(&kept), (2, 10_000));
    }

    #[test]
    fn what_was_read_before_it_was_removed_is_not_kept() {
        let kept = Kept::new(1000);
        let removed = || {
            kept.forget(1);
            Ok::<_, ()>((1, 0))
        };
        assert_eq!(kept.get_or(1, removed).as_deref(), Ok(&1));
        assert_eq!(kept.len(), 0);
        assert!(reads(&kept, 1, 0) && !reads(&kept, 1, 0));
    }

    #[test]
    fn of_two_who_read_the_same_one_counts() {
        let kept = Kept::new(1000);
        let other = || {
            assert!(reads(&kept, 1, 300));
            Ok::<_, ()>((1, 200))
        };
        assert_eq!(kept.get_or(1, other).as_deref(), Ok(&1));
        assert_eq!(taken(&kept), (1, 200));
    }

    #[test]
    fn what_is_not_there_or_cannot_be_read_is_asked_for_again() {
        let kept = Kept::<usize, usize>::new(1000);
        assert_eq!(kept.find(1, || Ok::<_, &str>(None)), Ok(None));
        assert_eq!(kept.find(1, || Err("broken")), Err("broken"));
        assert_eq!(kept.find(1, || Ok::<_, &str>(Some((7, 1)))).unwrap().as_deref(), Some(&7));
        assert_eq!(kept.find(1, || Err("broken")).unwrap().as_deref(), Some(&7));
    }
}
