//! API versions: every path exists with and without `/v<version>` in front.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, StatusCode, Uri};
use layer_proto::{ApiVersion, ping};

use crate::error::ApiError;

/// What the daemon calls itself.
const SERVER: &str = concat!("layerd/", env!("CARGO_PKG_VERSION"), " (linux)");

/// Takes the version off the path, refuses those that are not spoken, and leaves the version with the request. Answers that come from a route
/// get the headers by which clients find out what they speak with.
pub(crate) async fn negotiate(mut request: Request, next: Next) -> Response {
    let (version, path) = split(request.uri().path());
    let path = path.to_owned();
    let version = match version.map(check) {
        None => ApiVersion::CURRENT,
        Some(Ok(version)) => version,
        Some(Err(error)) => return headers(error.into_response()),
    };
    if path != request.uri().path() {
        match without_version(request.uri(), &path) {
            Some(uri) => *request.uri_mut() = uri,
            None => return ApiError::page_not_found().into_response(),
        }
    }
    let (id, method) = (request_id(), request.method().clone());
    let span = tracing::info_span!("request", id, %method, path);
    request.extensions_mut().insert(version);
    let mut response = tracing::Instrument::instrument(next.run(request), span).await;
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", id);
    }
    if response.status() == StatusCode::NOT_FOUND && response.extensions().get::<crate::error::NoSuchPage>().is_some() {
        return response;
    }
    headers(response)
}

fn headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    if let Ok(version) = HeaderValue::from_str(&ApiVersion::CURRENT.to_string()) {
        headers.insert(lower(ping::API_VERSION), version);
    }
    headers.insert(lower(ping::OS_TYPE), HeaderValue::from_static("linux"));
    headers.insert(lower(ping::EXPERIMENTAL), HeaderValue::from_static("false"));
    headers.insert(http::header::SERVER, HeaderValue::from_static(SERVER));
    response
}

/// A header's name as hyper has it; on the wire case doesn't matter.
pub(crate) fn lower(name: &str) -> HeaderName {
    HeaderName::try_from(name).unwrap_or(http::header::VIA)
}

/// The version in a path, and the rest of it.
fn split(path: &str) -> (Option<&str>, &str) {
    let Some(rest) = path.strip_prefix("/v") else { return (None, path) };
    let end = rest.find('/').unwrap_or(rest.len());
    let (version, rest) = rest.split_at(end);
    let is_version = version.contains('.') && version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_version { (Some(version), rest) } else { (None, path) }
}

fn check(text: &str) -> Result<ApiVersion, ApiError> {
    let version: ApiVersion =
        text.parse().map_err(|_| ApiError::bad_request(format!("invalid API version `{text}`")))?;
    if version < ApiVersion::OLDEST {
        return Err(ApiError::bad_request(format!(
            "client version {version} is too old. Minimum supported API version is {}, please upgrade your client to a newer version",
            ApiVersion::OLDEST
        )));
    }
    if version > ApiVersion::NEWEST {
        return Err(ApiError::bad_request(format!(
            "client version {version} is too new. Maximum supported API version is {}",
            ApiVersion::CURRENT
        )));
    }
    Ok(version)
}

fn without_version(uri: &Uri, path: &str) -> Option<Uri> {
    let path = if path.is_empty() { "/" } else { path };
    let text = uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}

/// Enough of an ID to find a request in the log.
fn request_id() -> String {
    use std::hash::{BuildHasher as _, Hasher as _};
    format!("{:016x}", std::hash::RandomState::new().build_hasher().finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_off_the_path() {
        assert_eq!(split("/v1.51/images/json"), (Some("1.51"), "/images/json"));
        assert_eq!(split("/v1.51"), (Some("1.51"), ""));
        assert_eq!(split("/version"), (None, "/version"));
        assert_eq!(split("/volumes"), (None, "/volumes"));
        assert_eq!(split("/_ping"), (None, "/_ping"));
        let uri = "/v1.51/images/json?all=1".parse().unwrap();
        assert_eq!(without_version(&uri, "/images/json").unwrap(), "/images/json?all=1");
    }

    #[test]
    fn only_what_is_spoken_is_taken() {
        assert_eq!(check("1.24").unwrap(), ApiVersion::OLDEST);
        assert_eq!(check("1.55").unwrap(), ApiVersion::NEWEST);
        assert!(check("1.23").unwrap_err().message().contains("too old. Minimum supported API version is 1.24"));
        assert!(check("1.99").unwrap_err().message().contains("too new. Maximum supported API version is 1.51"));
    }
}
