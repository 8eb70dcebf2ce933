//! Bodies: read to the end, but never past a limit, and never for ever.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;

use crate::context::Context;
use crate::error::{NetworkError, Refusal, RegistryError, Reply};
use crate::retry::retry_after;
use crate::transport::{Answer, Patience};

/// The most bytes of a refusal that are read. What does not fit is not needed.
const MAX_REFUSAL: u64 = 64 * 1024;

/// The next bytes of a body, of which `at` have come; `None` at its end.
pub(crate) async fn next_chunk(
    response: &mut reqwest::Response,
    context: &Context,
    stall: Duration,
    at: u64,
) -> Result<Option<Bytes>, RegistryError> {
    let error = match tokio::time::timeout(stall, response.chunk()).await {
        Ok(Ok(chunk)) => return Ok(chunk),
        Ok(Err(error)) => {
            RegistryError::Network { context: Box::new(context.clone()), source: NetworkError::new(&error) }
        }
        Err(_) => RegistryError::Stalled { context: Box::new(context.clone()), waited: stall, at },
    };
    context.source.broke_off(&error);
    Err(error)
}

/// All of a short document, of `limit` bytes at most.
///
/// The limit holds for what comes, not for what the header announces, and so does the time.
pub(crate) async fn read_capped(answer: Answer, limit: u64, patience: Patience) -> Result<Bytes, RegistryError> {
    let Answer { mut response, context } = answer;
    let too_large = || RegistryError::TooLarge { context: Box::new(context.clone()), limit };
    let read = async {
        if response.content_length().is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let mut whole = BytesMut::new();
        while let Some(chunk) = next_chunk(&mut response, &context, patience.stall, whole.len() as u64).await? {
            if (whole.len() + chunk.len()) as u64 > limit {
                return Err(too_large());
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    };
    match tokio::time::timeout(patience.document, read).await {
        Ok(read) => read,
        Err(_) => Err(RegistryError::TooSlow { context: Box::new(context.clone()), waited: patience.document }),
    }
}

/// Makes an error of an answer that says no, with the other side's own words as far as they can be read.
pub(crate) async fn refuse(answer: Answer, user: Option<String>, patience: Patience) -> RegistryError {
    let Answer { mut response, context } = answer;
    let status = response.status();
    let retry_after = retry_after(response.headers());
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(str::to_owned);
    let mut body = BytesMut::new();
    let read = async {
        while (body.len() as u64) < MAX_REFUSAL
            && let Ok(Some(chunk)) = response.chunk().await
        {
            body.extend_from_slice(&chunk);
        }
    };
    // The words are a courtesy: nobody waits for them any longer than for other bytes.
    let _ = tokio::time::timeout(patience.stall, read).await;
    let reply = Reply::parse(content_type.as_deref(), &body);
    RegistryError::Refused(Box::new(Refusal { context, status, reply, retry_after, user }))
}
