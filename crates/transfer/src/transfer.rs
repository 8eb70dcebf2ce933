//! What all pulls of a daemon share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use layer_digest::BlobId;
use layer_registry::Client;
use layer_store::Store;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::PullError;
use crate::flight::Flights;
use crate::pull::{self, Preview, Pull, PullRequest};
use crate::push::{self, Gates, Push, PushRequest};

/// How much happens at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many layers are fetched from one registry at a time. Registries don't count against each other: one that goes silent holds up
    /// nobody else's pulls.
    pub downloads_per_registry: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // More connections bring little on one link, and each layer in flight takes some 10 MiB.
        Self { downloads_per_registry: 4 }
    }
}

/// Brings images into a store. Clones share everything.
#[derive(Clone, Debug)]
pub struct Transfer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) store: Arc<Store>,
    pub(crate) client: Client,
    pub(crate) flights: Flights,
    pub(crate) gates: Gates,
    /// The configs that are being fetched, each by one pull: whoever else wants one waits, and finds it in the store.
    configs: Mutex<HashMap<BlobId, Arc<Semaphore>>>,
}

impl Inner {
    /// The gate before a config that isn't in the store. Who has passed it looks into the store again.
    pub(crate) fn config_gate(&self, id: BlobId) -> Arc<Semaphore> {
        let mut configs = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody waits at now come back when they are asked for.
        configs.retain(|_, gate| Arc::strong_count(gate) > 1);
        Arc::clone(configs.entry(id).or_insert_with(|| Arc::new(Semaphore::new(1))))
    }
}

impl Transfer {
    /// Sets pulls up between `client` and `store`. Tasks run on the runtime that this is called on.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn new(store: Arc<Store>, client: Client, limits: Limits) -> Self {
        let flights = Flights::new(Arc::clone(&store), Handle::current(), limits);
        Self { inner: Arc::new(Inner { store, client, flights, gates: Gates::default(), configs: Mutex::default() }) }
    }

    /// Starts to pull an image, in a task of its own. Dropping the [`Pull`] leaves it: layers that nobody else waits for are stopped, and what
    /// has come of them is kept.
    pub fn pull(&self, request: PullRequest) -> Pull {
        pull::start(Arc::clone(&self.inner), request)
    }

    /// Starts to push images, in a task of its own. Dropping the [`Push`] stops it; what the registry has of it by then, it keeps.
    pub fn push(&self, request: PushRequest) -> Push {
        push::start(Arc::clone(&self.inner), request)
    }

    /// Looks what a pull would do, without doing it: the registry is asked, and nothing is written.
    ///
    /// # Errors
    ///
    /// When the pull would fail before it fetched a layer, room on disk aside.
    pub async fn preview(&self, request: &PullRequest) -> Result<Preview, PullError> {
        pull::preview(&self.inner, request).await
    }

    /// Stops all transfers and waits until they have let go of the store. What has come is kept.
    pub async fn shutdown(&self) {
        self.inner.flights.shutdown().await;
    }
}
