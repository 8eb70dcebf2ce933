//! Why a document is refused.

use std::fmt;

use crate::Platform;

/// The documents that an error can be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DocumentKind {
    /// An index or a manifest; which, is not known before it is read.
    Manifest,
    /// The config of an image.
    Config,
}

impl fmt::Display for DocumentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Manifest => "manifest",
            Self::Config => "image config",
        })
    }
}

/// Why a document is refused.
///
/// Media types in these are the document's own words, cut to a readable length and without control characters.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// The document is longer than any honest one.
    #[error("the {what} has {size} bytes, more than the {limit} that are taken")]
    TooLarge {
        /// Which document.
        what: DocumentKind,
        /// Its length in bytes.
        size: usize,
        /// The most that is taken.
        limit: usize,
    },
    /// The document nests deeper than any honest one.
    #[error("the {what} nests deeper than {limit} levels")]
    TooDeep {
        /// Which document.
        what: DocumentKind,
        /// The most that is taken.
        limit: usize,
    },
    /// A list is longer than any honest one.
    #[error("{count} {what} are more than the {limit} that are taken")]
    TooMany {
        /// DocumentKind there is too much of.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// The most that is taken.
        limit: usize,
    },
    /// The bytes are no JSON object, or a member is missing or of the wrong type; the source says where.
    #[error("parse the {what}")]
    Json {
        /// Which document.
        what: DocumentKind,
        /// DocumentKind the parser met.
        #[source]
        source: serde_json::Error,
    },
    /// The manifest is of Docker's schema 1.
    #[error("manifest type `{media_type}` (schema 1) is no longer supported")]
    Schema1 {
        /// The type, as served or stated; a made-up one of that family where the body alone tells.
        media_type: String,
    },
    /// The manifest is of a schema that does not exist.
    #[error("manifest schema version {version} is not supported, only 2 is")]
    SchemaVersion {
        /// DocumentKind the document says.
        version: u64,
    },
    /// The document can be read as two kinds of document.
    #[error("the manifest is ambiguous: it has `{first}` and `{second}`")]
    Ambiguous {
        /// A member of one kind.
        first: &'static str,
        /// A member of another.
        second: &'static str,
    },
    /// The registry serves the document as one type, the document says another.
    #[error("the manifest was served as `{served}`, but says that it is `{stated}`")]
    Contradiction {
        /// The type in the registry's answer.
        served: String,
        /// The type in the document.
        stated: String,
    },
    /// The document lacks what its type demands.
    #[error("the `{media_type}` has no `{member}`")]
    Missing {
        /// The type of the document.
        media_type: String,
        /// The member that is missing.
        member: &'static str,
    },
    /// The document is neither an index nor a manifest.
    #[error("unsupported manifest type `{media_type}`")]
    UnsupportedManifest {
        /// Its type.
        media_type: String,
    },
    /// The manifest describes something that is no container image.
    #[error("unsupported media type `{media_type}`: this is an artifact, not a container image")]
    Artifact {
        /// The type of its config, or of the artifact where there is no config to speak of.
        media_type: String,
    },
    /// A layer is encrypted.
    #[error("layer {number} has the type `{media_type}`: encrypted layers are not supported")]
    EncryptedLayer {
        /// Which layer, counted from 1 at the base.
        number: usize,
        /// Its type.
        media_type: String,
    },
    /// A layer is no tar, or compressed in a way that is not known.
    #[error("layer {number} has the unsupported media type `{media_type}`")]
    UnsupportedLayer {
        /// Which layer, counted from 1 at the base.
        number: usize,
        /// Its type.
        media_type: String,
    },
    /// The config describes a root of a kind that is not made of layers.
    #[error("unsupported root filesystem type `{kind}` in the image config")]
    UnsupportedRoot {
        /// DocumentKind the config says.
        kind: String,
    },
    /// Manifest and config do not belong together.
    #[error("the manifest has {layers} layers, but its image config has {diff_ids}")]
    LayerCount {
        /// The layers in the manifest.
        layers: usize,
        /// The diff IDs in the config.
        diff_ids: usize,
    },
    /// No entry of the index runs on the platform.
    ///
    /// The text is dockerd's, since programs match on it.
    #[error("no matching manifest for {wanted} in the manifest list entries")]
    NoPlatform {
        /// The platform that was asked for.
        wanted: Box<Platform>,
        /// The platforms that there are, in the order of the index.
        available: Vec<Platform>,
    },
}

impl DocumentError {
    /// DocumentKind helps whoever meets this error, as a sentence without a full stop.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoPlatform { available, .. } if !available.is_empty() => {
                let names: Vec<_> = available.iter().map(ToString::to_string).collect();
                Some(format!("the image is made for {}", names.join(", ")))
            }
            Self::Schema1 { .. } => Some("push the image again with a current tool, to have it converted".to_owned()),
            _ => None,
        }
    }
}

/// The longest stretch of foreign text that an error repeats.
const SHOWN: usize = 160;

/// Foreign text as an error may show it: bounded, and without control characters that could move a terminal's cursor.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(SHOWN).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
