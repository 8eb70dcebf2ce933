//! Platforms: what an image is made for, and what runs on what.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::shown;
use crate::json;

mod rank;

/// The platform that an image is made for, or that an image is wanted for.
///
/// As a document has it, a value may be spelled in any way (`x86_64`, `arm64/v8`); parsed from text, or after [`Platform::normalize`], it has
/// its one spelling. Equality compares spellings, [`Platform::rank`] meanings.
///
/// Spec: OCI image-spec 1.1, image-index.md, "platform".
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Platform {
    /// The processor architecture, in Go's words: `amd64`, `arm64`, `arm`.
    pub architecture: String,
    /// The operating system, in Go's words: `linux`.
    pub os: String,
    /// The version of the operating system; only Windows images have one.
    #[serde(rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// What the operating system must be able to do.
    #[serde(rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// The variant of the architecture: `v7` of `arm`, `v3` of `amd64`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// Why a text is no platform. The words are dockerd's, since programs match on them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParsePlatformError {
    /// There are placeholders in the text.
    #[error("{0:?}: wildcards not yet supported: invalid argument")]
    Wildcard(String),
    /// The part in front of the first slash has characters that no operating system has.
    #[error(
        "{part:?} is an invalid OS component of {text:?}: OSAndVersion specifier component must match {:?}: invalid argument",
        r"^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.-]*)\))?$"
    )]
    System {
        /// The part.
        part: String,
        /// The whole text.
        text: String,
    },
    /// Another part has characters that no architecture or variant has.
    #[error(
        "{part:?} is an invalid component of {text:?}: platform specifier component must match {:?}: invalid argument",
        "^[A-Za-z0-9_.-]+$"
    )]
    Component {
        /// The part.
        part: String,
        /// The whole text.
        text: String,
    },
    /// The single word is neither a known operating system nor a known architecture.
    #[error("{0:?}: unknown operating system or architecture: invalid argument")]
    Unknown(String),
    /// There are more than three parts.
    #[error("{0:?}: cannot parse platform specifier: invalid argument")]
    TooManyParts(String),
}

impl Platform {
    /// The platform of this machine.
    ///
    /// Levels of `amd64` are not looked for: an image for `amd64/v3` has to be asked for. That is what other tools do, and what makes two
    /// machines get the same image. A 32-bit `arm` counts as `v7`.
    pub fn host() -> Self {
        let little = cfg!(target_endian = "little");
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "x86" => "386",
            "aarch64" => "arm64",
            "loongarch64" => "loong64",
            "powerpc64" if little => "ppc64le",
            "powerpc64" => "ppc64",
            "mips64" if little => "mips64le",
            "mips" if little => "mipsle",
            other => other,
        };
        Self { architecture: architecture.to_owned(), os: host_os().to_owned(), ..Self::default() }.normalize()
    }

    /// The same platform in its one spelling: `x86_64` is `amd64`, `armhf` is `arm/v7`, `arm64/v8` is `arm64`, and an operating system that
    /// is not named is this machine's.
    #[must_use]
    pub fn normalize(mut self) -> Self {
        self.os = match self.os.to_ascii_lowercase().as_str() {
            "" => host_os().to_owned(),
            "macos" => "darwin".to_owned(),
            other => other.to_owned(),
        };
        let given = self.variant.take().unwrap_or_default().to_ascii_lowercase();
        let architecture = self.architecture.to_ascii_lowercase();
        let (architecture, variant) = match architecture.as_str() {
            "i386" => ("386", ""),
            "x86_64" | "x86-64" | "amd64" => ("amd64", if given == "v1" { "" } else { &given }),
            "aarch64" | "arm64" => (
                "arm64",
                match given.as_str() {
                    "8" | "v8" | "v8.0" => "",
                    "9" | "9.0" | "v9.0" => "v9",
                    other => other,
                },
            ),
            "armhf" => ("arm", "v7"),
            "armel" => ("arm", "v6"),
            "arm" => (
                "arm",
                match given.as_str() {
                    "" | "7" => "v7",
                    "5" => "v5",
                    "6" => "v6",
                    "8" => "v8",
                    other => other,
                },
            ),
            other => (other, given.as_str()),
        };
        self.variant = (!variant.is_empty()).then(|| variant.to_owned());
        self.architecture = architecture.to_owned();
        self.os_version = self.os_version.filter(|version| !version.is_empty());
        self
    }

    /// Whether this says nothing, as the platform of an index entry that has none.
    pub(crate) fn is_blank(&self) -> bool {
        self.os.is_empty() && self.architecture.is_empty()
    }
}

/// The operating system of this machine, in Go's words.
fn host_os() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    }
}

/// The operating systems that a single word may name.
const SYSTEMS: &[&str] = &[
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
    "zos",
];

/// The architectures that a single word may name.
const ARCHITECTURES: &[&str] = &[
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "arm64",
    "arm64be",
    "armbe",
    "loong64",
    "mips",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "mipsle",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
];

impl FromStr for Platform {
    type Err = ParsePlatformError;

    /// Parses `os`, `architecture`, `os/architecture` or `os/architecture/variant`, and normalises it. The operating system may carry a
    /// version: `windows(10.0.20348)/amd64`. Of a single word, the missing half is this machine's.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text_shown = || shown(text);
        if text.contains('*') {
            return Err(ParsePlatformError::Wildcard(text_shown()));
        }
        let plain = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        let dotted = |part: &str| part.split('.').all(plain);

        let parts: Vec<&str> = text.splitn(4, '/').collect();
        let (first, rest) = (parts[0], &parts[1..]);
        let (os, version) = first.strip_suffix(')').and_then(|first| first.split_once('(')).unwrap_or((first, ""));
        if os.is_empty() || !plain(os) || !dotted(version) {
            return Err(ParsePlatformError::System { part: shown(first), text: text_shown() });
        }
        if let Some(part) = rest.iter().find(|part| part.is_empty() || !dotted(part)) {
            return Err(ParsePlatformError::Component { part: shown(part), text: text_shown() });
        }
        if rest.len() == 3 {
            return Err(ParsePlatformError::TooManyParts(text_shown()));
        }
        let os_version = (!version.is_empty()).then(|| version.to_owned());
        if let [architecture, variant @ ..] = rest {
            return Ok(Self {
                os: os.to_owned(),
                architecture: (*architecture).to_owned(),
                variant: variant.first().map(|variant| (*variant).to_owned()),
                os_version,
                os_features: Vec::new(),
            }
            .normalize());
        }
        let as_system = Self { os: os.to_owned(), os_version, ..Self::host() }.normalize();
        if SYSTEMS.contains(&as_system.os.as_str()) {
            return Ok(as_system);
        }
        let as_architecture = Self { architecture: first.to_owned(), ..Self::default() }.normalize();
        if ARCHITECTURES.contains(&as_architecture.architecture.as_str()) {
            return Ok(as_architecture);
        }
        Err(ParsePlatformError::Unknown(text_shown()))
    }
}

impl fmt::Display for Platform {
    /// `os[(version)]/architecture[/variant]`; features have no place in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.os.is_empty() { "unknown" } else { &self.os })?;
        if let Some(version) = &self.os_version {
            write!(f, "({version})")?;
        }
        write!(f, "/{}", if self.architecture.is_empty() { "unknown" } else { &self.architecture })?;
        if let Some(variant) = &self.variant {
            write!(f, "/{variant}")?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Platform {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire {
            #[serde(default, deserialize_with = "json::nullable")]
            architecture: String,
            #[serde(default, deserialize_with = "json::nullable")]
            os: String,
            #[serde(default, rename = "os.version")]
            os_version: Option<String>,
            #[serde(default, rename = "os.features", deserialize_with = "json::nullable")]
            os_features: Vec<String>,
            #[serde(default)]
            variant: Option<String>,
        }
        let Wire { architecture, os, os_version, os_features, variant } = json::object(deserializer)?;
        let said = |text: &String| !text.is_empty();
        Ok(Self { architecture, os, os_version: os_version.filter(said), os_features, variant: variant.filter(said) })
    }
}

#[cfg(test)]
mod tests;
