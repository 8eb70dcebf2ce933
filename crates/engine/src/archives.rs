//! Images that come and go as tars.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::stream::Stream;
use layer_oci::{Descriptor, Platform};
use layer_reference::Reference;
use layer_registry::RegistryError;
use layer_transfer::{Import, ImportRequest, Load, LoadRequest, Save, SaveImage, SavePlan};

use crate::events::Action;
use crate::lookup::{self, Found};
use crate::{Engine, EngineError};

impl Engine {
    /// Starts to write images into an archive, all under a lease. A name without a tag means all tags of its repository. With one platform only
    /// its manifest is saved, and becomes what the archive's names lead to; with several the index is, with those platforms alone.
    ///
    /// # Errors
    ///
    /// When there is no such image, it isn't there for a platform, or not all of it is there. After that, an archive can only break off.
    pub async fn save(&self, names: &[String], platforms: &[Platform]) -> Result<Save, EngineError> {
        let (names, platforms) = (names.to_vec(), platforms.to_vec());
        let plan = self
            .blocking(move |shared| {
                // Held until the plan has a lease on everything.
                let _naming = shared.store.naming();
                let mut images: Vec<SaveImage> = Vec::new();
                let mut saved = BTreeSet::new();
                for name in &names {
                    for (found, references) in meant(shared, name)? {
                        saved.insert(found.id());
                        let image = image(shared, &found, references, &platforms)?;
                        match images.iter_mut().find(|known| known.target.digest == image.target.digest) {
                            Some(known) => {
                                let new = image.names.into_iter().filter(|name| !known.names.contains(name));
                                let new: Vec<_> = new.collect();
                                known.names.extend(new);
                            }
                            None => images.push(image),
                        }
                    }
                }
                let plan = SavePlan::new(&shared.store, &images)?;
                for image in saved {
                    shared.store.touch(image);
                    shared.journal.note(Action::Save, image, &image.to_string());
                }
                Ok(plan)
            })
            .await?;
        Ok(self.shared.transfer.save(plan))
    }

    /// Starts to load the images of an archive, which comes in `body`. Dropping the [`Load`] stops it, and nothing is kept.
    pub fn load<E: Send + 'static>(
        &self,
        request: LoadRequest,
        body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Load {
        self.shared.transfer.load(request, body)
    }

    /// Starts to import a root file system, which comes in `body`. Dropping the [`Import`] stops it, and nothing is kept.
    pub fn import<E: Send + 'static>(
        &self,
        request: ImportRequest,
        body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Import {
        self.shared.transfer.import(request, body)
    }

    /// Imports as [`Self::import`] does what an address leads to; `body` is what [`Self::download`] brings.
    pub fn import_fetched(
        &self,
        request: ImportRequest,
        body: impl Stream<Item = Result<Bytes, RegistryError>> + Send + 'static,
    ) -> Import {
        self.shared.transfer.import_fetched(request, body)
    }
}

/// The images that a name means, each with the names that it is to be saved under.
fn meant(shared: &crate::engine::Shared, name: &str) -> Result<Vec<(Found, Vec<Reference>)>, EngineError> {
    if let Ok(reference) = Reference::parse(name)
        && reference.tag().is_none()
        && reference.digest().is_none()
    {
        let mut all = Vec::new();
        for found in lookup::all(&shared.store) {
            let tagged = |named: &Reference| named.tag().is_some() && named.repository() == reference.repository();
            let names: Vec<_> = found.names.iter().map(|named| named.reference.clone()).filter(tagged).collect();
            if !names.is_empty() {
                all.push((found, names));
            }
        }
        // Docker's order: by tag.
        all.sort_by(|a, b| a.1.cmp(&b.1));
        if !all.is_empty() {
            return Ok(all);
        }
    }
    let found = lookup::find(&shared.store, name)?;
    // By ID or digest an image is saved without a name.
    let by = found.by.clone().filter(|by| by.tag().is_some() && by.digest().is_none());
    Ok(vec![(found, by.into_iter().collect())])
}

fn image(
    shared: &crate::engine::Shared,
    found: &Found,
    names: Vec<Reference>,
    platforms: &[Platform],
) -> Result<SaveImage, EngineError> {
    let variant = |platform: &Platform| {
        found.variant(&shared.store, Some(platform)).map_err(|error| match error {
            EngineError::NoPlatform { platform, .. } => EngineError::NothingToSave {
                name: names.first().map_or_else(|| found.shown(), Reference::familiar),
                platform,
            },
            error => error,
        })
    };
    match platforms {
        [] => {
            let shown = found.variant(&shared.store, None)?.descriptor.digest;
            Ok(SaveImage { target: found.target.clone(), names, only: Vec::new(), shown: Some(shown) })
        }
        [platform] => {
            let manifest = variant(platform)?.descriptor;
            let target = Descriptor::new(&manifest.media_type, manifest.digest, manifest.size);
            Ok(SaveImage { target, names, only: Vec::new(), shown: None })
        }
        several => {
            let only = several.iter().map(|platform| Ok(variant(platform)?.descriptor.digest));
            let only: Vec<_> = only.collect::<Result<_, EngineError>>()?;
            Ok(SaveImage { target: found.target.clone(), names, shown: only.first().copied(), only })
        }
    }
}
