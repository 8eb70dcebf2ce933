//! layerd's own: proving what the store holds.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use layer_engine::{Part, Totals, Verify, VerifyEvent, chain};
use layer_proto::verify::{self, Note, Problem, Verified};
use layer_proto::{ProgressLine, VerifyRequest};

use super::App;
use crate::failure::Failure;
use crate::{answer, body, registry_auth};

/// Begins to verify. The answer begins with the first event, so that what fails before has a status of its own; when the client goes, it stops.
#[utoipa::path(
    post,
    path = verify::PATH,
    tag = "layerd",
    operation_id = "LayerdVerify",
    params(
        ("X-Registry-Auth" = Option<String>, Header, description = "A login in JSON, in URL-safe base64."),
    ),
    request_body(content = VerifyRequest),
    responses(
        (status = 200, description = "Lines, each an object as `ProgressLine` has it; those for programs have an `aux`."),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn verify(State(app): State<App>, headers: HeaderMap, body: body::Body) -> Result<Response, Failure> {
    let body = body::bytes(body)?;
    let request: VerifyRequest = body::json(&body)?;
    let mut verify = app.engine.verify(layer_engine::VerifyRequest {
        images: request.images,
        repair: request.repair,
        credentials: registry_auth::credentials(&headers),
    });
    match verify.next().await {
        Some(VerifyEvent::Failed(error)) => Err(error.into()),
        Some(first) => Ok(([(CONTENT_TYPE, answer::JSON)], told(first, verify)).into_response()),
        None => {
            let failure = Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the verification ended without a word");
            Err(Failure { is_ours: true, ..failure })
        }
    }
}

/// What is told, one chunk an event.
fn told(first: VerifyEvent, verify: Verify) -> Body {
    Body::from_stream(stream::unfold((Some(first), verify), |(first, mut verify)| async move {
        let event = match first {
            Some(event) => event,
            None => verify.next().await?,
        };
        Some((Ok::<_, Infallible>(Bytes::from(line(event).to_bytes())), (None, verify)))
    }))
}

fn line(event: VerifyEvent) -> ProgressLine {
    match event {
        VerifyEvent::Image { id, name } => ProgressLine::message(format!("Verifying {name} ({id})")),
        VerifyEvent::Checking { part, digest } => {
            ProgressLine { id: Some(digest.short()), ..ProgressLine::message(format!("Reading {}", word(part))) }
        }
        VerifyEvent::Problem(problem) => {
            let problem = Problem {
                part: word(problem.part).to_owned(),
                digest: problem.digest.to_string(),
                image: problem.image,
                path: problem.path.map(|path| format!("/{}", String::from_utf8_lossy(&path))),
                what: problem.what.to_owned(),
                detail: problem.detail,
            };
            let words = problem.sentence();
            Note::Problem(problem).line(words)
        }
        VerifyEvent::Repaired { part, digest } => {
            let words = format!("Repaired {} {digest}", word(part));
            Note::Repaired(form(part, digest.to_string())).line(words)
        }
        VerifyEvent::NotRepaired { part, digest, reason } => {
            let words = format!("Could not repair {} {digest}: {reason}", word(part));
            Note::NotRepaired(form(part, digest.to_string())).line(words)
        }
        VerifyEvent::Done(totals) => Note::Verified(verified(totals)).line(match totals {
            Totals { problems: 0, .. } => "Verified: all is as it should be",
            Totals { damaged: 0, .. } => "Verified: all that was damaged is repaired",
            _ => "Verified: something is damaged",
        }),
        VerifyEvent::Failed(error) => ProgressLine::error(chain(&error), error.hint()),
    }
}

fn form(part: Part, digest: String) -> verify::Part {
    verify::Part { part: word(part).to_owned(), digest }
}

fn word(part: Part) -> &'static str {
    match part {
        Part::Document => "document",
        Part::Blob => "blob",
        Part::Layer => "layer",
    }
}

fn verified(totals: Totals) -> Verified {
    let Totals { images, documents, blobs, layers, files, bytes, problems, repaired, damaged } = totals;
    Verified { images, documents, blobs, layers, files, bytes, problems, repaired, damaged }
}

#[cfg(test)]
mod tests {
    use layer_digest::Digest;

    use super::*;

    #[test]
    fn a_problem_is_told_to_people_and_to_programs() {
        let digest = Digest::sha256(b"");
        let problem = layer_engine::Problem {
            part: Part::Layer,
            digest,
            image: "a:1".to_owned(),
            path: Some(b"etc/\xff".to_vec()),
            what: "missing",
            detail: "is missing".to_owned(),
        };
        let line = line(VerifyEvent::Problem(problem));
        assert_eq!(line.status.as_deref(), Some(&*format!("layer {digest}: `/etc/\u{fffd}` is missing")));
        match Note::of(&line) {
            Some(Note::Problem(problem)) => assert_eq!((&*problem.what, &*problem.image), ("missing", "a:1")),
            other => panic!("{other:?}"),
        }
    }
}
