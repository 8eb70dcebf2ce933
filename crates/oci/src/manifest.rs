//! Manifests: one image for one platform.

use std::collections::BTreeMap;

use crate::error::shown;
use crate::{Descriptor, DocumentError, ImageConfig, media_type};

/// The most layers a manifest may have: an overlay mount takes no more.
pub(crate) const MAX_LAYERS: usize = 500;

/// One image for one platform: a config, and layers from the base up.
///
/// Artifacts have manifests too; [`Manifest::check_layers`] tells them from images.
///
/// Spec: OCI image-spec 1.1, manifest.md; Docker image manifest V2 schema 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// OCI's or Docker's type of a manifest.
    pub media_type: String,
    /// The config.
    pub config: Descriptor,
    /// The layers, base first.
    pub layers: Vec<Descriptor>,
    /// Notes for people and tools.
    pub annotations: BTreeMap<String, String>,
    /// The type of the artifact, if this is one.
    pub artifact_type: Option<String>,
    /// The manifest that this one speaks about.
    pub subject: Option<Descriptor>,
}

/// What the bytes of a layer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LayerKind {
    /// A tar stream.
    Tar,
    /// A tar stream in gzip.
    TarGzip,
    /// A tar stream in zstd.
    TarZstd,
}

/// Types that registries are known to have written into Docker's manifests in place of the config's; the empty one stands for none at all.
const MANGLED_CONFIGS: &[&str] = &["", "application/json", "application/octet-stream", "text/html", "text/plain"];

impl Manifest {
    /// What each layer is, base first; for a container image, and for nothing else.
    ///
    /// # Errors
    ///
    /// [`DocumentError::Artifact`] when the config is not that of a container image, [`DocumentError::EncryptedLayer`] and
    /// [`DocumentError::UnsupportedLayer`] when a layer is not one of a [`LayerKind`].
    pub fn layer_kinds(&self) -> Result<Vec<LayerKind>, DocumentError> {
        self.check_config_type()?;
        self.layers.iter().enumerate().map(|(i, layer)| LayerKind::of(&layer.media_type, i + 1)).collect()
    }

    /// Checks that this is a container image whose layers can all be unpacked.
    ///
    /// # Errors
    ///
    /// As [`Manifest::layer_kinds`].
    pub fn check_layers(&self) -> Result<(), DocumentError> {
        self.layer_kinds().map(|_| ())
    }

    /// Checks that `config` has a diff ID for each layer.
    ///
    /// # Errors
    ///
    /// [`DocumentError::LayerCount`] when it has not.
    pub fn check_config(&self, config: &ImageConfig) -> Result<(), DocumentError> {
        let (layers, diff_ids) = (self.layers.len(), config.diff_ids.len());
        if layers == diff_ids { Ok(()) } else { Err(DocumentError::LayerCount { layers, diff_ids }) }
    }

    fn check_config_type(&self) -> Result<(), DocumentError> {
        let config = self.config.media_type.as_str();
        let docker = self.media_type == media_type::DOCKER_MANIFEST;
        if media_type::is_config(config) || docker && MANGLED_CONFIGS.contains(&media_type::essence(config).as_str()) {
            return Ok(());
        }
        let named = match &self.artifact_type {
            Some(artifact) if config == media_type::OCI_EMPTY => artifact,
            _ => config,
        };
        Err(DocumentError::Artifact { media_type: shown(named) })
    }
}

impl LayerKind {
    /// Sorts the type of layer `number`.
    fn of(media_type: &str, number: usize) -> Result<Self, DocumentError> {
        let oci = [media_type::OCI_LAYER, media_type::OCI_NONDISTRIBUTABLE_LAYER];
        let docker = [media_type::DOCKER_LAYER, media_type::DOCKER_FOREIGN_LAYER];
        let suffix = |bases: [&str; 2]| bases.iter().find_map(|base| media_type.strip_prefix(base));
        let named = || shown(media_type);
        match (suffix(oci), suffix(docker)) {
            (Some(""), _) | (_, Some("")) => Ok(Self::Tar),
            (Some("+gzip"), _) | (_, Some(".gzip")) => Ok(Self::TarGzip),
            (Some("+zstd"), _) | (_, Some(".zstd")) => Ok(Self::TarZstd),
            _ if media_type.ends_with("+encrypted") => {
                Err(DocumentError::EncryptedLayer { number, media_type: named() })
            }
            _ => Err(DocumentError::UnsupportedLayer { number, media_type: named() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use layer_digest::Digest;

    use super::*;
    use crate::media_type::{DOCKER_CONFIG, DOCKER_MANIFEST, OCI_CONFIG, OCI_EMPTY, OCI_MANIFEST};

    fn manifest(media_type: &str, config: &str, layers: &[&str]) -> Manifest {
        let descriptor = |media_type: &&str| Descriptor::new(*media_type, Digest::sha256(b""), 0);
        Manifest {
            media_type: media_type.to_owned(),
            config: descriptor(&config),
            layers: layers.iter().map(descriptor).collect(),
            annotations: BTreeMap::new(),
            artifact_type: None,
            subject: None,
        }
    }

    #[test]
    fn layers_are_sorted_by_type() {
        use LayerKind::{Tar, TarGzip, TarZstd};
        for (media_type, kind) in [
            ("application/vnd.oci.image.layer.v1.tar", Tar),
            ("application/vnd.oci.image.layer.v1.tar+gzip", TarGzip),
            ("application/vnd.oci.image.layer.v1.tar+zstd", TarZstd),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar", Tar),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", TarGzip),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", TarZstd),
            ("application/vnd.docker.image.rootfs.diff.tar", Tar),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", TarGzip),
            ("application/vnd.docker.image.rootfs.diff.tar.zstd", TarZstd),
            ("application/vnd.docker.image.rootfs.foreign.diff.tar", Tar),
            ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", TarGzip),
        ] {
            assert_eq!(
                manifest(OCI_MANIFEST, OCI_CONFIG, &[media_type]).layer_kinds().unwrap(),
                [kind],
                "{media_type}"
            );
        }
    }

    #[test]
    fn layers_that_cannot_be_unpacked_are_named() {
        let good = "application/vnd.oci.image.layer.v1.tar";
        for (bad, what) in [
            ("application/vnd.oci.image.layer.v1.tar+encrypted", "encrypted"),
            ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "encrypted"),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip+encrypted", "encrypted"),
            ("application/vnd.oci.image.layer.v1.tar+xz", "unsupported"),
            ("application/vnd.oci.image.layer.v1.tar.gzip", "unsupported"),
            ("application/vnd.docker.image.rootfs.diff.tar+gzip", "unsupported"),
            ("application/vnd.in-toto+json", "unsupported"),
            ("APPLICATION/VND.OCI.IMAGE.LAYER.V1.TAR", "unsupported"),
            ("", "unsupported"),
        ] {
            let error = manifest(OCI_MANIFEST, OCI_CONFIG, &[good, bad]).check_layers().unwrap_err().to_string();
            assert!(
                error.contains(what) && error.contains(&format!("`{bad}`")) && error.contains("layer 2"),
                "{error}"
            );
        }
    }

    #[test]
    fn an_error_does_not_repeat_foreign_text_without_bounds() {
        let bad = format!("\u{1b}[2J{}", "x".repeat(100_000));
        let error = manifest(OCI_MANIFEST, OCI_CONFIG, &[&bad]).check_layers().unwrap_err().to_string();
        assert!(error.len() < 300 && !error.contains('\u{1b}'), "{error}");
    }

    #[test]
    fn only_images_have_layers_to_unpack() {
        for (manifest_type, config, good) in [
            (OCI_MANIFEST, OCI_CONFIG, true),
            (OCI_MANIFEST, DOCKER_CONFIG, true),
            (DOCKER_MANIFEST, DOCKER_CONFIG, true),
            (DOCKER_MANIFEST, OCI_CONFIG, true),
            (DOCKER_MANIFEST, "application/octet-stream", true),
            (DOCKER_MANIFEST, "text/html; charset=utf-8", true),
            (DOCKER_MANIFEST, "", true),
            (OCI_MANIFEST, "application/octet-stream", false),
            (OCI_MANIFEST, "", false),
            (OCI_MANIFEST, OCI_EMPTY, false),
            (DOCKER_MANIFEST, "application/vnd.docker.plugin.v1+json", false),
            (OCI_MANIFEST, "application/vnd.cncf.helm.config.v1+json", false),
        ] {
            let outcome = manifest(manifest_type, config, &[]).check_layers();
            assert_eq!(outcome.is_ok(), good, "{manifest_type} {config}");
            if let Err(error) = outcome {
                let text = format!("unsupported media type `{config}`: this is an artifact, not a container image");
                assert_eq!(error.to_string(), text);
            }
        }
        let mut artifact = manifest(OCI_MANIFEST, OCI_EMPTY, &[]);
        artifact.artifact_type = Some("application/vnd.example.model".to_owned());
        assert!(artifact.check_layers().unwrap_err().to_string().contains("application/vnd.example.model"));
    }
}
