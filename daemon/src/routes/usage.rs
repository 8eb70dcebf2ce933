//! What the store takes on the disk: `GET /system/df`, and layerd's own fuller answer.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use layer_proto::{ApiVersion, DiskUsage, ImageSummary, ImageUsage, StoreUsage};

use super::{App, image_form};
use crate::answer;
use crate::failure::Failure;
use crate::params::Params;

/// The version from which clients can ask for some kinds only.
const TYPES: ApiVersion = ApiVersion::new(1, 42);

/// `GET /system/df`.
#[utoipa::path(
    get,
    path = "/system/df",
    tag = "Docker",
    operation_id = "SystemDataUsage",
    params(
        ("type" = Option<Vec<String>>, Query, description = "Only these: `image`, `container`, `volume`, `build-cache`."),
    ),
    responses(
        (status = 200, description = "What is taken on the disk.", body = DiskUsage),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn docker(
    State(app): State<App>,
    Extension(version): Extension<ApiVersion>,
    params: Params,
) -> Result<Response, Failure> {
    let types: Vec<&str> = if version < TYPES { Vec::new() } else { params.all("type") };
    for kind in &types {
        if !["container", "image", "volume", "build-cache"].contains(kind) {
            return Err(Failure::invalid(format!("unknown object type: {kind}")));
        }
    }
    let wants = |kind: &str| types.is_empty() || types.contains(&kind);
    let mut usage = DiskUsage {
        containers: wants("container").then(Vec::new),
        volumes: wants("volume").then(Vec::new),
        build_cache: wants("build-cache").then(Vec::new),
        ..DiskUsage::default()
    };
    if wants("image") {
        let store = app.engine.disk_usage().await?;
        let form = |image: layer_engine::ImageUsage| {
            let shared_size = i64::try_from(image.shared).unwrap_or(i64::MAX);
            let form = ImageSummary { shared_size, ..image_form::summary(image.image) };
            // Here docker has counted them in all versions: clients take what isn't 0 for used.
            let containers = form.containers;
            ImageSummary { containers, ..form.at(version) }
        };
        usage.layers_size = store.total;
        usage.images = Some(store.images.into_iter().map(form).collect());
    }
    Ok(answer::found(&usage))
}

/// `GET /layerd/v1/df`.
#[utoipa::path(
    get,
    path = layer_proto::store_usage::PATH,
    tag = "layerd",
    operation_id = "LayerdDataUsage",
    responses(
        (status = 200, description = "What the store and each image take on the disk.", body = StoreUsage),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn store(State(app): State<App>) -> Result<Response, Failure> {
    let (store, mounts) = (app.engine.disk_usage().await?, app.engine.mount_usage().await?);
    let image = |usage: layer_engine::ImageUsage| ImageUsage {
        id: usage.image.id.to_string(),
        names: if usage.image.repo_tags.is_empty() { usage.image.repo_digests } else { usage.image.repo_tags },
        size: usage.image.size,
        unique: usage.unique,
        shared: usage.shared,
        mounts: usage.image.mounts,
        pinned: usage.pinned,
        last_used: usage.last_used.map(jiff::Timestamp::as_second),
    };
    Ok(answer::found(&StoreUsage {
        total: store.total.saturating_add(mounts),
        blobs: store.blobs,
        layers: store.layers,
        partials: store.partials,
        mounts,
        leftovers: store.leftovers,
        reclaimable: store.reclaimable,
        images: store.images.into_iter().map(image).collect(),
    }))
}
