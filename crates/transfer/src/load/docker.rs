//! The images of a docker-archive, which has configs and layers and no manifests: those are made here, always the same for the same image.

use layer_archive::{ArchiveError, DockerImage, DockerManifest, MANIFEST_FILE, Names};
use layer_compression::Compression;
use layer_digest::{BlobId, Digest};
use layer_oci::media_type::{DOCKER_CONFIG, DOCKER_LAYER, DOCKER_MANIFEST};
use layer_oci::{Descriptor, DocumentError, ImageConfig, Manifest, Platform};
use layer_reference::Reference;
use serde::Serialize;

use super::LoadCause;
use super::images::{Variant, Wanted, check_layer, check_system, choose};
use super::intake::{Held, Intake, Item};

/// A manifest as containerd makes one of such an image, to the byte: the image has the same ID there and here.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Made<'a> {
    schema_version: u32,
    media_type: &'a str,
    config: Part<'a>,
    layers: Vec<Part<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    media_type: &'a str,
    digest: Digest,
    size: u64,
}

/// Finds the images of the table, and that all of each is there and is what it should be.
pub(super) fn images(
    intake: &Intake<'_>,
    names: &Names,
    table: DockerManifest,
    platforms: &[Platform],
) -> Result<Vec<Wanted>, LoadCause> {
    table.images.into_iter().map(|image| wanted(intake, names, &image, platforms)).collect()
}

fn wanted(
    intake: &Intake<'_>,
    names: &Names,
    image: &DockerImage,
    platforms: &[Platform],
) -> Result<Wanted, LoadCause> {
    let config = found(intake, names, &image.config)?;
    let Item::Document(config_bytes) = &config.item else {
        let reason = "it is no config of an image".to_owned();
        return Err(ArchiveError::Member { name: image.config.clone(), reason }.into());
    };
    let bad = |source| LoadCause::Document { digest: config.blob.0, source };
    let parsed = ImageConfig::parse(config_bytes).map_err(bad)?;
    if parsed.diff_ids.len() != image.layers.len() {
        let (layers, diff_ids) = (image.layers.len(), parsed.diff_ids.len());
        return Err(bad(DocumentError::LayerCount { layers, diff_ids }));
    }
    let platform = check_system(&parsed)?;
    let mut layers = Vec::new();
    for (name, diff) in image.layers.iter().zip(&parsed.diff_ids) {
        let layer = found(intake, names, name)?;
        check_layer(layer, name, *diff)?;
        layers.push(layer);
    }
    let bytes = manifest(config, &layers).map_err(|error| LoadCause::Task(error.into()))?;
    let id = Digest::sha256(&bytes);
    let target = Descriptor::new(DOCKER_MANIFEST, id, bytes.len() as u64);
    let tags = image.repo_tags.iter().map(|tag| named(tag)).collect::<Result<Vec<_>, _>>()?;
    let variant = Variant {
        platform,
        documents: [(config.blob, config_bytes.clone()), (BlobId(id), bytes.into())],
        layers: layers.iter().map(|layer| layer.blob.0).collect(),
        stack: parsed.diff_ids,
    };
    let shown = image.repo_tags.first().unwrap_or(&image.config);
    let variants = choose(vec![variant], platforms, shown)?;
    let mut wanted = Wanted { target, names: tags, documents: Vec::new(), blobs: Vec::new(), stacks: Vec::new() };
    for variant in variants {
        wanted.documents.extend(variant.documents);
        wanted.blobs.extend(variant.layers);
        wanted.stacks.push(variant.stack);
    }
    Ok(wanted)
}

/// Sees to it that the table leads to no other images than the archive's index, for programs that look at the table alone.
pub(super) fn check(
    intake: &Intake<'_>,
    names: &Names,
    table: &DockerManifest,
    seen: &[Manifest],
) -> Result<(), LoadCause> {
    let digest = |name: &String| names.find(name).and_then(|name| Some(intake.named(name)?.blob.0));
    for image in &table.images {
        let (config, layers) = (digest(&image.config), image.layers.iter().map(digest).collect::<Option<Vec<_>>>());
        let is_same = |manifest: &Manifest| {
            let own = manifest.layers.iter().map(|layer| layer.digest);
            Some(manifest.config.digest) == config
                && layers.as_ref().is_some_and(|layers| own.eq(layers.iter().copied()))
        };
        // What isn't there can't be seen as something else.
        if config.is_some() && layers.is_some() && !seen.iter().any(is_same) {
            return Err(ArchiveError::Contradiction { name: image.config.clone() }.into());
        }
    }
    Ok(())
}

/// The content that the table means by a name.
fn found<'a>(intake: &'a Intake<'_>, names: &Names, name: &str) -> Result<&'a Held, LoadCause> {
    let missing = || ArchiveError::Missing { file: MANIFEST_FILE, name: name.to_owned() };
    let member = names.find(name).ok_or_else(missing)?;
    intake.named(member).ok_or_else(|| {
        let reason = "it is neither a layer nor a document".to_owned();
        ArchiveError::Member { name: member.to_owned(), reason }.into()
    })
}

fn named(tag: &str) -> Result<Reference, LoadCause> {
    let bad = |source| LoadCause::Name { name: tag.to_owned(), source };
    let name = Reference::parse(tag).map_err(bad)?.without_digest().or_latest();
    name.check_reserved().map_err(bad)?;
    Ok(name)
}

fn manifest(config: &Held, layers: &[&Held]) -> Result<Vec<u8>, serde_json::Error> {
    let types = layers.iter().map(|layer| match layer.compression {
        Compression::Gzip => format!("{DOCKER_LAYER}.gzip"),
        Compression::Zstd => format!("{DOCKER_LAYER}.zstd"),
        Compression::None | Compression::Xz | Compression::Bzip2 => DOCKER_LAYER.to_owned(),
    });
    let types: Vec<String> = types.collect();
    let parts = layers.iter().zip(&types);
    serde_json::to_vec(&Made {
        schema_version: 2,
        media_type: DOCKER_MANIFEST,
        config: Part { media_type: DOCKER_CONFIG, digest: config.blob.0, size: config.size },
        layers: parts.map(|(layer, media_type)| Part { media_type, digest: layer.blob.0, size: layer.size }).collect(),
    })
}
