//! Leases: what an operation uses can't be removed under it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use layer_digest::{BlobId, DiffId};

use crate::Store;

/// What is held, and by how many leases.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    pub(crate) blobs: HashMap<BlobId, usize>,
    pub(crate) layers: HashMap<DiffId, usize>,
}

/// Keeps blobs and layers from being removed, until it is dropped. Hold first, then look whether the thing is there: what is there then, stays.
#[derive(Debug)]
pub struct Lease {
    store: Arc<Store>,
    blobs: Vec<BlobId>,
    layers: Vec<DiffId>,
}

impl Store {
    /// Whether somebody holds this blob.
    pub fn is_leased(&self, id: BlobId) -> bool {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner).blobs.contains_key(&id)
    }

    /// Whether somebody holds this layer.
    pub fn is_layer_leased(&self, id: DiffId) -> bool {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner).layers.contains_key(&id)
    }

    /// A lease on nothing yet.
    pub fn lease(self: &Arc<Self>) -> Lease {
        Lease { store: Arc::clone(self), blobs: Vec::new(), layers: Vec::new() }
    }
}

impl Lease {
    /// Holds a blob, whether or not it is in the store already.
    pub fn hold_blob(&mut self, id: BlobId) {
        let mut leases = self.store.leases.lock().unwrap_or_else(PoisonError::into_inner);
        *leases.blobs.entry(id).or_default() += 1;
        self.blobs.push(id);
    }

    /// Holds a layer, whether or not it is in the store already.
    pub fn hold_layer(&mut self, id: DiffId) {
        let mut leases = self.store.leases.lock().unwrap_or_else(PoisonError::into_inner);
        *leases.layers.entry(id).or_default() += 1;
        self.layers.push(id);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut leases = self.store.leases.lock().unwrap_or_else(PoisonError::into_inner);
        for id in &self.blobs {
            release(&mut leases.blobs, id);
        }
        for id in &self.layers {
            release(&mut leases.layers, id);
        }
    }
}

fn release<K: std::hash::Hash + Eq>(held: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = held.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            held.remove(key);
        }
    }
}
