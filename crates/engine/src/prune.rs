//! Removing what nobody uses, because somebody asks for it.

use std::sync::{MutexGuard, TryLockError};

use jiff::Timestamp;
use layer_digest::ImageId;

use crate::engine::Shared;
use crate::images::summary;
use crate::labels::LabelCondition;
use crate::lookup::Found;
use crate::names::{Removed, check_others, remove_unused};
use crate::{Engine, EngineError};

/// What to prune.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PruneRequest {
    /// Images with names too, not only those that lost their last to another image.
    pub all: bool,
    /// Only what is here since before this: images whose youngest name is older, or that lost their last before.
    pub until: Option<Timestamp>,
    /// Only images for which all of these hold. With such a condition only images go, not what pulls have left behind.
    pub labels: Vec<LabelCondition>,
}

/// What a prune did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Names and images that are gone. An image that had no name is told as untagged by its ID, as docker does.
    pub removed: Vec<Removed>,
    /// The bytes that are free now.
    pub bytes: u64,
}

impl Engine {
    /// Removes the images that nobody uses, and what pulls have left behind that were given up: layers, documents, partial downloads. What is
    /// mounted, pinned or part of a pull that runs stays.
    ///
    /// # Errors
    ///
    /// When another prune runs, an image that stays can't be read, so that what it needs is not known, or the disk fails.
    pub async fn prune(&self, request: PruneRequest) -> Result<Pruned, EngineError> {
        self.blocking(move |shared| {
            let _one = one_at_a_time(shared)?;
            let is_old = |moment: Option<Timestamp>| {
                request.until.is_none_or(|until| moment.is_none_or(|moment| moment < until))
            };
            let has_labels = |found: &Found| {
                // An image that can't be read has no labels that anybody could know.
                let labels = || summary(shared, found).ok().and_then(|image| image.labels);
                request.labels.is_empty() || {
                    let labels = labels();
                    request.labels.iter().all(|label| label.holds(labels.as_ref()))
                }
            };
            let choose =
                |found: &Found| (request.all || found.names.is_empty()) && is_old(found.since) && has_labels(found);
            let mut pruned = Pruned::default();
            // First what nobody misses: on a full disk there must be room for a list of images without those that go.
            let sweep = || -> Result<u64, EngineError> {
                check_others(shared, &[])?;
                let (leftovers, rubbish) = shared.store.sweep_leftovers(request.until.unwrap_or(Timestamp::MAX))?;
                drop(rubbish);
                Ok(leftovers.bytes)
            };
            let swept_first = if request.labels.is_empty() { sweep() } else { Ok(0) };
            let (images, swept) = remove_unused(shared, choose)?;
            // An image that can't be read may have kept all else from being swept, and may be gone now.
            let leftovers = swept_first.or_else(|_| sweep())?;
            pruned.bytes = leftovers.saturating_add(swept.bytes);
            for image in &images {
                pruned.removed.extend(names(image).map(Removed::Untagged));
                if swept.gone.contains(&image.target.digest) {
                    pruned.removed.push(Removed::Deleted(image.id()));
                }
            }
            shared.journal.note_prune(pruned.bytes);
            tracing::info!(images = images.len(), bytes = pruned.bytes, "pruned");
            Ok(pruned)
        })
        .await
    }
}

/// The names that an image is told by when it goes.
pub(crate) fn names(image: &Found) -> impl Iterator<Item = String> {
    let nameless = image.names.is_empty().then(|| ImageId(image.target.digest).to_string());
    image.names.iter().map(|named| named.reference.familiar()).chain(nameless)
}

/// The right to prune, if nobody else does.
pub(crate) fn one_at_a_time(shared: &Shared) -> Result<MutexGuard<'_, ()>, EngineError> {
    match shared.pruning.try_lock() {
        Ok(guard) => Ok(guard),
        Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => Err(EngineError::PruneRunning),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;

    #[tokio::test]
    async fn there_is_one_prune_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { root: folder.path().to_owned(), ..Options::default() };
        let engine = Engine::open(options).await.unwrap();
        let running = one_at_a_time(&engine.shared).unwrap();
        let refused = one_at_a_time(&engine.shared).unwrap_err();
        assert_eq!(refused.to_string(), "a prune operation is already running");
        assert_eq!(refused.kind(), crate::Kind::Conflict);
        drop(running);
        assert_eq!(engine.prune(PruneRequest::default()).await.unwrap(), Pruned::default());
    }
}
