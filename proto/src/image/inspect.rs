//! `GET /images/{name}/json`: all that is known about one image.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Config, ManifestSummary};
use crate::tolerant::null_as_default;
use crate::{ApiVersion, Descriptor, ZERO_TIME};

/// One image in full.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageInspect {
    /// The image's ID, `sha256:<hex>`.
    #[serde(deserialize_with = "null_as_default")]
    pub id: String,
    /// Its names in their familiar form, sorted.
    #[serde(deserialize_with = "null_as_default")]
    pub repo_tags: Vec<String>,
    /// `repository@digest`, once a repository.
    #[serde(deserialize_with = "null_as_default")]
    pub repo_digests: Vec<String>,
    /// The image that this one was built on. Always empty for a pulled image.
    #[serde(deserialize_with = "null_as_default")]
    pub parent: String,
    /// The comment of its last step.
    #[serde(deserialize_with = "null_as_default")]
    pub comment: String,
    /// When it was built, RFC 3339 as the image has it. Left out when the image doesn't say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Before version 1.45 only: the container it was committed from, empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Before version 1.45 only: that container's configuration, empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_config: Option<Config>,
    /// The docker that built it; mostly empty.
    #[serde(deserialize_with = "null_as_default")]
    pub docker_version: String,
    /// Who built it.
    #[serde(deserialize_with = "null_as_default")]
    pub author: String,
    /// The processor it runs on.
    #[serde(deserialize_with = "null_as_default")]
    pub architecture: String,
    /// The variant of the processor. Left out when the image has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The operating system it runs on.
    #[serde(deserialize_with = "null_as_default")]
    pub os: String,
    /// The version of the operating system, for Windows. Left out when the image has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// The packed bytes of one platform: manifest, configuration and layers.
    pub size: u64,
    /// Before version 1.44 only: the same as `size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_size: Option<u64>,
    /// How layers become a tree.
    #[serde(deserialize_with = "null_as_default")]
    pub graph_driver: GraphDriver,
    /// The layers.
    #[serde(rename = "RootFS", deserialize_with = "null_as_default")]
    pub root_fs: RootFs,
    /// What the daemon itself noted about the image.
    #[serde(deserialize_with = "null_as_default")]
    pub metadata: Metadata,
    /// What the name points at. Version 1.48 and later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<Descriptor>,
    /// The manifests behind the name, when the request asked for them. Version 1.48 and later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifests: Option<Vec<ManifestSummary>>,
    /// How to run the image.
    #[serde(deserialize_with = "null_as_default")]
    pub config: Config,
}

impl ImageInspect {
    /// What a client that speaks `version` is shown: `self` has the members of [`ApiVersion::CURRENT`].
    #[must_use]
    pub fn at(mut self, version: ApiVersion) -> Self {
        self.config = self.config.at(version);
        if version < ApiVersion::new(1, 48) {
            self.descriptor = None;
            self.manifests = None;
        }
        if version < ApiVersion::new(1, 45) {
            self.container = Some(String::new());
            self.container_config = Some(Config::default().at(version));
        }
        if version < ApiVersion::new(1, 44) {
            self.virtual_size = Some(self.size);
            self.created.get_or_insert_with(|| ZERO_TIME.into());
        }
        self
    }
}

/// How layers become a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct GraphDriver {
    /// Folders of the image, by role. `null` where the daemon doesn't give them away.
    pub data: Option<BTreeMap<String, String>>,
    /// The file system that stacks the layers.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
}

impl Default for GraphDriver {
    fn default() -> Self {
        Self { data: None, name: "overlayfs".into() }
    }
}

/// The layers of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "Type", default, deserialize_with = "null_as_default")]
    pub kind: String,
    /// The diff ID of each layer, base first. Left out when there is none.
    #[serde(rename = "Layers", default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub layers: Vec<String>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self { kind: "layers".into(), layers: Vec::new() }
    }
}

/// What the daemon itself noted about an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Metadata {
    /// When a name last came to point at the image, RFC 3339; [`ZERO_TIME`] when that isn't known.
    #[serde(deserialize_with = "null_as_default")]
    pub last_tag_time: String,
}

impl Default for Metadata {
    fn default() -> Self {
        Self { last_tag_time: ZERO_TIME.into() }
    }
}
