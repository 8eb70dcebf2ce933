//! What an image consists of, as far as its documents are whole.

use std::collections::HashSet;

use layer_digest::{BlobId, DiffId};
use layer_oci::{Choice, Descriptor, Document, ImageConfig, Manifest, Platform, media_type};
use layer_store::{Lease, StoreError};

use super::hold;
use crate::EngineError;
use crate::engine::Shared;
use crate::lookup::Found;

/// The caps under which a pull takes them.
const MAX_MANIFEST: u64 = 4 << 20;
const MAX_CONFIG: u64 = 8 << 20;

/// How deep indexes may lie in indexes.
const MAX_DEPTH: usize = 4;

/// The parts of an image.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Whether the image has been removed since it was found.
    pub(super) is_gone: bool,
    /// Its indexes, manifests and configs.
    pub(super) documents: Vec<DocumentPart>,
    /// Its layers, of all platforms that are in the store.
    pub(super) layers: Vec<LayerParts>,
}

/// A document, and what is wrong with it: in a word and in a sentence.
#[derive(Debug)]
pub(super) struct DocumentPart {
    pub(super) descriptor: Descriptor,
    pub(super) problem: Option<(&'static str, String)>,
}

/// A blob and the layer in it. Which layer that is only a config says.
#[derive(Debug)]
pub(super) struct LayerParts {
    pub(super) blob: Descriptor,
    pub(super) diff: Option<DiffId>,
}

impl Survey {
    /// The documents that are damaged or missing.
    pub(super) fn damaged(&self) -> impl Iterator<Item = &DocumentPart> {
        self.documents.iter().filter(|document| document.problem.is_some())
    }
}

/// Reads and proves the documents of an image, and leases all that they lead to.
pub(super) fn survey(shared: &Shared, image: &Found, lease: &mut Lease) -> Result<Survey, EngineError> {
    // Nobody can remove an image meanwhile; what is leased at the end stays.
    let _naming = shared.store.naming();
    let mut survey = Survey::default();
    if shared.store.image(image.target.digest).is_none() {
        return Ok(Survey { is_gone: true, ..survey });
    }
    let mut surveyor = Surveyor { shared, lease, survey: &mut survey, seen: HashSet::new() };
    surveyor.document(&image.target, 0)?;
    Ok(survey)
}

struct Surveyor<'a> {
    shared: &'a Shared,
    lease: &'a mut Lease,
    survey: &'a mut Survey,
    seen: HashSet<BlobId>,
}

impl Surveyor<'_> {
    fn document(&mut self, descriptor: &Descriptor, depth: usize) -> Result<(), EngineError> {
        if depth > MAX_DEPTH {
            return Ok(());
        }
        let Some(bytes) = self.read(descriptor, MAX_MANIFEST)? else { return Ok(()) };
        let media_type = Some(descriptor.media_type.as_str()).filter(|text| !text.is_empty());
        match Document::parse(media_type, &bytes) {
            Ok(Document::Index(index)) => {
                let mut any = false;
                for entry in index.manifests.iter().filter(|entry| is_document(entry)) {
                    // Platforms that were never pulled aren't there.
                    if self.shared.store.blob_size(BlobId(entry.digest))?.is_some() {
                        any = true;
                        self.document(entry, depth + 1)?;
                    }
                }
                if !any && let Choice::Found(entry) = index.choose(&Platform::host()) {
                    self.document(&entry.clone(), depth + 1)?;
                }
            }
            Ok(Document::Manifest(manifest)) => self.manifest(&manifest)?,
            // It is what its digest says, and was no document when it came.
            Err(error) => self.blame(descriptor, "unreadable", format!("can't be used: {error}")),
        }
        Ok(())
    }

    fn manifest(&mut self, manifest: &Manifest) -> Result<(), EngineError> {
        let config = self.read(&manifest.config, MAX_CONFIG)?;
        let config = config.and_then(|bytes| ImageConfig::parse(&bytes).ok());
        for (number, blob) in manifest.layers.iter().enumerate() {
            let diff = config.as_ref().and_then(|config| config.diff_ids.get(number)).copied();
            hold(self.lease, blob, diff);
            self.survey.layers.push(LayerParts { blob: blob.clone(), diff });
        }
        Ok(())
    }

    /// Reads a document and proves it. `None` if it isn't whole, or was read before.
    fn read(&mut self, descriptor: &Descriptor, cap: u64) -> Result<Option<Vec<u8>>, EngineError> {
        let id = BlobId(descriptor.digest);
        if !self.seen.insert(id) {
            return Ok(None);
        }
        hold(self.lease, descriptor, None);
        match self.shared.store.read_blob(id, cap) {
            Ok(bytes) => {
                self.survey.documents.push(DocumentPart { descriptor: descriptor.clone(), problem: None });
                Ok(Some(bytes))
            }
            Err(StoreError::NoBlob(_)) => {
                self.blame(descriptor, "missing", "is missing".to_owned());
                Ok(None)
            }
            Err(StoreError::Damaged(_)) => {
                self.blame(descriptor, "content", "holds other bytes than its digest says".to_owned());
                Ok(None)
            }
            Err(error @ StoreError::Io { .. }) => {
                let detail = error.io_error().map_or_else(String::new, |error| format!("can't be read: {error}"));
                self.blame(descriptor, "unreadable", detail);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn blame(&mut self, descriptor: &Descriptor, what: &'static str, detail: String) {
        self.survey.documents.retain(|document| document.descriptor.digest != descriptor.digest);
        self.survey.documents.push(DocumentPart { descriptor: descriptor.clone(), problem: Some((what, detail)) });
    }
}

fn is_document(entry: &Descriptor) -> bool {
    media_type::is_manifest(&entry.media_type) || media_type::is_index(&entry.media_type)
}
