//! layerd's own: what every collection keeps.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use layer_proto::{Pin, PinRequest};

use super::App;
use crate::answer;
use crate::body::{self, Body};
use crate::failure::Failure;
use crate::params::Params;

/// `POST`: pins a name or an image.
#[utoipa::path(
    post,
    path = layer_proto::pin::PATH,
    tag = "layerd",
    operation_id = "LayerdPin",
    request_body(content = PinRequest),
    responses(
        (status = 201, description = "The pin.", body = Pin),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn pin(State(app): State<App>, body: Body) -> Result<Response, Failure> {
    let request: PinRequest = body::json(&body::bytes(body)?)?;
    if request.image.is_empty() {
        return Err(Failure::invalid("`image` is missing: it names the image to pin"));
    }
    let pin = app.engine.pin(&request.image).await?;
    Ok(answer::json(StatusCode::CREATED, &form(pin)))
}

/// `GET`: what is pinned.
#[utoipa::path(
    get,
    path = layer_proto::pin::PATH,
    tag = "layerd",
    operation_id = "LayerdPinList",
    responses(
        (status = 200, description = "What is pinned.", body = Vec<Pin>),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn list(State(app): State<App>) -> Response {
    let pins: Vec<_> = app.engine.pins().await.into_iter().map(form).collect();
    answer::found(&pins)
}

/// `DELETE`: takes pins off.
#[utoipa::path(
    delete,
    path = layer_proto::pin::PATH,
    tag = "layerd",
    operation_id = "LayerdUnpin",
    params(
        ("image" = String, Query, description = "A name, or an ID for all pins of an image."),
    ),
    responses(
        (status = 200, description = "The pins that were taken off.", body = Vec<Pin>),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn unpin(State(app): State<App>, params: Params) -> Result<Response, Failure> {
    let image = params.text("image").ok_or_else(|| Failure::invalid("`image` is missing: it names what to unpin"))?;
    let pins: Vec<_> = app.engine.unpin(image).await?.into_iter().map(form).collect();
    Ok(answer::found(&pins))
}

fn form(pin: layer_engine::Pin) -> Pin {
    Pin { image: pin.image.to_string(), reference: pin.reference }
}
