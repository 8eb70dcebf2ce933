//! One sync of the file system for all who wait for one.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use layer_fs::Dir;

/// Shares syncs: whoever asks while one runs waits for the next, together with all others who came meanwhile. What they wrote before they asked
/// is on disk when their call returns.
///
/// The kernel tells of a write that failed once, to whoever syncs next, and then counts the lost page as clean. So a sync that fails is the end
/// of everything that was being written by then, whoever asked for it: see [`Epoch`].
#[derive(Debug, Default)]
pub(crate) struct GroupSync {
    state: Mutex<State>,
    changed: Condvar,
}

/// The time between two syncs that failed. What was begun in one can't be made durable in a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Epoch(u64);

impl Epoch {
    /// Whether no sync has failed yet.
    pub(crate) fn is_first(self) -> bool {
        self.0 == 0
    }
}

#[derive(Debug, Default)]
struct State {
    running: bool,
    /// How many syncs have begun, and how many of them have ended.
    begun: u64,
    ended: u64,
    /// How many have failed, and what the kernel said the last time.
    failures: u64,
    failure: Option<i32>,
}

impl GroupSync {
    /// The present epoch, to be asked for before something is written.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch(self.lock().failures)
    }

    /// Has the file system of `dir` written to the disk, for something that was begun in the epoch `since`.
    ///
    /// # Errors
    ///
    /// When this sync fails, or another one has since then.
    pub(crate) fn sync(&self, dir: &Dir, since: Epoch) -> io::Result<()> {
        self.share(since, || dir.sync_filesystem())
    }

    fn share(&self, since: Epoch, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut state = self.lock();
        // The one that runs now may have begun before our last write; the next can't have.
        let mine = state.begun + 1;
        while state.ended < mine {
            if state.running {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.running = true;
            state.begun += 1;
            let number = state.begun;
            drop(state);
            let result = sync();
            state = self.lock();
            state.running = false;
            state.ended = number;
            if let Err(error) = result {
                state.failures += 1;
                state.failure = error.raw_os_error();
            }
            self.changed.notify_all();
            break;
        }
        if state.failures == since.0 {
            return Ok(());
        }
        Err(state.failure.map_or_else(|| io::Error::other("the sync failed"), io::Error::from_raw_os_error))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much may be written before the disk is asked to take it.
const AHEAD: u64 = 64 << 20;

/// Has the disk work while much is being written: syncs that nobody waits for, so that the one that somebody waits for finds little left.
///
/// It promises nothing. One of these that fails is a sync that failed for all, as `GroupSync` has it.
#[derive(Clone, Debug)]
pub struct Pace(Arc<Ahead>);

/// What all of them share. It keeps no store open.
#[derive(Debug)]
pub(crate) struct Ahead {
    sync: Arc<GroupSync>,
    root: Dir,
    /// What was written since the last of these syncs began.
    written: AtomicU64,
    running: AtomicBool,
}

impl Ahead {
    pub(crate) fn new(sync: Arc<GroupSync>, root: Dir) -> Self {
        Self { sync, root, written: AtomicU64::new(0), running: AtomicBool::new(false) }
    }
}

impl Pace {
    pub(crate) fn new(ahead: &Arc<Ahead>) -> Self {
        Self(Arc::clone(ahead))
    }

    /// Counts what was written, and begins a sync when it has become much.
    pub fn written(&self, bytes: u64) {
        if self.0.written.fetch_add(bytes, Ordering::Relaxed) + bytes >= AHEAD {
            self.begin();
        }
    }

    /// Begins a sync, unless one of these runs.
    pub fn begin(&self) {
        if self.0.running.swap(true, Ordering::Relaxed) {
            return;
        }
        self.0.written.store(0, Ordering::Relaxed);
        let ahead = Arc::clone(&self.0);
        let sync = move || {
            if let Err(error) = ahead.sync.sync(&ahead.root, ahead.sync.epoch()) {
                tracing::warn!(%error, "a sync ahead of its time failed, which whoever syncs next will hear, too");
            }
            ahead.running.store(false, Ordering::Relaxed);
        };
        if std::thread::Builder::new().name("layerd-sync".to_owned()).spawn(sync).is_err() {
            // Without it all is written when somebody waits for it.
            self.0.running.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_share_few() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = Dir::open(tmp.path()).unwrap();
        let group = GroupSync::default();
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| group.sync(&dir, group.epoch()).unwrap());
            }
        });
        let state = group.state.lock().unwrap();
        assert_eq!(state.begun, state.ended);
        assert!(state.begun >= 1 && state.begun <= 16);
        assert!(!state.running);
    }

    #[test]
    fn much_that_is_written_begins_a_sync_and_little_does_not() {
        let tmp = tempfile::tempdir().unwrap();
        let group = Arc::new(GroupSync::default());
        let pace = Pace::new(&Arc::new(Ahead::new(Arc::clone(&group), Dir::open(tmp.path()).unwrap())));
        let done = |count| {
            let mut state = group.lock();
            while state.ended < count {
                state = group.changed.wait(state).unwrap();
            }
            state.begun
        };
        pace.written(AHEAD - 1);
        assert_eq!(done(0), 0);
        pace.written(1);
        assert_eq!(done(1), 1);
        // The next one counts from there.
        while pace.0.running.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        pace.written(AHEAD - 1);
        assert_eq!(done(1), 1);
        pace.begin();
        assert_eq!(done(2), 2);
    }

    #[test]
    fn a_sync_that_fails_fails_all_that_was_begun_by_then() {
        const EIO: i32 = 5;
        let group = GroupSync::default();
        let (one, other) = (group.epoch(), group.epoch());
        let error = group.share(one, || Err(io::Error::from_raw_os_error(EIO))).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(EIO));
        // The kernel has told it once, and the next sync succeeds: what the other wrote may be lost all the same.
        let error = group.share(other, || Ok(())).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(EIO));
        // What is begun now has nothing to do with it.
        let now = group.epoch();
        assert!(!now.is_first());
        group.share(now, || Ok(())).unwrap();
    }
}
