//! Images and indexes as a registry has them: documents and blobs under their digests.
//!
//! A document is built as it should be and can then be changed by hand, before its digest is made.

mod index;

pub use index::IndexBuilder;
use serde_json::{Value, json};

use crate::layer::Layer;
use crate::{Blob, sha256};

/// The media type of an OCI manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an OCI index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The media type of an OCI config.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The media type of a Docker manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// The media type of a Docker manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// The media type of a Docker config.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// A manifest or index: its exact bytes and their name.
#[derive(Clone, Debug)]
pub struct Document {
    /// What it is served as.
    pub media_type: String,
    /// `sha256:<hex>` of the bytes.
    pub digest: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Document {
    /// Names `bytes` by their digest.
    pub fn new(media_type: &str, bytes: Vec<u8>) -> Self {
        Self { media_type: media_type.to_owned(), digest: sha256(&bytes), bytes }
    }

    /// The descriptor that points at it.
    pub fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len()})
    }
}

/// Everything that belongs to one name: an image, or an index with all of its images.
#[derive(Clone, Debug)]
pub struct Image {
    /// What a tag points at.
    pub top: Document,
    /// What the top points at, directly or not; children before their parents. Empty for a plain image.
    pub documents: Vec<Document>,
    /// Configs and layers of all of it.
    pub blobs: Vec<Blob>,
    /// The layers of a plain image, base first; for an index those of all of its images in their order.
    pub layers: Vec<Layer>,
    /// The digest of a plain image's config; of an index none.
    pub config: Option<String>,
    /// A plain image's platform as its descriptor has it; of an index none.
    pub platform: Option<Value>,
}

impl Image {
    /// The digest that a pull must report: that of the top document.
    pub fn digest(&self) -> &str {
        &self.top.digest
    }

    /// The uncompressed layers, base first, as [`gnu_tar_reference`](crate::tree::gnu_tar_reference) takes them.
    ///
    /// # Errors
    /// A layer lies in a file that can't be read.
    pub fn tars(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        self.layers.iter().map(|layer| layer.tar.to_vec()).collect()
    }
}

/// Builds an image of one platform.
///
/// Without refinement: OCI form, linux/amd64, no command, one history item a layer.
pub struct ImageBuilder {
    docker: bool,
    layers: Vec<Layer>,
    platform: Value,
    created: String,
    container: Value,
    history: Option<Value>,
    manifest_changes: Vec<Change>,
    config_changes: Vec<Change>,
}

type Change = Box<dyn FnOnce(&mut Value)>;

impl ImageBuilder {
    /// An image in OCI form.
    pub fn new() -> Self {
        Self {
            docker: false,
            layers: Vec::new(),
            platform: json!({"os": "linux", "architecture": "amd64"}),
            created: "2023-11-14T22:13:20Z".to_owned(),
            container: json!({}),
            history: None,
            manifest_changes: Vec::new(),
            config_changes: Vec::new(),
        }
    }

    /// An image in Docker's form, manifest schema 2.
    pub fn docker() -> Self {
        Self { docker: true, ..Self::new() }
    }

    /// Adds a layer on top.
    pub fn layer(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// Adds layers on top, the lowest first.
    pub fn layers(mut self, layers: impl IntoIterator<Item = Layer>) -> Self {
        self.layers.extend(layers);
        self
    }

    /// Sets the platform, `os/architecture[/variant]`.
    pub fn platform(self, text: &str) -> Self {
        let mut parts = text.split('/');
        let mut platform = json!({"os": parts.next(), "architecture": parts.next().unwrap_or("amd64")});
        if let Some(variant) = parts.next() {
            platform["variant"] = variant.into();
        }
        Self { platform, ..self }
    }

    /// Sets when the image was made, in RFC 3339.
    pub fn created(self, time: &str) -> Self {
        Self { created: time.to_owned(), ..self }
    }

    /// Sets a field of the config's `config` object by the name it has there: `Cmd`, `Env`, `Entrypoint`, `Labels`, `User`, …
    pub fn container(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.container[field] = value.into();
        self
    }

    /// Sets the command.
    pub fn cmd(self, words: &[&str]) -> Self {
        self.container("Cmd", words.to_vec())
    }

    /// Sets the history instead of one item a layer.
    pub fn history(self, items: Value) -> Self {
        Self { history: Some(items), ..self }
    }

    /// Changes the config document before its digest is made.
    pub fn change_config(mut self, change: impl FnOnce(&mut Value) + 'static) -> Self {
        self.config_changes.push(Box::new(change));
        self
    }

    /// Changes the manifest before its digest is made.
    pub fn change_manifest(mut self, change: impl FnOnce(&mut Value) + 'static) -> Self {
        self.manifest_changes.push(Box::new(change));
        self
    }

    /// Adds an annotation to the manifest.
    pub fn annotation(self, key: &str, value: &str) -> Self {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.change_manifest(move |manifest| manifest["annotations"][key] = value.into())
    }

    /// Builds the documents.
    pub fn build(mut self) -> Image {
        let config = Blob::new(self.config());
        let (manifest_type, config_type) =
            if self.docker { (DOCKER_MANIFEST, DOCKER_CONFIG) } else { (OCI_MANIFEST, OCI_CONFIG) };
        let layers: Vec<Value> = self
            .layers
            .iter()
            .map(|layer| {
                let (digest, size) = (&layer.blob.digest, layer.blob.size());
                json!({"mediaType": layer.media_type(self.docker), "digest": digest, "size": size})
            })
            .collect();
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": manifest_type,
            "config": {"mediaType": config_type, "digest": config.digest, "size": config.size()},
            "layers": layers,
        });
        for change in self.manifest_changes {
            change(&mut manifest);
        }
        let mut blobs = vec![config.clone()];
        blobs.extend(self.layers.iter().map(|layer| layer.blob.clone()));
        Image {
            top: Document::new(manifest_type, manifest.to_string().into_bytes()),
            documents: Vec::new(),
            blobs,
            layers: self.layers,
            config: Some(config.digest),
            platform: Some(self.platform),
        }
    }

    fn config(&mut self) -> Vec<u8> {
        let mut config = self.platform.clone();
        let diff_ids: Vec<&str> = self.layers.iter().map(|layer| layer.diff_id.as_str()).collect();
        config["created"] = self.created.as_str().into();
        config["config"] = self.container.clone();
        config["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
        config["history"] = self.history.clone().unwrap_or_else(|| {
            let item = |number| json!({"created": self.created, "created_by": format!("testkit layer {number}")});
            (1..=self.layers.len()).map(item).collect()
        });
        for change in self.config_changes.drain(..) {
            change(&mut config);
        }
        config.to_string().into_bytes()
    }
}

impl Default for ImageBuilder {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::{ImageBuilder, IndexBuilder};
    use crate::layer::LayerBuilder;
    use crate::sha256;
    use serde_json::Value;

    #[test]
    fn a_manifest_names_what_the_image_holds() {
        let image = ImageBuilder::new().layer(LayerBuilder::new().file("a", "1").gzip()).cmd(&["/a"]).build();
        let manifest: Value = serde_json::from_slice(&image.top.bytes).unwrap();
        assert_eq!(image.digest(), sha256(&image.top.bytes));
        assert_eq!(manifest["layers"][0]["digest"], image.layers[0].blob.digest);
        assert_eq!(manifest["layers"][0]["size"], image.layers[0].blob.size());
        assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
        assert_eq!(manifest["config"]["digest"], image.blobs[0].digest);
        let config: Value = serde_json::from_slice(&image.blobs[0].content.to_vec().unwrap()).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], sha256(&image.layers[0].tar.to_vec().unwrap()));
        assert_eq!(config["config"]["Cmd"][0], "/a");
        assert_eq!(config["os"], "linux");
    }

    #[test]
    fn an_index_holds_all_below_it_once() {
        let base = LayerBuilder::new().file("base", "1").gzip();
        let image = |platform| ImageBuilder::docker().platform(platform).layer(base.clone()).build();
        let inner = IndexBuilder::new().image(&image("linux/arm/v7")).build();
        let outer = IndexBuilder::docker()
            .image(&image("linux/amd64"))
            .attestation(&image("linux/amd64"))
            .image(&inner)
            .build();
        let index: Value = serde_json::from_slice(&outer.top.bytes).unwrap();
        assert_eq!(index["manifests"][0]["platform"]["architecture"], "amd64");
        assert_eq!(index["manifests"][1]["platform"]["os"], "unknown");
        assert_eq!(
            index["manifests"][1]["annotations"]["vnd.docker.reference.digest"],
            index["manifests"][0]["digest"]
        );
        assert_eq!(index["manifests"][2]["digest"], inner.digest());
        assert!(index["manifests"][2].get("platform").is_none());
        // amd64, attestation, arm, inner index.
        assert_eq!(outer.documents.len(), 4);
        // One base layer, two configs, the attestation's config and statement.
        assert_eq!(outer.blobs.len(), 5);
    }
}
