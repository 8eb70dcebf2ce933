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

/// When a value was looked for and not there. What is read after that may be gone before it is put here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(u64);

impl<K: Copy + Eq + Hash, V> Kept<K, V> {
    /// Keeps values that take `most` bytes in all.
    pub(crate) fn new(most: usize) -> Self {
        Self { inner: Mutex::new(Inner { values: HashMap::new(), taken: 0, forgotten: 0 }), most }
    }

    /// The value of a key, or else the moment at which there was none.
    pub(crate) fn get(&self, key: K) -> Result<Arc<V>, Moment> {
        self.with(|inner| {
            let value = inner.values.get(&key).map(|(value, _)| Arc::clone(value));
            value.ok_or(Moment(inner.forgotten))
        })
    }

    /// Keeps a value that takes `bytes`, and was read since `missed`. It is not kept if it takes more than all the room, or something was
    /// forgotten meanwhile: that may have been this one.
    pub(crate) fn put(&self, key: K, value: &Arc<V>, bytes: usize, missed: Moment) {
        self.with(|inner| {
            if bytes > self.most || Moment(inner.forgotten) != missed {
                return;
            }
            if let Some((_, before)) = inner.values.remove(&key) {
                inner.taken -= before;
            }
            let room = self.most - bytes;
            if inner.taken > room {
                for (_, (_, other)) in inner.values.extract_if(|_, _| true) {
                    inner.taken -= other;
                    if inner.taken <= room {
                        break;
                    }
                }
            }
            inner.taken += bytes;
            inner.values.insert(key, (Arc::clone(value), bytes));
        });
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

#[cfg(test)]
mod tests {
    use super::*;

    fn put(kept: &Kept<usize, usize>, key: usize, bytes: usize) {
        let missed = kept.get(key).err().unwrap_or(Moment(kept.inner.lock().unwrap().forgotten));
        kept.put(key, &Arc::new(key), bytes, missed);
    }

    fn taken(kept: &Kept<usize, usize>) -> (usize, usize) {
        (kept.len(), kept.inner.lock().unwrap().taken)
    }

    #[test]
    fn what_is_kept_has_its_bound_and_most_of_it_stays() {
        let kept = Kept::new(10 * 100);
        for key in 0..100 {
            put(&kept, key, 100);
            assert_eq!(kept.get(key).as_deref(), Ok(&key), "the last one is there");
            assert!(kept.len() <= 10 && taken(&kept).1 <= kept.most);
        }
        assert_eq!(kept.len(), 10);
        // Going through a few more than there is room for finds most of them still there.
        let kept = Kept::new(1000 * 100);
        let mut found = 0;
        for round in 0..10 {
            for key in 0..1100 {
                match kept.get(key) {
                    Ok(_) if round > 0 => found += 1,
                    Ok(_) => {}
                    Err(missed) => kept.put(key, &Arc::new(key), 100, missed),
                }
            }
        }
        assert!(found > 9 * 1100 / 2, "{found}");
        // A large one takes the place of as many as it must.
        put(&kept, 5000, 50 * 1000);
        assert_eq!((kept.get(5000).as_deref(), taken(&kept)), (Ok(&5000), (501, 1000 * 100)));
    }

    #[test]
    fn what_is_put_again_or_forgotten_is_counted_once_or_not_at_all() {
        let kept = Kept::new(10_000);
        for bytes in [5000, 0, 3000, 4000] {
            put(&kept, 1, bytes);
            assert_eq!(taken(&kept), (1, bytes));
        }
        put(&kept, 2, 1000);
        kept.forget(1);
        kept.forget(1);
        assert_eq!(taken(&kept), (1, 1000));
        // What takes more than all the room is not kept, and nothing goes for it.
        for bytes in [10_001, usize::MAX] {
            put(&kept, 3, bytes);
            assert_eq!((kept.get(3).is_ok(), taken(&kept)), (false, (1, 1000)));
        }
        put(&kept, 3, 9000);
        assert_eq!(taken(&kept), (2, 10_000));
        put(&kept, 3, 10_000);
        assert_eq!((kept.get(2).is_ok(), taken(&kept)), (false, (1, 10_000)));
    }

    #[test]
    fn what_was_read_before_it_was_removed_is_not_kept() {
        let kept = Kept::new(1000);
        let missed = kept.get(1).unwrap_err();
        kept.forget(1);
        kept.put(1, &Arc::new(1), 0, missed);
        assert!(kept.get(1).is_err());
        put(&kept, 1, 0);
        assert!(kept.get(1).is_ok());
    }
}
