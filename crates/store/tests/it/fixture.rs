//! A small store as the first format had it, file by file: what is written here must stay readable for ever.

use std::fs;
use std::path::Path;

/// The content of its one layer, which is its own blob, too.
pub(crate) const LAYER: &str = "a layer of one file, as the tests pack it";
pub(crate) const LAYER_HEX: &str = "e908cd8e0279a4e7fc0df1e169232b67c30490d208c5025576cb2f1adfd3e5ed";
/// The name of its one image.
pub(crate) const NAME: &str = "docker.io/library/old:1";
pub(crate) const MANIFEST_HEX: &str = "1a9e6d68df6b72e6aff105a3fa51de10eca2810ffa47d892a735b8f4b0b18235";

const CONFIG_HEX: &str = "5766ff80abd14afb7396e770cdc2508f679db39dc22d4bd5d26c8040b1594039";
const CONFIG: &str = r#"{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:e908cd8e0279a4e7fc0df1e169232b67c30490d208c5025576cb2f1adfd3e5ed"]}}"#;
const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:5766ff80abd14afb7396e770cdc2508f679db39dc22d4bd5d26c8040b1594039","size":163},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:e908cd8e0279a4e7fc0df1e169232b67c30490d208c5025576cb2f1adfd3e5ed","size":41}]}"#;
const INDEX: &str = r#"{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.index.v1+json",
  "manifests": [
    {
      "mediaType": "application/vnd.oci.image.manifest.v1+json",
      "digest": "sha256:1a9e6d68df6b72e6aff105a3fa51de10eca2810ffa47d892a735b8f4b0b18235",
      "size": 395,
      "annotations": {
        "dev.layerd.tagged": "2026-11-01T12:00:00Z",
        "org.opencontainers.image.ref.name": "docker.io/library/old:1"
      }
    }
  ]
}"#;
const RECORD: &str = r#"{"diffId":"sha256:e908cd8e0279a4e7fc0df1e169232b67c30490d208c5025576cb2f1adfd3e5ed","blob":"sha256:e908cd8e0279a4e7fc0df1e169232b67c30490d208c5025576cb2f1adfd3e5ed","tarSize":41,"size":41,"entries":1}"#;

/// Writes it to `root`.
pub(crate) fn write_first_format(root: &Path) {
    let layer = format!("layers/sha256/{LAYER_HEX}");
    for folder in
        ["blobs/sha256", "blobs/sha512", "layers/sha512", "ingest", "staging", "mounts", &format!("{layer}/fs")]
    {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for (path, text) in [
        ("oci-layout".to_owned(), r#"{"imageLayoutVersion":"1.0.0"}"#),
        ("index.json".to_owned(), INDEX),
        (format!("blobs/sha256/{LAYER_HEX}"), LAYER),
        (format!("blobs/sha256/{CONFIG_HEX}"), CONFIG),
        (format!("blobs/sha256/{MANIFEST_HEX}"), MANIFEST),
        (format!("{layer}/layer.json"), RECORD),
        (format!("{layer}/fs/file"), LAYER),
    ] {
        fs::write(root.join(path), text).unwrap();
    }
}
