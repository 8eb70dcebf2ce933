//! The last step: the documents are kept, the layers are held against each other, and the name moves.

use std::sync::Arc;

use layer_digest::{BlobId, Digest, ImageId};
use layer_reference::Reference;
use layer_store::{Store, StoredImage};

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
        // What a digest names is here if the repository has it here, by whatever name.
        let is_known = name.digest().is_some() && is_known(store, &name, resolved.top.digest);
        let before = store.set_name(&name, &resolved.top)?;
        let unchanged = is_known || before.is_some_and(|before| before.digest == resolved.top.digest);
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

/// Whether an image has a name in the repository of `name`.
fn is_known(store: &Store, name: &Reference, image: Digest) -> bool {
    let named = |known: &StoredImage| known.names.iter().any(|it| it.reference.repository() == name.repository());
    store.image(image).as_ref().is_some_and(named)
}
