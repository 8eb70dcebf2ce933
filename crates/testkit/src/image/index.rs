//! Indexes and manifest lists: several images under one name.

use serde_json::{Value, json};

use super::{DOCKER_LIST, Document, Image, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST};
use crate::Blob;
use crate::layer::Layer;

type Change = Box<dyn FnOnce(&mut Value)>;

/// Builds an index of images and of other indexes.
pub struct IndexBuilder {
    media_type: &'static str,
    entries: Vec<Value>,
    documents: Vec<Document>,
    blobs: Vec<Blob>,
    layers: Vec<Layer>,
    changes: Vec<Change>,
}

impl IndexBuilder {
    /// An OCI index.
    pub fn new() -> Self {
        Self {
            media_type: OCI_INDEX,
            entries: Vec::new(),
            documents: Vec::new(),
            blobs: Vec::new(),
            layers: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// A Docker manifest list.
    pub fn docker() -> Self {
        Self { media_type: DOCKER_LIST, ..Self::new() }
    }

    /// Adds an image under its own platform, or a nested index under none.
    pub fn image(self, image: &Image) -> Self {
        let mut entry = image.top.descriptor();
        if let Some(platform) = &image.platform {
            entry["platform"] = platform.clone();
        }
        self.entry(image, entry)
    }

    /// Adds an image or index under the given platform object, whatever its config says.
    pub fn image_as(self, image: &Image, platform: Value) -> Self {
        let mut entry = image.top.descriptor();
        entry["platform"] = platform;
        self.entry(image, entry)
    }

    /// Adds a descriptor as it is, without anything behind it.
    pub fn descriptor(mut self, descriptor: Value) -> Self {
        self.entries.push(descriptor);
        self
    }

    /// Adds what BuildKit adds for an image: a manifest of platform unknown/unknown that holds a statement about it.
    pub fn attestation(self, about: &Image) -> Self {
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": "https://slsa.dev/provenance/v0.2",
            "subject": [{"name": "image", "digest": {"sha256": about.digest().trim_start_matches("sha256:")}}],
            "predicate": {},
        });
        let statement = Blob::new(statement.to_string().into_bytes());
        let config = json!({
            "architecture": "unknown",
            "os": "unknown",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [statement.digest]},
        });
        let config = Blob::new(config.to_string().into_bytes());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": config.digest, "size": config.size()},
            "layers": [{
                "mediaType": "application/vnd.in-toto+json",
                "digest": statement.digest,
                "size": statement.size(),
                "annotations": {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v0.2"},
            }],
        });
        let top = Document::new(OCI_MANIFEST, manifest.to_string().into_bytes());
        let mut entry = top.descriptor();
        entry["platform"] = json!({"architecture": "unknown", "os": "unknown"});
        entry["annotations"] = json!({
            "vnd.docker.reference.digest": about.digest(),
            "vnd.docker.reference.type": "attestation-manifest",
        });
        let image = Image {
            top,
            documents: Vec::new(),
            blobs: vec![config, statement],
            layers: Vec::new(),
            config: None,
            platform: None,
        };
        self.entry(&image, entry)
    }

    /// Changes the index before its digest is made.
    pub fn change(mut self, change: impl FnOnce(&mut Value) + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// Builds the index. Documents and blobs that several images share are held once.
    pub fn build(self) -> Image {
        let mut index = json!({"schemaVersion": 2, "mediaType": self.media_type, "manifests": self.entries});
        for change in self.changes {
            change(&mut index);
        }
        Image {
            top: Document::new(self.media_type, index.to_string().into_bytes()),
            documents: self.documents,
            blobs: self.blobs,
            layers: self.layers,
            config: None,
            platform: None,
        }
    }

    fn entry(mut self, image: &Image, entry: Value) -> Self {
        self.entries.push(entry);
        for document in image.documents.iter().chain([&image.top]) {
            if self.documents.iter().all(|held| held.digest != document.digest) {
                self.documents.push(document.clone());
            }
        }
        for blob in &image.blobs {
            if self.blobs.iter().all(|held| held.digest != blob.digest) {
                self.blobs.push(blob.clone());
            }
        }
        self.layers.extend(image.layers.iter().cloned());
        self
    }
}

impl Default for IndexBuilder {
    fn default() -> Self {
        Self::new()
    }
}
