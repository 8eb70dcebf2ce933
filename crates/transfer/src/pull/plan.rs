//! What is there, and what is missing, now that the layers are known by what they hold.

use std::collections::HashSet;
use std::sync::Arc;

use layer_digest::{BlobId, DiffId};
use layer_oci::Descriptor;
use layer_store::{Lease, StoreError};

use super::resolve::Resolved;
use crate::PullCause;
use crate::transfer::Inner;

/// The layers of an image, and the lease on all of it.
pub(super) struct Plan {
    /// Base first, each blob once.
    pub(super) layers: Vec<LayerPlan>,
    pub(super) lease: Lease,
}

/// A layer, and whether the store has it.
pub(super) struct LayerPlan {
    pub(super) descriptor: Descriptor,
    pub(super) diff: DiffId,
    pub(super) exists: bool,
}

impl LayerPlan {
    pub(super) fn blob(&self) -> BlobId {
        BlobId(self.descriptor.digest)
    }
}

/// Has the lease cover the layers, too, and then looks what is there.
pub(super) async fn plan(inner: &Arc<Inner>, resolved: &Resolved, mut lease: Lease) -> Result<Plan, PullCause> {
    let mut seen = HashSet::new();
    let layers = resolved.manifest.layers.iter().zip(&resolved.config.diff_ids);
    let mut layers: Vec<_> = layers
        .filter(|(descriptor, diff)| seen.insert((descriptor.digest, **diff)))
        .map(|(descriptor, diff)| LayerPlan { descriptor: descriptor.clone(), diff: *diff, exists: false })
        .collect();
    let shared = Arc::clone(inner);
    let task = tokio::task::spawn_blocking(move || -> Result<Plan, StoreError> {
        for layer in &mut layers {
            lease.hold_layer(layer.diff);
            layer.exists = shared.flights.is_stored(&layer.descriptor, layer.diff)?;
        }
        Ok(Plan { layers, lease })
    });
    Ok(task.await.map_err(|error| PullCause::Task(error.into()))??)
}
