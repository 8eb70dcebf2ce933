//! The layers of an image as a stack to be mounted.

use layer_digest::DiffId;
use layer_mount::stack::{ForeignLink, StackLayer};
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
