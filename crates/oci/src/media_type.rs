//! The media types of an image's documents and parts.
//!
//! Spec: OCI image-spec 1.1, media-types.md; Docker image manifest V2 schema 2, "Media Types".

/// An OCI index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An OCI manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The config of an OCI image.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The empty JSON object that stands for "no config" in artifacts.
pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// An OCI layer, uncompressed; `+gzip` and `+zstd` may follow.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// An OCI layer that may not be handed on, uncompressed; `+gzip` and `+zstd` may follow.
pub const OCI_NONDISTRIBUTABLE_LAYER: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";

/// Docker's index.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's manifest, schema 1: read by nobody any more.
pub const DOCKER_SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+json";
/// Docker's manifest, schema 1, with signatures inside.
pub const DOCKER_SCHEMA1_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
/// The config of a Docker image.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// A Docker layer, uncompressed; `.gzip` and `.zstd` may follow.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
/// A Docker layer that may not be handed on, uncompressed; `.gzip` and `.zstd` may follow.
pub const DOCKER_FOREIGN_LAYER: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar";

/// What to ask a registry for, best first.
///
/// The last entry takes anything, so that a document we cannot use is served and refused by its name, rather than reported as missing.
pub const ACCEPT: &[&str] = &[OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST, "*/*"];

/// The media type in a Content-Type header: without parameters, in lower case.
pub fn essence(header: &str) -> String {
    header.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether this is an index, by OCI's or Docker's name.
pub fn is_index(media_type: &str) -> bool {
    matches!(media_type, OCI_INDEX | DOCKER_LIST)
}

/// Whether this is a manifest that can be read, by OCI's or Docker's name.
pub fn is_manifest(media_type: &str) -> bool {
    matches!(media_type, OCI_MANIFEST | DOCKER_MANIFEST)
}

/// Whether this is a manifest of schema 1, which is refused.
pub fn is_schema1(media_type: &str) -> bool {
    matches!(media_type, DOCKER_SCHEMA1 | DOCKER_SCHEMA1_SIGNED)
}

/// Whether this is the config of a container image, by OCI's or Docker's name.
pub fn is_config(media_type: &str) -> bool {
    matches!(media_type, OCI_CONFIG | DOCKER_CONFIG)
}

/// Whether this is a layer that is not compressed, by OCI's or Docker's name.
pub fn is_plain_layer(media_type: &str) -> bool {
    matches!(media_type, OCI_LAYER | OCI_NONDISTRIBUTABLE_LAYER | DOCKER_LAYER | DOCKER_FOREIGN_LAYER)
}

#[cfg(test)]
mod tests {
    use oci_spec::image::{MediaType, ToDockerV2S2};

    use super::*;

    #[test]
    fn the_names_are_those_of_the_specification() {
        for (ours, theirs) in [
            (OCI_INDEX, MediaType::ImageIndex),
            (OCI_MANIFEST, MediaType::ImageManifest),
            (OCI_CONFIG, MediaType::ImageConfig),
            (OCI_EMPTY, MediaType::EmptyJSON),
            (OCI_LAYER, MediaType::ImageLayer),
            (OCI_NONDISTRIBUTABLE_LAYER, MediaType::ImageLayerNonDistributable),
        ] {
            assert_eq!(ours, theirs.as_ref());
        }
        for (ours, oci) in [(DOCKER_LIST, OCI_INDEX), (DOCKER_MANIFEST, OCI_MANIFEST), (DOCKER_CONFIG, OCI_CONFIG)] {
            assert_eq!(ours, MediaType::from(oci).to_docker_v2s2().unwrap());
        }
    }

    #[test]
    fn a_header_is_stripped_to_its_type() {
        for (header, expected) in [
            (OCI_INDEX, OCI_INDEX),
            ("Application/JSON; charset=utf-8", "application/json"),
            (" text/plain ", "text/plain"),
            ("", ""),
            (";", ""),
        ] {
            assert_eq!(essence(header), expected);
        }
    }

    #[test]
    fn each_document_is_of_one_kind() {
        for media_type in ACCEPT.iter().chain(&[DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED, OCI_CONFIG, DOCKER_CONFIG]) {
            let kinds = [is_index, is_manifest, is_schema1, is_config].iter().filter(|kind| kind(media_type)).count();
            assert_eq!(kinds, usize::from(*media_type != "*/*"), "{media_type}");
        }
    }
}
