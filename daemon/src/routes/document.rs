//! layerd's own: the document that describes all of this to programs.
//!
//! It is made of what stands at each handler and each type of the wire, and kept as `docs/openapi.json`. Tests hold it against the routes.

use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use utoipa::OpenApi;

use crate::answer;
use crate::failure::Failure;

/// The path of the document.
pub(super) const PATH: &str = "/layerd/v1/openapi.json";

/// What is described, and what is said about the whole.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "layerd",
        description = "The Docker Engine API for images, and what layerd has beyond it. Paths of the first kind may have `/v1.24` to `/v1.55` in front; \
                       without, they are answered as version 1.51."
    ),
    tags(
        (name = "Docker", description = "What Docker's clients know."),
        (name = "layerd", description = "What Docker has no word for."),
    ),
    paths(
        super::ping::get, super::ping::head, super::version::show, super::info::show, super::auth::log_in,
        super::events::follow, super::images::list, super::archives::create, super::archives::load,
        super::archives::save, super::prune::prune, super::search::search, super::named::inspect,
        super::named::history, super::named::attestations, super::named::save, super::named::tag,
        super::named::remove, super::push::push, super::distribution::inspect, super::usage::docker,
        super::containers::list, super::containers::named, super::elsewhere::no_networks,
        super::elsewhere::no_volumes, super::mounts::mount, super::mounts::list, super::mounts::unmount,
        super::preview::show, super::running::list, super::running::follow, super::running::cancel,
        super::pins::pin, super::pins::list, super::pins::unpin, super::usage::store, super::prune::collect,
        super::bundles::make, super::verify::verify, show,
    ),
    components(schemas(layer_proto::ProgressLine, layer_proto::Event, layer_proto::Pulled, layer_proto::Verified)),
)]
pub(super) struct Document;

impl Document {
    /// The document as it is served and kept.
    pub(super) fn text() -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(&Self::openapi())? + "\n")
    }
}

#[utoipa::path(
    get,
    path = PATH,
    tag = "layerd",
    operation_id = "LayerdDocument",
    responses((status = 200, description = "This document.", body = serde_json::Value))
)]
pub(super) async fn show() -> Result<Response, Failure> {
    match Document::text() {
        Ok(text) => Ok(([(CONTENT_TYPE, answer::JSON)], text).into_response()),
        Err(error) => Err(Failure::ours(format!("write the document: {error}"))),
    }
}
