//! `/_ping`: whether the daemon is there, and what it speaks. Clients ask this first.

use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA};
use layer_proto::ping;

pub(super) async fn get() -> Response {
    answer(ping::BODY)
}

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
