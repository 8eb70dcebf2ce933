//! Pushing blobs: what the registry has is left out, what it has elsewhere is mounted, and the rest is sent.
//!
//! Spec: OCI distribution-spec 1.1, "Pushing Blobs" and "Mounting a blob from another repository".

mod error;
mod run;
mod session;
mod source;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use layer_digest::Digest;

pub use error::UploadError;
pub(crate) use source::Part;
pub use source::{BlobSource, UploadProgress};

use crate::client::{Message, Payload, PushClient};
use crate::context::{Asked, Context};
use crate::error::RegistryError;
use crate::retry::{Retry, Told, with_retries};
use crate::transport::{Answer, drain};
use run::Upload;
use session::Session;

/// A blob that a registry should have.
#[derive(Clone)]
pub struct BlobToPush<'a> {
    /// Its name.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: u64,
    /// Its bytes, which are read only if they have to be sent.
    pub source: &'a dyn BlobSource,
    /// The path of another repository of the same registry that is known to have it.
    pub elsewhere: Option<&'a str>,
    /// Told how far it is.
    pub progress: &'a Arc<UploadProgress>,
}

/// How a blob got where it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushedBlob {
    /// It was there before.
    Existed,
    /// The registry took it over from this other repository of its own.
    Mounted(String),
    /// It was sent.
    Uploaded,
}

/// What came of asking for a mount.
enum Mount {
    Mounted,
    /// The registry wants the bytes, and has opened an upload for them.
    Opened(Session),
    /// It can't be had.
    No,
}

impl PushClient {
    /// Sees to it that the registry has a blob, with retries.
    ///
    /// A connection that breaks costs what the registry has not kept: it is asked what it has, and sent the rest. Safe to cancel; the registry
    /// then clears away what has come, in its own time.
    ///
    /// # Errors
    ///
    /// When the registry refuses or can't be reached, when the bytes can't be read, and when they are not the blob's.
    pub async fn push_blob(&self, blob: &BlobToPush<'_>) -> Result<PushedBlob, UploadError> {
        let context = self.context(Asked::PushBlob { repository: self.path().to_owned(), digest: blob.digest });
        if self.has_blob(&blob.digest, &context).await? {
            return Ok(PushedBlob::Existed);
        }
        let mut opened = None;
        if let Some(other) = blob.elsewhere {
            let client = self.reading(other);
            match with_retries(&self.retry, &Told::default(), || client.mount(&blob.digest, other, &context)).await {
                Ok(Mount::Mounted) => return Ok(PushedBlob::Mounted(other.to_owned())),
                Ok(Mount::Opened(session)) => opened = Some(session),
                Ok(Mount::No) => {}
                // Not to be allowed to read the other repository is no reason not to push: some token servers then give no token at all.
                Err(error) if error.retry() == Retry::Never => {
                    tracing::debug!(error = &error as &dyn std::error::Error, other, "can't mount a blob");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Upload::new(self, blob, &context, opened).run().await?;
        Ok(PushedBlob::Uploaded)
    }

    /// Whether the repository has a blob, with retries.
    ///
    /// A registry that doesn't say, since it may want more of a login for that than this question shows, counts as one that hasn't: the upload
    /// then finds out why, in the registry's own words.
    async fn has_blob(&self, digest: &Digest, context: &Context) -> Result<bool, RegistryError> {
        let place = format!("blobs/{digest}");
        with_retries(&self.retry, &Told::default(), || self.is_there(&place, HeaderMap::new(), context)).await
    }

    /// Whether there is something at `place`.
    pub(crate) async fn is_there(
        &self,
        place: &str,
        headers: HeaderMap,
        context: &Context,
    ) -> Result<bool, RegistryError> {
        let url = self.place(place, None).await?;
        let answer =
            self.send(Message { method: Method::HEAD, url, headers, payload: Payload::Nothing, context }).await?;
        if answer.response.status() == StatusCode::OK {
            return Ok(true);
        }
        match self.refuse(answer).await {
            refusal if refusal.retry() == Retry::Never => Ok(false),
            trouble => Err(trouble),
        }
    }

    /// Asks the registry to take the blob over from another repository.
    async fn mount(&self, digest: &Digest, from: &str, context: &Context) -> Result<Mount, RegistryError> {
        let url = self.place("blobs/uploads/", Some(&format!("mount={digest}&from={from}"))).await?;
        let answer = self.post(url, context).await?;
        match answer.response.status() {
            StatusCode::CREATED => {
                drain(answer.response).await;
                Ok(Mount::Mounted)
            }
            StatusCode::ACCEPTED => self.opened(answer).await.map(Mount::Opened),
            _ => match self.refuse(answer).await {
                refusal if refusal.retry() == Retry::Never => Ok(Mount::No),
                trouble => Err(trouble),
            },
        }
    }

    /// Opens an upload.
    async fn open(&self, context: &Context) -> Result<Session, RegistryError> {
        let url = self.place("blobs/uploads/", None).await?;
        let answer = self.post(url, context).await?;
        match answer.response.status() {
            StatusCode::ACCEPTED => self.opened(answer).await,
            _ => Err(self.refuse(answer).await),
        }
    }

    async fn post(&self, url: reqwest::Url, context: &Context) -> Result<Answer, RegistryError> {
        let payload = Payload::Bytes(Bytes::new());
        self.send(Message { method: Method::POST, url, headers: HeaderMap::new(), payload, context }).await
    }

    async fn opened(&self, answer: Answer) -> Result<Session, RegistryError> {
        let session = Session::open(answer.response.url(), answer.response.headers())
            .map_err(|source| RegistryError::Redirect { context: Box::new(answer.context), source });
        drain(answer.response).await;
        session
    }
}
