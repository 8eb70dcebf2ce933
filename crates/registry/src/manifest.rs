//! Manifests and indexes: fetched whole, and proven before anybody sees them.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use layer_digest::{Digest, VerifyError};
use layer_oci::media_type;

use crate::body::read_capped;
use crate::client::RepositoryClient;
use crate::context::{Asked, Context, Sources};
use crate::error::RegistryError;
use crate::retry::{Retry, with_retries};
use crate::tags::is_tag;

/// The most bytes of a manifest or index.
///
/// Spec: OCI distribution-spec 1.1, "Pushing Manifests", asks registries to take this many; few take more.
const MAX_MANIFEST: u64 = 4 * 1024 * 1024;

/// The header in which registries announce a manifest's digest.
const CONTENT_DIGEST: &str = "docker-content-digest";

/// What names a manifest in its repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ManifestAt {
    /// A tag, which can be moved.
    Tag(String),
    /// A digest, which always means the same bytes.
    Digest(Digest),
}

/// A manifest or index, as the registry served it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FetchedManifest {
    /// The `Content-Type` of the answer, without its parameters.
    pub media_type: Option<String>,
    /// The digest of `bytes`, computed here: the one asked for, or SHA-256 when a tag was.
    pub digest: Digest,
    /// The document, to be kept as it is.
    pub bytes: Bytes,
}

/// What a registry tells of a manifest without sending it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ManifestHead {
    /// Its digest, as the registry says.
    pub digest: Digest,
    /// The `Content-Type` of the answer, without its parameters.
    pub media_type: Option<String>,
    /// Its size in bytes, as the registry says.
    pub size: Option<u64>,
}

impl RepositoryClient {
    /// Fetches the manifest or index at `at`, with retries.
    ///
    /// Safe to cancel: nothing is kept of an answer that has not come whole.
    ///
    /// # Errors
    ///
    /// When the registry does not send it, when it is longer than 4 MiB, and when the bytes are not those of the digest asked for, or not
    /// those that the registry announces.
    pub async fn manifest(&self, at: &ManifestAt) -> Result<FetchedManifest, RegistryError> {
        let (place, context) = self.manifest_place(at)?;
        let sources = Sources::default();
        with_retries(&self.retry, &self.told, || self.manifest_from(at, &place, &context, &sources)).await
    }

    /// Asks what is at `at` without fetching it, with retries.
    ///
    /// Returns `None` when the registry does not tell the digest that way: it may not have the manifest, want a login, or not know this
    /// question. The answer has no body, so only [`Self::manifest`] finds out why, in the registry's own words. Safe to cancel.
    ///
    /// # Errors
    ///
    /// When the registry cannot be reached or has troubles of its own.
    pub async fn head(&self, at: &ManifestAt) -> Result<Option<ManifestHead>, RegistryError> {
        let (place, context) = self.manifest_place(at)?;
        with_retries(&self.retry, &self.told, || self.head_once(&place, &context)).await
    }

    /// One try, in which mirrors that send something wrong, or nothing to the end, are passed over.
    async fn manifest_from(
        &self,
        at: &ManifestAt,
        place: &str,
        context: &Context,
        sources: &Sources,
    ) -> Result<FetchedManifest, RegistryError> {
        loop {
            match self.manifest_once(at, place, context, sources).await {
                Err(error) if sources.distrust() => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a mirror is no help; asking somebody else"
                    );
                }
                outcome => return outcome,
            }
        }
    }

    async fn manifest_once(
        &self,
        at: &ManifestAt,
        place: &str,
        context: &Context,
        sources: &Sources,
    ) -> Result<FetchedManifest, RegistryError> {
        let answer = self.ask_from(Method::GET, &place.into(), accept(), context, sources).await?;
        if answer.response.status() != StatusCode::OK {
            return Err(self.refuse(answer).await);
        }
        let media_type = content_type(answer.response.headers());
        let announced = content_digest(answer.response.headers());
        let context = Box::new(answer.context.clone());
        let bytes = read_capped(answer, MAX_MANIFEST, self.patience).await?;
        let digest = match at {
            ManifestAt::Tag(_) => Digest::sha256(&bytes),
            ManifestAt::Digest(want) => {
                let got = Digest::of(want.algorithm(), &bytes);
                if got != *want {
                    let source = VerifyError::Digest { want: *want, got, size: bytes.len() as u64 };
                    return Err(RegistryError::Corrupt { context, source });
                }
                got
            }
        };
        if let Some(announced) = announced {
            let computed = Digest::of(announced.algorithm(), &bytes);
            if announced != computed {
                return Err(RegistryError::Announced { context, announced, computed });
            }
        }
        // Behind a tag there is no digest to prove a page of some login by. Of the registry itself, whoever reads the document finds out.
        if context.source.is_mirror() && serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_err() {
            return Err(RegistryError::Malformed { context, reason: "it is no JSON".to_owned() });
        }
        Ok(FetchedManifest { media_type, digest, bytes })
    }

    async fn head_once(&self, place: &str, context: &Context) -> Result<Option<ManifestHead>, RegistryError> {
        let answer = self.ask(Method::HEAD, &place.into(), accept(), context).await?;
        match answer.response.status() {
            StatusCode::OK => {
                let headers = answer.response.headers();
                let size = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
                let media_type = content_type(headers);
                Ok(content_digest(headers).map(|digest| ManifestHead { digest, media_type, size }))
            }
            _ => match self.refuse(answer).await {
                refusal if refusal.retry() == Retry::Never => Ok(None),
                trouble => Err(trouble),
            },
        }
    }

    fn manifest_place(&self, at: &ManifestAt) -> Result<(String, Context), RegistryError> {
        let place = match at {
            ManifestAt::Tag(tag) if !is_tag(tag) => {
                return Err(RegistryError::BadRequest { what: "tag", text: tag.escape_default().to_string() });
            }
            ManifestAt::Tag(tag) => format!("manifests/{tag}"),
            ManifestAt::Digest(digest) => format!("manifests/{digest}"),
        };
        Ok((place, self.context(Asked::Manifest { repository: self.path().to_owned(), at: at.clone() })))
    }
}

/// The kinds of documents this program understands. In one field: some registries read the first one only.
pub(crate) fn accept() -> HeaderMap {
    let kinds = HeaderValue::try_from(media_type::ACCEPT.join(", ")).expect("media types have characters of headers");
    HeaderMap::from_iter([(ACCEPT, kinds)])
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    let kind = media_type::essence(headers.get(CONTENT_TYPE)?.to_str().ok()?);
    (!kind.is_empty()).then_some(kind)
}

/// The digest that the registry announces. One of a kind that cannot be computed here says nothing.
pub(crate) fn content_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get(CONTENT_DIGEST)?.to_str().ok()?.trim().parse().ok()
}
