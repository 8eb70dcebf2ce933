//! What a pull would do, without doing it: layerd's own part of the API.
//!
//! | request | answer |
//! |---|---|
//! | `GET` [`PATH`]`?fromImage=<name>&tag=<tag or digest>&platform=<platform>` | 200, [`Preview`] |
//!
//! Parameters and the header `X-Registry-Auth` are those of a pull, `POST /images/create`.

use serde::{Deserialize, Serialize};

use crate::tolerant::null_as_default;

/// The path. It takes no API version in front.
pub const PATH: &str = "/layerd/v1/preview";

/// What a registry has under a name, and how much of it is missing here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Preview {
    /// The full name that was asked for.
    #[serde(deserialize_with = "null_as_default")]
    pub reference: String,
    /// The ID of the image that the registry has under the name, `sha256:<hex>`.
    #[serde(deserialize_with = "null_as_default")]
    pub image: String,
    /// The ID of the image that has the name here; `null` when none has.
    pub current: Option<String>,
    /// Whether a pull would change anything.
    pub is_news: bool,
    /// The platform that would be chosen, where an index tells it.
    pub platform: Option<String>,
    /// The layers, base first.
    #[serde(deserialize_with = "null_as_default")]
    pub layers: Vec<LayerPreview>,
    /// The bytes of layers that would come over the network.
    pub fetch_bytes: u64,
    /// The bytes that would be taken on disk, by estimate.
    pub disk_bytes: u64,
    /// The bytes that are free where the store lies.
    pub free_bytes: u64,
}

/// A layer that a pull would bring, or find.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct LayerPreview {
    /// The digest of its blob, `sha256:<hex>`.
    #[serde(deserialize_with = "null_as_default")]
    pub digest: String,
    /// Its compressed size in bytes.
    pub size: u64,
    /// How many of these bytes are here already.
    pub here: u64,
    /// Whether it is unpacked as well, so that nothing is left to do.
    pub is_unpacked: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_keeps_all_its_members_and_does_without_most() {
        let preview = Preview {
            reference: "docker.io/library/alpine:latest".into(),
            image: "sha256:0c".into(),
            current: None,
            is_news: true,
            platform: Some("linux/amd64".into()),
            layers: vec![LayerPreview { digest: "sha256:1d".into(), size: 7, here: 3, is_unpacked: false }],
            fetch_bytes: 4,
            disk_bytes: 25,
            free_bytes: 100,
        };
        let text = concat!(
            r#"{"reference":"docker.io/library/alpine:latest","image":"sha256:0c","current":null,"isNews":true,"#,
            r#""platform":"linux/amd64","layers":[{"digest":"sha256:1d","size":7,"here":3,"isUnpacked":false}],"#,
            r#""fetchBytes":4,"diskBytes":25,"freeBytes":100}"#
        );
        assert_eq!(serde_json::to_string(&preview).unwrap(), text);
        assert_eq!(serde_json::from_str::<Preview>(text).unwrap(), preview);
        let bare = serde_json::from_str::<Preview>(r#"{"image":"sha256:0c","layers":null,"more":1}"#).unwrap();
        assert_eq!(bare, Preview { image: "sha256:0c".into(), ..Preview::default() });
    }
}
