//! An answer that says no.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use layer_proto::ErrorBody;

/// Why a request is not fulfilled, as the client is told. The envelope turns it into JSON, so that all failures look alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) body: ErrorBody,
    /// Whether a person should look: then it is logged as an error, unless whoever failed has done that already.
    pub(crate) is_ours: bool,
}

/// Put into an answer for paths that there are none of: docker marks those with none of its headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unrouted;

impl Failure {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, body: ErrorBody::new(message), is_ours: false }
    }

    /// The request makes no sense.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// There is no such thing.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// Something of the daemon's own broke, and nobody has logged it yet.
    pub(crate) fn ours(message: impl Into<String>) -> Self {
        Self { is_ours: true, ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, message) }
    }

    /// The API has it, and this daemon doesn't. Docker's client looks for the words "not supported" when it tries one thing after another.
    pub(crate) fn not_supported(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, message)
    }

    #[must_use]
    pub(crate) fn with_hint(self, hint: Option<String>) -> Self {
        Self { body: self.body.with_hint(hint), ..self }
    }

    /// Names the registry at which a login may help.
    #[must_use]
    pub(crate) fn with_login(self, registry: Option<String>) -> Self {
        Self { body: self.body.with_login(registry), ..self }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The answer for a path, or a method on it, that there is none of.
pub(crate) fn page_not_found() -> Response {
    let mut response = Failure::not_found("page not found").into_response();
    response.extensions_mut().insert(Unrouted);
    response
}
