//! Layers that are asked for before the image's config has come.

use std::collections::HashMap;

use layer_digest::{BlobId, DiffId};
use layer_registry::RepositoryClient;

use super::stock::Stock;
use crate::flight::{Job, Watcher};
use crate::transfer::Inner;

/// The flights that a pull has joined without knowing what the blobs must be. Those that nobody takes are left when this is dropped.
#[derive(Debug)]
pub(super) struct Early(HashMap<BlobId, Watcher>);

/// Joins a flight for each blob that isn't stored, base first, or starts one.
pub(super) async fn start(inner: &Inner, client: &RepositoryClient, stock: &Stock) -> Early {
    let mut early = HashMap::new();
    for descriptor in stock.to_fetch() {
        let job = Job { descriptor: descriptor.clone(), client: client.clone() };
        let blob = job.blob();
        early.insert(blob, inner.flights.join(&job, None).await);
    }
    Early(early)
}

impl Early {
    /// The flight of a blob, now that it is known what the blob must be; `None` when there is none, or it goes for something else.
    pub(super) fn take(&mut self, blob: BlobId, diff: DiffId) -> Option<Watcher> {
        self.0.remove(&blob).filter(|watcher| watcher.expect(diff))
    }
}
