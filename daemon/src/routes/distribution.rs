//! `GET /distribution/{name}/json`: asks the registry what it has under a name.

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, Uri};
use layer_engine::{Patience, PullRequest};
use layer_proto::DistributionInspect;
use layer_reference::Reference;

use super::{App, image_form};
use crate::failure::{Failure, page_not_found};
use crate::path::ImagePath;
use crate::{answer, registry_auth, status};

#[utoipa::path(
    get,
    path = "/distribution/{name}/json",
    tag = "Docker",
    operation_id = "DistributionInspect",
    params(
        ("name" = String, Path, description = "The name of an image."),
        ("X-Registry-Auth" = Option<String>, Header, description = "A login in JSON, in URL-safe base64."),
    ),
    responses(
        (status = 200, description = "What the registry has under the name.", body = DistributionInspect),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn inspect(State(app): State<App>, uri: Uri, headers: HeaderMap) -> Result<Response, Failure> {
    let path = ImagePath::under("/distribution/", uri.path())
        .ok_or_else(|| Failure::invalid("the path is not encoded as a URL is"))?;
    let Some((name, "json")) = path.name_and_word() else { return Ok(page_not_found()) };
    let reference = Reference::parse(name)?.or_latest();
    reference.check_reserved()?;
    let credentials = registry_auth::credentials(&headers);
    let request = PullRequest { reference, platform: None, credentials, patience: Patience::default() };
    let remote = app.engine.remote(&request).await.map_err(|error| status::of_inquiry(&error))?;
    let platforms: Vec<_> = remote.platforms.into_iter().map(image_form::platform).collect();
    Ok(answer::found(&DistributionInspect {
        descriptor: image_form::descriptor(&remote.descriptor),
        platforms: Some(platforms).filter(|platforms| !platforms.is_empty()),
    }))
}
