//! The manifests behind an image: its platforms, those that are not here too, and what speaks about them.

use std::collections::{HashMap, HashSet};

use layer_digest::{BlobId, Digest, ImageId};
use layer_oci::{Descriptor, Document, Manifest, Platform};
use layer_store::{Store, StoreError};

use crate::lookup::{self, Found};
use crate::{Engine, EngineError};

/// How deep indexes may lie in indexes.
const MAX_DEPTH: usize = 4;

/// One manifest of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestInfo {
    /// The manifest, as the index describes it, or the image itself if that is no index.
    pub descriptor: Descriptor,
    /// Whether all that it needs is in the store.
    pub available: bool,
    /// The bytes of its documents and packed layers that are in the store.
    pub packed: u64,
    /// The bytes of content in its unpacked layers.
    pub unpacked: u64,
    /// What it describes.
    pub kind: ManifestKind,
}

/// What a manifest describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestKind {
    /// An image.
    Image(Platform),
    /// Statements about an image.
    Attestation {
        /// The manifest of that image, if it is named.
        subject: Option<Digest>,
    },
    /// Something else: an artifact, say.
    Unknown,
}

impl Engine {
    /// The manifests of one image, in the order of its index.
    ///
    /// # Errors
    ///
    /// When there is no such image, or it can't be read.
    pub async fn manifests(&self, name: &str) -> Result<Vec<ManifestInfo>, EngineError> {
        let name = name.to_owned();
        self.blocking(move |shared| {
            let found = lookup::find(&shared.store, &name)?;
            Ok(manifests(&shared.store, &found)?)
        })
        .await
    }

    /// The manifests of all images. An image that can't be read has none.
    ///
    /// # Errors
    ///
    /// When an internal task fails.
    pub async fn all_manifests(&self) -> Result<HashMap<ImageId, Vec<ManifestInfo>>, EngineError> {
        self.blocking(|shared| {
            let of = |found: Found| (found.id(), manifests(&shared.store, &found).unwrap_or_default());
            Ok(lookup::all(&shared.store).into_iter().map(of).collect())
        })
        .await
    }
}

fn manifests(store: &Store, found: &Found) -> Result<Vec<ManifestInfo>, StoreError> {
    let mut walk = Walk { store, seen: HashSet::new(), found: Vec::new() };
    walk.document(&found.target, None, 0)?;
    Ok(walk.found)
}

struct Walk<'a> {
    store: &'a Store,
    /// An index may name a document as often as it likes.
    seen: HashSet<Digest>,
    found: Vec<ManifestInfo>,
}

impl Walk<'_> {
    fn document(
        &mut self,
        descriptor: &Descriptor,
        platform: Option<&Platform>,
        depth: usize,
    ) -> Result<(), StoreError> {
        if !self.seen.insert(descriptor.digest) {
            return Ok(());
        }
        let mut info = ManifestInfo {
            descriptor: descriptor.clone(),
            available: false,
            packed: 0,
            unpacked: 0,
            kind: if descriptor.is_attestation() {
                ManifestKind::Attestation { subject: descriptor.attested() }
            } else {
                platform.cloned().map_or(ManifestKind::Unknown, ManifestKind::Image)
            },
        };
        // Platforms that were never pulled aren't there.
        if depth == 0 || self.store.leads_on(descriptor)? {
            match self.store.document(descriptor) {
                Ok(document) => match &*document {
                    Document::Index(index) if depth < MAX_DEPTH => {
                        for entry in &index.manifests {
                            self.document(entry, entry.platform.as_ref().or(platform), depth + 1)?;
                        }
                        return Ok(());
                    }
                    Document::Index(_) => {}
                    Document::Manifest(manifest) => self.measure(&mut info, manifest)?,
                },
                // An index can call anything a manifest.
                Err(StoreError::Document { .. }) if depth > 0 => {}
                Err(error) => return Err(error),
            }
        }
        self.found.push(info);
        Ok(())
    }

    /// What there is of a manifest.
    fn measure(&self, info: &mut ManifestInfo, manifest: &Manifest) -> Result<(), StoreError> {
        info.available = true;
        info.packed = info.descriptor.size;
        for part in manifest.layers.iter().chain([&manifest.config]) {
            if self.store.has_blob(part)? {
                info.packed = info.packed.saturating_add(part.size);
            } else {
                info.available = false;
            }
        }
        if matches!(info.kind, ManifestKind::Attestation { .. }) {
            return Ok(());
        }
        match self.store.config(BlobId(manifest.config.digest)) {
            Ok(config) => {
                for id in &config.diff_ids {
                    match self.store.layer_size(*id)? {
                        Some(size) => info.unpacked = info.unpacked.saturating_add(size),
                        None => info.available = false,
                    }
                }
                if !matches!(info.kind, ManifestKind::Image(_)) {
                    info.kind = ManifestKind::Image(config.platform());
                }
            }
            Err(StoreError::Document { .. } | StoreError::NoBlob(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
