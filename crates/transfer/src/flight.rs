//! Flights: each blob comes in once, for all who wait for it.
//!
//! A flight is led by a task of its own, never by one of those who wait: whoever leaves disturbs nobody. When the last one has left, the flight
//! is cancelled, and what has come of the blob stays where the next flight finds it. A flight is in the table for as long as its threads have
//! the blob's partial file open, so that no two ever write to one.

mod again;
mod fetch;
mod labour;
mod lead;
pub(crate) mod pipeline;
mod places;
mod progress;
mod ranges;

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};

use layer_digest::{BlobId, DiffId};
use layer_oci::Descriptor;
use layer_registry::RepositoryClient;
use layer_store::{Store, StoreError};
use layer_unpack::Writers;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::LayerError;
use crate::event::Phase;
use crate::transfer::Limits;

pub(crate) use again::{unpack_again, unpack_file};

/// How many threads help at most. More of them wait for each other: files are made in one folder one at a time.
const MAX_WRITERS: usize = 4;

/// A blob to bring in.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) descriptor: Descriptor,
    /// Whom to ask for it.
    pub(crate) client: RepositoryClient,
}

impl Job {
    pub(crate) fn blob(&self) -> BlobId {
        BlobId(self.descriptor.digest)
    }
}

type End = Result<(), Arc<LayerError>>;

/// How far a flight is: the latest phase, and its end once it has one.
#[derive(Clone, Debug, Default)]
struct State {
    phase: Option<Phase>,
    end: Option<End>,
}

#[derive(Debug)]
struct Flight {
    /// What the blob must be once decompressed: known as soon as one of those who wait has seen its image's config.
    diff: watch::Sender<Option<DiffId>>,
    state: watch::Sender<State>,
    /// Set when nobody waits any more.
    cancel: CancellationToken,
    /// Set when it has left the table.
    gone: CancellationToken,
}

impl Flight {
    /// Says what the blob must be. The first to say it decides; whether this is what the flight goes for.
    fn expect(&self, diff: DiffId) -> bool {
        let mut agreed = false;
        self.diff.send_if_modified(|known| {
            let is_news = known.is_none();
            agreed = *known.get_or_insert(diff) == diff;
            is_news
        });
        agreed
    }
}

/// The table of flights, and the limits between them. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Flights(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Arc<Store>,
    runtime: Handle,
    labour: labour::Labour,
    places: places::Places,
    writers: Arc<Writers>,
    flights: Mutex<HashMap<BlobId, (Arc<Flight>, usize)>>,
    /// The layers that are being unpacked, each by one flight; two blobs can hold the same layer.
    unpacking: Mutex<HashMap<DiffId, CancellationToken>>,
    shutdown: CancellationToken,
}

/// Somebody who waits for a flight.
#[derive(Debug)]
pub(crate) struct Watcher {
    shared: Arc<Shared>,
    blob: BlobId,
    flight: Arc<Flight>,
    state: watch::Receiver<State>,
    is_leader: bool,
}

impl Flights {
    pub(crate) fn new(store: Arc<Store>, runtime: Handle, limits: Limits) -> Self {
        // Who unpacks makes files, too.
        let processors = std::thread::available_parallelism().map_or(2, NonZero::get);
        Self(Arc::new(Shared {
            store,
            labour: labour::Labour::new(runtime.clone()),
            runtime,
            places: places::Places::new(limits),
            writers: Arc::new(Writers::new(processors.saturating_sub(1).clamp(1, MAX_WRITERS))),
            flights: Mutex::default(),
            unpacking: Mutex::default(),
            shutdown: CancellationToken::new(),
        }))
    }

    /// The threads that help whoever unpacks a layer.
    pub(crate) fn writers(&self) -> &Writers {
        &self.0.writers
    }

    /// Whether the store has a blob, the layer in it, and proof that the one is in the other.
    pub(crate) fn is_stored(&self, descriptor: &Descriptor, diff: DiffId) -> Result<bool, StoreError> {
        let store = &self.0.store;
        Ok(store.has_blob(descriptor)? && store.has_layer(diff)? && store.is_proven(BlobId(descriptor.digest), diff)?)
    }

    /// Whether the store has a blob, and the layer that it is known to hold: all that can be told before the image's config is known.
    pub(crate) fn seems_stored(&self, descriptor: &Descriptor) -> Result<bool, StoreError> {
        match self.0.store.known_diff(BlobId(descriptor.digest)) {
            Some(diff) => self.is_stored(descriptor, diff),
            None => Ok(false),
        }
    }

    /// Joins the flight of a blob, or starts one. Waits only for a flight that is ending in a way that doesn't help this caller.
    ///
    /// `diff` is what the blob must be once decompressed. Without it the flight asks for the blob's bytes, and waits to be told before it does
    /// anything with them: see [`Watcher::expect`].
    pub(crate) async fn join(&self, job: &Job, diff: Option<DiffId>) -> Watcher {
        loop {
            let ending = match self.try_join(job, diff) {
                Ok(watcher) => return watcher,
                Err(flight) => flight,
            };
            ending.gone.cancelled().await;
        }
    }

    fn try_join(&self, job: &Job, diff: Option<DiffId>) -> Result<Watcher, Arc<Flight>> {
        let mut flights = self.0.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((flight, watchers)) = flights.get_mut(&job.blob()) {
            let failed = matches!(flight.state.borrow().end, Some(Err(_)));
            if flight.cancel.is_cancelled() || failed || diff.is_some_and(|diff| !flight.expect(diff)) {
                return Err(Arc::clone(flight));
            }
            *watchers += 1;
            return Ok(self.watcher(job, Arc::clone(flight), false));
        }
        let flight = Arc::new(Flight {
            diff: watch::Sender::new(diff),
            state: watch::Sender::default(),
            cancel: self.0.shutdown.child_token(),
            gone: CancellationToken::new(),
        });
        flights.insert(job.blob(), (Arc::clone(&flight), 1));
        let span = tracing::info_span!("layer", blob = %job.blob(), bytes = job.descriptor.size);
        // Not a child of the pull that happens to come first: the flight may outlive it.
        let lead = lead::lead(Arc::clone(&self.0), Arc::clone(&flight), job.clone());
        self.0.runtime.spawn(lead.instrument(span));
        Ok(self.watcher(job, flight, true))
    }

    fn watcher(&self, job: &Job, flight: Arc<Flight>, is_leader: bool) -> Watcher {
        let state = flight.state.subscribe();
        Watcher { shared: Arc::clone(&self.0), blob: job.blob(), flight, state, is_leader }
    }

    /// After the disk was full: waits until the flights of these blobs that nobody wants any more have let go of what they held, and throws away
    /// what has come of the blobs if the disk is nearly full all the same. Otherwise it is kept, to go on from.
    pub(crate) async fn give_room(&self, blobs: Vec<BlobId>) {
        for blob in &blobs {
            let ending = {
                let flights = self.0.flights.lock().unwrap_or_else(PoisonError::into_inner);
                flights.get(blob).map(|(flight, _)| Arc::clone(flight)).filter(|flight| flight.cancel.is_cancelled())
            };
            if let Some(flight) = ending {
                flight.gone.cancelled().await;
            }
        }
        let shared = Arc::clone(&self.0);
        let discard = move || -> Result<(), StoreError> {
            if !shared.store.is_nearly_full()? {
                return Ok(());
            }
            for blob in blobs {
                // While the table is locked no flight begins, so that nobody opens what is removed.
                let flights = shared.flights.lock().unwrap_or_else(PoisonError::into_inner);
                if !flights.contains_key(&blob) {
                    shared.store.discard_partial(blob)?;
                }
            }
            Ok(())
        };
        match tokio::task::spawn_blocking(discard).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "could not make room"),
            Err(error) => tracing::warn!(%error, "could not make room"),
        }
    }

    /// Cancels all flights, present and future, and waits until the present ones are gone.
    pub(crate) async fn shutdown(&self) {
        self.0.shutdown.cancel();
        loop {
            let some = {
                let flights = self.0.flights.lock().unwrap_or_else(PoisonError::into_inner);
                flights.values().next().map(|(flight, _)| flight.gone.clone())
            };
            match some {
                Some(gone) => gone.cancelled().await,
                None => return,
            }
        }
    }
}

impl Shared {
    /// Claims a layer for unpacking, or gives what to wait for.
    fn claim(self: &Arc<Self>, diff: DiffId) -> Result<Claim, CancellationToken> {
        let mut unpacking = self.unpacking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(done) = unpacking.get(&diff) {
            return Err(done.clone());
        }
        unpacking.insert(diff, CancellationToken::new());
        Ok(Claim { shared: Arc::clone(self), diff })
    }
}

/// The right to unpack a layer. Others wait until it is dropped.
#[derive(Debug)]
struct Claim {
    shared: Arc<Shared>,
    diff: DiffId,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut unpacking = self.shared.unpacking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(done) = unpacking.remove(&self.diff) {
            done.cancel();
        }
    }
}

impl Watcher {
    /// Whether the flight was started for this watcher, with its login.
    pub(crate) fn is_leader(&self) -> bool {
        self.is_leader
    }

    /// Says what the blob must be once decompressed. If the flight goes for something else, which it was told by another pull, it is of no
    /// use to this one.
    pub(crate) fn expect(&self, diff: DiffId) -> bool {
        self.flight.expect(diff)
    }

    /// The latest state, which counts as seen.
    pub(crate) fn state(&mut self) -> (Option<Phase>, Option<End>) {
        let state = self.state.borrow_and_update();
        (state.phase.clone(), state.end.clone())
    }

    /// Waits until there is something new. Safe to cancel.
    pub(crate) async fn changed(&mut self) {
        // The sender lives in the flight, which this watcher holds.
        let _ = self.state.changed().await;
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut flights = self.shared.flights.lock().unwrap_or_else(PoisonError::into_inner);
        // The flight may be gone already, and another one in its place.
        if let Some((flight, watchers)) = flights.get_mut(&self.blob)
            && Arc::ptr_eq(flight, &self.flight)
        {
            *watchers -= 1;
            if *watchers == 0 {
                flight.cancel.cancel();
            }
        }
    }
}
