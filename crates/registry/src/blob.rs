//! Blobs: streams of bytes, from wherever the caller needs them.

use std::ops::Range;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use layer_digest::{BlobId, Digest, Verifier};

mod content_range;

use content_range::ContentRange;

use crate::body::{Pace, next_chunk};
use crate::client::RepositoryClient;
use crate::context::{Asked, Context};
use crate::error::RegistryError;
use crate::retry::with_retries;
use crate::transport::{Answer, Patience};

/// The bytes of a blob, as they come. Nothing is proven about them.
#[derive(Debug)]
pub struct BlobBody {
    /// The place in the blob of the first byte that comes: the one asked for, or 0 when the server sends all of it in any case.
    pub start: u64,
    /// The size of the blob, as far as the server tells it.
    pub total: Option<u64>,
    response: reqwest::Response,
    context: Context,
    patience: Patience,
    at: u64,
    pace: Pace,
    /// The speed at which it crawled, once it has.
    crawled: Option<u64>,
}

impl BlobBody {
    /// The next bytes; `None` at the end of the answer.
    ///
    /// The end of the answer is the end of the blob only if the caller has seen as many bytes as the descriptor promises. Safe to cancel.
    ///
    /// # Errors
    ///
    /// When the connection breaks, stays silent for the stall timeout, or is slower than the minimum speed. The bytes before that are good;
    /// ask for the rest anew.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, RegistryError> {
        if let Some(speed) = self.crawled {
            return Err(RegistryError::Crawled {
                context: Box::new(self.context.clone()),
                speed,
                least: self.patience.least_speed,
                waited: self.patience.least_speed_time,
                at: self.at,
            });
        }
        let begun = Instant::now();
        let chunk = next_chunk(&mut self.response, &self.context, self.patience.stall, self.at).await?;
        if let Some(chunk) = &chunk {
            let bytes = chunk.len() as u64;
            self.at += bytes;
            self.crawled = self.pace.count(begun.elapsed(), bytes, self.patience);
        }
        Ok(chunk)
    }
}

impl RepositoryClient {
    /// Asks for the blob `digest` from byte `offset` to its end: one request, without retries.
    ///
    /// To go on after a failure is the caller's business, who knows what has come and what it was worth; [`RegistryError::retry`] and
    /// [`Self::retry_policy`] tell when. An access token that has run out is renewed here, and every call gets a new address from a registry
    /// that keeps its blobs elsewhere. Safe to cancel.
    ///
    /// # Errors
    ///
    /// When the registry refuses or cannot be reached. [`crate::Kind::Range`] when it has nothing to send from `offset`, or sends something
    /// else: then ask from byte 0.
    pub async fn blob(&self, digest: &Digest, offset: u64) -> Result<BlobBody, RegistryError> {
        let context = self.context(Asked::Blob { repository: self.path().to_owned(), digest: *digest });
        let mut headers = HeaderMap::new();
        if offset > 0 {
            let range = HeaderValue::try_from(format!("bytes={offset}-")).expect("digits are characters of headers");
            headers.insert(RANGE, range);
        }
        let place = format!("blobs/{digest}");
        let answer = self.ask(Method::GET, &(&*place).into(), headers, &context).await?;
        match answer.response.status() {
            StatusCode::OK => {
                let total = answer.response.content_length();
                Ok(self.body(answer, 0, total))
            }
            StatusCode::PARTIAL_CONTENT => match content_range(&answer) {
                Some(ContentRange::Bytes { first, total, .. }) if first == offset || first == 0 => {
                    Ok(self.body(answer, first, total))
                }
                found => {
                    let context = Box::new(answer.context);
                    Err(RegistryError::WrongRange { context, offset, answer: named(found) })
                }
            },
            StatusCode::RANGE_NOT_SATISFIABLE => {
                let total = match content_range(&answer) {
                    Some(ContentRange::Unsatisfied { total }) => Some(total),
                    _ => None,
                };
                Err(RegistryError::RangeNotSatisfiable { context: Box::new(answer.context), offset, total })
            }
            _ => Err(self.refuse(answer).await),
        }
    }

    /// Asks for the bytes `part` of the blob `digest`: one request, without retries, and nothing but these bytes is taken for an answer.
    ///
    /// The server may send fewer of them, from the same place on. Safe to cancel.
    ///
    /// # Errors
    ///
    /// As [`Self::blob`]; [`crate::Kind::Range`] when the server answers with another part, or with all of the blob.
    pub async fn blob_part(&self, digest: &Digest, part: Range<u64>) -> Result<BlobBody, RegistryError> {
        let context = self.context(Asked::Blob { repository: self.path().to_owned(), digest: *digest });
        let range = format!("bytes={}-{}", part.start, part.end.saturating_sub(1));
        let range = HeaderValue::try_from(range).expect("digits are characters of headers");
        let place = format!("blobs/{digest}");
        let answer = self.ask(Method::GET, &(&*place).into(), HeaderMap::from_iter([(RANGE, range)]), &context).await?;
        let wrong = |answer: Answer, what: String| {
            Err(RegistryError::WrongRange { context: Box::new(answer.context), offset: part.start, answer: what })
        };
        match (answer.response.status(), content_range(&answer)) {
            (StatusCode::PARTIAL_CONTENT, Some(ContentRange::Bytes { first, last, total }))
                if first == part.start && last < part.end =>
            {
                Ok(self.body(answer, first, total))
            }
            (StatusCode::PARTIAL_CONTENT, found) => wrong(answer, named(found)),
            (StatusCode::OK, _) => wrong(answer, "all of it".to_owned()),
            (StatusCode::RANGE_NOT_SATISFIABLE, _) => {
                let context = Box::new(answer.context);
                Err(RegistryError::RangeNotSatisfiable { context, offset: part.start, total: None })
            }
            _ => Err(self.refuse(answer).await),
        }
    }

    /// Fetches a short blob such as a config: whole, proven, and with retries.
    ///
    /// `size` is what its descriptor promises, `cap` the most that the caller will hold in memory. Safe to cancel.
    ///
    /// # Errors
    ///
    /// As [`Self::blob`]; when `size` is larger than `cap`; and when the bytes are not the blob's, twice.
    pub async fn small_blob(&self, digest: &Digest, size: u64, cap: u64) -> Result<Bytes, RegistryError> {
        if size > cap {
            let context = self.context(Asked::Blob { repository: self.path().to_owned(), digest: *digest });
            return Err(RegistryError::TooLarge { context: Box::new(context), limit: cap });
        }
        with_retries(&self.retry, &self.told, || self.small_blob_once(digest, size)).await
    }

    async fn small_blob_once(&self, digest: &Digest, size: u64) -> Result<Bytes, RegistryError> {
        let mut body = self.blob(digest, 0).await?;
        let context = Box::new(body.context.clone());
        let read = async {
            let corrupt = |source| RegistryError::Corrupt { context: context.clone(), source };
            let mut verifier = Verifier::new(BlobId(*digest), Some(size));
            let mut whole = BytesMut::new();
            while let Some(chunk) = body.chunk().await? {
                verifier.update(&chunk).map_err(corrupt)?;
                whole.extend_from_slice(&chunk);
            }
            // The bytes stay here, so there is nobody to hand the proof to.
            verifier.finish().map_err(corrupt).map(drop)?;
            Ok(whole.freeze())
        };
        match tokio::time::timeout(self.patience.document, read).await {
            Ok(read) => read,
            Err(_) => Err(RegistryError::TooSlow { context, waited: self.patience.document }),
        }
    }

    fn body(&self, answer: Answer, start: u64, total: Option<u64>) -> BlobBody {
        let Answer { response, context } = answer;
        BlobBody {
            start,
            total,
            response,
            context,
            patience: self.patience,
            at: start,
            pace: Pace::default(),
            crawled: None,
        }
    }
}

/// What a `Content-Range` that was not expected says.
fn named(found: Option<ContentRange>) -> String {
    match found {
        Some(ContentRange::Bytes { first, last, .. }) => format!("bytes {first} to {last}"),
        Some(ContentRange::Unsatisfied { .. }) => "none, as if it had any".to_owned(),
        None => "some that it does not name".to_owned(),
    }
}

fn content_range(answer: &Answer) -> Option<ContentRange> {
    answer.response.headers().get(CONTENT_RANGE)?.to_str().ok()?.parse().ok()
}
