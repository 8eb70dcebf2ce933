//! Where requests wait until a test lets them go on.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::watched::Watched;

/// How long a test waits for what must happen before it gives up.
const PATIENCE: Duration = Duration::from_secs(180);

/// How often a waiting request looks whether its client is still there.
const GLANCE: Duration = Duration::from_millis(20);

/// A gate, shut when made. Requests that reach it wait; clones are the same gate.
#[derive(Clone)]
pub struct Gate(Arc<Watched<State>>);

struct State {
    arrived: u64,
    admitted: u64,
}

impl Gate {
    /// A shut gate.
    pub fn new() -> Self {
        Self(Arc::new(Watched::new(State { arrived: 0, admitted: 0 })))
    }

    /// Lets everything through, now and later.
    pub fn open(&self) {
        self.0.update(|state| state.admitted = u64::MAX);
    }

    /// Lets `count` more through, in the order of their arrival.
    pub fn admit(&self, count: u64) {
        self.0.update(|state| state.admitted = state.admitted.saturating_add(count));
    }

    /// How many have come here so far.
    pub fn arrived(&self) -> u64 {
        self.0.read(|state| state.arrived)
    }

    /// Blocks until `count` have come here. In a task use [`until`](Self::until).
    ///
    /// # Errors
    /// They didn't within a minute.
    pub fn wait_for(&self, count: u64) -> Result<()> {
        let came = self.0.wait(PATIENCE, |state| state.arrived >= count);
        ensure!(came, "only {} of {count} requests came to the gate", self.arrived());
        Ok(())
    }

    /// Waits until `count` have come here.
    pub async fn until(&self, count: u64) {
        self.0.until(|state| state.arrived >= count).await;
    }

    /// Arrives and waits; false if `gone` held before the gate opened.
    pub(super) fn pass(&self, gone: impl Fn() -> bool) -> bool {
        let ticket = self.0.update(|state| {
            state.arrived += 1;
            state.arrived
        });
        while !self.0.wait(GLANCE, |state| state.admitted >= ticket) {
            if gone() {
                return false;
            }
        }
        true
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Gate({} arrived)", self.arrived())
    }
}
