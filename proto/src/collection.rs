//! Collections, which remove what was not used for long: layerd's own part of the API. `POST` [`PATH`] takes a [`CollectRequest`] and answers
//! 200 and a [`Collected`].

use serde::{Deserialize, Serialize};

use crate::tolerant::null_as_default;

/// The path. It takes no API version in front.
pub const PATH: &str = "/layerd/v1/gc";

/// Asks for a collection. With neither `keepStorage` nor `unusedFor`, the daemon's settings say what may go, as when it collects by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CollectRequest {
    /// Whether images with names may go, too; else only those that lost their last name to another image. Of no weight where the daemon's
    /// settings count.
    pub all: bool,
    /// Images go as long as the store takes more bytes than this.
    pub keep_storage: Option<u64>,
    /// Images go that were not used for so many seconds.
    pub unused_for: Option<u64>,
    /// What pulls have left behind goes when nothing was written to it for so many seconds. `null` is the daemon's setting.
    pub leftovers_for: Option<u64>,
    /// Whether only to tell what would go.
    pub dry_run: bool,
}

/// What a collection has taken, or would take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Collected {
    /// The images, in the order in which they were chosen.
    #[serde(deserialize_with = "null_as_default")]
    pub images: Vec<Evicted>,
    /// How many blobs and layers that no image consists of.
    pub leftovers: u64,
    /// How many partial downloads.
    pub partials: u64,
    /// The bytes on the disk, all in all.
    pub bytes: u64,
    /// Whether nothing was removed.
    pub dry_run: bool,
}

/// An image that a collection has taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Evicted {
    /// The ID, `sha256:<hex>`.
    #[serde(deserialize_with = "null_as_default")]
    pub id: String,
    /// The names it had; its ID if it had none.
    #[serde(deserialize_with = "null_as_default")]
    pub names: Vec<String>,
    /// When it was last used, in seconds since 1970; `null` if nobody knows.
    pub last_used: Option<i64>,
    /// The bytes that its going freed.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_not_asked_for() {
        assert_eq!(serde_json::from_str::<CollectRequest>("{}").unwrap(), CollectRequest::default());
        let request = CollectRequest { all: true, keep_storage: Some(7), dry_run: true, ..CollectRequest::default() };
        let text = r#"{"all":true,"keepStorage":7,"unusedFor":null,"leftoversFor":null,"dryRun":true}"#;
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
        assert_eq!(serde_json::from_str::<CollectRequest>(text).unwrap(), request);
    }

    #[test]
    fn what_was_taken_keeps_all_its_members() {
        let image = Evicted { id: "sha256:0c".into(), names: vec!["a:1".into()], last_used: None, bytes: 3 };
        let taken = Collected { images: vec![image], leftovers: 1, partials: 2, bytes: 9, dry_run: false };
        let text = concat!(
            r#"{"images":[{"id":"sha256:0c","names":["a:1"],"lastUsed":null,"bytes":3}],"#,
            r#""leftovers":1,"partials":2,"bytes":9,"dryRun":false}"#
        );
        assert_eq!(serde_json::to_string(&taken).unwrap(), text);
        assert_eq!(serde_json::from_str::<Collected>(text).unwrap(), taken);
    }
}
