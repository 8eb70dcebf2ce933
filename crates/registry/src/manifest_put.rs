//! Manifests and indexes: sent as they are, to the byte.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use layer_digest::Digest;

use crate::client::{Message, Payload, PushClient};
use crate::context::{Asked, Context};
use crate::error::RegistryError;
use crate::manifest::{ManifestAt, accept, content_digest};
use crate::retry::{Told, with_retries};
use crate::tags::is_tag;
use crate::transport::drain;
use crate::upload::UploadError;

/// A manifest or index that a registry should have.
#[derive(Clone, Debug)]
pub struct ManifestToPush {
    /// The name that it is to have.
    pub at: ManifestAt,
    /// Its media type.
    pub media_type: String,
    /// The digest of `bytes`.
    pub digest: Digest,
    /// The document.
    pub bytes: Bytes,
}

impl PushClient {
    /// Gives the registry a manifest or index, with retries. All that it leads to must be there.
    ///
    /// # Errors
    ///
    /// When the registry refuses or can't be reached, and when it has kept the document under another digest.
    pub async fn put_manifest(&self, manifest: &ManifestToPush) -> Result<(), UploadError> {
        let place = match &manifest.at {
            ManifestAt::Tag(tag) if !is_tag(tag) => {
                return Err(bad("tag", tag));
            }
            ManifestAt::Tag(tag) => format!("manifests/{tag}"),
            ManifestAt::Digest(digest) => format!("manifests/{digest}"),
        };
        let Ok(kind) = HeaderValue::try_from(&manifest.media_type) else {
            return Err(bad("media type", &manifest.media_type));
        };
        let context = self.context(Asked::PushManifest { repository: self.path().to_owned(), at: manifest.at.clone() });
        let stored =
            with_retries(&self.retry, &Told::default(), || self.put_once(&place, &kind, &manifest.bytes, &context))
                .await?;
        let pushed = manifest.digest;
        match stored {
            Some(stored) if stored != pushed && stored.algorithm() == pushed.algorithm() => {
                Err(UploadError::Misnamed { context: Box::new(context), stored, pushed })
            }
            _ => Ok(()),
        }
    }

    /// Whether the repository has a manifest or index, with retries. A registry that doesn't say counts as one that hasn't.
    ///
    /// # Errors
    ///
    /// When the registry can't be reached or has troubles of its own.
    pub async fn has_manifest(&self, digest: &Digest) -> Result<bool, RegistryError> {
        let at = ManifestAt::Digest(*digest);
        let context = self.context(Asked::Manifest { repository: self.path().to_owned(), at });
        let place = format!("manifests/{digest}");
        with_retries(&self.retry, &Told::default(), || self.is_there(&place, accept(), &context)).await
    }

    async fn put_once(
        &self,
        place: &str,
        kind: &HeaderValue,
        bytes: &Bytes,
        context: &Context,
    ) -> Result<Option<Digest>, RegistryError> {
        let url = self.place(place, None).await?;
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind.clone())]);
        let payload = Payload::Bytes(bytes.clone());
        let answer = self.send(Message { method: Method::PUT, url, headers, payload, context }).await?;
        if !answer.response.status().is_success() {
            return Err(self.refuse(answer).await);
        }
        let stored = content_digest(answer.response.headers());
        drain(answer.response).await;
        Ok(stored)
    }
}

fn bad(what: &'static str, text: &str) -> UploadError {
    RegistryError::BadRequest { what, text: text.escape_default().to_string() }.into()
}
