//! `oci-layout` and `index.json`: the table of contents of an OCI image-layout.
//!
//! Spec: OCI image-spec 1.1, image-layout.md.

use layer_oci::media_type::OCI_INDEX;
use layer_oci::{Descriptor, Document};
use layer_reference::Reference;
use serde::{Deserialize, Serialize};

use crate::{ArchiveError, INDEX_FILE, LAYOUT_FILE};

/// What `oci-layout` says.
pub const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// The annotation by which the specification names an image: mostly a tag alone.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The annotation with the full name of an image, which docker and containerd write.
const IMAGE_NAME: &str = "io.containerd.image.name";

/// The images of an OCI image-layout, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// The indexes and manifests. Annotations say what an image is called.
    pub images: Vec<Descriptor>,
}

impl Layout {
    /// Reads the two files.
    ///
    /// # Errors
    ///
    /// When the layout is of a version that is not known, or the index is none.
    pub fn parse(layout: &[u8], index: &[u8]) -> Result<Self, ArchiveError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Version {
            image_layout_version: String,
        }
        let version: Version =
            serde_json::from_slice(layout).map_err(|source| ArchiveError::Json { file: LAYOUT_FILE, source })?;
        if version.image_layout_version != "1.0.0" {
            return Err(ArchiveError::member(LAYOUT_FILE, "its version is not 1.0.0, the only one that is known"));
        }
        match Document::parse(Some(OCI_INDEX), index) {
            Ok(Document::Index(index)) => Ok(Self { images: index.manifests }),
            Ok(Document::Manifest(_)) => Err(ArchiveError::member(INDEX_FILE, "it is no index")),
            Err(source) => Err(ArchiveError::Document { file: INDEX_FILE, source }),
        }
    }

    /// Adds an image by a name, or by none.
    pub fn add(&mut self, target: &Descriptor, name: Option<&Reference>) {
        let mut entry = target.clone();
        entry.annotations.clear();
        if let Some(name) = name {
            entry.annotations.insert(IMAGE_NAME.to_owned(), name.to_string());
            if let Some(tag) = name.tag() {
                entry.annotations.insert(REF_NAME.to_owned(), tag.to_owned());
            }
        }
        self.images.push(entry);
    }

    /// The bytes of `index.json`.
    ///
    /// # Errors
    ///
    /// None that can happen: descriptors are always JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct File<'a> {
            schema_version: u32,
            media_type: &'a str,
            manifests: &'a [Descriptor],
        }
        serde_json::to_vec(&File { schema_version: 2, media_type: OCI_INDEX, manifests: &self.images })
    }

    /// What an image is called by its annotations. A name without a registry is docker's, as everywhere; a single word is a tag by the
    /// specification, and a repository to the programs that let people type it: it names nothing.
    pub fn name_of(image: &Descriptor) -> Option<Reference> {
        let full = image.annotations.get(IMAGE_NAME).filter(|text| !text.is_empty());
        let short = || image.annotations.get(REF_NAME).filter(|text| text.contains(['/', ':', '@']));
        Reference::parse(full.or_else(short)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use layer_digest::Digest;

    use super::*;

    #[test]
    fn it_is_written_as_docker_does() {
        let target = Descriptor::new("application/vnd.oci.image.manifest.v1+json", Digest::sha256(b""), 7);
        let mut layout = Layout::default();
        assert_eq!(layout.to_json().unwrap().len(), 88);
        layout.add(&target, Some(&Reference::parse("busybox:1").unwrap()));
        layout.add(&target, None);
        let json = String::from_utf8(layout.to_json().unwrap()).unwrap();
        assert!(json.contains(
            r#""annotations":{"io.containerd.image.name":"docker.io/library/busybox:1","org.opencontainers.image.ref.name":"1"}"#
        ));
        let read = Layout::parse(LAYOUT, json.as_bytes()).unwrap();
        assert_eq!(read, layout);
        assert_eq!(Layout::name_of(&read.images[0]).unwrap().to_string(), "docker.io/library/busybox:1");
        assert_eq!(Layout::name_of(&read.images[1]), None);
    }

    #[test]
    fn names_are_found_where_programs_write_them() {
        let name = |pairs: &[(&str, &str)]| {
            let mut image = Descriptor::new("x", Digest::sha256(b""), 1);
            image.annotations = pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
            Layout::name_of(&image).map(|name| name.to_string())
        };
        assert_eq!(name(&[(IMAGE_NAME, "docker.io/a/b:1"), (REF_NAME, "1")]).unwrap(), "docker.io/a/b:1");
        assert_eq!(name(&[(REF_NAME, "busybox:1")]).unwrap(), "docker.io/library/busybox:1");
        assert_eq!(name(&[(REF_NAME, "h:5000/a")]).unwrap(), "h:5000/a");
        assert_eq!(name(&[(REF_NAME, "latest")]), None);
        assert_eq!(name(&[(REF_NAME, "NOT A/NAME")]), None);
        assert_eq!(name(&[]), None);
    }

    #[test]
    fn other_layouts_are_refused() {
        let index = br#"{"schemaVersion":2,"manifests":[]}"#;
        assert!(Layout::parse(br#"{"imageLayoutVersion":"2.0.0"}"#, index).is_err());
        assert!(Layout::parse(b"{}", index).is_err());
        assert!(Layout::parse(LAYOUT, b"{\"layers\":[]}").is_err());
        assert_eq!(Layout::parse(LAYOUT, index).unwrap(), Layout::default());
    }
}
