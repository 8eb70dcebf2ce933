//! `GET /distribution/{name}/json`: what a registry has under a name.

use serde::{Deserialize, Serialize};

use crate::tolerant::null_as_default;
use crate::{Descriptor, Platform};

/// What a registry has under a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct DistributionInspect {
    /// The index or manifest.
    #[serde(deserialize_with = "null_as_default")]
    pub descriptor: Descriptor,
    /// The platforms that it is for; `null` for what is no image.
    pub platforms: Option<Vec<Platform>>,
}
