//! `manifest.json`: the table of contents of a docker-archive.

use serde::{Deserialize, Deserializer, Serialize};

use crate::{ArchiveError, MANIFEST_FILE};

/// The most images that are taken.
const MAX_IMAGES: usize = 1000;

/// The most layers of one image that are taken, as of a manifest.
const MAX_LAYERS: usize = 500;

/// The images of a docker-archive, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DockerManifest {
    /// The images.
    pub images: Vec<DockerImage>,
}

/// An image of a docker-archive. What it consists of is told by the names of members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DockerImage {
    /// The member with its config.
    pub config: String,
    /// Its names in docker's short form. Null stands for none.
    #[serde(default, deserialize_with = "nullable", serialize_with = "null_for_none")]
    pub repo_tags: Vec<String>,
    /// The members with its layers, base first.
    #[serde(default, deserialize_with = "nullable")]
    pub layers: Vec<String>,
}

fn nullable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn null_for_none<S: serde::Serializer>(tags: &Vec<String>, serializer: S) -> Result<S::Ok, S::Error> {
    if tags.is_empty() { serializer.serialize_none() } else { tags.serialize(serializer) }
}

impl DockerManifest {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// When it is no list of images, or has more images or layers than any archive does.
    pub fn parse(bytes: &[u8]) -> Result<Self, ArchiveError> {
        let images: Vec<DockerImage> =
            serde_json::from_slice(bytes).map_err(|source| ArchiveError::Json { file: MANIFEST_FILE, source })?;
        if images.len() > MAX_IMAGES {
            return Err(ArchiveError::TooMuch { what: "images", limit: MAX_IMAGES });
        }
        if images.iter().any(|image| image.layers.len() > MAX_LAYERS) {
            return Err(ArchiveError::TooMuch { what: "layers in an image", limit: MAX_LAYERS });
        }
        Ok(Self { images })
    }

    /// The bytes of the file.
    ///
    /// # Errors
    ///
    /// None that can happen: texts are always JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&self.images)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_docker_does() {
        let image = |tags: &[&str]| DockerImage {
            config: "blobs/sha256/0c".to_owned(),
            repo_tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
            layers: vec!["blobs/sha256/b0".to_owned()],
        };
        let manifest = DockerManifest { images: vec![image(&["busybox:latest"]), image(&[])] };
        let json = r#"[{"Config":"blobs/sha256/0c","RepoTags":["busybox:latest"],"Layers":["blobs/sha256/b0"]},{"Config":"blobs/sha256/0c","RepoTags":null,"Layers":["blobs/sha256/b0"]}]"#;
        assert_eq!(String::from_utf8(manifest.to_json().unwrap()).unwrap(), json);
        assert_eq!(DockerManifest::parse(json.as_bytes()).unwrap(), manifest);
    }

    #[test]
    fn what_is_none_is_refused() {
        for (json, reason) in [
            ("{}", "read `manifest.json`"),
            ("[{}]", "read `manifest.json`"),
            ("[1]", "read `manifest.json`"),
            ("", "read `manifest.json`"),
        ] {
            assert!(DockerManifest::parse(json.as_bytes()).unwrap_err().to_string().contains(reason), "{json}");
        }
        let many = format!("[{}]", vec![r#"{"Config":"c"}"#; 1001].join(","));
        assert!(DockerManifest::parse(many.as_bytes()).unwrap_err().to_string().contains("1000 images"));
        let tall = format!(r#"[{{"Config":"c","Layers":[{}]}}]"#, vec!["\"l\""; 501].join(","));
        assert!(DockerManifest::parse(tall.as_bytes()).unwrap_err().to_string().contains("500 layers"));
    }
}
