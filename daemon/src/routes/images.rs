//! Looking at images.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Extension, Path, Query, State};
use axum::response::{IntoResponse, Response};
use layer_engine::{Engine, ImageDetail};
use layer_oci::Platform;
use layer_proto::image::{Config, Empty, GraphDriver, MISSING, Metadata, RootFs};
use layer_proto::{ApiVersion, Descriptor, HistoryItem, ImageInspect, ImageSummary, ZERO_TIME};
use serde::Deserialize;

use crate::error::ApiError;
use crate::filters::Filters;

#[derive(Deserialize)]
pub(super) struct ListQuery {
    filters: Option<String>,
}

/// `GET /images/json`.
pub(super) async fn list(
    State(engine): State<Engine>,
    Extension(version): Extension<ApiVersion>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Vec<ImageSummary>>, ApiError> {
    let filters = Filters::parse(query.filters.as_deref())?;
    let images = filters.apply(engine.images().await?)?;
    let summary = |image: layer_engine::ImageSummary| {
        ImageSummary {
            containers: 0,
            created: image.created.map_or(0, jiff::Timestamp::as_second),
            id: image.id.to_string(),
            labels: image.labels,
            parent_id: String::new(),
            descriptor: Some(descriptor(&image.descriptor)),
            manifests: None,
            repo_digests: image.repo_digests,
            repo_tags: image.repo_tags,
            shared_size: -1,
            size: image.size,
            virtual_size: None,
        }
        .at(version)
    };
    Ok(Json(images.into_iter().map(summary).collect()))
}

#[derive(Deserialize)]
pub(super) struct OneQuery {
    platform: Option<String>,
}

/// `GET /images/{name}/json` and `GET /images/{name}/history`.
pub(super) async fn one(
    State(engine): State<Engine>,
    Extension(version): Extension<ApiVersion>,
    Path(rest): Path<String>,
    Query(query): Query<OneQuery>,
) -> Result<Response, ApiError> {
    let platform = query.platform.as_deref().filter(|text| !text.is_empty()).map(platform).transpose()?;
    match rest.rsplit_once('/') {
        Some((name, "json")) => {
            let detail = engine.image(name, platform.as_ref()).await?;
            Ok(Json(inspect(detail).at(version)).into_response())
        }
        Some((name, "history")) => {
            let items = engine.history(name, platform.as_ref()).await?;
            Ok(Json(items.into_iter().map(history).collect::<Vec<_>>()).into_response())
        }
        Some((_, "get")) => Err(ApiError::not_implemented("layerd doesn't save images to archives yet")),
        _ => Err(ApiError::page_not_found()),
    }
}

/// A platform in a query is JSON here, and plain text where images are pulled.
fn platform(text: &str) -> Result<Platform, ApiError> {
    let invalid =
        || ApiError::bad_request(format!("invalid platform `{text}`: it should be JSON with `os` and `architecture`"));
    let platform: Platform = serde_json::from_str(text).map_err(|_| invalid())?;
    if platform.os.is_empty() || platform.architecture.is_empty() { Err(invalid()) } else { Ok(platform) }
}

fn inspect(detail: ImageDetail) -> ImageInspect {
    let config = &detail.config;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let set = |names: &std::collections::BTreeSet<String>| -> BTreeMap<String, Empty> {
        names.iter().map(|name| (name.clone(), Empty {})).collect()
    };
    let run = &config.config;
    ImageInspect {
        id: detail.id.to_string(),
        repo_tags: detail.repo_tags,
        repo_digests: detail.repo_digests,
        comment: text(&config.comment),
        created: config.created.clone(),
        docker_version: text(&config.docker_version),
        author: text(&config.author),
        architecture: config.architecture.clone(),
        variant: config.variant.clone(),
        os: config.os.clone(),
        os_version: config.os_version.clone(),
        size: detail.size,
        graph_driver: GraphDriver { data: None, name: "overlayfs".to_owned() },
        root_fs: RootFs {
            kind: "layers".to_owned(),
            layers: config.diff_ids.iter().map(ToString::to_string).collect(),
        },
        metadata: Metadata {
            last_tag_time: detail.last_tagged.map_or_else(|| ZERO_TIME.to_owned(), |time| time.to_string()),
        },
        descriptor: Some(descriptor(&detail.descriptor)),
        config: Config {
            cmd: run.cmd.clone(),
            entrypoint: run.entrypoint.clone(),
            env: run.env.clone(),
            exposed_ports: run.exposed_ports.as_ref().map(set),
            healthcheck: run.healthcheck.clone(),
            labels: run.labels.clone(),
            on_build: run.on_build.clone(),
            shell: run.shell.clone(),
            stop_signal: run.stop_signal.clone(),
            user: run.user.clone(),
            volumes: run.volumes.as_ref().map(set),
            working_dir: run.working_dir.clone(),
            args_escaped: run.args_escaped.then_some(true),
            ..Config::default()
        },
        ..ImageInspect::default()
    }
}

fn history(item: layer_engine::HistoryItem) -> HistoryItem {
    HistoryItem {
        comment: item.comment,
        created: item.created.map_or(0, jiff::Timestamp::as_second),
        created_by: item.created_by,
        tags: item.id.map(|_| item.tags),
        id: item.id.map_or_else(|| MISSING.to_owned(), |id| id.to_string()),
        size: item.size,
    }
}

fn descriptor(descriptor: &layer_oci::Descriptor) -> Descriptor {
    Descriptor {
        media_type: descriptor.media_type.clone(),
        digest: descriptor.digest.to_string(),
        size: descriptor.size,
        ..Descriptor::default()
    }
}
