//! The manifests behind one name, for requests with `manifests=1`.

use serde::{Deserialize, Serialize};

use crate::tolerant::null_as_default;
use crate::{Descriptor, Platform};

/// One manifest of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct ManifestSummary {
    /// Its digest.
    #[serde(rename = "ID", deserialize_with = "null_as_default")]
    pub id: String,
    /// Its entry in the index.
    #[serde(deserialize_with = "null_as_default")]
    pub descriptor: Descriptor,
    /// Whether all that it needs is stored here.
    pub available: bool,
    /// What it takes on disk.
    #[serde(deserialize_with = "null_as_default")]
    pub size: ManifestSize,
    /// What it describes.
    pub kind: ManifestKind,
    /// More, when it describes an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_data: Option<ImageData>,
    /// More, when it describes an attestation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attestation_data: Option<AttestationData>,
}

/// What a manifest describes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ManifestKind {
    /// An image for one platform.
    Image,
    /// Statements about an image.
    Attestation,
    /// Something else, or a kind that a newer daemon knows.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Bytes of one manifest with all that it names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct ManifestSize {
    /// The packed bytes that are stored.
    pub content: u64,
    /// Packed and unpacked bytes together.
    pub total: u64,
}

/// A manifest that describes an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageData {
    /// The platform that it runs on.
    #[serde(deserialize_with = "null_as_default")]
    pub platform: Platform,
    /// What it takes unpacked.
    #[serde(deserialize_with = "null_as_default")]
    pub size: UnpackedSize,
    /// The containers that use it; `null` for none.
    pub containers: Option<Vec<String>>,
}

/// Bytes of an image's unpacked layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct UnpackedSize {
    /// The bytes.
    pub unpacked: u64,
}

/// A manifest that describes an attestation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct AttestationData {
    /// The digest of the manifest that it speaks about.
    #[serde(rename = "For", deserialize_with = "null_as_default")]
    pub subject: String,
}
