//! `POST /images/{name}/push`: pushes images, and tells how it goes while it goes.

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use layer_engine::PushRequest;
use layer_reference::Reference;

use super::App;
use crate::failure::Failure;
use crate::params::Params;
use crate::progress::push as progress;
use crate::{answer, registry_auth};

/// Begins the push. As docker has it, the answer begins at once, and what goes wrong is told at its end.
///
/// The push belongs to the answer: when the client goes, it is dropped.
#[utoipa::path(
    post,
    path = "/images/{name}/push",
    tag = "Docker",
    operation_id = "ImagePush",
    params(
        ("name" = String, Path, description = "The repository."),
        ("tag" = Option<String>, Query, description = "The tag; without one all tags."),
        ("platform" = Option<String>, Query, description = "`os[/arch[/variant]]`, or an object in JSON."),
        ("X-Registry-Auth" = Option<String>, Header, description = "A login in JSON, in URL-safe base64."),
    ),
    responses(
        (status = 200, description = "Lines of progress, each an object as `ProgressLine` has it; an error is the last of them."),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) fn push(app: &App, name: &str, params: &Params, headers: &HeaderMap) -> Result<Response, Failure> {
    let push = app.engine.push(request(name, params, headers)?);
    let lines = stream::unfold(push, |mut push| async move {
        let event = push.next().await?;
        Some((Ok::<_, std::convert::Infallible>(progress::lines(&event)), push))
    });
    Ok(([(CONTENT_TYPE, answer::JSON)], Body::from_stream(lines)).into_response())
}

/// What to push where, and on whose behalf.
fn request(name: &str, params: &Params, headers: &HeaderMap) -> Result<PushRequest, Failure> {
    let reference = Reference::parse(name)?;
    if reference.digest().is_some() {
        return Err(Failure::invalid("cannot push a digest reference"));
    }
    let reference = match params.text("tag") {
        Some(tag) => reference.with_tag(tag)?,
        None => reference,
    };
    Ok(PushRequest {
        tag: reference.tag().map(str::to_owned),
        repository: reference.into_repository(),
        platform: params.platform()?,
        credentials: registry_auth::credentials(headers),
    })
}

#[cfg(test)]
mod tests {
    use axum::extract::FromRequestParts as _;

    use super::*;

    async fn asked(name: &str, query: &str) -> Result<(String, Option<String>), String> {
        let parts = http::Request::get(format!("/x?{query}")).body(()).unwrap();
        let Ok(params) = Params::from_request_parts(&mut parts.into_parts().0, &()).await;
        let request = request(name, &params, &HeaderMap::new()).map_err(|failure| failure.body.message)?;
        Ok((request.repository.to_string(), request.tag))
    }

    #[tokio::test]
    async fn name_and_tag_are_put_together_as_docker_does() {
        let all = |name: &str| Ok((name.to_owned(), None));
        let one = |name: &str, tag: &str| Ok((name.to_owned(), Some(tag.to_owned())));
        assert_eq!(asked("alpine", "tag=3").await, one("docker.io/library/alpine", "3"));
        assert_eq!(asked("lab.test:5000/a/b", "tag=3").await, one("lab.test:5000/a/b", "3"));
        assert_eq!(asked("lab.test/a:1", "tag=2").await, one("lab.test/a", "2"));
        assert_eq!(asked("lab.test/a:1", "").await, one("lab.test/a", "1"));
        assert_eq!(asked("lab.test/a", "tag=").await, all("lab.test/a"));
        let digest = layer_digest::Digest::sha256(b"");
        assert_eq!(asked(&format!("a@{digest}"), "").await, Err("cannot push a digest reference".to_owned()));
        assert_eq!(asked("a", "tag=-x").await, Err("invalid tag format".to_owned()));
        let upper = "invalid reference format: repository name (library/UPPER) must be lowercase";
        assert_eq!(asked("UPPER", "tag=1").await, Err(upper.to_owned()));
    }
}
