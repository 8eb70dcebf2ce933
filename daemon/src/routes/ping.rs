//! `/_ping`: whether the daemon is there, and what it speaks. Clients ask this first.

use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA};
use layer_proto::ping;

#[utoipa::path(
    get,
    path = "/_ping",
    tag = "Docker",
    operation_id = "SystemPing",
    responses(
        (status = 200, description = "The daemon is there. Headers say what it speaks.", body = String, content_type = "text/plain"),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn get() -> Response {
    answer(ping::BODY)
}

#[utoipa::path(
    head,
    path = "/_ping",
    tag = "Docker",
    operation_id = "SystemPingHead",
    responses(
        (status = 200, description = "The daemon is there. Headers say what it speaks."),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn head() -> Response {
    answer("")
}

fn answer(body: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE.as_str(), "text/plain; charset=utf-8"),
        (CACHE_CONTROL.as_str(), "no-cache, no-store, must-revalidate"),
        (PRAGMA.as_str(), "no-cache"),
        // Docker's client builds elsewhere when it reads "2": BuildKit.
        (ping::BUILDER_VERSION, "2"),
        (ping::SWARM, "inactive"),
    ];
    (headers, body).into_response()
}
