//! What all pulls of a daemon share.

use std::sync::Arc;

use layer_registry::Client;
use layer_store::Store;
use tokio::runtime::Handle;

use crate::flight::Flights;
use crate::pull::{self, Pull, PullRequest};

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
}

impl Transfer {
    /// Sets pulls up between `client` and `store`. Tasks run on the runtime that this is called on.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn new(store: Arc<Store>, client: Client, limits: Limits) -> Self {
        let flights = Flights::new(Arc::clone(&store), Handle::current(), limits);
        Self { inner: Arc::new(Inner { store, client, flights }) }
    }

    /// Starts to pull an image, in a task of its own. Dropping the [`Pull`] leaves it: layers that nobody else waits for are stopped, and what
    /// has come of them is kept.
    pub fn pull(&self, request: PullRequest) -> Pull {
        pull::start(Arc::clone(&self.inner), request)
    }

    /// Stops all transfers and waits until they have let go of the store. What has come is kept.
    pub async fn shutdown(&self) {
        self.inner.flights.shutdown().await;
    }
}
