//! layerd's own: pulls that run, whoever began them.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use http::header::CONTENT_TYPE;
use layer_engine::{Phase, RunningPull};
use layer_proto::pull as proto;

use super::App;
use crate::failure::Failure;
use crate::params::Params;
use crate::{answer, progress};

/// `GET`: those that run.
#[utoipa::path(
    get,
    path = proto::PATH,
    tag = "layerd",
    operation_id = "LayerdPullList",
    responses(
        (status = 200, description = "The pulls that run, the oldest first.", body = Vec<proto::RunningPull>),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn list(State(app): State<App>) -> Response {
    let pulls: Vec<_> = app.engine.pulls().into_iter().map(form).collect();
    answer::found(&pulls)
}

/// `GET` of the progress of one. It changes nothing for the pull when the client goes.
#[utoipa::path(
    get,
    path = proto::PROGRESS_PATH,
    tag = "layerd",
    operation_id = "LayerdPullFollow",
    params(
        ("what" = String, Query, description = "The number of a pull, or the name of its image."),
    ),
    responses(
        (status = 200, description = "Lines of progress, each an object as `ProgressLine` has it: how far the pull is, and the rest as it happens."),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn follow(State(app): State<App>, params: Params) -> Result<Response, Failure> {
    let follow = app.engine.follow_pull(what(&params)?)?;
    let lines = stream::unfold(follow, |mut follow| async move {
        let event = follow.next().await?;
        Some((Ok::<_, Infallible>(progress::lines(&event)), follow))
    });
    Ok(([(CONTENT_TYPE, answer::JSON)], Body::from_stream(lines)).into_response())
}

/// `DELETE`: ends some.
#[utoipa::path(
    delete,
    path = proto::PATH,
    tag = "layerd",
    operation_id = "LayerdPullCancel",
    params(
        ("what" = String, Query, description = "The number of a pull, or the name of an image for all pulls of it."),
    ),
    responses(
        (status = 200, description = "Those that were ended.", body = Vec<proto::RunningPull>),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn cancel(State(app): State<App>, params: Params) -> Result<Response, Failure> {
    let ended: Vec<_> = app.engine.cancel_pulls(what(&params)?)?.into_iter().map(form).collect();
    Ok(answer::found(&ended))
}

fn what(params: &Params) -> Result<&str, Failure> {
    params.text("what").ok_or_else(|| Failure::invalid("`what` is missing: it is the number of a pull, or a name"))
}

fn form(pull: RunningPull) -> proto::RunningPull {
    let layers = pull.layers.into_iter().map(|(blob, phase)| {
        let line = progress::layer(blob.0.short(), &phase);
        let (current, total) = match phase {
            Phase::Fetching { done, total } | Phase::Unpacking { done, total } => (done, total),
            _ => (0, 0),
        };
        proto::RunningLayer { digest: blob.to_string(), status: line.status.unwrap_or_default(), current, total }
    });
    proto::RunningPull {
        id: pull.id,
        reference: pull.reference.to_string(),
        platform: pull.platform.map(|platform| platform.to_string()),
        started: pull.started.to_string(),
        layers: layers.collect(),
    }
}
