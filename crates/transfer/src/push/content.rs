//! What of an image is here, and what of it to push.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use layer_digest::{BlobId, Digest};
use layer_oci::{Descriptor, Document, Manifest, Platform};
use layer_store::{Lease, StoreError};

use super::PushCause;
use crate::transfer::Inner;

/// How deep indexes may lie in indexes.
const MAX_DEPTH: usize = 4;

/// The largest manifest or index that is read back from the store.
const MAX_MANIFEST: u64 = 4 << 20;

/// What is to be pushed. All of it is in the store, and stays there.
pub(super) struct Chosen {
    /// Indexes and manifests: children before their parents, and what gets the tag last.
    pub(super) documents: Vec<PushedDocument>,
    /// Layers and configs, each once.
    pub(super) blobs: Vec<Blob>,
    lease: Lease,
}

/// An index or manifest, as it was served.
pub(super) struct PushedDocument {
    pub(super) descriptor: Descriptor,
    pub(super) bytes: Bytes,
}

/// A layer or config.
#[derive(Clone)]
pub(super) struct Blob {
    pub(super) descriptor: Descriptor,
    pub(super) is_layer: bool,
}

/// What there is of an image.
pub(super) enum Content {
    /// All that is to be pushed.
    Whole(Chosen),
    Partial(Box<Partial>),
}

/// An index that isn't here as a whole.
pub(super) struct Partial {
    /// The index, and what there is below it.
    pub(super) present: Chosen,
    /// The manifests that aren't here as a whole.
    pub(super) missing: Vec<Descriptor>,
    /// The one manifest that can stand for it: that of the host's platform, or the only one there is.
    pub(super) alone: Option<Chosen>,
}

/// Looks what of an image there is, and chooses a platform's manifest if one is asked for.
pub(super) async fn gather(
    inner: &Arc<Inner>,
    target: &Descriptor,
    platform: Option<&Platform>,
) -> Result<Content, PushCause> {
    let (target, platform) = (target.clone(), platform.cloned());
    blocking(inner, move |inner| {
        let found = Gathering::of(inner, &target)?;
        if let Some(platform) = platform {
            let best = found.best(&platform).cloned();
            let best = best.ok_or(PushCause::NoPlatform { platform })?;
            return Ok(Content::Whole(Gathering::of(inner, &best)?.chosen));
        }
        if found.missing.is_empty() {
            return Ok(Content::Whole(found.chosen));
        }
        let alone = match (found.best(&Platform::host()), &*found.variants) {
            (Some(descriptor), _) | (None, [(descriptor, _)]) => Some(Gathering::of(inner, descriptor)?.chosen),
            _ => None,
        };
        Ok(Content::Partial(Box::new(Partial { present: found.chosen, missing: found.missing, alone })))
    })
    .await
}

/// Runs something that reads or writes files, on a thread that may wait for them.
pub(super) async fn blocking<T: Send + 'static>(
    inner: &Arc<Inner>,
    work: impl FnOnce(&Inner) -> Result<T, PushCause> + Send + 'static,
) -> Result<T, PushCause> {
    let inner = Arc::clone(inner);
    tokio::task::spawn_blocking(move || work(&inner)).await.map_err(|error| PushCause::Task(error.into()))?
}

/// A walk through an image.
struct Gathering<'a> {
    inner: &'a Inner,
    chosen: Chosen,
    seen: HashSet<Digest>,
    missing: Vec<Descriptor>,
    /// The images for a platform that are here as a whole.
    variants: Vec<(Descriptor, Platform)>,
}

impl<'a> Gathering<'a> {
    fn of(inner: &'a Inner, target: &Descriptor) -> Result<Self, PushCause> {
        let chosen = Chosen { documents: Vec::new(), blobs: Vec::new(), lease: inner.store.lease() };
        let (seen, missing, variants) = (HashSet::new(), Vec::new(), Vec::new());
        let mut gathering = Self { inner, chosen, seen, missing, variants };
        gathering.document(target, 0)?;
        Ok(gathering)
    }

    fn document(&mut self, descriptor: &Descriptor, depth: usize) -> Result<(), PushCause> {
        if !self.seen.insert(descriptor.digest) {
            return Ok(());
        }
        let id = BlobId(descriptor.digest);
        // Held first, and looked for then: what is there then, stays.
        self.chosen.lease.hold_blob(id);
        let bytes = match self.inner.store.read_blob(id, MAX_MANIFEST) {
            Ok(bytes) if depth <= MAX_DEPTH => bytes,
            Ok(_) | Err(StoreError::NoBlob(_)) => {
                self.missing.push(descriptor.clone());
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let document =
            Document::parse(Some(&descriptor.media_type).filter(|kind| !kind.is_empty()).map(|k| &**k), &bytes)?;
        match &document {
            Document::Index(index) => {
                for entry in &index.manifests {
                    self.document(entry, depth + 1)?;
                }
            }
            Document::Manifest(manifest) => {
                if !self.parts(manifest)? {
                    self.missing.push(descriptor.clone());
                    return Ok(());
                }
                if !descriptor.is_attestation() {
                    let config = || self.inner.store.config(BlobId(manifest.config.digest));
                    let platform = descriptor.platform.clone().map(Platform::normalize);
                    // An artifact has no platform, and can't be chosen by one.
                    if let Some(platform) = platform.or_else(|| config().ok().map(|config| config.platform())) {
                        self.variants.push((descriptor.clone(), platform));
                    }
                }
            }
        }
        let media_type = document.media_type().to_owned();
        let descriptor = Descriptor { media_type, ..descriptor.clone() };
        self.chosen.documents.push(PushedDocument { descriptor, bytes: bytes.into() });
        Ok(())
    }

    /// Takes in what a manifest leads to, if it is here as a whole; says whether it is.
    fn parts(&mut self, manifest: &Manifest) -> Result<bool, PushCause> {
        let layers = manifest.layers.iter().map(|layer| (layer, true));
        let parts = layers.chain([(&manifest.config, false)]);
        let parts = parts.map(|(descriptor, is_layer)| Blob { descriptor: descriptor.clone(), is_layer });
        let parts: Vec<_> = parts.collect();
        for part in &parts {
            self.chosen.lease.hold_blob(BlobId(part.descriptor.digest));
        }
        for part in &parts {
            if !self.inner.store.has_blob(&part.descriptor)? {
                return Ok(false);
            }
        }
        for part in parts {
            if self.seen.insert(part.descriptor.digest) {
                self.chosen.blobs.push(part);
            }
        }
        Ok(true)
    }

    /// The manifest that runs best on a platform.
    fn best(&self, platform: &Platform) -> Option<&Descriptor> {
        let ranked =
            self.variants.iter().filter_map(|(descriptor, offered)| Some((platform.rank(offered)?, descriptor)));
        ranked.min_by_key(|(rank, _)| *rank).map(|(_, descriptor)| descriptor)
    }
}
