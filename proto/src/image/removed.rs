//! `DELETE /images/{name}`: what went away.

use serde::{Deserialize, Serialize};

/// One thing that a removal did. On the wire it is an object with the one member `Untagged` or `Deleted`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Removed {
    /// This name is gone.
    Untagged(String),
    /// This image is gone, by its ID.
    Deleted(String),
}
