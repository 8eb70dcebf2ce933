//! Containers, of which there are none.

use axum::response::Response;
use http::{Method, Uri};
use serde_json::json;

use super::elsewhere;
use crate::answer;
use crate::failure::Failure;

/// `GET /containers/json`.
#[utoipa::path(
    get,
    path = "/containers/json",
    tag = "Docker",
    operation_id = "ContainerList",
    responses(
        (status = 200, description = "Always empty.", body = Vec<serde_json::Value>),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn list() -> Response {
    answer::found(&json!([]))
}

/// `docker inspect X` looks for a container first, and for an image only when it reads that there is none.
#[utoipa::path(
    get,
    path = "/containers/{name}/json",
    tag = "Docker",
    operation_id = "ContainerInspect",
    params(("name" = String, Path, description = "A name.")),
    responses((status = 404, description = "There are no containers.", body = layer_proto::ErrorBody))
)]
pub(super) async fn named(method: Method, uri: Uri) -> Failure {
    let name = uri.path().strip_prefix("/containers/").and_then(|rest| rest.strip_suffix("/json"));
    match name {
        Some(name) if method == Method::GET => Failure::not_found(format!("No such container: {name}")),
        _ => elsewhere::not_images(method, uri).await,
    }
}
