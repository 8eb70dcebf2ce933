//! What builders state about an image.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Descriptor;
use crate::tolerant::null_as_default;

/// A statement about an image.
///
/// Spec: in-toto attestation framework 1.0, statement.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct AttestationStatement {
    /// The statement's blob.
    #[serde(deserialize_with = "null_as_default")]
    pub descriptor: Descriptor,
    /// What it is about, as a URI.
    #[serde(deserialize_with = "null_as_default")]
    pub predicate_type: String,
    /// The statement itself, as it was made. Left out unless it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub statement: Option<Box<RawValue>>,
}
