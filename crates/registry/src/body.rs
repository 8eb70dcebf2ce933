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
    match tokio::time::timeout(stall, response.chunk()).await {
        Ok(Ok(chunk)) => Ok(chunk),
        Ok(Err(error)) => {
            Err(RegistryError::Network { context: Box::new(context.clone()), source: NetworkError::new(&error) })
        }
        Err(_) => Err(RegistryError::Stalled { context: Box::new(context.clone()), waited: stall, at }),
    }
}

/// How fast a body comes while it is waited for.
///
/// The average is taken over one stretch after the other, each as long as the limit says, so that a connection which has become slow is found
/// out within two of them.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// Counts `bytes` that came after a wait. Returns the speed in bytes a second at the end of a stretch that was too slow.
    pub(crate) fn count(&mut self, waited: Duration, bytes: u64, patience: Patience) -> Option<u64> {
        self.waited += waited;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.waited < patience.least_speed_time {
            return None;
        }
        let stretch = std::mem::take(self);
        // In milliseconds, so that a stretch of less than a second can be told from none.
        let millis = u64::try_from(stretch.waited.as_millis()).unwrap_or(u64::MAX).max(1);
        let speed = stretch.bytes.saturating_mul(1000) / millis;
        (speed < patience.least_speed).then_some(speed)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_stretch_below_the_limit_is_too_slow() {
        let second = Duration::from_secs(1);
        let patience = Patience {
            first_byte: second,
            stall: second,
            document: second,
            least_speed: 1000,
            least_speed_time: 10 * second,
        };
        let stretch = |bytes: [u64; 10]| {
            let mut pace = Pace::default();
            bytes.map(|bytes| pace.count(second, bytes, patience))[9]
        };
        assert_eq!(stretch([999; 10]), Some(999));
        assert_eq!(stretch([1000; 10]), None);
        // Silence after a good beginning is a matter of the average, too.
        assert_eq!(stretch([9000, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Some(900));
        assert_eq!(stretch([0, 0, 0, 0, 0, 0, 0, 0, 0, 10_000]), None);
        let mut pace = Pace::default();
        // What came in an earlier stretch doesn't help a later one.
        assert_eq!(pace.count(10 * second, 1 << 30, patience), None);
        assert_eq!(pace.count(10 * second, 5, patience), Some(0));
        let any = Patience { least_speed: 0, ..patience };
        assert_eq!(Pace::default().count(100 * second, 0, any), None);
    }
}
