//! Giving and taking names.

use axum::Json;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use layer_engine::{Engine, Removed};
use layer_reference::Reference;
use serde::Deserialize;

use super::is_on;
use crate::error::ApiError;

#[derive(Deserialize)]
pub(super) struct TagQuery {
    repo: Option<String>,
    tag: Option<String>,
}

/// `POST /images/{name}/tag`.
pub(super) async fn tag(
    State(engine): State<Engine>,
    Path(rest): Path<String>,
    Query(query): Query<TagQuery>,
) -> Result<StatusCode, ApiError> {
    let name = match rest.rsplit_once('/') {
        Some((name, "tag")) => name,
        Some((_, "push")) => return Err(ApiError::not_implemented("layerd doesn't push images yet")),
        _ if rest == "load" => return Err(ApiError::not_implemented("layerd doesn't load images from archives yet")),
        _ if rest == "prune" => return Err(ApiError::not_implemented("layerd doesn't prune images yet")),
        _ => return Err(ApiError::page_not_found()),
    };
    let repo = query.repo.unwrap_or_default();
    if repo.is_empty() {
        // dockerd does nothing, and says that it went well.
        return Ok(StatusCode::OK);
    }
    let mut target = Reference::parse(&repo).map_err(layer_engine::EngineError::from)?;
    if let Some(tag) = query.tag.filter(|tag| !tag.is_empty()) {
        target = target.with_tag(&tag).map_err(layer_engine::EngineError::from)?;
    }
    engine.tag(name, target).await?;
    Ok(StatusCode::CREATED)
}

#[derive(Deserialize)]
pub(super) struct RemoveQuery {
    force: Option<String>,
}

/// `DELETE /images/{name}`.
pub(super) async fn remove(
    State(engine): State<Engine>,
    Path(name): Path<String>,
    Query(query): Query<RemoveQuery>,
) -> Result<Json<Vec<layer_proto::Removed>>, ApiError> {
    if name.trim().is_empty() {
        return Err(ApiError::bad_request("image name cannot be blank"));
    }
    let removed = engine.remove(&name, is_on(query.force.as_deref())).await?;
    let wire = |removed| match removed {
        Removed::Untagged(name) => layer_proto::Removed::Untagged(name),
        Removed::Deleted(id) => layer_proto::Removed::Deleted(id.to_string()),
    };
    Ok(Json(removed.into_iter().map(wire).collect()))
}
