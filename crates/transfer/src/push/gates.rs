//! Who may send what now: one blob is sent to a repository by one push at a time, and a bounded number of them to a registry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use layer_digest::Digest;
use layer_registry::PushClient;
use tokio::sync::Semaphore;

/// How many blobs are sent to one registry at a time.
const UPLOADS_PER_REGISTRY: usize = 4;

/// What all pushes of a daemon share.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    registries: Mutex<HashMap<String, Arc<Semaphore>>>,
    blobs: Mutex<HashMap<(String, String, Digest), Arc<Semaphore>>>,
}

impl Gates {
    /// The gate before a registry.
    pub(super) fn registry(&self, client: &PushClient) -> Arc<Semaphore> {
        gate(&self.registries, client.host_key().to_owned(), UPLOADS_PER_REGISTRY)
    }

    /// The gate before a blob in a repository. Who has passed it asks whether the blob is there, as the one before may have sent it.
    pub(super) fn blob(&self, client: &PushClient, digest: Digest) -> Arc<Semaphore> {
        gate(&self.blobs, (client.host_key().to_owned(), client.path().to_owned(), digest), 1)
    }
}

fn gate<K: Eq + std::hash::Hash>(gates: &Mutex<HashMap<K, Arc<Semaphore>>>, key: K, places: usize) -> Arc<Semaphore> {
    let mut gates = gates.lock().unwrap_or_else(PoisonError::into_inner);
    // Those that nobody is at now come back when they are asked for.
    gates.retain(|_, gate| Arc::strong_count(gate) > 1);
    Arc::clone(gates.entry(key).or_insert_with(|| Arc::new(Semaphore::new(places))))
}
