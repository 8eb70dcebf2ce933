//! The last step: the documents are kept, the layers are held against each other, and the name moves.

use std::sync::Arc;

use layer_digest::{BlobId, ImageId};
use layer_reference::Reference;

use super::plan::Plan;
use super::resolve::Resolved;
use crate::PullCause;
use crate::event::Outcome;
use crate::stack::check_stack;
use crate::transfer::{Done, Inner};

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
        let before = store.set_name(&name, &resolved.top)?;
        let unchanged = before.is_some_and(|before| before.digest == resolved.top.digest);
        // Its manifest leads to them, so the repository has them, wherever they came from.
        let parts = plan.layers.iter().map(|layer| layer.blob());
        let parts = parts.chain([BlobId(resolved.manifest.config.digest)]);
        store.learn_sources(&registry, name.repository().path(), parts);
        let image = ImageId(resolved.top.digest);
        store.touch(image);
        let outcome = Outcome { reference: name, image, platform: resolved.platform, updated: fetched || !unchanged };
        shared.done(Done::Pulled(&outcome));
        drop(plan.lease);
        Ok(outcome)
    });
    task.await.map_err(|error| PullCause::Task(error.into()))?
}
