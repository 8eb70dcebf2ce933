//! The last step: the documents are kept, the layers are held against each other, and the name moves.

use std::os::fd::AsFd as _;
use std::sync::Arc;

use layer_digest::{BlobId, DiffId, ImageId};
use layer_mount::stack::{Gaps, close_gaps, reroute};
use layer_reference::Reference;
use layer_store::Store;

use super::plan::Plan;
use super::resolve::Resolved;
use crate::PullCause;
use crate::event::Outcome;
use crate::stack::stack_layers;
use crate::transfer::Inner;

/// Gives the image its name. Everything it leads to is durable by then.
pub(super) async fn finish(
    inner: &Arc<Inner>,
    reference: &Reference,
    registry: &str,
    resolved: Resolved,
    plan: Plan,
    fetched: bool,
) -> Result<Outcome, PullCause> {
    let (shared, name, registry) = (Arc::clone(inner), reference.clone(), registry.to_owned());
    let task = tokio::task::spawn_blocking(move || -> Result<Outcome, PullCause> {
        let store = &shared.store;
        check_stack(store, &resolved.config.diff_ids)?;
        for (id, bytes) in &resolved.documents {
            store.put_blob(*id, bytes)?;
        }
        let unchanged = store.name(&name).is_some_and(|named| named.target.digest == resolved.top.digest);
        if !unchanged {
            store.set_name(&name, &resolved.top)?;
        }
        // Its manifest leads to them, so the repository has them, wherever they came from.
        let parts = plan.layers.iter().map(|layer| layer.blob());
        let parts = parts.chain([BlobId(resolved.manifest.config.digest)]);
        store.learn_sources(&registry, name.repository().path(), parts);
        let image = ImageId(resolved.top.digest);
        store.touch(image);
        drop(plan.lease);
        Ok(Outcome { reference: name, image, platform: resolved.platform, updated: fetched || !unchanged })
    });
    task.await.map_err(|error| PullCause::Task(error.into()))?
}

/// Sees to it that hard links to files of other layers lead somewhere, which only a whole stack can tell: builds what a mount would need,
/// and throws it away. Images with such links are rare.
fn check_stack(store: &Arc<Store>, diff_ids: &[DiffId]) -> Result<(), PullCause> {
    let layers = stack_layers(store, diff_ids)?;
    if layers.iter().all(|layer| layer.foreign_links.is_empty()) {
        return Ok(());
    }
    let (stage, other) = (store.stage_layer()?, store.stage_layer()?);
    let layers = reroute(layers, other.root(), &other.path())?;
    let stack: Vec<_> = layers.iter().rev().map(|layer| (layer.path.clone(), Gaps::of(layer))).collect();
    close_gaps(&stack, stage.root().as_fd())?;
    Ok(())
}
