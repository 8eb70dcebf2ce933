//! Giving and taking names.

use std::sync::PoisonError;

use layer_digest::ImageId;
use layer_reference::Reference;

use crate::events::Action;
use crate::lookup;
use crate::{Engine, EngineError};

/// What removing an image did, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A name was taken, in docker's short form.
    Untagged(String),
    /// The image is gone.
    Deleted(ImageId),
}

impl Engine {
    /// Gives an image another name, taking it from the image that had it.
    ///
    /// # Errors
    ///
    /// When there is no such image, or the name has a digest: that can't be given.
    pub async fn tag(&self, source: &str, target: Reference) -> Result<(), EngineError> {
        if target.digest().is_some() {
            return Err(EngineError::TagWithDigest);
        }
        let (source, target) = (source.to_owned(), target.or_latest());
        self.blocking(move |shared| {
            target.check_reserved()?;
            let _naming = shared.naming.lock().unwrap_or_else(PoisonError::into_inner);
            let found = lookup::find(&shared.store, &source)?;
            shared.store.set_name(&target, &found.target)?;
            shared.journal.note(Action::Tag, found.id(), &target.familiar());
            tracing::info!(image = %found.id(), name = %target, "tagged");
            Ok(())
        })
        .await
    }

    /// Takes a name from an image; with its last name goes the image. By ID all its names are taken, if it has one or `force` is set.
    ///
    /// # Errors
    ///
    /// When there is no such image, it has several names and is meant by its ID, or it is mounted.
    pub async fn remove(&self, name: &str, force: bool) -> Result<Vec<Removed>, EngineError> {
        let name = name.to_owned();
        self.blocking(move |shared| {
            let _naming = shared.naming.lock().unwrap_or_else(PoisonError::into_inner);
            let found = lookup::find(&shared.store, &name)?;
            let references: Vec<Reference> = match &found.by {
                // The name itself, or, by digest, all names in that repository.
                Some(by) => {
                    let exact = found.names.iter().any(|named| named.reference == *by);
                    let meant = |other: &Reference| {
                        if exact { other == by } else { other.repository() == by.repository() }
                    };
                    found.names.iter().map(|named| named.reference.clone()).filter(meant).collect()
                }
                None if found.names.len() > 1 && !force => {
                    return Err(EngineError::ManyNames { id: found.target.digest.short() });
                }
                None => found.names.iter().map(|named| named.reference.clone()).collect(),
            };
            let is_last = references.len() == found.names.len();
            if is_last && let Some(mount) = shared.mounts.of_image(found.id()) {
                return Err(EngineError::Mounted { id: found.target.digest.short(), target: mount.target });
            }
            shared.store.remove_names(&references)?;
            let mut removed: Vec<_> =
                references.iter().map(|reference| Removed::Untagged(reference.familiar())).collect();
            for reference in &references {
                shared.journal.note_gone(Action::Untag, found.id(), &reference.familiar());
            }
            if is_last && shared.store.sweep(&found.target)? {
                removed.push(Removed::Deleted(found.id()));
                shared.journal.note_gone(Action::Delete, found.id(), &found.id().to_string());
            }
            tracing::info!(image = %found.id(), names = references.len(), deleted = is_last, "removed");
            Ok(removed)
        })
        .await
    }
}
