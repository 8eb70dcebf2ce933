//! Grants: what a registry has accepted before, so that it need not ask again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderValue;
use layer_digest::Digest;
use tokio::sync::Semaphore;
use tokio::time::{Duration, Instant};

use super::{Challenge, Credentials};
use crate::error::RegistryError;

/// How many repositories and accounts are remembered before those that nobody uses are dropped.
const MAX_UNUSED: usize = 256;

/// Every grant of a client.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    registry: String,
    scope: String,
    account: Digest,
}

impl Grants {
    /// The place of the grant for `scope` at `registry`, shared by all who show the same credentials.
    pub(crate) fn slot(&self, registry: &str, scope: &str, credentials: &Credentials) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MAX_UNUSED {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        let account = credentials.fingerprint();
        let key = Key { registry: registry.to_owned(), scope: scope.to_owned(), account };
        Arc::clone(slots.entry(key).or_default())
    }
}

/// A header that a registry should accept.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    pub(crate) header: HeaderValue,
    /// When to get another one; `None` for one that lasts.
    pub(crate) expires: Option<Instant>,
}

impl Issued {
    /// One that lasts until the registry says otherwise.
    pub(crate) fn lasting(header: HeaderValue) -> Self {
        Self { header, expires: None }
    }

    /// One that is good for `lifetime`, less a tenth: a token should not run out on its way.
    pub(crate) fn expiring(header: HeaderValue, lifetime: Duration) -> Self {
        Self { header, expires: Instant::now().checked_add(lifetime / 10 * 9) }
    }
}

/// What came of the latest application.
type Outcome = Result<Option<Issued>, Arc<RegistryError>>;

/// The place of one grant.
#[derive(Debug)]
pub(crate) struct Slot {
    /// One application at a time.
    gate: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// How many applications have come to an end.
    round: u64,
    latest: Outcome,
    /// What the registry asked for last.
    challenges: Vec<Challenge>,
}

impl Default for Slot {
    fn default() -> Self {
        let state = State { round: 0, latest: Ok(None), challenges: Vec::new() };
        Self { gate: Semaphore::new(1), state: Mutex::new(state) }
    }
}

/// What a request finds in a slot before it is sent.
#[derive(Debug)]
pub(crate) struct Look {
    /// To be handed to [`Slot::renew`], should the registry refuse.
    pub(crate) round: u64,
    /// What to show.
    pub(crate) header: Option<HeaderValue>,
    /// The challenges to meet first, when what there was has run out.
    pub(crate) expired: Option<Vec<Challenge>>,
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What there is to show now.
    pub(crate) fn look(&self) -> Look {
        let state = self.state();
        let issued = state.latest.as_ref().ok().and_then(Option::as_ref);
        let expired = issued.is_some_and(|issued| issued.expires.is_some_and(|expires| expires <= Instant::now()));
        Look {
            round: state.round,
            header: issued.filter(|_| !expired).map(|issued| issued.header.clone()),
            expired: expired.then(|| state.challenges.clone()),
        }
    }

    /// Gets a new grant for a request that looked at `round`, by `apply`.
    ///
    /// Of all the requests that find at the same time that their grant is no longer good, one applies; the others wait and take what came of
    /// it, be it a grant or a failure. When the one gives up waiting, the next applies.
    pub(crate) async fn renew(
        &self,
        round: u64,
        challenges: Vec<Challenge>,
        apply: impl AsyncGrant,
    ) -> Result<Option<HeaderValue>, Arc<RegistryError>> {
        let _one = self.gate.acquire().await;
        let header = |outcome: &Outcome| match outcome {
            Ok(issued) => Ok(issued.as_ref().map(|issued| issued.header.clone())),
            Err(error) => Err(Arc::clone(error)),
        };
        {
            let state = self.state();
            if state.round != round {
                return header(&state.latest);
            }
        }
        let outcome = apply.await.map_err(Arc::new);
        let mut state = self.state();
        state.round += 1;
        state.latest = outcome;
        state.challenges = challenges;
        header(&state.latest)
    }
}

/// The future of an application.
pub(crate) trait AsyncGrant: Future<Output = Result<Option<Issued>, RegistryError>> {}

impl<F: Future<Output = Result<Option<Issued>, RegistryError>>> AsyncGrant for F {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn issued(text: &'static str) -> Issued {
        Issued::lasting(HeaderValue::from_static(text))
    }

    fn failure() -> RegistryError {
        RegistryError::BadRequest { what: "tag", text: "x".to_owned() }
    }

    #[tokio::test]
    async fn one_applies_and_all_take_what_comes() {
        for fails in [false, true] {
            let slot = Arc::new(Slot::default());
            let applications = Arc::new(AtomicUsize::new(0));
            let looks: Vec<_> = (0..32).map(|_| slot.look().round).collect();
            let waiters: Vec<_> = looks
                .into_iter()
                .map(|round| {
                    let (slot, applications) = (Arc::clone(&slot), Arc::clone(&applications));
                    tokio::spawn(async move {
                        let apply = async {
                            applications.fetch_add(1, Ordering::Relaxed);
                            tokio::task::yield_now().await;
                            if fails { Err(failure()) } else { Ok(Some(issued("one"))) }
                        };
                        slot.renew(round, Vec::new(), apply).await
                    })
                })
                .collect();
            for waiter in waiters {
                let outcome = waiter.await.unwrap();
                assert_eq!(outcome.is_err(), fails);
                assert!(fails || outcome.unwrap().unwrap() == "one");
            }
            assert_eq!(applications.load(Ordering::Relaxed), 1);
        }
    }

    #[tokio::test]
    async fn a_failure_is_no_grant_for_those_who_come_later() {
        let slot = Slot::default();
        slot.renew(0, Vec::new(), async { Err(failure()) }).await.unwrap_err();
        let look = slot.look();
        assert!(look.header.is_none() && look.expired.is_none());
        let outcome = slot.renew(look.round, Vec::new(), async { Ok(Some(issued("two"))) }).await;
        assert_eq!(outcome.unwrap().unwrap(), "two");
    }

    #[tokio::test]
    async fn one_that_leaves_does_not_strand_the_others() {
        let slot = Slot::default();
        let left = slot.renew(0, Vec::new(), std::future::pending());
        assert!(tokio::time::timeout(Duration::from_millis(1), left).await.is_err());
        let outcome = slot.renew(0, Vec::new(), async { Ok(Some(issued("next"))) }).await;
        assert_eq!(outcome.unwrap().unwrap(), "next");
    }

    #[tokio::test(start_paused = true)]
    async fn what_runs_out_is_not_shown() {
        let slot = Slot::default();
        let header = HeaderValue::from_static("short");
        let challenges = super::super::challenges(&http::HeaderMap::from_iter([(
            http::header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=x"),
        )]));
        slot.renew(0, challenges.clone(), async { Ok(Some(Issued::expiring(header, Duration::from_secs(100)))) })
            .await
            .unwrap();
        tokio::time::advance(Duration::from_secs(89)).await;
        assert!(slot.look().header.is_some());
        tokio::time::advance(Duration::from_secs(2)).await;
        let look = slot.look();
        assert!(look.header.is_none());
        assert_eq!(look.expired, Some(challenges));
    }

    #[test]
    fn grants_are_kept_apart_by_registry_scope_and_account() {
        let grants = Grants::default();
        let bot = Credentials::basic("bot", "1");
        let slot = grants.slot("r", "s", &bot);
        assert!(Arc::ptr_eq(&slot, &grants.slot("r", "s", &bot)));
        for other in [
            grants.slot("q", "s", &bot),
            grants.slot("r", "t", &bot),
            grants.slot("r", "s", &Credentials::basic("bot", "wrong")),
            grants.slot("r", "s", &Credentials::default()),
        ] {
            assert!(!Arc::ptr_eq(&slot, &other));
        }
        for number in 0..3 * MAX_UNUSED {
            grants.slot(&number.to_string(), "s", &bot);
        }
        assert!(grants.slots.lock().unwrap().len() <= MAX_UNUSED);
        assert!(Arc::ptr_eq(&slot, &grants.slot("r", "s", &bot)));
    }
}
