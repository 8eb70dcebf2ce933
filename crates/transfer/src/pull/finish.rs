//! The last step: the documents are kept, the layers are held against each other, and the name moves.

use std::os::fd::AsFd as _;
use std::sync::Arc;

use layer_digest::{DiffId, ImageId};
use layer_mount::stack::{ForeignLink, Gaps, close_gaps};
use layer_reference::Reference;
use layer_store::{Store, StoreError};

use super::plan::Plan;
use super::resolve::Resolved;
use crate::PullCause;
use crate::event::Outcome;
use crate::transfer::Inner;

/// Gives the image its name. Everything it leads to is durable by then.
pub(super) async fn finish(
    inner: &Arc<Inner>,
    reference: &Reference,
    resolved: Resolved,
    plan: Plan,
    fetched: bool,
) -> Result<Outcome, PullCause> {
    let (shared, name) = (Arc::clone(inner), reference.clone());
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
    let layer = |id: &DiffId| store.layer(*id)?.ok_or(StoreError::NoLayer(*id));
    let layers = diff_ids.iter().rev().map(layer).collect::<Result<Vec<_>, StoreError>>()?;
    if layers.iter().all(|layer| layer.record.foreign_links.is_empty()) {
        return Ok(());
    }
    let links: Vec<Vec<_>> = layers.iter().map(|layer| layer.record.foreign_links.iter().map(link).collect()).collect();
    let gaps = layers.iter().zip(&links).map(|(layer, links)| {
        (layer.fs.clone(), Gaps { implied_parents: &layer.record.implied_parents, foreign_links: links })
    });
    let stage = store.stage_layer()?;
    close_gaps(&gaps.collect::<Vec<_>>(), stage.root().as_fd())?;
    Ok(())
}

fn link(link: &layer_store::ForeignLink) -> ForeignLink {
    ForeignLink { path: link.path.clone(), target: link.target.clone() }
}
