//! Requests that send something.

use http::HeaderValue;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH};

use super::{Answer, Patience, Request, Transport};
use crate::error::{NetworkError, RegistryError};
use crate::upload::UploadProgress;

/// A body on its way out.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) body: reqwest::Body,
    pub(crate) length: u64,
    /// What tells how much of it has gone; nothing for a body that is short.
    pub(crate) progress: Option<&'a UploadProgress>,
}

impl Transport {
    /// Sends `request` with a body, and returns the answer whatever its status. A redirect is an answer like any other here: the body is gone,
    /// and only the caller can send it again.
    ///
    /// There is no limit on how long a body takes, but on how long nothing of it leaves.
    pub(crate) async fn send_body(
        &self,
        request: Request<'_>,
        outgoing: Outgoing<'_>,
        patience: Patience,
    ) -> Result<Answer, RegistryError> {
        let Request { method, url, headers, own_headers, authorization, apart, context } = request;
        let Outgoing { body, length, progress } = outgoing;
        let mut builder = self.pool(&url, apart).request(method, url).headers(headers);
        builder = builder.header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        builder = builder.header(CONTENT_LENGTH, length);
        let mut origin_headers = own_headers;
        if let Some(authorization) = authorization {
            origin_headers.insert(AUTHORIZATION, authorization);
        }
        builder = builder.headers(origin_headers);
        let sending = builder.body(body).send();
        tokio::pin!(sending);
        let gone = || progress.map_or(0, UploadProgress::sent);
        let mut seen = gone();
        let end = seen.saturating_add(length);
        loop {
            // A registry that has all of a blob proves it, and may put it together, before it answers.
            let limit = if progress.is_some() && seen < end { patience.stall } else { patience.document };
            match tokio::time::timeout(limit, &mut sending).await {
                Ok(Ok(response)) => {
                    tracing::debug!(host = context.peer.host(), asked = %context.asked, status = response.status().as_u16(), "sent");
                    return Ok(Answer { response, context: context.clone() });
                }
                Ok(Err(error)) => {
                    let source = NetworkError::new(&error);
                    return Err(RegistryError::Network { context: Box::new(context.clone()), source });
                }
                Err(_) if gone() != seen => seen = gone(),
                Err(_) => return Err(RegistryError::NoAnswer { context: Box::new(context.clone()), waited: limit }),
            }
        }
    }
}
