//! Whether a mirror is worth asking: one that is down costs one attempt now and then, not one a request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Duration, Instant};

/// How long a mirror that can't be reached is left alone. A pull takes about as long; a mirror that comes back is soon found.
const DOWN: Duration = Duration::from_secs(60);

/// How long one that answers with troubles of its own is left alone, unless it asks for more.
const BUSY: Duration = Duration::from_secs(10);

/// What is known of one mirror, shared by all requests.
#[derive(Debug)]
pub(crate) struct Health {
    state: Mutex<State>,
    /// How often it went down.
    downs: AtomicU64,
    /// One at a time finds out how a mirror is of which nothing is known.
    gate: Semaphore,
}

#[derive(Debug)]
enum State {
    Unknown,
    Up,
    Down { until: Instant, why: String },
}

/// The right to ask a mirror.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    health: &'a Health,
    /// How often the mirror had gone down by then. What it answers to this one says nothing about what has happened to another since.
    downs: u64,
    /// Held by the one who finds out.
    _gate: Option<SemaphorePermit<'a>>,
}

/// A mirror need not be asked, for the reason that it gave last.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct IsDown(pub(crate) String);

impl Default for Health {
    fn default() -> Self {
        Self { state: Mutex::new(State::Unknown), downs: AtomicU64::new(0), gate: Semaphore::new(1) }
    }
}

impl Health {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is known whether the mirror is up, or gives the right to find out. Safe to cancel.
    pub(crate) async fn enter(&self) -> Result<Pass<'_>, IsDown> {
        if let Some(known) = self.known() {
            return known;
        }
        let gate = self.gate.acquire().await.ok();
        match self.known() {
            Some(known) => known,
            None => Ok(Pass { _gate: gate, ..self.pass() }),
        }
    }

    fn known(&self) -> Option<Result<Pass<'_>, IsDown>> {
        let mut state = self.state();
        let pass = self.pass();
        match &mut *state {
            State::Unknown => None,
            State::Up => Some(Ok(pass)),
            State::Down { until, .. } if *until <= Instant::now() => {
                // This one looks whether it is back; the others go on without it meanwhile.
                *until = Instant::now() + DOWN;
                Some(Ok(pass))
            }
            State::Down { why, .. } => Some(Err(IsDown(why.clone()))),
        }
    }

    fn pass(&self) -> Pass<'_> {
        Pass { health: self, downs: self.downs.load(Ordering::Relaxed), _gate: None }
    }

    /// It could not be reached, or broke off.
    pub(crate) fn went_down(&self, why: String) {
        self.rest(DOWN, why);
    }

    /// It has troubles of its own, and perhaps said how long to leave it alone.
    pub(crate) fn was_busy(&self, asked: Option<Duration>, why: String) {
        self.rest(asked.unwrap_or(BUSY).clamp(BUSY, DOWN), why);
    }

    fn rest(&self, rest: Duration, why: String) {
        let mut state = self.state();
        self.downs.fetch_add(1, Ordering::Relaxed);
        *state = State::Down { until: Instant::now() + rest, why };
    }
}

impl Pass<'_> {
    /// It answered, be it with what was asked for or not.
    pub(crate) fn answered(self) {
        let mut state = self.health.state();
        if self.downs == self.health.downs.load(Ordering::Relaxed) {
            *state = State::Up;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_finds_out_for_all() {
        let health = Arc::new(Health::default());
        let attempts = Arc::new(AtomicUsize::new(0));
        let all: Vec<_> = (0..16)
            .map(|_| {
                let (health, attempts) = (Arc::clone(&health), Arc::clone(&attempts));
                tokio::spawn(async move {
                    if let Ok(pass) = health.enter().await {
                        attempts.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_secs(3)).await;
                        pass.health.went_down("silent".to_owned());
                    }
                })
            })
            .collect();
        for one in all {
            one.await.unwrap();
        }
        assert_eq!(attempts.load(Ordering::Relaxed), 1);
        assert_eq!(health.enter().await.unwrap_err(), IsDown("silent".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_rest_one_looks_again_while_the_others_go_on() {
        let health = Health::default();
        health.went_down("refused".to_owned());
        tokio::time::advance(DOWN).await;
        let first = health.enter().await.unwrap();
        assert!(health.enter().await.is_err());
        first.answered();
        assert!(health.enter().await.is_ok() && health.enter().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_to_an_earlier_request_does_not_bring_it_back() {
        let health = Health::default();
        health.enter().await.unwrap().answered();
        let (earlier, broken) = (health.enter().await.unwrap(), health.enter().await.unwrap());
        health.went_down("broke off".to_owned());
        drop(broken);
        earlier.answered();
        assert_eq!(health.enter().await.unwrap_err(), IsDown("broke off".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_leaves_strands_nobody() {
        let health = Health::default();
        drop(health.enter().await.unwrap());
        assert!(health.enter().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_mirror_rests_as_long_as_it_asks_within_bounds() {
        let health = Health::default();
        for (asked, rest) in [(None, 10), (Some(1), 10), (Some(30), 30), (Some(3600), 60)] {
            health.was_busy(asked.map(Duration::from_secs), "503".to_owned());
            tokio::time::advance(Duration::from_secs(rest - 1)).await;
            assert!(health.enter().await.is_err(), "{asked:?}");
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(health.enter().await.is_ok(), "{asked:?}");
        }
    }
}
