//! Indexes, manifests and configs, read from blobs and kept parsed.

use std::sync::Arc;

use layer_digest::{BlobId, Digest};
use layer_oci::{Descriptor, Document, History, ImageConfig};

use crate::kept::Kept;
use crate::{Store, StoreError};

/// The caps of the registry side: what came in under them can be read under them.
pub(crate) const MAX_MANIFEST: u64 = 4 << 20;
const MAX_CONFIG: u64 = 8 << 20;

/// The room for parsed indexes and manifests, and for parsed configs: enough for five thousand images of ten kilobytes of each. They cost less
/// than reading them for every list of images, and every removal.
const ROOM: usize = 64 << 20;
/// What a parsed document takes beside what its file has, roughly: its own fields, and the blocks of memory of each text in it.
const EACH: usize = 2 << 10;
/// How many bytes there are in memory for each of a value of any form, at worst.
const VALUE: usize = 100;

/// Parsed documents by digest. They can't go stale: a digest means one content.
#[derive(Debug)]
pub(crate) struct Documents {
    manifests: Kept<Digest, Document>,
    configs: Kept<Digest, ImageConfig>,
}

impl Default for Documents {
    fn default() -> Self {
        Self { manifests: Kept::new(ROOM), configs: Kept::new(ROOM) }
    }
}

impl Store {
    /// The index or manifest of a descriptor.
    ///
    /// # Errors
    ///
    /// When it isn't in the store, or is damaged.
    pub fn document(&self, descriptor: &Descriptor) -> Result<Arc<Document>, StoreError> {
        let digest = descriptor.digest;
        self.documents.manifests.get_or(digest, || {
            let bytes = self.read_blob(BlobId(digest), MAX_MANIFEST)?;
            let media_type = Some(descriptor.media_type.as_str()).filter(|text| !text.is_empty());
            let parsed = Document::parse(media_type, &bytes);
            Ok((parsed.map_err(|source| StoreError::Document { digest, source })?, bytes.len() + EACH))
        })
    }

    /// The config of an image.
    ///
    /// # Errors
    ///
    /// When it isn't in the store, or is damaged.
    pub fn config(&self, id: BlobId) -> Result<Arc<ImageConfig>, StoreError> {
        let digest = id.0;
        self.documents.configs.get_or(digest, || {
            let bytes = self.read_blob(id, MAX_CONFIG)?;
            let config = ImageConfig::parse(&bytes).map_err(|source| StoreError::Document { digest, source })?;
            // Two characters can be a step, and fewer a member of a value.
            let steps = config.history.len() * size_of::<History>();
            let healthcheck = config.config.healthcheck.as_ref().map_or(0, |value| value.to_string().len() * VALUE);
            Ok((config, bytes.len() + EACH + steps + healthcheck))
        })
    }

    /// Forgets what was read of a blob that is removed.
    pub(crate) fn forget_document(&self, digest: Digest) {
        self.documents.manifests.forget(digest);
        self.documents.configs.forget(digest);
    }
}
