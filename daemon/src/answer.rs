//! The forms of answers.

use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use crate::failure::Failure;

/// The media type of all answers with a body, the progress of a pull included.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An answer in JSON, with a line end as docker has it.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let mut bytes = match serde_json::to_vec(value) {
        Ok(bytes) => bytes,
        Err(error) => {
            return Failure::ours(format!("write the answer: {error}")).into_response();
        }
    };
    bytes.push(b'\n');
    (status, [(CONTENT_TYPE, JSON)], bytes).into_response()
}

/// An answer in JSON to a question that has one.
pub(crate) fn found(value: &impl Serialize) -> Response {
    json(StatusCode::OK, value)
}
