//! `layer.json`: what is known of an unpacked layer beside its files.

use layer_digest::{BlobId, DiffId, Digest};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What is known of a layer. Written once, before the layer gets its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerRecord {
    /// The layer.
    pub diff_id: DiffId,
    /// The blob that it was unpacked from, which is thereby known to hold this layer.
    pub blob: BlobId,
    /// The size of its tar, in bytes.
    pub tar_size: u64,
    /// The bytes of content in its files.
    pub size: u64,
    /// How many entries the tar has.
    pub entries: u64,
    /// Folders that are there only because something lies in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "paths")]
    pub implied_parents: Vec<Vec<u8>>,
    /// Hard links to files of the layers below.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign_links: Vec<ForeignLink>,
    /// What proves its image, if it is kept as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageRecord>,
}

/// What proves an image, together with the layer's diffID, which is the digest of the tar in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageRecord {
    /// The length of the file, in bytes.
    pub size: u64,
    /// The digest of all in it that isn't the tar.
    pub sum: Digest,
}

/// A hard link to a file of another layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignLink {
    /// The new name.
    #[serde(with = "path")]
    pub path: Vec<u8>,
    /// The file that it is another name of.
    #[serde(with = "path")]
    pub target: Vec<u8>,
}

/// Paths are bytes, JSON is text: what isn't plain ASCII is written as in a URL.
mod path {
    use super::{Deserialize, Deserializer, Serializer};

    pub(super) fn encode(path: &[u8]) -> String {
        let mut text = String::with_capacity(path.len());
        for byte in path {
            match byte {
                b'%' | 0..=0x1f | 0x7f.. => text.push_str(&format!("%{byte:02x}")),
                _ => text.push(char::from(*byte)),
            }
        }
        text
    }

    pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
        let mut path = Vec::with_capacity(text.len());
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            path.push(match byte {
                b'%' => {
                    let digits = [bytes.next()?, bytes.next()?];
                    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                }
                byte => byte,
            });
        }
        Some(path)
    }

    pub(super) fn serialize<S: Serializer>(path: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode(path))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        decode(&text).ok_or_else(|| serde::de::Error::custom("a path is not encoded as this program does"))
    }
}

mod paths {
    use super::{Deserialize, Deserializer, Serializer, path};

    pub(super) fn serialize<S: Serializer>(paths: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(paths.iter().map(|path| path::encode(path)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<u8>>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let decoded = texts.iter().map(|text| path::decode(text)).collect::<Option<_>>();
        decoded.ok_or_else(|| serde::de::Error::custom("a path is not encoded as this program does"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn round_trips(paths: Vec<Vec<u8>>, path: Vec<u8>, target: Vec<u8>, image: Option<u64>) {
            let record = LayerRecord {
                diff_id: DiffId(Digest::sha256(&path)),
                blob: BlobId(Digest::sha256(&target)),
                tar_size: 1,
                size: 2,
                entries: 3,
                implied_parents: paths,
                foreign_links: vec![ForeignLink { path, target }],
                image: image.map(|size| ImageRecord { size, sum: Digest::sha256(b"index") }),
            };
            let json = serde_json::to_vec(&record).unwrap();
            prop_assert_eq!(serde_json::from_slice::<LayerRecord>(&json).unwrap(), record);
        }
    }

    #[test]
    fn paths_read_as_text() {
        assert_eq!(path::encode(b"usr/lib/a b%\xff\n"), "usr/lib/a b%25%ff%0a");
        assert_eq!(path::decode("%2"), None);
        assert_eq!(path::decode("%zz"), None);
    }
}
