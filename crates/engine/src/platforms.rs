//! Removing some of an image's platforms.

use layer_digest::{Digest, ImageId};
use layer_oci::{Descriptor, Document, Platform};
use layer_reference::Reference;
use layer_store::{Store, StoreError};

use crate::engine::Shared;
use crate::lookup::{self, Found, Variant};
use crate::names::{self, Removed};
use crate::{Engine, EngineError};

impl Engine {
    /// Removes platforms of an image, and what speaks about them; from other images that have the same ones, too. The names stay, and so does the
    /// index, so that a pull brings them back. With its last platform the image goes, and all its names with it.
    ///
    /// # Errors
    ///
    /// When there is no such image or it hasn't one of the platforms, one is mounted or being pulled, or is all that another image has. Nothing is
    /// removed then.
    pub async fn remove_platforms(&self, name: &str, platforms: &[Platform]) -> Result<Vec<Removed>, EngineError> {
        let (name, platforms) = (name.to_owned(), platforms.to_vec());
        self.blocking(move |shared| {
            let naming = shared.store.naming();
            let found = lookup::find(&shared.store, &name)?;
            let variants = found.variants(&shared.store)?;
            let mut chosen: Vec<&Variant> = Vec::new();
            for platform in platforms {
                let platform = platform.normalize();
                let before = chosen.len();
                let is_new = |it: &&Variant| chosen.iter().all(|other| other.descriptor.digest != it.descriptor.digest);
                let more: Vec<_> = variants.iter().filter(|it| it.platform == platform).filter(is_new).collect();
                chosen.extend(more);
                if chosen.len() == before && !chosen.iter().any(|variant| variant.platform == platform) {
                    return Err(EngineError::NoPlatform { name: found.shown(), platform });
                }
            }
            for variant in &chosen {
                if let Some(mount) = shared.mounts.of_stack(&variant.config.diff_ids) {
                    return Err(EngineError::Mounted { id: variant.descriptor.digest.short(), target: mount.target });
                }
            }
            if chosen.len() == variants.len() {
                let all: Vec<Reference> = found.names.iter().map(|named| named.reference.clone()).collect();
                return names::take(shared, naming, &found, &all, true);
            }
            let digests: Vec<Digest> = chosen.iter().map(|variant| variant.descriptor.digest).collect();
            check_others(shared, &found, &digests)?;
            let mut manifests: Vec<Descriptor> = chosen.iter().map(|variant| variant.descriptor.clone()).collect();
            about(&shared.store, &found.target, &digests, &mut manifests)?;
            let (swept, rubbish) = naming.sweep_manifests(&manifests)?;
            drop(naming);
            drop(rubbish);
            if swept.gone.is_empty() {
                return Err(EngineError::InUse { id: digests.first().copied().unwrap_or(found.target.digest).short() });
            }
            tracing::info!(image = %found.id(), platforms = digests.len(), bytes = swept.bytes, "removed platforms");
            Ok(swept.gone.into_iter().map(|manifest| Removed::Deleted(ImageId(manifest))).collect())
        })
        .await
    }
}

/// No other image may be left with nothing, and none may be unreadable, since what it needs is then not known.
fn check_others(shared: &Shared, found: &Found, leaving: &[Digest]) -> Result<(), EngineError> {
    names::check_others(shared, &[])?;
    for other in lookup::all(&shared.store).into_iter().filter(|other| other.id() != found.id()) {
        let variants = other.variants(&shared.store)?;
        if !variants.is_empty() && variants.iter().all(|variant| leaving.contains(&variant.descriptor.digest)) {
            let id = variants.first().map_or(other.target.digest, |variant| variant.descriptor.digest).short();
            return Err(EngineError::OnlyPlatform { id, name: other.shown() });
        }
    }
    Ok(())
}

/// The entries of an index that are here and speak about one of `subjects`. Builders put them beside what they speak about.
fn about(
    store: &Store,
    target: &Descriptor,
    subjects: &[Digest],
    entries: &mut Vec<Descriptor>,
) -> Result<(), StoreError> {
    if let Document::Index(index) = &*store.document(target)? {
        for entry in &index.manifests {
            let is_meant = entry.attested().is_some_and(|subject| subjects.contains(&subject));
            if is_meant && store.leads_on(entry)? && entries.iter().all(|other| other.digest != entry.digest) {
                entries.push(entry.clone());
            }
        }
    }
    Ok(())
}
