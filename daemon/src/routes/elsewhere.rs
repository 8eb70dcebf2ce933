//! What docker's API has and layerd hasn't: said clearly, in the form that clients understand.

use axum::Router;
use axum::response::Response;
use axum::routing::{any, get, post};
use http::{Method, Uri};
use serde_json::json;

use super::App;
use crate::answer;
use crate::failure::Failure;

/// Families of paths that are about running containers, or about machines that do.
const NOT_IMAGES: [&str; 13] = [
    "build", "commit", "configs", "exec", "grpc", "networks", "nodes", "plugins", "secrets", "services", "session",
    "swarm", "tasks",
];

/// Adds the paths that are known and not supported.
pub(super) fn add(mut router: Router<App>) -> Router<App> {
    for family in NOT_IMAGES {
        let methods = if family == "networks" { get(no_networks).fallback(not_images) } else { any(not_images) };
        router = router.route(&format!("/{family}"), methods).route(&format!("/{family}/{{*rest}}"), any(not_images));
    }
    router
        .route("/containers/prune", post(nothing_to_prune))
        .route("/networks/prune", post(nothing_to_prune))
        .route("/volumes/prune", post(nothing_to_prune))
        .route("/build/prune", post(no_cache_to_prune))
        .route("/volumes", get(no_volumes).fallback(not_images))
        .route("/volumes/{*rest}", any(not_images))
}

#[utoipa::path(
    get,
    path = "/networks",
    tag = "Docker",
    operation_id = "NetworkList",
    responses((status = 200, description = "Always empty.", body = Vec<serde_json::Value>))
)]
pub(super) async fn no_networks() -> Response {
    answer::found(&json!([]))
}

/// What `docker system prune` clears away before it comes to images.
async fn nothing_to_prune() -> Response {
    answer::found(&json!({"SpaceReclaimed": 0}))
}

/// The same, of a cache of builds: docker's clients read which parts went.
async fn no_cache_to_prune() -> Response {
    answer::found(&json!({"CachesDeleted": null, "SpaceReclaimed": 0}))
}

#[utoipa::path(
    get,
    path = "/volumes",
    tag = "Docker",
    operation_id = "VolumeList",
    responses((status = 200, description = "There are none.", body = serde_json::Value))
)]
pub(super) async fn no_volumes() -> Response {
    answer::found(&json!({"Volumes": [], "Warnings": null}))
}

/// What runs containers, builds or networks.
pub(super) async fn not_images(method: Method, uri: Uri) -> Failure {
    Failure::not_supported(format!(
        "{method} {} is not supported: layerd manages images, it runs no containers and builds nothing",
        uri.path()
    ))
}
