//! From the engine's images to those of the API. Members and versions are the business of `layer_proto`; this fills them.

use jiff::Timestamp;
use layer_engine::{Attestation, HistoryItem, ImageDetail, ImageSummary, ManifestInfo, ManifestKind, Removed};
use layer_oci::ContainerConfig;
use layer_proto::image::{self, Empty, Set};
use layer_proto::{Descriptor, ImageInspect, ZERO_TIME};

pub(super) fn summary(image: ImageSummary) -> layer_proto::ImageSummary {
    layer_proto::ImageSummary {
        // There are no containers; what uses images here are mounts. Before version 1.51 nobody counted.
        containers: i64::try_from(image.mounts).unwrap_or(i64::MAX),
        created: seconds(image.created),
        id: image.id.to_string(),
        labels: image.labels,
        descriptor: Some(descriptor(&image.descriptor)),
        repo_digests: image.repo_digests,
        repo_tags: image.repo_tags,
        size: image.size,
        ..layer_proto::ImageSummary::default()
    }
}

pub(super) fn inspect(image: ImageDetail) -> ImageInspect {
    let config = &image.config;
    let last_comment = || config.history.last().map(|step| step.comment.clone());
    ImageInspect {
        id: image.id.to_string(),
        repo_tags: image.repo_tags,
        repo_digests: image.repo_digests,
        comment: config.comment.clone().filter(|text| !text.is_empty()).or_else(last_comment).unwrap_or_default(),
        created: config.created.clone(),
        docker_version: config.docker_version.clone().unwrap_or_default(),
        author: config.author.clone().unwrap_or_default(),
        architecture: config.architecture.clone(),
        variant: config.variant.clone(),
        os: config.os.clone(),
        os_version: config.os_version.clone(),
        size: image.size,
        root_fs: image::RootFs {
            layers: config.diff_ids.iter().map(ToString::to_string).collect(),
            ..image::RootFs::default()
        },
        metadata: image::Metadata {
            last_tag_time: image.last_tagged.map_or_else(|| ZERO_TIME.to_owned(), |time| time.to_string()),
        },
        descriptor: Some(descriptor(&image.descriptor)),
        config: container(&config.config),
        ..ImageInspect::default()
    }
}

pub(super) fn manifest(info: ManifestInfo) -> image::ManifestSummary {
    let (mut image_data, mut attestation_data) = (None, None);
    let kind = match info.kind {
        ManifestKind::Image(platform) => {
            let size = image::UnpackedSize { unpacked: info.unpacked };
            image_data = Some(image::ImageData { platform: self::platform(platform), size, containers: None });
            image::ManifestKind::Image
        }
        ManifestKind::Attestation { subject } => {
            let subject = subject.map(|digest| digest.to_string()).unwrap_or_default();
            attestation_data = Some(image::AttestationData { subject });
            image::ManifestKind::Attestation
        }
        ManifestKind::Unknown => image::ManifestKind::Unknown,
    };
    image::ManifestSummary {
        id: info.descriptor.digest.to_string(),
        available: info.available,
        size: image::ManifestSize { content: info.packed, total: info.packed.saturating_add(info.unpacked) },
        kind,
        image_data,
        attestation_data,
        descriptor: Descriptor { annotations: info.descriptor.annotations.clone(), ..entry(&info.descriptor) },
    }
}

pub(super) fn attestation(attestation: Attestation) -> image::AttestationStatement {
    image::AttestationStatement {
        descriptor: Descriptor {
            annotations: attestation.descriptor.annotations.clone(),
            ..entry(&attestation.descriptor)
        },
        predicate_type: attestation.predicate_type,
        statement: attestation.statement,
    }
}

pub(super) fn history(item: HistoryItem) -> layer_proto::HistoryItem {
    layer_proto::HistoryItem {
        comment: item.comment,
        created: seconds(item.created),
        created_by: item.created_by,
        // Only the newest step has an ID, and with it the names.
        tags: item.id.map(|_| item.tags),
        id: item.id.map_or_else(|| image::MISSING.to_owned(), |id| id.to_string()),
        size: item.size,
    }
}

pub(super) fn removed(removed: Removed) -> layer_proto::Removed {
    match removed {
        Removed::Untagged(name) => layer_proto::Removed::Untagged(name),
        Removed::Deleted(id) => layer_proto::Removed::Deleted(id.to_string()),
    }
}

fn container(config: &ContainerConfig) -> image::Config {
    let set = |names: &std::collections::BTreeSet<String>| -> Set {
        names.iter().map(|name| (name.clone(), Empty {})).collect()
    };
    image::Config {
        cmd: config.cmd.clone(),
        entrypoint: config.entrypoint.clone(),
        env: config.env.clone(),
        exposed_ports: config.exposed_ports.as_ref().map(set),
        healthcheck: config.healthcheck.clone(),
        labels: config.labels.clone(),
        on_build: config.on_build.clone(),
        shell: config.shell.clone(),
        stop_signal: config.stop_signal.clone(),
        user: config.user.clone(),
        volumes: config.volumes.as_ref().map(set),
        working_dir: config.working_dir.clone(),
        args_escaped: config.args_escaped.then_some(true),
        ..image::Config::default()
    }
}

pub(super) fn descriptor(descriptor: &layer_oci::Descriptor) -> Descriptor {
    Descriptor {
        media_type: descriptor.media_type.clone(),
        digest: descriptor.digest.to_string(),
        size: descriptor.size,
        // What an index says about an entry belongs to the index, not to the image.
        ..Descriptor::default()
    }
}

/// A descriptor as the entry of an index that it is, with the platform.
pub(crate) fn entry(entry: &layer_oci::Descriptor) -> Descriptor {
    Descriptor { platform: entry.platform.clone().map(platform), ..descriptor(entry) }
}

pub(super) fn platform(platform: layer_oci::Platform) -> layer_proto::Platform {
    layer_proto::Platform {
        architecture: platform.architecture,
        os: platform.os,
        os_version: platform.os_version,
        os_features: platform.os_features,
        variant: platform.variant,
    }
}

/// Seconds since 1970; 0 for a time that nobody knows.
fn seconds(time: Option<Timestamp>) -> i64 {
    time.map_or(0, Timestamp::as_second)
}
