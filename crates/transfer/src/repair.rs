//! Bringing single parts of an image anew, without resolving its name: what was found to be damaged or missing.

use std::sync::Arc;

use layer_digest::{BlobId, DiffId};
use layer_oci::{Descriptor, media_type};
use layer_reference::Repository;
use layer_registry::{Credentials, ManifestAt};
use layer_store::StagedLayer;

use crate::flight::{Job, unpack_again};
use crate::{LayerError, PullCause, Transfer};

/// The largest config that is taken, as of a pull.
const MAX_CONFIG: u64 = 8 << 20;

impl Transfer {
    /// Fetches an index, a manifest or a config from `repository`, proves it, and puts it in the place of what the store has of it.
    ///
    /// # Errors
    ///
    /// When the registry doesn't give it, or the disk is full or fails.
    pub async fn bring_document(
        &self,
        repository: &Repository,
        credentials: Option<Credentials>,
        descriptor: &Descriptor,
    ) -> Result<(), PullCause> {
        let client = self.inner.client.repository(repository, credentials);
        let kind = descriptor.media_type.as_str();
        let bytes = if media_type::is_index(kind) || media_type::is_manifest(kind) {
            client.manifest(&ManifestAt::Digest(descriptor.digest)).await?.bytes
        } else {
            client.small_blob(&descriptor.digest, descriptor.size, MAX_CONFIG).await?
        };
        let (store, id) = (Arc::clone(&self.inner.store), BlobId(descriptor.digest));
        let keep = tokio::task::spawn_blocking(move || store.put_blob(id, &bytes));
        Ok(keep.await.map_err(|error| PullCause::Task(error.into()))??)
    }

    /// Sees to it that a blob and the layer in it are in the store, whole: what is marked as damaged, or missing, is brought anew. The network is used
    /// only if the blob has to be. Whoever calls it holds a lease on both.
    ///
    /// # Errors
    ///
    /// As a pull of the layer, and when a damaged layer is mounted.
    pub async fn bring_layer(
        &self,
        repository: &Repository,
        credentials: Option<Credentials>,
        descriptor: &Descriptor,
        diff: DiffId,
    ) -> Result<(), Arc<LayerError>> {
        let client = self.inner.client.repository(repository, credentials);
        let job = Job { descriptor: descriptor.clone(), client };
        let mut watcher = self.inner.flights.join(&job, Some(diff)).await;
        loop {
            if let (_, Some(end)) = watcher.state() {
                return end;
            }
            watcher.changed().await;
        }
    }

    /// Unpacks a layer once more from its blob in the store, into a folder that nobody else sees, and lists it. It blocks.
    ///
    /// # Errors
    ///
    /// When the blob is missing, damaged or another layer's, or the disk is full or fails.
    pub fn unpack_again(&self, blob: &Descriptor, diff: DiffId) -> Result<StagedLayer, LayerError> {
        unpack_again(&self.inner.store, blob, diff, self.inner.flights.writers())
    }
}
