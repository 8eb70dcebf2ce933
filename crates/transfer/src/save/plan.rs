//! What goes into an archive.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use layer_archive::{DockerImage, DockerManifest, Layout, blob_name};
use layer_digest::{BlobId, Digest};
use layer_oci::{Descriptor, Document, media_type};
use layer_reference::Reference;
use layer_store::{Lease, Store, StoreError};

/// How deep indexes may lie in indexes.
const MAX_DEPTH: usize = 4;

/// An image to save.
#[derive(Clone, Debug)]
pub struct SaveImage {
    /// The index or manifest.
    pub target: Descriptor,
    /// The names to save it under; none to save it without.
    pub names: Vec<Reference>,
    /// The manifests to save of an index; all that are there with all their layers if there are none.
    pub only: Vec<Digest>,
    /// The manifest that a docker-archive shows, which knows one platform alone.
    pub shown: Option<Digest>,
}

/// All that goes into an archive, leased.
#[derive(Debug)]
pub struct SavePlan {
    pub(super) store: Arc<Store>,
    /// By digest, each once, with its size.
    pub(super) blobs: BTreeMap<Digest, u64>,
    pub(super) layout: Layout,
    pub(super) docker: DockerManifest,
    lease: Lease,
}

impl SavePlan {
    /// Finds out what images consist of, as far as it is in the store.
    ///
    /// # Errors
    ///
    /// When a part of an image isn't there or can't be read; of an index only what was asked for has to be.
    pub fn new(store: &Arc<Store>, images: &[SaveImage]) -> Result<Self, StoreError> {
        let mut plan = Self {
            store: Arc::clone(store),
            blobs: BTreeMap::new(),
            layout: Layout::default(),
            docker: DockerManifest::default(),
            lease: store.lease(),
        };
        // An image that is meant by several names is one image.
        let mut shown: HashMap<Digest, usize> = HashMap::new();
        for image in images {
            let mut found = Vec::new();
            if !plan.collect(&image.target, &image.only, 0, &mut HashMap::new(), &mut found)? {
                return Err(StoreError::NoBlob(image.target.digest));
            }
            match image.names.as_slice() {
                [] => plan.layout.add(&image.target, None),
                names => names.iter().for_each(|name| plan.layout.add(&image.target, Some(name))),
            }
            let manifest = found.iter().find(|(digest, _)| Some(*digest) == image.shown).or(found.first());
            let Some((digest, docker)) = manifest else { continue };
            let tags = image.names.iter().filter(|name| name.tag().is_some()).map(Reference::familiar);
            let at = *shown.entry(*digest).or_insert_with(|| {
                plan.docker.images.push(docker.clone());
                plan.docker.images.len() - 1
            });
            plan.docker.images[at].repo_tags.extend(tags);
        }
        Ok(plan)
    }

    /// How many images there are.
    pub fn images(&self) -> usize {
        self.layout.images.len()
    }

    /// Takes in a document and what it leads to; `false` when not all of that is there, and then nothing of it is taken in.
    fn collect(
        &mut self,
        descriptor: &Descriptor,
        only: &[Digest],
        depth: usize,
        followed: &mut HashMap<Digest, bool>,
        found: &mut Vec<(Digest, DockerImage)>,
    ) -> Result<bool, StoreError> {
        // An index may name a document as often as it likes.
        if let Some(is_there) = followed.get(&descriptor.digest) {
            return Ok(*is_there);
        }
        let is_there = self.follow(descriptor, only, depth, followed, found)?;
        followed.insert(descriptor.digest, is_there);
        Ok(is_there)
    }

    fn follow(
        &mut self,
        descriptor: &Descriptor,
        only: &[Digest],
        depth: usize,
        followed: &mut HashMap<Digest, bool>,
        found: &mut Vec<(Digest, DockerImage)>,
    ) -> Result<bool, StoreError> {
        // What is leased before it is looked for, stays.
        if !self.holds(descriptor)? {
            return Ok(false);
        }
        let store = Arc::clone(&self.store);
        match &*store.document(descriptor)? {
            Document::Index(index) if depth < MAX_DEPTH => {
                let wanted = |entry: &&Descriptor| {
                    let is_document =
                        media_type::is_index(&entry.media_type) || media_type::is_manifest(&entry.media_type);
                    is_document
                        && (only.is_empty() || only.contains(&entry.digest) || media_type::is_index(&entry.media_type))
                };
                for entry in index.manifests.iter().filter(wanted) {
                    let mut inner = Vec::new();
                    let is_there = self.collect(entry, only, depth + 1, followed, &mut inner)?;
                    if !is_there && only.contains(&entry.digest) {
                        return Err(StoreError::NoBlob(entry.digest));
                    }
                    // Attestations are saved, and are no images.
                    if !entry.is_attestation() {
                        found.append(&mut inner);
                    }
                }
            }
            Document::Index(_) => return Ok(false),
            Document::Manifest(manifest) => {
                let parts: Vec<&Descriptor> = manifest.layers.iter().chain([&manifest.config]).collect();
                for part in &parts {
                    if !self.holds(part)? {
                        return if depth == 0 { Err(StoreError::NoBlob(part.digest)) } else { Ok(false) };
                    }
                }
                self.blobs.extend(parts.iter().map(|part| (part.digest, part.size)));
                let image = DockerImage {
                    config: blob_name(manifest.config.digest),
                    repo_tags: Vec::new(),
                    layers: manifest.layers.iter().map(|layer| blob_name(layer.digest)).collect(),
                };
                found.push((descriptor.digest, image));
            }
        }
        self.blobs.insert(descriptor.digest, descriptor.size);
        Ok(true)
    }

    /// Whether the store has a blob, which stays from here on.
    fn holds(&mut self, descriptor: &Descriptor) -> Result<bool, StoreError> {
        self.lease.hold_blob(BlobId(descriptor.digest));
        self.store.has_blob(descriptor)
    }
}
