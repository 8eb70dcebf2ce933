//! Pulls that run, whoever began them: layerd's own part of the API.
//!
//! | request | answer |
//! |---|---|
//! | `GET` [`PATH`] | 200, a list of [`RunningPull`], the oldest first |
//! | `GET` [`PROGRESS_PATH`]`?what=<number or name>` | 200, the lines of its progress: how far it is, and the rest as it happens |
//! | `DELETE` [`PATH`]`?what=<number or name>` | 200, a list of those that were ended |

use serde::{Deserialize, Serialize};

use crate::tolerant::null_as_default;

/// The path of the collection. It takes no API version in front.
pub const PATH: &str = "/layerd/v1/pulls";

/// The path of the progress of one.
pub const PROGRESS_PATH: &str = "/layerd/v1/pulls/progress";

/// A pull that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct RunningPull {
    /// Its number, which a daemon gives once.
    #[serde(deserialize_with = "null_as_default")]
    pub id: u64,
    /// The full name of the image.
    #[serde(deserialize_with = "null_as_default")]
    pub reference: String,
    /// The platform that was asked for; `null` for the daemon's own.
    pub platform: Option<String>,
    /// When it began, as RFC 3339 has it.
    #[serde(deserialize_with = "null_as_default")]
    pub started: String,
    /// Its layers, base first; none until the name is resolved.
    #[serde(deserialize_with = "null_as_default")]
    pub layers: Vec<RunningLayer>,
}

/// A layer of a pull that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct RunningLayer {
    /// The digest of its blob.
    #[serde(deserialize_with = "null_as_default")]
    pub digest: String,
    /// What is going on, in the words of a pull's progress.
    #[serde(deserialize_with = "null_as_default")]
    pub status: String,
    /// How many bytes of it are done; 0 where they aren't counted.
    #[serde(deserialize_with = "null_as_default")]
    pub current: u64,
    /// How many there are to do.
    #[serde(deserialize_with = "null_as_default")]
    pub total: u64,
}
