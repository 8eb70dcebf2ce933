//! Mounts, which docker has no word for.

use std::path::PathBuf;

use axum::Json;
use axum::extract::{Query, State};
use http::StatusCode;
use layer_engine::{Engine, MountInfo};
use layer_oci::Platform;
use layer_proto::{Mount, MountRequest};
use serde::Deserialize;

use crate::error::ApiError;

/// `GET /layerd/v1/mounts`.
pub(super) async fn list(State(engine): State<Engine>) -> Json<Vec<Mount>> {
    Json(engine.mounts().await.into_iter().map(wire).collect())
}

/// `POST /layerd/v1/mounts`.
pub(super) async fn mount(
    State(engine): State<Engine>,
    Json(request): Json<MountRequest>,
) -> Result<(StatusCode, Json<Mount>), ApiError> {
    let platform = request.platform.as_deref().map(str::parse::<Platform>).transpose();
    let info = engine
        .mount(layer_engine::MountRequest {
            image: request.image,
            platform: platform.map_err(|error| ApiError::bad_request(error.to_string()))?,
            target: request.target.map(PathBuf::from),
            writable: request.writable,
        })
        .await?;
    Ok((StatusCode::CREATED, Json(wire(info))))
}

#[derive(Deserialize)]
pub(super) struct UnmountQuery {
    what: Option<String>,
}

/// `DELETE /layerd/v1/mounts?what=…`.
pub(super) async fn unmount(
    State(engine): State<Engine>,
    Query(query): Query<UnmountQuery>,
) -> Result<Json<Vec<Mount>>, ApiError> {
    let what = query.what.filter(|what| !what.is_empty());
    let what =
        what.ok_or_else(|| ApiError::bad_request("`what` is missing: a folder, an image or the ID of a mount"))?;
    Ok(Json(engine.unmount(&what).await?.into_iter().map(wire).collect()))
}

fn wire(info: MountInfo) -> Mount {
    Mount {
        id: info.id,
        image: info.image.to_string(),
        reference: info.reference,
        target: info.target.display().to_string(),
        writable: info.writable,
    }
}
