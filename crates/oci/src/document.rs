//! What a registry serves under a tag: an index or a manifest, told apart without room for doubt.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::shown;
use crate::index::MAX_ENTRIES;
use crate::json::{self, Bounded};
use crate::manifest::MAX_LAYERS;
use crate::media_type::{self, DOCKER_SCHEMA1, OCI_INDEX, OCI_MANIFEST};
use crate::{Descriptor, DocumentError, DocumentKind, Index, Manifest};

/// The longest index or manifest. OCI asks registries to take 4 MiB at least, and peers read no more.
const MAX_BYTES: usize = 4 << 20;

/// An index or a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a pull holds a handful at most, and every reader would have to open the box"
)]
pub enum Document {
    /// A list of images for several platforms.
    Index(Index),
    /// One image.
    Manifest(Manifest),
}

/// The members of all kinds of document at once, to see which of them are there.
///
/// The nested options keep null apart from absent: a member that is null is there, as it is for peers that count members.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    #[serde(default)]
    schema_version: Option<u64>,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default, deserialize_with = "json::present")]
    manifests: Option<Option<Bounded<Descriptor, MAX_ENTRIES>>>,
    #[serde(default, deserialize_with = "json::present")]
    config: Option<Option<Descriptor>>,
    #[serde(default, deserialize_with = "json::present")]
    layers: Option<Option<Bounded<Descriptor, MAX_LAYERS>>>,
    #[serde(default, deserialize_with = "json::present")]
    fs_layers: Option<Option<IgnoredAny>>,
    #[serde(default)]
    subject: Option<Descriptor>,
    #[serde(default, deserialize_with = "json::nullable")]
    annotations: BTreeMap<String, String>,
}

impl Document {
    /// Parses what a registry served, with the Content-Type that it gave.
    ///
    /// The type is what body and header agree on; if neither says one, the members decide. A header that names no kind of manifest
    /// (`application/json`, `text/plain`) says nothing. Whether an image can be used is another question: see
    /// [`Manifest::check_layers`].
    ///
    /// # Errors
    ///
    /// When the bytes are no JSON object, are too long, too deep or too many, of an unsupported type, or could be read in two ways.
    ///
    /// Spec: OCI image-spec 1.1, image-index.md and manifest.md.
    pub fn parse(content_type: Option<&str>, bytes: &[u8]) -> Result<Self, DocumentError> {
        let served = content_type.map(media_type::essence);
        if let Some(served) = &served
            && media_type::is_schema1(served)
        {
            return Err(DocumentError::Schema1 { media_type: served.clone() });
        }
        let wire: Wire = json::parse(DocumentKind::Manifest, bytes, MAX_BYTES)?;
        wire.check_schema()?;
        let served = served.filter(|served| is_document(served));
        let stated = wire.media_type.clone().filter(|stated| !stated.is_empty());
        if let Some(stated) = &stated
            && !is_document(stated)
        {
            return Err(DocumentError::UnsupportedManifest { media_type: shown(stated) });
        }
        let named = match (served, stated) {
            (Some(served), Some(stated)) if served != stated => {
                return Err(DocumentError::Contradiction { served, stated });
            }
            (served, stated) => stated.or(served),
        };
        wire.check_members()?;
        let has_manifests = wire.manifests.is_some();
        match named {
            Some(named) if media_type::is_index(&named) => wire.index(named),
            Some(named) => wire.manifest(named),
            None if has_manifests => wire.index(OCI_INDEX.to_owned()),
            None => wire.manifest(OCI_MANIFEST.to_owned()),
        }
    }

    /// OCI's or Docker's type of this document.
    pub fn media_type(&self) -> &str {
        match self {
            Self::Index(index) => &index.media_type,
            Self::Manifest(manifest) => &manifest.media_type,
        }
    }
}

/// Whether `media_type` is one that [`Document`] can be.
fn is_document(media_type: &str) -> bool {
    media_type::is_index(media_type) || media_type::is_manifest(media_type)
}

impl Wire {
    /// Refuses schema 1 by name, and schemas that do not exist.
    fn check_schema(&self) -> Result<(), DocumentError> {
        if let Some(stated) = &self.media_type
            && media_type::is_schema1(stated)
        {
            return Err(DocumentError::Schema1 { media_type: stated.clone() });
        }
        match self.schema_version {
            Some(1) => Err(DocumentError::Schema1 { media_type: DOCKER_SCHEMA1.to_owned() }),
            // Some builders leave it away, and no peer minds.
            Some(2) | None => Ok(()),
            Some(version) => Err(DocumentError::SchemaVersion { version }),
        }
    }

    /// Refuses members of two kinds of document side by side: tools that look at one of them would see another image.
    fn check_members(&self) -> Result<(), DocumentError> {
        let index = self.manifests.is_some().then_some("manifests");
        let manifest = self.layers.is_some().then_some("layers").or(self.config.is_some().then_some("config"));
        let schema1 = self.fs_layers.is_some().then_some("fsLayers");
        match (index, manifest, schema1) {
            (Some(first), Some(second), _) | (Some(first), _, Some(second)) | (_, Some(first), Some(second)) => {
                Err(DocumentError::Ambiguous { first, second })
            }
            (None, None, Some(_)) => Err(DocumentError::Schema1 { media_type: DOCKER_SCHEMA1.to_owned() }),
            _ => Ok(()),
        }
    }

    fn index(self, media_type: String) -> Result<Document, DocumentError> {
        let Some(manifests) = self.manifests else {
            return Err(DocumentError::Missing { media_type, member: "manifests" });
        };
        let manifests = manifests.unwrap_or_default().all("manifests")?;
        Ok(Document::Index(Index { media_type, manifests, annotations: self.annotations }))
    }

    fn manifest(self, media_type: String) -> Result<Document, DocumentError> {
        let Some(Some(config)) = self.config else {
            return Err(DocumentError::Missing { media_type, member: "config" });
        };
        let Some(layers) = self.layers else {
            return Err(DocumentError::Missing { media_type, member: "layers" });
        };
        Ok(Document::Manifest(Manifest {
            media_type,
            config,
            layers: layers.unwrap_or_default().all("layers")?,
            annotations: self.annotations,
            artifact_type: self.artifact_type.filter(|artifact| !artifact.is_empty()),
            subject: self.subject,
        }))
    }
}

#[cfg(test)]
mod tests;
