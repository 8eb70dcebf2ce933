//! Descriptors: how one document points at another.

use std::collections::BTreeMap;

use layer_digest::Digest;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{Platform, json};

/// A pointer from one document to another, or to a layer.
///
/// `urls` are dropped (a blob is asked for at its registry alone), and so is embedded `data` (blobs are fetched and proven).
///
/// Spec: OCI image-spec 1.1, descriptor.md.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The media type of the target. Empty where the document has none.
    pub media_type: String,
    /// The digest of the target's bytes.
    pub digest: Digest,
    /// How many bytes the target has; fits an `i64`.
    pub size: u64,
    /// Notes for people and tools.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The platform that the target is made for, as spelled in an index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The type of the artifact that the target is, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

/// The annotation by which builders mark the entries of an index that speak about another entry.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// The annotation that names the entry they speak about.
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";

impl Descriptor {
    /// A descriptor of some bytes, without anything optional.
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            annotations: BTreeMap::new(),
            platform: None,
            artifact_type: None,
        }
    }

    /// Whether the target only speaks about another image (provenance, bills of materials), as builders mark it.
    pub fn is_attestation(&self) -> bool {
        self.annotations.contains_key(REFERENCE_TYPE)
            || self.platform.as_ref().is_some_and(|p| p.os == "unknown" && p.architecture == "unknown")
    }

    /// The digest of what an attestation speaks about, if it says so.
    pub fn attested(&self) -> Option<Digest> {
        self.annotations.get(REFERENCE_DIGEST)?.parse().ok()
    }
}

impl<'de> Deserialize<'de> for Descriptor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire {
            #[serde(default, deserialize_with = "json::nullable")]
            media_type: String,
            digest: Digest,
            #[serde(deserialize_with = "size")]
            size: u64,
            #[serde(default, deserialize_with = "json::nullable")]
            annotations: BTreeMap<String, String>,
            #[serde(default)]
            platform: Option<Platform>,
            #[serde(default)]
            artifact_type: Option<String>,
        }
        let Wire { media_type, digest, size, annotations, platform, artifact_type } = json::object(deserializer)?;
        let platform = platform.filter(|platform| !platform.is_blank());
        Ok(Self { media_type, digest, size, annotations, platform, artifact_type })
    }
}

/// Reads a size, which peers keep as a signed number.
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let size = u64::deserialize(deserializer)?;
    if i64::try_from(size).is_err() {
        return Err(serde::de::Error::custom("size does not fit 63 bits"));
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn parse(text: &str) -> Result<Descriptor, serde_json::Error> {
        serde_json::from_str(&text.replace("DIGEST", &format!("\"{DIGEST}\"")))
    }

    #[test]
    fn keeps_what_counts_and_drops_what_misleads() {
        let text = r#"{"mediaType":"a/b","digest":DIGEST,"size":7,"urls":["http://x"],"data":"e30=","new":[1],
            "annotations":{"k":"v"},"artifactType":"c/d",
            "platform":{"os":"windows","architecture":"amd64","os.version":"10.0","os.features":["win32k"],"variant":""}}"#;
        let descriptor = parse(text).unwrap();
        assert_eq!(
            serde_json::to_string(&descriptor).unwrap(),
            format!(
                r#"{{"mediaType":"a/b","digest":"{DIGEST}","size":7,"annotations":{{"k":"v"}},"platform":{{"architecture":"amd64","os":"windows","os.version":"10.0","os.features":["win32k"]}},"artifactType":"c/d"}}"#
            )
        );
        let again: Descriptor = serde_json::from_str(&serde_json::to_string(&descriptor).unwrap()).unwrap();
        assert_eq!(again, descriptor);
    }

    #[test]
    fn nothing_optional_is_needed_and_null_is_nothing() {
        let bare = parse(r#"{"mediaType":"a/b","digest":DIGEST,"size":0}"#).unwrap();
        assert_eq!(bare, Descriptor::new("a/b", DIGEST.parse().unwrap(), 0));
        assert_eq!(
            serde_json::to_string(&bare).unwrap(),
            format!(r#"{{"mediaType":"a/b","digest":"{DIGEST}","size":0}}"#)
        );
        let nulls =
            r#"{"mediaType":"a/b","digest":DIGEST,"size":0,"annotations":null,"platform":null,"artifactType":null}"#;
        assert_eq!(parse(nulls).unwrap(), bare);
        assert_eq!(parse(r#"{"mediaType":"a/b","digest":DIGEST,"size":0,"platform":{}}"#).unwrap(), bare);
    }

    #[test]
    fn refuses_what_is_no_descriptor() {
        for (text, what) in [
            ("null", "an object"),
            (r#"["a/b",DIGEST,7]"#, "an object"),
            (r#"{"mediaType":"a/b","size":7}"#, "digest"),
            (r#"{"mediaType":"a/b","digest":DIGEST}"#, "size"),
            (r#"{"mediaType":"a/b","digest":null,"size":7}"#, "null"),
            (r#"{"mediaType":"a/b","digest":"sha256:../../etc","size":7}"#, "malformed"),
            (r#"{"mediaType":"a/b","digest":DIGEST,"size":-1}"#, "-1"),
            (r#"{"mediaType":"a/b","digest":DIGEST,"size":1.5}"#, "1.5"),
            (r#"{"mediaType":"a/b","digest":DIGEST,"size":"7"}"#, "string"),
            (r#"{"mediaType":"a/b","digest":DIGEST,"size":9223372036854775808}"#, "63 bits"),
            (r#"{"mediaType":7,"digest":DIGEST,"size":7}"#, "string"),
            (r#"{"mediaType":"a/b","mediaType":"c/d","digest":DIGEST,"size":7}"#, "duplicate"),
            (r#"{"mediaType":"a/b","digest":DIGEST,"size":7,"platform":["amd64","linux"]}"#, "an object"),
            (r#"{"mediaType":"a/b","digest":DIGEST,"size":7,"annotations":{"k":1}}"#, "string"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(what), "{text}: {error}");
        }
    }
}
