//! Giving and taking names.

use std::collections::{BTreeMap, HashMap, HashSet};

use layer_digest::{Digest, ImageId};
use layer_reference::Reference;
use layer_store::{Naming, Swept};

use crate::engine::Shared;
use crate::events::Action;
use crate::lookup::{self, Found};
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
    /// Gives an image another name, taking it from the image that had it. If that was the image's last, it stays without one until it is
    /// pruned.
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
            let naming = shared.store.naming();
            let found = lookup::find(&shared.store, &source)?;
            naming.set_name(&target, &found.target)?;
            shared.journal.note(Action::Tag, found.id(), &target.familiar());
            tracing::info!(image = %found.id(), name = %target, "tagged");
            Ok(())
        })
        .await
    }

    /// Takes a name from an image; with its last name goes the image. By ID all its names are taken, if it has one at most or `force` is set.
    ///
    /// # Errors
    ///
    /// When there is no such image, it has several names and is meant by its ID, it is mounted, or it is pinned and `force` is not set.
    pub async fn remove(&self, name: &str, force: bool) -> Result<Vec<Removed>, EngineError> {
        let name = name.to_owned();
        self.blocking(move |shared| {
            let naming = shared.store.naming();
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
            take(shared, naming, &found, &references, force)
        })
        .await
    }
}

/// Takes names from an image, and the image away with the last.
pub(crate) fn take(
    shared: &Shared,
    naming: Naming<'_>,
    found: &Found,
    references: &[Reference],
    force: bool,
) -> Result<Vec<Removed>, EngineError> {
    let is_last = references.len() == found.names.len();
    let id = || found.target.digest.short();
    if is_last && let Some(mount) = shared.mounts.of_image(found.id()) {
        return Err(EngineError::Mounted { id: id(), target: mount.target });
    }
    let takes_pin = found.names.iter().any(|it| it.pinned.is_some() && references.contains(&it.reference));
    if (takes_pin || is_last && found.pinned) && !force {
        return Err(EngineError::Pinned { id: id() });
    }
    let mut removed: Vec<_> = references.iter().map(|reference| Removed::Untagged(reference.familiar())).collect();
    let labels = Labels::of(shared, std::slice::from_ref(found));
    if is_last {
        check_others(shared, &[found.target.digest])?;
        naming.remove_images(&[found.target.digest])?;
        let (swept, rubbish) = naming.sweep(std::slice::from_ref(&found.target))?;
        drop(naming);
        drop(rubbish);
        labels.note_untagged(shared, found, references);
        labels.note_deleted(shared, &swept.gone);
        removed.extend(swept.gone.into_iter().map(|image| Removed::Deleted(ImageId(image))));
    } else {
        naming.remove_names(references)?;
        labels.note_untagged(shared, found, references);
    }
    tracing::info!(image = %found.id(), names = references.len(), deleted = is_last, "removed");
    Ok(removed)
}

/// Removes the images that `choose` takes, unless somebody uses them: what is mounted, pinned, or being pulled anew stays. Gives the images
/// that were taken out of the store.
pub(crate) fn remove_unused(
    shared: &Shared,
    choose: impl Fn(&Found) -> bool,
) -> Result<(Vec<Found>, Swept), EngineError> {
    let naming = shared.store.naming();
    let chosen: Vec<_> =
        lookup::all(&shared.store).into_iter().filter(|found| !is_used(shared, found) && choose(found)).collect();
    if chosen.is_empty() {
        return Ok((chosen, Swept::default()));
    }
    let digests: Vec<_> = chosen.iter().map(|found| found.target.digest).collect();
    let labels = Labels::of(shared, &chosen);
    check_others(shared, &digests)?;
    naming.remove_images(&digests)?;
    let targets: Vec<_> = chosen.iter().map(|found| found.target.clone()).collect();
    let (swept, rubbish) = naming.sweep(&targets)?;
    // Names can be given again while the trees are cleared.
    drop(naming);
    drop(rubbish);
    for found in &chosen {
        let names: Vec<_> = found.names.iter().map(|named| named.reference.clone()).collect();
        labels.note_untagged(shared, found, &names);
    }
    labels.note_deleted(shared, &swept.gone);
    Ok((chosen, swept))
}

/// The labels of images, read while they are there, for what is told of them afterwards.
struct Labels(HashMap<Digest, BTreeMap<String, String>>);

impl Labels {
    fn of(shared: &Shared, images: &[Found]) -> Self {
        Self(images.iter().map(|found| (found.target.digest, shared.journal.labels(found.id()))).collect())
    }

    fn get(&self, image: Digest) -> BTreeMap<String, String> {
        self.0.get(&image).cloned().unwrap_or_default()
    }

    /// Tells that an image has lost names.
    fn note_untagged(&self, shared: &Shared, found: &Found, names: &[Reference]) {
        for name in names {
            let labels = self.get(found.target.digest);
            shared.journal.note_gone(Action::Untag, found.id(), &name.familiar(), labels);
        }
    }

    /// Tells that images are gone.
    fn note_deleted(&self, shared: &Shared, gone: &[Digest]) {
        for image in gone {
            shared.journal.note_gone(Action::Delete, ImageId(*image), &ImageId(*image).to_string(), self.get(*image));
        }
    }
}

/// Whether an image must stay: it is pinned, mounted, or part of a pull that runs. Mounts and pulls have a lease on it.
pub(crate) fn is_used(shared: &Shared, found: &Found) -> bool {
    found.pinned || shared.store.is_leased(layer_digest::BlobId(found.target.digest))
}

/// Sees to it that the images that stay can be read, as they must be to know what they need: before any name is taken.
pub(crate) fn check_others(shared: &Shared, leaving: &[Digest]) -> Result<(), EngineError> {
    let leaving: HashSet<_> = leaving.iter().collect();
    for found in lookup::all(&shared.store).iter().filter(|found| !leaving.contains(&found.target.digest)) {
        let unreadable = |source| EngineError::Unreadable { name: found.shown(), source };
        shared.store.closure(&found.target).map_err(unreadable)?;
    }
    Ok(())
}
