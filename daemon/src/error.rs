//! Errors as answers: which status, which words.

use std::error::Error;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use layer_engine::{EngineError, Kind, PullCause, PullError};
use layer_proto::ErrorBody;

/// An answer that says what went wrong.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    body: ErrorBody,
    no_such_page: bool,
}

/// Marks the answer to a path that isn't routed, which dockerd sends without its headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoSuchPage;

impl ApiError {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, body: ErrorBody::new(message), no_such_page: false }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(crate) fn not_implemented(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, message)
    }

    /// The answer to any path or method that isn't known, in dockerd's words.
    pub(crate) fn page_not_found() -> Self {
        Self { no_such_page: true, ..Self::not_found("page not found") }
    }

    #[cfg(test)]
    pub(crate) fn message(&self) -> &str {
        &self.body.message
    }

    /// For a pull that fails before anything of it is sent. `anonymous` says that no login came with it.
    ///
    /// Where programs match on dockerd's words, those come first, and what the registry said follows.
    pub(crate) fn pull(error: &PullError, anonymous: bool) -> Self {
        let name = error.reference.familiar();
        let cause = chain(&*error.cause);
        let from_registry = matches!(&*error.cause, PullCause::Registry(_));
        let (status, message) = match error.kind() {
            Kind::NotFound if from_registry => {
                (StatusCode::NOT_FOUND, format!("manifest for {name} not found: manifest unknown: {cause}"))
            }
            Kind::NotFound => (StatusCode::NOT_FOUND, format!("{cause}: no match for platform in manifest: not found")),
            kind @ (Kind::Unauthorized | Kind::Denied) => {
                let repository = error.reference.repository().familiar();
                let words = "repository does not exist or may require 'docker login'";
                // Who isn't logged in can't know whether the repository exists.
                let status = if anonymous { StatusCode::NOT_FOUND } else { status(kind) };
                (status, format!("pull access denied for {repository}, {words}: {cause}"))
            }
            kind => (status(kind), chain(error)),
        };
        let mut answer = Self::new(status, message);
        answer.body.hint = error.hint();
        answer
    }
}

/// The status of a kind of error. There is no rest: a new kind must be sorted in.
fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Unauthorized => StatusCode::UNAUTHORIZED,
        Kind::Denied => StatusCode::FORBIDDEN,
        Kind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Kind::Unavailable | Kind::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        Kind::NoSpace => StatusCode::INSUFFICIENT_STORAGE,
        Kind::Corrupt => StatusCode::BAD_GATEWAY,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        if error.kind() == Kind::Internal {
            tracing::error!(error = &error as &dyn Error, "request failed");
        }
        let mut answer = Self::new(status(error.kind()), chain(&error));
        answer.body.hint = error.hint();
        answer
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if self.no_such_page {
            response.extensions_mut().insert(NoSuchPage);
        }
        response
    }
}

/// An error with all its causes, on one line. Causes that only repeat what is above them are left out.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
