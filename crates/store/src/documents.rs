//! Indexes, manifests and configs, read from blobs and kept parsed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use layer_digest::{BlobId, Digest};
use layer_oci::{Descriptor, Document, ImageConfig};

use crate::{Store, StoreError};

/// The caps of the registry side: what came in under them can be read under them.
pub(crate) const MAX_MANIFEST: u64 = 4 << 20;
const MAX_CONFIG: u64 = 8 << 20;

/// How many parsed documents are kept. At a few kilobytes each they cost less than reading them for every list of images.
const MAX_KEPT: usize = 4096;

/// Parsed documents by digest. They can't go stale: a digest means one content.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    manifests: Mutex<HashMap<Digest, Arc<Document>>>,
    configs: Mutex<HashMap<Digest, Arc<ImageConfig>>>,
}

impl Store {
    /// The index or manifest of a descriptor.
    ///
    /// # Errors
    ///
    /// When it isn't in the store, or is damaged.
    pub fn document(&self, descriptor: &Descriptor) -> Result<Arc<Document>, StoreError> {
        let digest = descriptor.digest;
        kept(&self.documents.manifests, digest, || {
            let bytes = self.read_blob(BlobId(digest), MAX_MANIFEST)?;
            let media_type = Some(descriptor.media_type.as_str()).filter(|text| !text.is_empty());
            Document::parse(media_type, &bytes).map_err(|source| StoreError::Document { digest, source })
        })
    }

    /// The config of an image.
    ///
    /// # Errors
    ///
    /// When it isn't in the store, or is damaged.
    pub fn config(&self, id: BlobId) -> Result<Arc<ImageConfig>, StoreError> {
        kept(&self.documents.configs, id.0, || {
            let bytes = self.read_blob(id, MAX_CONFIG)?;
            ImageConfig::parse(&bytes).map_err(|source| StoreError::Document { digest: id.0, source })
        })
    }

    /// Forgets what was read of a blob that is removed.
    pub(crate) fn forget_document(&self, digest: Digest) {
        self.documents.manifests.lock().unwrap_or_else(PoisonError::into_inner).remove(&digest);
        self.documents.configs.lock().unwrap_or_else(PoisonError::into_inner).remove(&digest);
    }
}

fn kept<T>(
    cache: &Mutex<HashMap<Digest, Arc<T>>>,
    digest: Digest,
    read: impl FnOnce() -> Result<T, StoreError>,
) -> Result<Arc<T>, StoreError> {
    if let Some(document) = cache.lock().unwrap_or_else(PoisonError::into_inner).get(&digest) {
        return Ok(Arc::clone(document));
    }
    let document = Arc::new(read()?);
    let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
    if cache.len() >= MAX_KEPT {
        cache.clear();
    }
    cache.insert(digest, Arc::clone(&document));
    Ok(document)
}
