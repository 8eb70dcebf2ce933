//! Pins, which keep images from every collection: layerd's own part of the API.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `POST` [`PATH`] | [`PinRequest`] | 201, [`Pin`] |
//! | `GET` [`PATH`] | | 200, a list of [`Pin`] |
//! | `DELETE` [`PATH`]`?image=<name or ID>` | | 200, a list of those that were taken off |

use serde::{Deserialize, Serialize};

use crate::tolerant::null_as_default;

/// The path of the collection. It takes no API version in front.
pub const PATH: &str = "/layerd/v1/pins";

/// Asks for a name or an image to be pinned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct PinRequest {
    /// The name, or the ID of an image or the beginning of one.
    #[serde(deserialize_with = "null_as_default")]
    pub image: String,
}

/// A pin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Pin {
    /// The ID of the image that is kept by it, `sha256:<hex>`.
    #[serde(deserialize_with = "null_as_default")]
    pub image: String,
    /// The name that is pinned, whatever it leads to; `null` when it is the image itself.
    pub reference: Option<String>,
}
