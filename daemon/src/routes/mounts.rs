//! layerd's own: images as folders of the host.

use std::path::PathBuf;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use layer_engine::MountInfo;
use layer_oci::Platform;
use layer_proto::{Mount, MountRequest};

use super::App;
use crate::answer;
use crate::body::{self, Body};
use crate::failure::Failure;
use crate::params::Params;

/// `POST`: mounts an image.
#[utoipa::path(
    post,
    path = layer_proto::mount::PATH,
    tag = "layerd",
    operation_id = "LayerdMount",
    request_body(content = MountRequest),
    responses(
        (status = 201, description = "The mount.", body = Mount),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn mount(State(app): State<App>, body: Body) -> Result<Response, Failure> {
    let request = read(&body::bytes(body)?)?;
    let mounted = app.engine.mount(request).await?;
    Ok(answer::json(StatusCode::CREATED, &form(mounted)))
}

/// `GET`: what is mounted.
#[utoipa::path(
    get,
    path = layer_proto::mount::PATH,
    tag = "layerd",
    operation_id = "LayerdMountList",
    responses(
        (status = 200, description = "What is mounted.", body = Vec<Mount>),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn list(State(app): State<App>) -> Response {
    let mounts: Vec<_> = app.engine.mounts().await.into_iter().map(form).collect();
    answer::found(&mounts)
}

/// `DELETE`: takes mounts down, those of an image or the one at a folder.
#[utoipa::path(
    delete,
    path = layer_proto::mount::PATH,
    tag = "layerd",
    operation_id = "LayerdUnmount",
    params(
        ("what" = String, Query, description = "A folder, an image, or the ID of a mount."),
    ),
    responses(
        (status = 200, description = "What was taken down.", body = Vec<Mount>),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn unmount(State(app): State<App>, params: Params) -> Result<Response, Failure> {
    let what = params.text("what").ok_or_else(|| {
        Failure::invalid("`what` is missing: it says what to unmount, by folder, image or ID of the mount")
    })?;
    let mounts: Vec<_> = app.engine.unmount(what).await?.into_iter().map(form).collect();
    Ok(answer::found(&mounts))
}

fn read(body: &[u8]) -> Result<layer_engine::MountRequest, Failure> {
    let request: MountRequest = body::json(body)?;
    if request.image.is_empty() {
        return Err(Failure::invalid("`image` is missing: it names the image to mount"));
    }
    let platform = request.platform.as_deref().map(str::parse::<Platform>).transpose()?;
    Ok(layer_engine::MountRequest {
        image: request.image,
        platform,
        target: request.target.map(PathBuf::from),
        writable: request.writable,
    })
}

pub(super) fn form(mount: MountInfo) -> Mount {
    Mount {
        id: mount.id,
        image: mount.image.to_string(),
        reference: mount.reference,
        target: mount.target.display().to_string(),
        writable: mount.writable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_what_is_wrong_with_it() {
        let refused = |body: &str| read(body.as_bytes()).map(drop).map_err(|failure| failure.body.message);
        assert_eq!(refused(r#"{"image":"a","target":"/mnt","writable":true,"platform":"linux/arm64"}"#), Ok(()));
        assert_eq!(refused("{}").unwrap_err(), "`image` is missing: it names the image to mount");
        assert!(refused("").unwrap_err().starts_with("read the request: "));
        assert!(refused(r#"{"image":5}"#).unwrap_err().starts_with("read the request: "));
        let platform = refused(r#"{"image":"a","platform":"a/b/c/d"}"#).unwrap_err();
        assert_eq!(platform, "\"a/b/c/d\": cannot parse platform specifier: invalid argument");
    }
}
