//! Pulling.

use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, header};
use layer_engine::{Engine, EngineError, Event, Pull, PullRequest};
use layer_oci::Platform;
use layer_proto::progress::CONTENT_TYPE;
use layer_reference::{ParseReferenceError, Reference};
use serde::Deserialize;

use crate::auth;
use crate::error::ApiError;
use crate::progress::lines;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateQuery {
    from_image: Option<String>,
    from_src: Option<String>,
    tag: Option<String>,
    platform: Option<String>,
}

/// `POST /images/create`.
///
/// The answer begins with the pull's first event. If that is its failure, the status says so; whatever fails later is a line in the stream.
/// A client that goes away leaves the pull: what nobody else waits for is stopped, and what has come of it is kept.
pub(super) async fn create(
    State(engine): State<Engine>,
    Query(query): Query<CreateQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if query.from_src.is_some() {
        return Err(ApiError::not_implemented("layerd doesn't import images yet"));
    }
    let reference = reference(query.from_image.as_deref().unwrap_or_default(), query.tag.as_deref())?;
    let platform = query.platform.as_deref().filter(|text| !text.is_empty()).map(str::parse::<Platform>).transpose();
    let platform = platform.map_err(|error| ApiError::bad_request(error.to_string()))?;
    let credentials = auth::credentials(&headers);
    let anonymous = credentials.is_none();
    let mut pull = engine.pull(PullRequest { reference, platform, credentials });
    match pull.next().await {
        Some(Event::Failed(error)) => Err(ApiError::pull(&error, anonymous)),
        Some(first) => {
            let body = Body::from_stream(stream::unfold((pull, Some(first)), next_lines));
            Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response())
        }
        None => Err(ApiError::not_implemented("the pull has ended without a word")),
    }
}

/// The lines of the next event, in one piece, so that they are sent as soon as they are known.
async fn next_lines(
    (mut pull, first): (Pull, Option<Event>),
) -> Option<(Result<Bytes, std::convert::Infallible>, (Pull, Option<Event>))> {
    let event = match first {
        Some(event) => event,
        None => pull.next().await?,
    };
    let bytes: Vec<u8> = lines(&event).iter().flat_map(layer_proto::ProgressLine::to_bytes).collect();
    Some((Ok(bytes.into()), (pull, None)))
}

/// The image that is meant: docker's clients send name and tag apart, and the tag may be a digest.
fn reference(name: &str, tag: Option<&str>) -> Result<Reference, ApiError> {
    let name = name.trim_end_matches(':');
    if name.is_empty() {
        return Err(ApiError::bad_request("`fromImage` is missing: the name of the image to pull"));
    }
    let reference = Reference::parse(name).map_err(EngineError::from)?;
    if let Err(error @ ParseReferenceError::Reserved) = reference.check_reserved() {
        return Err(ApiError::forbidden(error.to_string()));
    }
    match tag.filter(|tag| !tag.is_empty()) {
        Some(digest) if digest.contains(':') => {
            let digest = digest.parse().map_err(|_| ApiError::bad_request("invalid reference format"))?;
            Ok(reference.with_digest(digest))
        }
        Some(tag) => Ok(reference.with_tag(tag).map_err(EngineError::from)?),
        None if reference.tag().is_none() && reference.digest().is_none() => Err(ApiError::bad_request(format!(
            "`{name}` has no tag, which asks for all tags of the repository: layerd pulls one at a time, such as `{name}:latest`"
        ))),
        None => Ok(reference),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_in_two_parts() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (name, tag, want) in [
            ("alpine", Some("3.20"), "docker.io/library/alpine:3.20".to_owned()),
            ("alpine:", Some("3.20"), "docker.io/library/alpine:3.20".to_owned()),
            ("localhost:5000/x", Some("latest"), "localhost:5000/x:latest".to_owned()),
            ("alpine:3.20", None, "docker.io/library/alpine:3.20".to_owned()),
            ("alpine", Some(digest.as_str()), format!("docker.io/library/alpine@{digest}")),
            ("alpine:1", Some(digest.as_str()), format!("docker.io/library/alpine:1@{digest}")),
        ] {
            assert_eq!(reference(name, tag).unwrap().to_string(), want);
        }
    }

    #[test]
    fn what_is_no_name_is_said_in_dockers_words() {
        for (name, tag, want) in [
            ("", Some("1"), "fromImage"),
            ("UPPER", Some("1"), "must be lowercase"),
            ("alpine", Some("bad tag!"), "invalid tag format"),
            ("alpine", Some("sha256:abc"), "invalid reference format"),
            ("scratch", Some("latest"), "'scratch' is a reserved name"),
            ("alpine", None, "one at a time"),
        ] {
            let error = reference(name, tag).unwrap_err();
            assert!(error.message().contains(want), "{name}: {}", error.message());
        }
    }
}
