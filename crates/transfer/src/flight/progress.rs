//! How far a flight is, as its parts report it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::event::Phase;

/// Counters that the parts of a flight move, and that its leader reads now and then: reporting costs the hot path an addition.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) total: u64,
    /// Bytes that have come, earlier attempts included.
    pub(super) received: AtomicU64,
    /// Bytes that have been decompressed.
    pub(super) consumed: AtomicU64,
    retrying: Mutex<Option<(u64, String)>>,
}

impl Progress {
    pub(super) fn new(total: u64) -> Self {
        Self { total, ..Self::default() }
    }

    /// Says that the registry will be asked again, or that it has been.
    fn set_retrying(&self, retrying: Option<(u64, String)>) {
        *self.retrying.lock().unwrap_or_else(PoisonError::into_inner) = retrying;
    }

    /// Waits, and says meanwhile that the registry will be asked again, and why.
    pub(super) async fn retrying_during(&self, wait: Duration, why: String) {
        // Rounded up: nobody is told to wait for no time at all.
        self.set_retrying(Some((wait.as_secs() + 1, why)));
        tokio::time::sleep(wait).await;
        self.set_retrying(None);
    }

    pub(super) fn phase(&self) -> Phase {
        let retrying = self.retrying.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((seconds, reason)) = &*retrying {
            return Phase::Retrying { seconds: *seconds, reason: reason.clone() };
        }
        let (done, total) = (self.received.load(Ordering::Relaxed), self.total);
        if done < total {
            return Phase::Fetching { done, total };
        }
        Phase::Unpacking { done: self.consumed.load(Ordering::Relaxed).min(total), total }
    }
}
