//! layerd's own: bundles for OCI runtimes.

use std::path::PathBuf;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use layer_oci::Platform;
use layer_proto::bundle::{Bundle, BundleRequest};

use super::{App, mounts};
use crate::answer;
use crate::body::{self, Body};
use crate::failure::Failure;

/// `POST`: makes a bundle of an image.
#[utoipa::path(
    post,
    path = layer_proto::bundle::PATH,
    tag = "layerd",
    operation_id = "LayerdBundle",
    request_body(content = BundleRequest),
    responses(
        (status = 201, description = "The bundle.", body = Bundle),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn make(State(app): State<App>, body: Body) -> Result<Response, Failure> {
    let request = read(&body::bytes(body)?)?;
    let made = app.engine.bundle(request).await?;
    let bundle = Bundle {
        image: made.image.to_string(),
        target: made.target.display().to_string(),
        mount: mounts::form(made.mount),
    };
    Ok(answer::json(StatusCode::CREATED, &bundle))
}

fn read(body: &[u8]) -> Result<layer_engine::BundleRequest, Failure> {
    let request: BundleRequest = body::json(body)?;
    if request.image.is_empty() {
        return Err(Failure::invalid("`image` is missing: it names the image to make a bundle of"));
    }
    if request.target.is_empty() {
        return Err(Failure::invalid("`target` is missing: it names the folder of the bundle"));
    }
    let platform = request.platform.as_deref().map(str::parse::<Platform>).transpose()?;
    Ok(layer_engine::BundleRequest { image: request.image, platform, target: PathBuf::from(request.target) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_what_is_wrong_with_it() {
        let refused = |body: &str| read(body.as_bytes()).map(drop).map_err(|failure| failure.body.message);
        assert_eq!(refused(r#"{"image":"a","target":"/b","platform":"linux/arm64"}"#), Ok(()));
        assert!(refused("{}").unwrap_err().starts_with("`image` is missing"));
        assert!(refused(r#"{"image":"a"}"#).unwrap_err().starts_with("`target` is missing"));
        assert!(refused("[").unwrap_err().starts_with("read the request: "));
    }
}
