//! Bundles for OCI runtimes: layerd's own part of the API.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `POST` [`PATH`] | [`BundleRequest`] | 201, [`Bundle`] |

use serde::{Deserialize, Serialize};

use crate::Mount;
use crate::tolerant::null_as_default;

/// The path. It takes no API version in front.
pub const PATH: &str = "/layerd/v1/bundles";

/// Asks for a bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct BundleRequest {
    /// The image: a reference, an ID or the beginning of one.
    #[serde(deserialize_with = "null_as_default")]
    pub image: String,
    /// The folder of the bundle, absolute. It is made if it isn't there.
    #[serde(deserialize_with = "null_as_default")]
    pub target: String,
    /// Which platform of the image, `os/architecture[/variant]`. `null` is the daemon's own.
    pub platform: Option<String>,
}

/// A bundle that was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Bundle {
    /// The ID of the image, `sha256:<hex>`.
    #[serde(deserialize_with = "null_as_default")]
    pub image: String,
    /// The folder of the bundle.
    #[serde(deserialize_with = "null_as_default")]
    pub target: String,
    /// The mount of its root.
    pub mount: Mount,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_keeps_all_its_members() {
        let mount = Mount { id: "3f".into(), target: "/b/rootfs".into(), writable: true, ..Mount::default() };
        let bundle = Bundle { image: "sha256:0c".into(), target: "/b".into(), mount };
        let text = serde_json::to_string(&bundle).unwrap();
        assert_eq!(
            text,
            r#"{"image":"sha256:0c","target":"/b","mount":{"id":"3f","image":"","reference":null,"target":"/b/rootfs","writable":true}}"#
        );
        assert_eq!(serde_json::from_str::<Bundle>(&text).unwrap(), bundle);
        assert_eq!(serde_json::from_str::<BundleRequest>("{}").unwrap(), BundleRequest::default());
    }
}
