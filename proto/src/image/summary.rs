//! `GET /images/json`: one row a stored image.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ManifestSummary;
use crate::tolerant::null_as_default;
use crate::{ApiVersion, Descriptor};

/// One image in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageSummary {
    /// How many containers use it; -1 for "not counted", which is all that versions before 1.51 say.
    pub containers: i64,
    /// When the image was built, in seconds since 1970.
    pub created: i64,
    /// The image's ID, `sha256:<hex>`.
    #[serde(deserialize_with = "null_as_default")]
    pub id: String,
    /// The labels of its configuration; `null` when it has none.
    pub labels: Option<BTreeMap<String, String>>,
    /// The image that this one was built on. Always empty for a pulled image.
    #[serde(deserialize_with = "null_as_default")]
    pub parent_id: String,
    /// What the name points at. Version 1.48 and later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<Descriptor>,
    /// The manifests behind the name, when the request asked for them. Version 1.47 and later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifests: Option<Vec<ManifestSummary>>,
    /// `repository@digest`, once a repository.
    #[serde(deserialize_with = "null_as_default")]
    pub repo_digests: Vec<String>,
    /// The image's names in their familiar form, sorted.
    #[serde(deserialize_with = "null_as_default")]
    pub repo_tags: Vec<String>,
    /// Bytes that other images use too; -1 unless the request asked for it.
    pub shared_size: i64,
    /// Bytes on disk, packed and unpacked, of all platforms that are here.
    pub size: u64,
    /// The same as `size`. Before version 1.44 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_size: Option<u64>,
}

impl Default for ImageSummary {
    fn default() -> Self {
        Self {
            containers: -1,
            created: 0,
            id: String::new(),
            labels: None,
            parent_id: String::new(),
            descriptor: None,
            manifests: None,
            repo_digests: Vec::new(),
            repo_tags: Vec::new(),
            shared_size: -1,
            size: 0,
            virtual_size: None,
        }
    }
}

impl ImageSummary {
    /// What a client that speaks `version` is shown: `self` has the members of [`ApiVersion::CURRENT`].
    #[must_use]
    pub fn at(mut self, version: ApiVersion) -> Self {
        if version < ApiVersion::new(1, 51) {
            self.containers = -1;
        }
        if version < ApiVersion::new(1, 48) {
            self.descriptor = None;
        }
        if version < ApiVersion::new(1, 47) {
            self.manifests = None;
        }
        if version < ApiVersion::new(1, 44) {
            self.virtual_size = Some(self.size);
        }
        if version < ApiVersion::new(1, 43) && self.repo_tags.is_empty() && self.repo_digests.is_empty() {
            self.repo_tags.push("<none>:<none>".into());
            self.repo_digests.push("<none>@<none>".into());
        }
        self
    }
}
