//! layerd's own: what a pull would do.

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use layer_engine::Preview;
use layer_proto::preview as proto;

use super::{App, pull};
use crate::failure::Failure;
use crate::params::Params;
use crate::{answer, status};

/// `GET`: asks the registry, looks into the store, and writes nothing.
#[utoipa::path(
    get,
    path = proto::PATH,
    tag = "layerd",
    operation_id = "LayerdPreview",
    params(
        ("fromImage" = String, Query, description = "The image."),
        ("tag" = Option<String>, Query, description = "A tag or a digest."),
        ("platform" = Option<String>, Query, description = "`os[/arch[/variant]]`, or an object in JSON."),
        ("retries" = Option<u32>, Query, description = "How often a registry that fails is asked again."),
        ("stallTimeout" = Option<u32>, Query, description = "How many seconds a registry may be silent."),
        ("X-Registry-Auth" = Option<String>, Header, description = "A login in JSON, in URL-safe base64."),
    ),
    responses(
        (status = 200, description = "What a pull would do.", body = proto::Preview),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn show(State(app): State<App>, params: Params, headers: HeaderMap) -> Result<Response, Failure> {
    let mut request = pull::request(&params, &headers)?;
    request.reference = request.reference.or_latest();
    match app.engine.preview(&request).await {
        Ok(preview) => Ok(answer::found(&form(preview))),
        Err(error) => Err(status::of_pull(&error)),
    }
}

fn form(preview: Preview) -> proto::Preview {
    let is_news = preview.is_news();
    let layers = preview.layers.into_iter().map(|layer| proto::LayerPreview {
        digest: layer.blob.to_string(),
        size: layer.size,
        here: layer.here,
        is_unpacked: layer.is_unpacked,
    });
    proto::Preview {
        reference: preview.reference.to_string(),
        image: preview.image.to_string(),
        current: preview.current.map(|image| image.to_string()),
        is_news,
        platform: preview.platform.map(|platform| platform.to_string()),
        layers: layers.collect(),
        fetch_bytes: preview.fetch_bytes,
        disk_bytes: preview.disk_bytes,
        free_bytes: preview.free_bytes,
    }
}
