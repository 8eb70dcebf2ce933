//! Places: how much is fetched at once, from one registry and in all.
//!
//! Every registry has one place that no other can take, so that registries which are silent, however many, never hold up a pull from one that
//! isn't. Further places come from what all registries share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::transfer::Limits;

/// How many segments may be held in memory before their turn comes, in all flights together; see [`super::ranges`].
const AHEAD: usize = 7;

/// The places of a daemon.
#[derive(Debug)]
pub(super) struct Places {
    limits: Limits,
    shared: Arc<Semaphore>,
    ahead: Arc<Semaphore>,
    registries: Mutex<HashMap<String, Arc<Registry>>>,
}

/// The places at one registry.
#[derive(Debug)]
pub(super) struct Registry {
    /// One for each layer that may be fetched from it at a time.
    layers: Arc<Semaphore>,
    /// The one that doesn't count among all registries.
    own: Arc<Semaphore>,
    shared: Arc<Semaphore>,
    ahead: Arc<Semaphore>,
    connections: AtomicUsize,
    most_connections: usize,
}

/// The right to fetch a layer, over one connection.
#[derive(Debug)]
pub(super) struct Place {
    connection: Connection,
    _permits: (Option<OwnedSemaphorePermit>, Option<OwnedSemaphorePermit>),
}

/// A connection that counts at its registry.
#[derive(Debug)]
pub(super) struct Connection(Arc<Registry>);

impl Places {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            shared: Arc::new(Semaphore::new(limits.downloads)),
            ahead: Arc::new(Semaphore::new(AHEAD)),
            registries: Mutex::default(),
        }
    }

    /// The places at the registry `host`.
    pub(super) fn at(&self, host: &str) -> Arc<Registry> {
        let mut registries = self.registries.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody uses now come back when they are asked for.
        registries.retain(|_, places| Arc::strong_count(places) > 1);
        let new = || {
            Arc::new(Registry {
                layers: Arc::new(Semaphore::new(self.limits.downloads_per_registry.max(1))),
                own: Arc::new(Semaphore::new(1)),
                shared: Arc::clone(&self.shared),
                ahead: Arc::clone(&self.ahead),
                connections: AtomicUsize::new(0),
                most_connections: self.limits.connections_per_registry,
            })
        };
        Arc::clone(registries.entry(host.to_owned()).or_insert_with(new))
    }
}

impl Registry {
    /// A place, if there is one without waiting.
    pub(super) fn try_place(self: &Arc<Self>) -> Option<Place> {
        let layer = Arc::clone(&self.layers).try_acquire_owned().ok()?;
        let among_all =
            Arc::clone(&self.own).try_acquire_owned().or_else(|_| Arc::clone(&self.shared).try_acquire_owned());
        Some(self.taken(Some(layer), Some(among_all.ok()?)))
    }

    /// A place, once there is one. Whoever asks first gets the first. Safe to cancel.
    pub(super) async fn place(self: &Arc<Self>) -> Place {
        // Nobody closes these; if somebody did, there would be no limit.
        let layer = Arc::clone(&self.layers).acquire_owned().await.ok();
        let among_all = tokio::select! {
            biased;
            own = Arc::clone(&self.own).acquire_owned() => own.ok(),
            shared = Arc::clone(&self.shared).acquire_owned() => shared.ok(),
        };
        self.taken(layer, among_all)
    }

    fn taken(self: &Arc<Self>, layer: Option<OwnedSemaphorePermit>, all: Option<OwnedSemaphorePermit>) -> Place {
        self.connections.fetch_add(1, Ordering::AcqRel);
        Place { connection: Connection(Arc::clone(self)), _permits: (layer, all) }
    }
}

impl Place {
    /// A further connection for the same layer, unless the registry has enough of them.
    pub(super) fn connect(&self) -> Option<Connection> {
        let registry = &self.connection.0;
        let more = |open: usize| (open < registry.most_connections).then_some(open + 1);
        registry.connections.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Connection(Arc::clone(registry)))
    }

    /// The room for segments that come before their turn, shared by all flights.
    pub(super) fn ahead(&self) -> &Arc<Semaphore> {
        &self.connection.0.ahead
    }
}

impl Connection {
    /// Whether the registry has more connections than it may, since other layers have come to be fetched from it.
    pub(super) fn is_surplus(&self) -> bool {
        self.0.connections.load(Ordering::Acquire) > self.0.most_connections
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(downloads: usize) -> Places {
        Places::new(Limits { downloads_per_registry: 2, downloads, connections_per_registry: 3 })
    }

    #[tokio::test]
    async fn a_registry_has_a_place_however_many_others_are_silent() {
        let places = places(2);
        let mut silent = Vec::new();
        for number in 0..10 {
            silent.extend(places.at(&format!("silent{number}")).try_place());
        }
        // One each, and all that they share.
        let full: Vec<_> = (0..2).map(|number| places.at(&format!("silent{number}")).try_place().unwrap()).collect();
        assert!(places.at("silent3").try_place().is_none());
        let other = places.at("other");
        let one = other.try_place().unwrap();
        assert!(other.try_place().is_none());
        let waiting = tokio::spawn({
            let other = Arc::clone(&other);
            async move { other.place().await }
        });
        // Whichever place comes back first is taken: the registry's own here.
        drop(one);
        let second = waiting.await.unwrap();
        let waiting = tokio::spawn(async move { other.place().await });
        drop(full);
        waiting.await.unwrap();
        drop(second);
    }

    #[tokio::test]
    async fn connections_are_counted_with_the_layers() {
        let places = places(10);
        let registry = places.at("r");
        let place = registry.try_place().unwrap();
        let (one, two) = (place.connect().unwrap(), place.connect().unwrap());
        assert!(place.connect().is_none());
        assert!(!one.is_surplus());
        let other = registry.try_place().unwrap();
        assert!(registry.try_place().is_none(), "two layers at a time");
        assert!(one.is_surplus());
        drop(one);
        assert!(!two.is_surplus() && other.connect().is_none());
        drop((two, place));
        assert!(other.connect().is_some());
    }
}
