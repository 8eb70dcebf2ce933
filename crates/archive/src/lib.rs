//! Images in tar files: what `docker save`, `skopeo`, `podman` and the builders write, in both directions.
//!
//! There are two forms, and often both in one file. The docker-archive has a `manifest.json` that leads to configs and layers by the names of
//! members; the OCI image-layout has an `index.json` that leads to blobs by their digests. A [`Reader`] goes through such a tar front to back
//! and gives the content of its files; [`Names`] finds members by their exact names; [`DockerManifest`] and [`Layout`] read the two tables of
//! contents. A [`Writer`] writes a tar that has both.
//!
//! Nothing is unpacked here: a member is a name and a stream of bytes, and what a name leads to never depends on a file system. Names that lead
//! out of the archive, that are there twice or that lie below a link are refused. What a reader holds of an archive is bounded: 100,000 members
//! and 16 MiB of their names. This crate knows neither the store nor any registry.
//!
//! Spec: OCI image-spec 1.1, image-layout.md; Docker image spec v1.2, "Combined Image JSON + Filesystem Changeset Format".

mod docker;
mod error;
mod layout;
mod names;
mod reader;
mod writer;

pub use docker::{DockerImage, DockerManifest};
pub use error::ArchiveError;
pub use layout::{LAYOUT, Layout};
pub use names::Names;
pub use reader::{Member, Reader, is_tar_start};
pub use writer::Writer;

/// The file that says that an archive is an OCI image-layout.
pub const LAYOUT_FILE: &str = "oci-layout";
/// The table of contents of an OCI image-layout.
pub const INDEX_FILE: &str = "index.json";
/// The table of contents of a docker-archive.
pub const MANIFEST_FILE: &str = "manifest.json";

/// The member that holds a blob in an OCI image-layout.
pub fn blob_name(digest: layer_digest::Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

/// The digest that the name of a member promises: that of a blob of an OCI image-layout, and of nothing else.
pub fn blob_digest(name: &str) -> Option<layer_digest::Digest> {
    let (algorithm, hex) = name.strip_prefix("blobs/")?.split_once('/')?;
    format!("{algorithm}:{hex}").parse().ok()
}

#[cfg(test)]
mod tests {
    use layer_digest::{Algorithm, Digest};

    use super::*;

    #[test]
    fn a_blob_s_name_is_its_digest() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let digest = Digest::of(algorithm, b"x");
            assert_eq!(blob_digest(&blob_name(digest)), Some(digest));
        }
        for name in ["blobs/sha256", "blobs/sha256/", "blobs/sha256/../x", "blobs/md5/00", "x/sha256/00", ""] {
            assert_eq!(blob_digest(name), None, "{name}");
        }
    }
}
