//! The part of an image that says how to run it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ApiVersion;
use crate::tolerant::null_as_default;

/// A set of names, which docker writes as an object whose values are empty objects.
pub type Set = BTreeMap<String, Empty>;

/// `{}`: the value of each name in a [`Set`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Empty {}

/// How to run a container of the image.
///
/// The members that stand on every answer are plain; those that only an image which sets them has are optional. The last group belongs to
/// containers and was shown for images before version 1.50, always empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Config {
    /// The default arguments or command.
    pub cmd: Option<Vec<String>>,
    /// The program that gets the arguments.
    pub entrypoint: Option<Vec<String>>,
    /// The environment, `NAME=value` each.
    pub env: Option<Vec<String>>,
    /// The ports that the program listens on, `80/tcp`. Left out when the image names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<BTreeMap<String, Empty>>))]
    pub exposed_ports: Option<Set>,
    /// The health check as the image has it. Left out when it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Value>,
    /// The labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// Instructions for a build on top of this image.
    pub on_build: Option<Vec<String>>,
    /// The shell of the build file. Left out when the image names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
    /// The signal that ends the program. Left out when the image names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// The user, with the group if there is one.
    #[serde(deserialize_with = "null_as_default")]
    pub user: String,
    /// The folders meant for volumes.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<BTreeMap<String, Empty>>))]
    pub volumes: Option<Set>,
    /// The folder that the program starts in.
    #[serde(deserialize_with = "null_as_default")]
    pub working_dir: String,
    /// Whether the arguments are escaped already, for Windows. Left out when not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args_escaped: Option<bool>,

    /// Before version 1.50 only: empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Before version 1.50 only: empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domainname: Option<String>,
    /// Before version 1.50 only: empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Before version 1.50 only: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attach_stdin: Option<bool>,
    /// Before version 1.50 only: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attach_stdout: Option<bool>,
    /// Before version 1.50 only: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attach_stderr: Option<bool>,
    /// Before version 1.50 only: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tty: Option<bool>,
    /// Before version 1.50 only: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_stdin: Option<bool>,
    /// Before version 1.50 only: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin_once: Option<bool>,
}

impl Config {
    /// What a client that speaks `version` is shown.
    #[must_use]
    pub fn at(mut self, version: ApiVersion) -> Self {
        if version < ApiVersion::new(1, 50) {
            for text in [&mut self.hostname, &mut self.domainname, &mut self.image] {
                *text = Some(String::new());
            }
            for flag in [
                &mut self.attach_stdin,
                &mut self.attach_stdout,
                &mut self.attach_stderr,
                &mut self.tty,
                &mut self.open_stdin,
                &mut self.stdin_once,
            ] {
                *flag = Some(false);
            }
        }
        self
    }
}
