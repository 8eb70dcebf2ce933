//! One sync of the file system for all who wait for one.

use std::io;
use std::sync::{Condvar, Mutex, PoisonError};

use layer_fs::Dir;

/// Shares syncs: whoever asks while one runs waits for the next, together with all others who came meanwhile. What they wrote before they asked
/// is on disk when their call returns.
#[derive(Debug, Default)]
pub(crate) struct GroupSync {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    running: bool,
    /// How many syncs have begun, and how many of them have ended.
    begun: u64,
    ended: u64,
    /// The outcome of the last few failures, by number: a waiter must not take another's success for its own.
    failed: Vec<(u64, String)>,
}

impl GroupSync {
    /// Has the file system of `dir` written to the disk.
    pub(crate) fn sync(&self, dir: &Dir) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // The one that runs now may have begun before our last write; the next can't have.
        let mine = state.begun + 1;
        loop {
            if state.ended >= mine {
                return match state.failed.iter().find(|(number, _)| *number == mine) {
                    Some((_, text)) => Err(io::Error::other(text.clone())),
                    None => Ok(()),
                };
            }
            if !state.running {
                state.running = true;
                state.begun += 1;
                let number = state.begun;
                drop(state);
                let result = dir.sync_filesystem();
                state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.running = false;
                state.ended = number;
                if let Err(error) = &result {
                    state.failed.retain(|(old, _)| old + 16 > number);
                    state.failed.push((number, error.to_string()));
                }
                self.changed.notify_all();
                return result;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
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
                scope.spawn(|| group.sync(&dir).unwrap());
            }
        });
        let state = group.state.lock().unwrap();
        assert_eq!(state.begun, state.ended);
        assert!(state.begun >= 1 && state.begun <= 16);
        assert!(!state.running);
    }
}
