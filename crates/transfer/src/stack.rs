//! The layers of an image as a stack to be mounted.

use std::os::fd::AsFd as _;
use std::sync::Arc;

use layer_digest::DiffId;
use layer_mount::stack::{ForeignLink, Gaps, StackError, StackLayer, close_gaps, reroute};
use layer_store::{Store, StoreError};

/// The layers of these diffIDs, base first, as they lie in the store.
///
/// # Errors
///
/// When one isn't there, or its record can't be read.
pub fn stack_layers(store: &Store, diff_ids: &[DiffId]) -> Result<Vec<StackLayer>, StoreError> {
    let layer = |id: &DiffId| {
        let layer = store.layer(*id)?.ok_or(StoreError::NoLayer(*id))?;
        let links = layer.record.foreign_links.iter();
        Ok(StackLayer {
            path: layer.fs,
            implied_parents: layer.record.implied_parents.clone(),
            foreign_links: links
                .map(|link| ForeignLink { path: link.path.clone(), target: link.target.clone() })
                .collect(),
        })
    };
    diff_ids.iter().map(layer).collect()
}

/// Why layers can't be a stack.
#[derive(Debug)]
pub(crate) enum CheckError {
    /// They don't fit together.
    Stack(StackError),
    /// The store failed.
    Store(StoreError),
}

impl From<StackError> for CheckError {
    fn from(error: StackError) -> Self {
        Self::Stack(error)
    }
}

impl From<StoreError> for CheckError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Sees to it that hard links to files of other layers lead somewhere, which only a whole stack can tell: builds what a mount would need,
/// and throws it away. Images with such links are rare.
pub(crate) fn check_stack(store: &Arc<Store>, diff_ids: &[DiffId]) -> Result<(), CheckError> {
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
