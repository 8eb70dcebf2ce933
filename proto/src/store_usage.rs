//! What the store takes on the disk, in full: layerd's own part of the API. `GET` [`PATH`] answers 200 and a [`StoreUsage`].

use serde::{Deserialize, Serialize};

use crate::tolerant::null_as_default;

/// The path. It takes no API version in front.
pub const PATH: &str = "/layerd/v1/df";

/// What the store takes, in bytes on the disk as `du` counts them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct StoreUsage {
    /// All in all.
    pub total: u64,
    /// Packed layers and documents.
    pub blobs: u64,
    /// Unpacked layers.
    pub layers: u64,
    /// Blobs that have come in part.
    pub partials: u64,
    /// What mounts take beside that: what was copied for them, and what was written to them.
    pub mounts: u64,
    /// Of what images take, what no image consists of.
    pub leftovers: u64,
    /// What a prune of all images would free now.
    pub reclaimable: u64,
    /// The images, the newest first.
    #[serde(deserialize_with = "null_as_default")]
    pub images: Vec<ImageUsage>,
}

/// What an image takes, in bytes on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ImageUsage {
    /// The ID, `sha256:<hex>`.
    #[serde(deserialize_with = "null_as_default")]
    pub id: String,
    /// Its names; none if it lost the last to another image.
    #[serde(deserialize_with = "null_as_default")]
    pub names: Vec<String>,
    /// All that it consists of.
    pub size: u64,
    /// Of that, what would be free if it went.
    pub unique: u64,
    /// Of that, what other images consist of, too.
    pub shared: u64,
    /// How often it is mounted.
    pub mounts: u64,
    /// Whether it is pinned.
    pub pinned: bool,
    /// When it was last used, in seconds since 1970; `null` if nobody knows.
    pub last_used: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_keeps_all_its_members() {
        let image = ImageUsage {
            id: "sha256:0c".into(),
            names: vec!["a:1".into()],
            size: 3,
            unique: 1,
            shared: 2,
            mounts: 1,
            pinned: true,
            last_used: Some(5),
        };
        let usage = StoreUsage { total: 9, images: vec![image], ..StoreUsage::default() };
        let text = concat!(
            r#"{"total":9,"blobs":0,"layers":0,"partials":0,"mounts":0,"leftovers":0,"reclaimable":0,"images":[{"id":"sha256:0c","#,
            r#""names":["a:1"],"size":3,"unique":1,"shared":2,"mounts":1,"pinned":true,"lastUsed":5}]}"#
        );
        assert_eq!(serde_json::to_string(&usage).unwrap(), text);
        assert_eq!(serde_json::from_str::<StoreUsage>(text).unwrap(), usage);
        assert_eq!(serde_json::from_str::<StoreUsage>(r#"{"images":null}"#).unwrap(), StoreUsage::default());
    }
}
