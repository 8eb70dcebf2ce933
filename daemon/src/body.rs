//! Bodies of requests, read as JSON.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use http::StatusCode;
use serde::de::DeserializeOwned;

use crate::failure::Failure;
use crate::routes::MAX_BODY;

/// What axum has read, or why it couldn't.
pub(crate) type Body = Result<Bytes, BytesRejection>;

/// The bytes of a body.
pub(crate) fn bytes(body: Body) -> Result<Bytes, Failure> {
    body.map_err(|rejection| {
        let why = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => format!("it has more than {MAX_BODY} bytes"),
            _ => rejection.body_text(),
        };
        Failure::new(rejection.status(), format!("read the request: {why}"))
    })
}

/// What a body says.
pub(crate) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::invalid(format!("read the request: {error}")))
}
