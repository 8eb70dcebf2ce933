//! One upload, over as many requests as it takes.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::session::{Session, held};
use super::{BlobToPush, Part, UploadError};
use crate::client::{Message, Payload, PushClient};
use crate::context::{Context, Role};
use crate::error::RegistryError;
use crate::manifest::content_digest;
use crate::retry::Retry;
use crate::transport::{Answer, drain};

/// An upload of one blob.
pub(super) struct Upload<'a> {
    client: &'a PushClient,
    blob: &'a BlobToPush<'a>,
    context: &'a Context,
    session: Option<Session>,
    /// The registry takes no chunks.
    in_one: bool,
    /// The most bytes that the registry ever said it had.
    furthest: u64,
}

/// Why a request didn't get the blob further.
enum Trouble {
    /// As the error says.
    Plain(UploadError),
    /// The registry knows nothing of the upload.
    Lost(RegistryError),
    /// The registry has other bytes than was thought.
    OutOfStep(RegistryError),
    /// The registry takes no chunks, or none of that size.
    NoChunks,
    /// The registry has got all bytes, and they are not the blob's.
    Rejected(RegistryError),
}

impl From<RegistryError> for Trouble {
    fn from(error: RegistryError) -> Self {
        Self::Plain(error.into())
    }
}

impl<'a> Upload<'a> {
    pub(super) fn new(
        client: &'a PushClient,
        blob: &'a BlobToPush<'a>,
        context: &'a Context,
        session: Option<Session>,
    ) -> Self {
        Self { client, blob, context, session, in_one: false, furthest: 0 }
    }

    /// Sends the blob. Tries are counted from the last byte that the registry kept.
    pub(super) async fn run(mut self) -> Result<(), UploadError> {
        let (mut failed, mut rejected) = (0, false);
        loop {
            let before = self.furthest;
            let trouble = match self.attempt().await {
                Ok(()) => return Ok(()),
                Err(trouble) => trouble,
            };
            if let Some(error) = self.blob.progress.take_failure() {
                return Err(UploadError::Source(error));
            }
            if self.furthest > before {
                failed = 0;
            }
            failed += 1;
            let (error, retry) = match trouble {
                Trouble::NoChunks => {
                    self.in_one = true;
                    self.session = None;
                    continue;
                }
                Trouble::Plain(UploadError::Registry(error)) => {
                    let retry = error.retry();
                    (error, retry)
                }
                Trouble::Plain(error) => return Err(error),
                Trouble::OutOfStep(error) => (error, Retry::After(None)),
                Trouble::Lost(error) => {
                    self.session = None;
                    (error, Retry::After(None))
                }
                // Once, the way here may be to blame; twice is no accident.
                Trouble::Rejected(error) if rejected => return Err(UploadError::Rejected(error)),
                Trouble::Rejected(error) => {
                    rejected = true;
                    self.session = None;
                    (error, Retry::After(None))
                }
            };
            match self.client.retry.wait(failed, retry) {
                Some(wait) => self.wait(wait, &error).await,
                None if retry == Retry::Never => return Err(error.into()),
                None => {
                    let (at, size) = (self.furthest, self.blob.size);
                    return Err(UploadError::GivenUp { at, size, tries: failed, source: error });
                }
            }
        }
    }

    async fn wait(&self, wait: Duration, error: &RegistryError) {
        tracing::debug!(
            error = error as &dyn std::error::Error,
            ?wait,
            at = self.furthest,
            "will go on with an upload"
        );
        // Rounded up: nobody is told to wait for no time at all.
        self.blob.progress.set_retrying(Some((wait.as_secs() + 1, reason(error))));
        tokio::time::sleep(wait).await;
        self.blob.progress.set_retrying(None);
    }

    /// Gets as far as it can.
    async fn attempt(&mut self) -> Result<(), Trouble> {
        let BlobToPush { digest, size, .. } = *self.blob;
        let mut session = match self.session.take() {
            Some(session) if session.unsure => match self.ask(session).await? {
                Some(session) => session,
                // The answer that all is well may be what was lost.
                None if self.client.has_blob(&digest, self.context).await? => return Ok(()),
                None => self.client.open(self.context).await?,
            },
            Some(session) => session,
            None => self.client.open(self.context).await?,
        };
        // Until an answer says more. It is kept even if the request fails.
        session.unsure = true;
        self.session = Some(session.clone());
        let chunks = self.client.chunks;
        let wants_chunks = session.min_chunk.is_some();
        let in_chunks = !self.in_one && (wants_chunks || size > chunks.above);
        if !in_chunks && session.at == 0 {
            let payload = Payload::Part(self.part(0, size));
            return self.end(&session, payload).await;
        }
        let length = if in_chunks { chunks.size.max(session.min_chunk.unwrap_or(0)).max(1) } else { size };
        while session.at < size {
            let next = length.min(size - session.at);
            if let Err(Refused { status, trouble }) = self.send_chunk(&mut session, next).await {
                // A new upload can't be out of step yet: bodies of this kind are not for this registry, at least.
                let is_first = in_chunks && !wants_chunks && session.at == 0;
                let no_chunks =
                    status.is_some_and(|status| matches!(status.as_u16(), 400 | 405 | 411 | 413 | 415 | 416 | 501));
                return Err(if is_first && no_chunks { Trouble::NoChunks } else { trouble });
            }
            self.furthest = self.furthest.max(session.at);
            self.session = Some(session.clone());
        }
        self.end(&session, Payload::Bytes(Bytes::new())).await
    }

    /// Asks what the registry has of the blob. `None` when it knows nothing of it that could be gone on with.
    async fn ask(&mut self, session: Session) -> Result<Option<Session>, RegistryError> {
        self.session = Some(session.clone());
        let url = session.location.clone();
        let (headers, payload) = (HeaderMap::new(), Payload::Nothing);
        let message = Message { method: Method::GET, url, headers, payload, context: self.context };
        let answer = self.client.send(message).await?;
        if !answer.response.status().is_success() {
            // An address in a storage is signed for a time; the registry gives another one.
            let has_run_out =
                answer.response.status().is_client_error() && matches!(answer.context.peer.role, Role::Storage(_));
            return match self.client.refuse(answer).await {
                refusal if has_run_out || refusal.retry() == Retry::Never => Ok(None),
                trouble => Err(trouble),
            };
        }
        let mut session = session;
        let followed = session.follow(answer.response.url(), answer.response.headers());
        let held = held(answer.response.headers()).filter(|held| (1..=self.blob.size).contains(held));
        drain(answer.response).await;
        followed.map_err(|source| RegistryError::Redirect { context: Box::new(answer.context), source })?;
        // From nothing a new upload is as good, and surely in step.
        Ok(held.map(|at| {
            self.furthest = self.furthest.max(at);
            Session { at, ..session }
        }))
    }

    /// Sends the next `length` bytes.
    async fn send_chunk(&self, session: &mut Session, length: u64) -> Result<(), Refused> {
        let (first, end) = (session.at, session.at + length);
        let mut headers = octets();
        let range = HeaderValue::try_from(format!("{first}-{}", end - 1)).expect("digits are characters of headers");
        headers.insert(CONTENT_RANGE, range);
        let payload = Payload::Part(self.part(first, length));
        let url = session.location.clone();
        let message = Message { method: Method::PATCH, url, headers, payload, context: self.context };
        let answer = self.client.send(message).await?;
        let status = answer.response.status();
        if !status.is_success() {
            return Err(Refused { status: Some(status), trouble: self.sort(answer).await });
        }
        let followed = session.follow(answer.response.url(), answer.response.headers());
        let at = held(answer.response.headers()).unwrap_or(end);
        drain(answer.response).await;
        let context = Box::new(answer.context);
        followed.map_err(|source| RegistryError::Redirect { context: context.clone(), source })?;
        if at <= first || at > end {
            let reason = format!("it has {at} bytes after it got those from {first} to {end}");
            return Err(Refused {
                status: None,
                trouble: Trouble::OutOfStep(RegistryError::Malformed { context, reason }),
            });
        }
        session.at = at;
        Ok(())
    }

    /// Says that this is all of it.
    async fn end(&self, session: &Session, payload: Payload<'_>) -> Result<(), Trouble> {
        let digest = self.blob.digest;
        let url = session.end(&digest);
        let message = Message { method: Method::PUT, url, headers: octets(), payload, context: self.context };
        let answer = self.client.send(message).await?;
        if !answer.response.status().is_success() {
            return Err(self.sort(answer).await);
        }
        let stored = content_digest(answer.response.headers());
        drain(answer.response).await;
        match stored {
            // A registry may know it by a digest of another kind besides.
            Some(stored) if stored != digest && stored.algorithm() == digest.algorithm() => {
                let context = Box::new(answer.context);
                Err(Trouble::Plain(UploadError::Misnamed { context, stored, pushed: digest }))
            }
            _ => Ok(()),
        }
    }

    /// Sorts an answer that is no success.
    async fn sort(&self, answer: Answer) -> Trouble {
        let status = answer.response.status();
        let error = self.client.refuse(answer).await;
        let code = error.refusal().and_then(|refusal| refusal.reply.code.clone()).unwrap_or_default();
        match (status, &*code) {
            (StatusCode::NOT_FOUND, "NAME_UNKNOWN") => error.into(),
            (StatusCode::NOT_FOUND, _) => Trouble::Lost(error),
            (StatusCode::RANGE_NOT_SATISFIABLE, _) => Trouble::OutOfStep(error),
            (StatusCode::BAD_REQUEST, "DIGEST_INVALID" | "SIZE_INVALID") => Trouble::Rejected(error),
            _ => error.into(),
        }
    }

    fn part(&self, offset: u64, length: u64) -> Part<'a> {
        Part { source: self.blob.source, offset, length, progress: self.blob.progress }
    }
}

/// A chunk that was not taken.
struct Refused {
    /// The status of the answer, if there was one.
    status: Option<StatusCode>,
    trouble: Trouble,
}

impl From<RegistryError> for Refused {
    fn from(error: RegistryError) -> Self {
        Self { status: None, trouble: error.into() }
    }
}

/// An error in the few words that fit beside a progress bar.
fn reason(error: &RegistryError) -> String {
    match (error, error.refusal()) {
        (_, Some(refusal)) => refusal.status.to_string(),
        (RegistryError::Network { source, .. }, None) => source.to_string(),
        _ => error.to_string(),
    }
}

fn octets() -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))])
}
