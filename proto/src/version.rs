//! `GET /version`: who answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ApiVersion;
use crate::tolerant::null_as_default;

/// The body of the answer to `GET /version`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Version {
    /// The product.
    #[serde(deserialize_with = "null_as_default")]
    pub platform: PlatformName,
    /// The parts that the daemon is made of, itself first, under the name `Engine`.
    #[serde(deserialize_with = "null_as_default")]
    pub components: Vec<Component>,
    /// The version of the daemon.
    #[serde(deserialize_with = "null_as_default")]
    pub version: String,
    /// The newest API version that it advertises.
    #[serde(deserialize_with = "null_as_default")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub api_version: ApiVersion,
    /// The oldest API version that it speaks.
    #[serde(rename = "MinAPIVersion", deserialize_with = "null_as_default")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub min_api_version: ApiVersion,
    /// The commit that it was built from; may be empty.
    #[serde(deserialize_with = "null_as_default")]
    pub git_commit: String,
    /// The version of the Go compiler. Clients print it and expect the member; a daemon that is not written in Go leaves it empty.
    #[serde(deserialize_with = "null_as_default")]
    pub go_version: String,
    /// The operating system: `linux`.
    #[serde(deserialize_with = "null_as_default")]
    pub os: String,
    /// The processor as Go calls it: `amd64`.
    #[serde(deserialize_with = "null_as_default")]
    pub arch: String,
    /// The release of the running kernel.
    #[serde(deserialize_with = "null_as_default")]
    pub kernel_version: String,
    /// Whether experimental features are on. Left out when they are not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub experimental: bool,
    /// When the daemon was built, RFC 3339; may be empty.
    #[serde(deserialize_with = "null_as_default")]
    pub build_time: String,
}

/// The product's name, in an object of its own as docker has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct PlatformName {
    /// The name; may be empty.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
}

/// One part of the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Component {
    /// Its name.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    /// Its version.
    #[serde(deserialize_with = "null_as_default")]
    pub version: String,
    /// More about it. Left out when empty.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub details: BTreeMap<String, String>,
}
