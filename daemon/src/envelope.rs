//! What all requests and answers have in common: the version in front of the path, the headers, the request's ID and its span.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, SERVER};
use http::{HeaderValue, Method, StatusCode, Uri};
use hyper::body::Incoming;
use layer_proto::{ApiVersion, ping};
use tracing::Instrument as _;

use crate::answer;
use crate::failure::{self, Failure, Unrouted};

/// Up to this length a body is read before its request is answered.
const SHORT_BODY: usize = 4 << 20;
/// How long that may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The header with the ID that the log knows a request by.
const REQUEST_ID: &str = "X-Request-Id";
const SERVER_NAME: &str = concat!("layerd/", env!("CARGO_PKG_VERSION"), " (linux)");

/// Who is on the other side of a connection, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// The user.
    pub(crate) uid: u32,
    /// The process that made the connection; none if it is in a namespace that isn't seen from here.
    pub(crate) pid: Option<i32>,
}

/// The version that a client speaks, as the path had it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked(Option<String>);

/// Takes the version off the path, so that the routes need not know of it. Docker's paths have it or not.
pub(crate) fn unwrap(request: http::Request<Incoming>) -> Request {
    let mut request = request.map(Body::new);
    let asked = match split_version(request.uri().path()) {
        None => Asked(None),
        Some((version, path)) => {
            let query = request.uri().query().map_or(String::new(), |query| format!("?{query}"));
            // A part of an address that parsed once is one, too.
            let Ok(uri) = Uri::try_from(format!("{path}{query}")) else { return request };
            let asked = Asked(Some(version.to_owned()));
            *request.uri_mut() = uri;
            asked
        }
    };
    request.extensions_mut().insert(asked);
    request
}

/// The version in front of a path, and the rest. A path of nothing but a version has none.
fn split_version(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix("/v")?;
    let (version, _) = rest.split_once('/')?;
    let is_version = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_version.then(|| rest.split_at(version.len()))
}

/// Handles a request in a span of its own, and gives its answer what all answers have.
pub(crate) async fn handle(request: Request, next: Next) -> Response {
    let id = next_id();
    let peer = request.extensions().get::<Peer>().copied();
    let (uid, pid) = (peer.map(|peer| peer.uid), peer.and_then(|peer| peer.pid));
    let span = tracing::info_span!("request", id, method = %request.method(), path = request.uri().path(), uid, pid);
    async move {
        let mut request = whole(request).await;
        // Docker's API has no other methods, on whatever path.
        let is_known =
            matches!(*request.method(), Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::DELETE);
        let is_routed = is_known && request.extensions().get::<MatchedPath>().is_some();
        let response = if !is_routed || (request.method() == Method::HEAD && request.uri().path() != "/_ping") {
            failure::page_not_found()
        } else {
            match accept(request.extensions().get()) {
                Ok(version) => {
                    request.extensions_mut().insert(version);
                    next.run(request).await
                }
                Err(refusal) => refusal,
            }
        };
        finish(response, &id)
    }
    .instrument(span)
    .await
}

/// Reads a short body before anything is answered. An answer to a request that is still being sent breaks the connection under the client, which
/// then tells of that and not of what was answered.
async fn whole(request: Request) -> Request {
    let len = request.headers().get(CONTENT_LENGTH).and_then(|len| len.to_str().ok()?.parse::<usize>().ok());
    if !len.is_some_and(|len| (1..=SHORT_BODY).contains(&len)) {
        return request;
    }
    let (parts, body) = request.into_parts();
    // A client that breaks off, or takes its time, gets the answer to a request without a body; it hardly hears it.
    let read = tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, SHORT_BODY)).await;
    let body = read.ok().and_then(Result::ok).map_or_else(Body::empty, Body::from);
    Request::from_parts(parts, body)
}

/// The version to answer in, or why there is none. Newer ones than ours are answered in ours, up to a point.
fn accept(asked: Option<&Asked>) -> Result<ApiVersion, Response> {
    let Some(Asked(Some(text))) = asked else { return Ok(ApiVersion::CURRENT) };
    let Ok(version) = text.parse::<ApiVersion>() else {
        return Err(Failure::invalid(format!("`{text}` is no version of the API, such as {}", ApiVersion::CURRENT))
            .into_response());
    };
    if version < ApiVersion::OLDEST {
        // Clients that old know errors as plain text only.
        let text = format!(
            "client version {version} is too old. Minimum supported API version is {}, please upgrade your client to a newer \
             version\n",
            ApiVersion::OLDEST
        );
        return Err((
            StatusCode::BAD_REQUEST,
            [(CONTENT_TYPE.as_str(), "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")],
            text,
        )
            .into_response());
    }
    if version > ApiVersion::NEWEST {
        let text =
            format!("client version {version} is too new. Maximum supported API version is {}", ApiVersion::CURRENT);
        return Err(Failure::invalid(text).into_response());
    }
    Ok(version.min(ApiVersion::CURRENT))
}

/// Gives an answer its headers, and a failure its body.
fn finish(response: Response, id: &str) -> Response {
    let is_unrouted = response.extensions().get::<Unrouted>().is_some();
    let mut response = match response.extensions().get::<Failure>() {
        Some(failure) => render(failure, id),
        None => response,
    };
    tracing::debug!(status = response.status().as_u16(), "answered");
    let headers = response.headers_mut();
    if !is_unrouted {
        let version = HeaderValue::from_str(&ApiVersion::CURRENT.to_string());
        // Digits and a dot are always a header's value.
        headers.insert(ping::API_VERSION, version.unwrap_or(HeaderValue::from_static("")));
        headers.insert(ping::OS_TYPE, HeaderValue::from_static("linux"));
        headers.insert(ping::EXPERIMENTAL, HeaderValue::from_static("false"));
        headers.insert(SERVER, HeaderValue::from_static(SERVER_NAME));
    }
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

fn render(failure: &Failure, id: &str) -> Response {
    let mut body = failure.body.clone();
    if failure.is_ours {
        tracing::error!(status = failure.status.as_u16(), error = body.message, "request failed");
    }
    if failure.status == StatusCode::INTERNAL_SERVER_ERROR && body.hint.is_none() {
        body.hint = Some(format!("layerd's log has more about request {id}"));
    }
    answer::json(failure.status, &body)
}

/// An ID that no other request to this or an earlier daemon has, for all that people will see.
fn next_id() -> String {
    static DAEMON: LazyLock<u64> = LazyLock::new(|| RandomState::new().build_hasher().finish());
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    format!("{:08x}-{:x}", *DAEMON >> 32, NUMBER.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_taken_off_the_path() {
        for (path, expected) in [
            ("/v1.51/images/json", Some(("1.51", "/images/json"))),
            ("/v1/x", Some(("1", "/x"))),
            ("/v9.9.9/", Some(("9.9.9", "/"))),
            ("/images/json", None),
            ("/v1.51", None),
            ("/v/x", None),
            ("/v1x/y", None),
            ("/volumes/x", None),
        ] {
            assert_eq!(split_version(path), expected, "{path}");
        }
    }

    #[test]
    fn versions_are_accepted_from_the_oldest_to_the_newest() {
        let accepted =
            |text: &str| accept(Some(&Asked(Some(text.to_owned())))).map_err(|answer| answer.status().as_u16());
        assert_eq!(accepted("1.24"), Ok(ApiVersion::OLDEST));
        assert_eq!(accepted("1.51"), Ok(ApiVersion::CURRENT));
        assert_eq!(accepted("1.55"), Ok(ApiVersion::CURRENT));
        for text in ["1.23", "1.56", "2.0", "1.5.1", "1", "."] {
            assert_eq!(accepted(text), Err(400), "{text}");
        }
        assert_eq!(accept(None).ok(), Some(ApiVersion::CURRENT));
    }

    #[test]
    fn ids_differ() {
        assert_ne!(next_id(), next_id());
    }
}
