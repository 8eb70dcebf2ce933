//! Mounts of images on the host: layerd's own part of the API.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `POST` [`PATH`] | [`MountRequest`] | 201, [`Mount`] |
//! | `GET` [`PATH`] | | 200, a list of [`Mount`] |
//! | `DELETE` [`PATH`]`?what=<folder, image or mount ID>` | | 200, a list of those that were unmounted |

use serde::{Deserialize, Serialize};

use crate::tolerant::null_as_default;

/// The path of the collection. It takes no API version in front.
pub const PATH: &str = "/layerd/v1/mounts";

/// Asks for an image to be mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct MountRequest {
    /// The image: a reference, an ID or the beginning of one.
    #[serde(deserialize_with = "null_as_default")]
    pub image: String,
    /// The folder to mount on, absolute. `null` lets the daemon choose one.
    pub target: Option<String>,
    /// Whether the mount gets a writable top that is thrown away with it.
    pub writable: bool,
    /// Which platform of the image, `os/architecture[/variant]`. `null` is the daemon's own.
    pub platform: Option<String>,
}

/// An image that is mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Mount {
    /// The name of this mount.
    #[serde(deserialize_with = "null_as_default")]
    pub id: String,
    /// The ID of the image, `sha256:<hex>`.
    #[serde(deserialize_with = "null_as_default")]
    pub image: String,
    /// The name that the image was asked for by; `null` when it was an ID.
    pub reference: Option<String>,
    /// The folder it is mounted on.
    #[serde(deserialize_with = "null_as_default")]
    pub target: String,
    /// Whether it can be written to.
    pub writable: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_asked_for_is_null() {
        let request = MountRequest { image: "alpine".into(), ..Default::default() };
        let text = r#"{"image":"alpine","target":null,"writable":false,"platform":null}"#;
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
        assert_eq!(serde_json::from_str::<MountRequest>(text).unwrap(), request);
        assert_eq!(serde_json::from_str::<MountRequest>(r#"{"image":"alpine"}"#).unwrap(), request);
    }

    #[test]
    fn a_mount_keeps_all_its_members() {
        let mount = Mount {
            id: "3f2a".into(),
            image: "sha256:0c".into(),
            reference: None,
            target: "/mnt".into(),
            writable: true,
        };
        let text = r#"{"id":"3f2a","image":"sha256:0c","reference":null,"target":"/mnt","writable":true}"#;
        assert_eq!(serde_json::to_string(&mount).unwrap(), text);
        assert_eq!(serde_json::from_str::<Mount>(text).unwrap(), mount);
    }
}
