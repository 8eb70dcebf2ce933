//! `POST /images/create`: pulls an image, and tells how it goes while it goes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use layer_digest::Digest;
use layer_engine::{Event, Patience, Pull, PullRequest};
use layer_proto::progress::TELL_RETRIES;
use layer_reference::{ParseReferenceError, Reference};

use super::App;
use crate::config::{Retries, Seconds};
use crate::failure::Failure;
use crate::params::Params;
use crate::{answer, progress, registry_auth, status};

/// How long an answer may be held back for the sake of a status of its own, while a registry fails: as long as it takes to ask one five times
/// that refuses at once.
const HOLD_BACK: Duration = Duration::from_secs(10);

/// Begins the pull. The answer begins with its first event, so that what fails before has a status of its own. Without tag and digest all tags
/// of the repository are pulled, one after the other, until one fails.
///
/// A registry that fails and is asked again is a reason to begin for clients that want to hear of it. For others it is none, unless they would
/// have to wait for longer than [`HOLD_BACK`] without a word.
///
/// The pull belongs to the answer: when the client goes, it is dropped, here or later.
pub(super) async fn create(State(app): State<App>, params: Params, headers: HeaderMap) -> Result<Response, Failure> {
    let mut requests = requests(&app, request(&params, &headers)?).await?;
    let hold_back = if headers.contains_key(TELL_RETRIES) { Duration::ZERO } else { HOLD_BACK };
    let begun = Instant::now();
    let Some(request) = requests.pop_front() else {
        return Err(Failure::new(StatusCode::NOT_FOUND, "the repository has no tags"));
    };
    let mut pull = app.engine.pull(request);
    let first = loop {
        match pull.next().await {
            Some(Event::Retrying { seconds, .. }) if begun.elapsed() + Duration::from_secs(seconds) <= hold_back => {}
            first => break first,
        }
    };
    match first {
        Some(Event::Failed(error)) => Err(status::of_pull(&error)),
        Some(first) => {
            Ok(([(CONTENT_TYPE, answer::JSON)], told(Told { first: Some(first), pull, requests, app })).into_response())
        }
        None => Err(Failure::ours("the pull ended without a word")),
    }
}

/// What there is to pull.
async fn requests(app: &App, request: PullRequest) -> Result<VecDeque<PullRequest>, Failure> {
    if request.reference.tag().is_some() || request.reference.digest().is_some() {
        return Ok([request].into());
    }
    let tags = app.engine.tags(&request).await.map_err(|error| status::of_pull(&error))?;
    let one = |tag: String| -> Result<PullRequest, Failure> {
        Ok(PullRequest { reference: request.reference.clone().with_tag(&tag)?, ..request.clone() })
    };
    tags.into_iter().map(one).collect()
}

/// Pulls that are told, the first of which runs.
struct Told {
    first: Option<Event>,
    pull: Pull,
    /// What comes behind it.
    requests: VecDeque<PullRequest>,
    app: App,
}

impl Told {
    async fn next(&mut self) -> Option<Event> {
        let event = match self.first.take() {
            Some(event) => event,
            None => loop {
                match self.pull.next().await {
                    Some(event) => break event,
                    None => self.pull = self.app.engine.pull(self.requests.pop_front()?),
                }
            },
        };
        if matches!(event, Event::Failed(_)) {
            self.requests.clear();
        }
        Some(event)
    }
}

/// What pulls tell, one chunk an event. A reader that is slow reads less often; the pulls don't wait for it.
fn told(told: Told) -> Body {
    Body::from_stream(stream::unfold(told, |mut told| async move {
        let event = told.next().await?;
        Some((Ok::<_, std::convert::Infallible>(progress::lines(&event)), told))
    }))
}

/// What to pull, for which platform, on whose behalf, and how long to bear with the registry.
pub(super) fn request(params: &Params, headers: &HeaderMap) -> Result<PullRequest, Failure> {
    Ok(PullRequest {
        reference: reference(params)?,
        platform: params.platform()?,
        credentials: registry_auth::credentials(headers),
        patience: patience(params)?,
    })
}

/// How long to bear with the registry.
fn patience(params: &Params) -> Result<Patience, Failure> {
    Ok(Patience {
        retries: params.parsed::<Retries>("retries")?.map(|retries| retries.0),
        stall_timeout: params.parsed::<Seconds>("stallTimeout")?.map(Seconds::duration),
    })
}

/// The image: with a tag or a digest, or without both for all tags of a repository.
fn reference(params: &Params) -> Result<Reference, Failure> {
    let Some(image) = params.text("fromImage") else {
        return Err(Failure::invalid("`fromImage` is missing: it names the image to pull"));
    };
    // Old clients put a colon even when there is no tag.
    let image = image.strip_suffix(':').unwrap_or(image);
    let reference = Reference::parse(image)?;
    let reference = match params.text("tag") {
        None => reference,
        Some(tag) => match tag.parse::<Digest>() {
            Ok(digest) => reference.without_tag().with_digest(digest),
            Err(_) => reference.with_tag(tag)?,
        },
    };
    match reference.check_reserved() {
        Ok(()) => {}
        // Docker's status for it, here and nowhere else.
        Err(error @ ParseReferenceError::Reserved) => {
            return Err(Failure::new(StatusCode::FORBIDDEN, error.to_string()));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(reference)
}

#[cfg(test)]
mod tests {
    use axum::extract::FromRequestParts as _;

    use super::*;

    async fn named(query: &str) -> Result<String, (u16, String)> {
        let request = http::Request::get(format!("/images/create?{query}")).body(()).unwrap();
        let Ok(params) = Params::from_request_parts(&mut request.into_parts().0, &()).await;
        reference(&params)
            .map(|reference| reference.to_string())
            .map_err(|failure| (failure.status.as_u16(), failure.body.message))
    }

    #[tokio::test]
    async fn name_and_tag_are_put_together_as_docker_does() {
        let digest = Digest::sha256(b"");
        for (query, expected) in [
            ("fromImage=busybox&tag=latest".to_owned(), "docker.io/library/busybox:latest".to_owned()),
            ("fromImage=127.0.0.1%3A5605%2Flab%2Fapp&tag=1".to_owned(), "127.0.0.1:5605/lab/app:1".to_owned()),
            ("fromImage=alpine:3.18".to_owned(), "docker.io/library/alpine:3.18".to_owned()),
            ("fromImage=alpine:3.18&tag=3.19".to_owned(), "docker.io/library/alpine:3.19".to_owned()),
            ("fromImage=alpine%3A&tag=3.19".to_owned(), "docker.io/library/alpine:3.19".to_owned()),
            (format!("fromImage=alpine&tag={digest}"), format!("docker.io/library/alpine@{digest}")),
            (format!("fromImage=alpine:1&tag={digest}"), format!("docker.io/library/alpine@{digest}")),
            // All tags.
            ("fromImage=alpine".to_owned(), "docker.io/library/alpine".to_owned()),
            (format!("fromImage=alpine:1@{digest}"), format!("docker.io/library/alpine:1@{digest}")),
        ] {
            assert_eq!(named(&query).await, Ok(expected), "{query}");
        }
    }

    #[tokio::test]
    async fn what_can_not_be_pulled_is_said_before_anything_is_asked() {
        for (query, status, message) in [
            (
                "fromImage=UPPER&tag=1",
                400,
                "invalid reference format: repository name (library/UPPER) must be lowercase",
            ),
            ("fromImage=alpine&tag=bad%20tag%21", 400, "invalid tag format"),
            ("fromImage=scratch&tag=latest", 403, "'scratch' is a reserved name"),
            ("", 400, "`fromImage` is missing: it names the image to pull"),
        ] {
            assert_eq!(named(query).await, Err((status, message.to_owned())), "{query}");
        }
    }
}
