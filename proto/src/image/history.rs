//! `GET /images/{name}/history`: the steps that made an image, newest first.

use serde::{Deserialize, Serialize};

use crate::tolerant::null_as_default;

/// The ID of a step that has none: only the newest step has one, the image's.
pub const MISSING: &str = "<missing>";

/// One step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct HistoryItem {
    /// The comment of the step.
    #[serde(deserialize_with = "null_as_default")]
    pub comment: String,
    /// When it was done, in seconds since 1970.
    pub created: i64,
    /// The command that did it.
    #[serde(deserialize_with = "null_as_default")]
    pub created_by: String,
    /// The ID of the image for the newest step, [`MISSING`] for the others.
    #[serde(deserialize_with = "null_as_default")]
    pub id: String,
    /// The unpacked bytes that it added.
    pub size: u64,
    /// The image's names for the newest step, `null` for the others.
    pub tags: Option<Vec<String>>,
}
