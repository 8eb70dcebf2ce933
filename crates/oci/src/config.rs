//! The config of an image: what it is, how to run it, and the proof of its layers.

use std::collections::{BTreeMap, BTreeSet};

use layer_digest::DiffId;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use crate::error::shown;
use crate::json::{self, Bounded, Strict};
use crate::manifest::MAX_LAYERS;
use crate::{DocumentError, DocumentKind, Platform};

/// The longest config. Peers take 4 MiB to 8 MiB; labels with whole documents in them exist.
const MAX_BYTES: usize = 8 << 20;

/// The most steps of history that are taken; without a bound, a small config would grow a hundredfold in memory.
const MAX_HISTORY: usize = 10_000;

/// The config of an image, as a view: the bytes that its digest names must be kept beside it.
///
/// Strings are as the document has them, times too; an absent or null string that has no meaning of its own is empty.
///
/// Spec: OCI image-spec 1.1, config.md; Docker image spec v1.2, "Image JSON".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// When the image was made: RFC 3339, word for word.
    pub created: Option<String>,
    /// Who made the image.
    pub author: Option<String>,
    /// What the last step was said to do.
    pub comment: Option<String>,
    /// The architecture, as spelled.
    pub architecture: String,
    /// The operating system, as spelled.
    pub os: String,
    /// The variant of the architecture.
    pub variant: Option<String>,
    /// The version of the operating system; only Windows images have one.
    pub os_version: Option<String>,
    /// What the operating system must be able to do.
    pub os_features: Vec<String>,
    /// The version of Docker that made the image.
    pub docker_version: Option<String>,
    /// How to run it.
    pub config: ContainerConfig,
    /// The layers by their uncompressed tars, base first.
    pub diff_ids: Vec<DiffId>,
    /// How the image came to be, base first. Has entries without a layer, and may be empty.
    pub history: Vec<History>,
}

/// How to run an image. `None` is absent or null, which docker prints apart from empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerConfig {
    /// The arguments of the entry point, or the command.
    #[serde(default, deserialize_with = "words")]
    pub cmd: Option<Vec<String>>,
    /// The program to run.
    #[serde(default, deserialize_with = "words")]
    pub entrypoint: Option<Vec<String>>,
    /// The environment, as `NAME=value`.
    #[serde(default)]
    pub env: Option<Vec<String>>,
    /// The ports the program listens on, as `80/tcp`.
    #[serde(default, deserialize_with = "set")]
    pub exposed_ports: Option<BTreeSet<String>>,
    /// Notes for people and tools.
    #[serde(default)]
    pub labels: Option<BTreeMap<String, String>>,
    /// Build steps to run in images made from this one.
    #[serde(default)]
    pub on_build: Option<Vec<String>>,
    /// The shell that runs commands given as text.
    #[serde(default, deserialize_with = "words")]
    pub shell: Option<Vec<String>>,
    /// The signal that stops the program.
    #[serde(default)]
    pub stop_signal: Option<String>,
    /// The user to run as.
    #[serde(default, deserialize_with = "json::nullable")]
    pub user: String,
    /// The folders that keep data.
    #[serde(default, deserialize_with = "set")]
    pub volumes: Option<BTreeSet<String>>,
    /// The folder to run in.
    #[serde(default, deserialize_with = "json::nullable")]
    pub working_dir: String,
    /// How to find out whether the program is well: Docker's own JSON, not looked into.
    #[serde(default)]
    pub healthcheck: Option<serde_json::Value>,
    /// Whether the command is escaped already; only Windows images say so.
    #[serde(default, deserialize_with = "json::nullable")]
    pub args_escaped: bool,
}

/// One step of how an image came to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct History {
    /// When: RFC 3339, word for word.
    #[serde(default)]
    pub created: Option<String>,
    /// The command.
    #[serde(default, deserialize_with = "json::nullable")]
    pub created_by: String,
    /// Who.
    #[serde(default, deserialize_with = "json::nullable")]
    pub author: String,
    /// What for.
    #[serde(default, deserialize_with = "json::nullable")]
    pub comment: String,
    /// Whether the step left no layer.
    #[serde(default, deserialize_with = "json::nullable")]
    pub empty_layer: bool,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    created: Option<String>,
    #[serde(default)]
    author: Option<String>,
    #[serde(default)]
    comment: Option<String>,
    #[serde(default, deserialize_with = "json::nullable")]
    architecture: String,
    #[serde(default, deserialize_with = "json::nullable")]
    os: String,
    #[serde(default)]
    variant: Option<String>,
    #[serde(default, rename = "os.version")]
    os_version: Option<String>,
    #[serde(default, rename = "os.features", deserialize_with = "json::nullable")]
    os_features: Vec<String>,
    #[serde(default)]
    docker_version: Option<String>,
    #[serde(default, deserialize_with = "json::nullable")]
    config: Strict<ContainerConfig>,
    rootfs: Strict<RootFs>,
    #[serde(default, deserialize_with = "json::nullable")]
    history: Bounded<Strict<History>, MAX_HISTORY>,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default, rename = "type", deserialize_with = "json::nullable")]
    kind: String,
    /// Absent or null in images without layers.
    #[serde(default, deserialize_with = "json::nullable")]
    diff_ids: Bounded<DiffId, MAX_LAYERS>,
}

impl ImageConfig {
    /// Parses the config of an image.
    ///
    /// Takes what Docker has written in ten years: null for empty, a command as a single string, configs without history. Proving the bytes
    /// is the caller's duty, and so is comparing the diff IDs with the layers: see [`crate::Manifest::check_config`].
    ///
    /// # Errors
    ///
    /// When the bytes are no JSON object, are too long or too deep, name more layers than a manifest may have, or describe no stack
    /// of layers at all, as artifacts' configs do.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let wire: Wire = json::parse(DocumentKind::Config, bytes, MAX_BYTES)?;
        let RootFs { kind, diff_ids } = wire.rootfs.0;
        if !matches!(kind.as_str(), "" | "layers") {
            return Err(DocumentError::UnsupportedRoot { kind: shown(&kind) });
        }
        let said = |text: &String| !text.is_empty();
        Ok(Self {
            created: wire.created.filter(said),
            author: wire.author,
            comment: wire.comment,
            architecture: wire.architecture,
            os: wire.os,
            variant: wire.variant.filter(said),
            os_version: wire.os_version.filter(said),
            os_features: wire.os_features,
            docker_version: wire.docker_version,
            config: wire.config.0,
            diff_ids: diff_ids.all("diff IDs")?,
            history: wire.history.all("history entries")?.into_iter().map(|Strict(step)| step).collect(),
        })
    }

    /// The platform that the image is made for, normalised. Where the config names no system or architecture, it is this machine's.
    ///
    /// Builders have left the variant away for years, so that an image for `arm/v5` may read as `arm/v7` here: where an index chose the
    /// image, the index knows better.
    pub fn platform(&self) -> Platform {
        let architecture =
            if self.architecture.is_empty() { Platform::host().architecture } else { self.architecture.clone() };
        Platform {
            architecture,
            os: self.os.clone(),
            variant: self.variant.clone(),
            os_version: self.os_version.clone(),
            os_features: self.os_features.clone(),
        }
        .normalize()
    }
}

/// Reads a list of words, or a single string, which Docker once wrote for a list of one.
fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        Many(Vec<String>),
        One(String),
    }
    Ok(Option::deserialize(deserializer)?.map(|words| match words {
        Words::Many(words) => words,
        Words::One(word) => vec![word],
    }))
}

/// Reads the keys of an object whose values mean nothing.
fn set<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<BTreeSet<String>>, D::Error> {
    let map: Option<BTreeMap<String, IgnoredAny>> = Option::deserialize(deserializer)?;
    Ok(map.map(|map| map.into_keys().collect()))
}

#[cfg(test)]
mod tests;
