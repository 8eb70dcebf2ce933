//! What a search finds.

use serde::{Deserialize, Serialize};

use crate::tolerant::null_as_default;

/// A repository that was found. The texts are the registry's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct SearchResult {
    /// How many people like it.
    #[serde(deserialize_with = "null_as_default")]
    pub star_count: u64,
    /// Whether the registry vouches for it.
    #[serde(deserialize_with = "null_as_default")]
    pub is_official: bool,
    /// Its name: a path in the registry that was searched.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    /// Whether the registry builds it from its sources.
    #[serde(deserialize_with = "null_as_default")]
    pub is_automated: bool,
    /// What it is for.
    #[serde(deserialize_with = "null_as_default")]
    pub description: String,
}
