//! Content descriptors and platforms, in the form of the OCI documents that they come from.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::tolerant::null_as_default;

/// What an image's name points at: an index or a manifest.
///
/// Spec: OCI image-spec 1.1, descriptor.md.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Descriptor {
    /// The kind of document.
    #[serde(deserialize_with = "null_as_default")]
    pub media_type: String,
    /// Its digest, `sha256:<hex>`.
    #[serde(deserialize_with = "null_as_default")]
    pub digest: String,
    /// Its length in bytes.
    pub size: u64,
    /// What the document says about itself. Left out when empty.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub annotations: BTreeMap<String, String>,
    /// The platform that the content is for; present on the entries of an index only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The type of an artifact that is no image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

/// An operating system on a processor.
///
/// Spec: OCI image-spec 1.1, image-index.md, "platform".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Platform {
    /// The processor, as Go calls it: `amd64`, `arm64`, `arm`.
    #[serde(deserialize_with = "null_as_default")]
    pub architecture: String,
    /// The operating system: `linux`.
    #[serde(deserialize_with = "null_as_default")]
    pub os: String,
    /// The version of the operating system, for Windows.
    #[serde(rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// What the operating system must have, for Windows. Left out when empty.
    #[serde(rename = "os.features", skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub os_features: Vec<String>,
    /// The variant of the processor: `v7`, `v8`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl fmt::Display for Platform {
    /// Writes `os/architecture[/variant]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match self.variant.as_deref() {
            None | Some("") => Ok(()),
            Some(variant) => write!(f, "/{variant}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_is_left_out() {
        let descriptor =
            Descriptor { media_type: "a/b".into(), digest: "sha256:00".into(), size: 7, ..Default::default() };
        assert_eq!(serde_json::to_string(&descriptor).unwrap(), r#"{"mediaType":"a/b","digest":"sha256:00","size":7}"#);
    }

    #[test]
    fn a_platform_reads_as_people_write_it() {
        let platform: Platform =
            serde_json::from_str(r#"{"architecture":"arm","os":"linux","variant":"v7","os.features":null,"more":1}"#)
                .unwrap();
        assert_eq!(platform.to_string(), "linux/arm/v7");
        let plain = Platform { variant: None, ..platform };
        assert_eq!(plain.to_string(), "linux/arm");
        assert_eq!(serde_json::to_string(&plain).unwrap(), r#"{"architecture":"arm","os":"linux"}"#);
    }
}
