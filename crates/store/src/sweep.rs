//! Removing what nothing leads to any more.

use std::collections::HashSet;
use std::sync::PoisonError;

use layer_digest::{BlobId, DiffId};
use layer_oci::{Descriptor, Document, media_type};

use crate::{Store, StoreError};

/// How deep indexes may lie in indexes.
const MAX_DEPTH: usize = 4;

/// Everything that an image consists of, as far as it is in the store.
#[derive(Debug, Default)]
struct Closure {
    blobs: HashSet<BlobId>,
    layers: HashSet<DiffId>,
}

impl Store {
    /// Removes the blobs and layers of `image`, an image whose names are gone, except what other images consist of and what is leased. Says
    /// whether the image itself is gone.
    ///
    /// Names must not be given meanwhile, except by who holds leases on all that they lead to.
    ///
    /// # Errors
    ///
    /// When another image can't be read, since what it needs is then not known: nothing is removed. Or when the disk fails.
    pub fn sweep(&self, image: &Descriptor) -> Result<bool, StoreError> {
        let mut removed = Closure::default();
        // What can't be read of the image leads to nothing that could be found later: what can be read is removed.
        let _ = self.collect(image, 0, &mut removed);
        // From here on nobody can begin to rely on what is about to go: who wants to, takes a lease first.
        let leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = Closure::default();
        for named in self.names() {
            self.collect(&named.target, 0, &mut kept)?;
        }
        for id in removed.blobs.iter().filter(|id| !kept.blobs.contains(id) && !leases.blobs.contains_key(id)) {
            self.remove_blob(*id)?;
            self.forget_document(id.0);
            self.facts.forget_blob(*id);
        }
        let mut buried = Vec::new();
        for id in removed.layers.iter().filter(|id| !kept.layers.contains(id) && !leases.layers.contains_key(id)) {
            buried.extend(self.bury_layer(*id)?);
        }
        drop(leases);
        // Large trees take a while, and nobody has to wait for that.
        for grave in buried {
            self.clear_grave(grave)?;
        }
        self.facts.forget_image(image.digest);
        Ok(!kept.blobs.contains(&BlobId(image.digest)))
    }

    fn collect(&self, descriptor: &Descriptor, depth: usize, closure: &mut Closure) -> Result<(), StoreError> {
        if depth > MAX_DEPTH || !closure.blobs.insert(BlobId(descriptor.digest)) {
            return Ok(());
        }
        let media_type = descriptor.media_type.as_str();
        if !media_type::is_index(media_type) && !media_type::is_manifest(media_type) {
            return Ok(());
        }
        match &*self.document(descriptor)? {
            Document::Index(index) => {
                for entry in &index.manifests {
                    // Platforms that were never pulled aren't there.
                    if self.blob_size(BlobId(entry.digest))?.is_some() {
                        self.collect(entry, depth + 1, closure)?;
                    }
                }
            }
            Document::Manifest(manifest) => {
                closure.blobs.insert(BlobId(manifest.config.digest));
                closure.blobs.extend(manifest.layers.iter().map(|layer| BlobId(layer.digest)));
                if let Ok(config) = self.config(BlobId(manifest.config.digest)) {
                    closure.layers.extend(config.diff_ids.iter().copied());
                }
            }
        }
        Ok(())
    }

    /// Records that an image was used just now.
    pub fn touch(&self, image: layer_digest::ImageId) {
        self.facts.set_used(image.0, jiff::Timestamp::now().as_second());
    }

    /// When an image was last used, as far as that is known.
    pub fn last_used(&self, image: layer_digest::ImageId) -> Option<jiff::Timestamp> {
        self.facts.used(image.0).and_then(|second| jiff::Timestamp::from_second(second).ok())
    }
}
