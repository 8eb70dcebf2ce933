//! The bytes of a blob, over as many requests as it takes.

use std::sync::atomic::Ordering;

use bytes::{Buf as _, Bytes};
use layer_digest::Digest;
use layer_registry::{Kind, RegistryError, RepositoryClient, Retry, Sources};
use tokio::sync::mpsc;

use super::progress::Progress;
use crate::LayerError;

/// Sends the bytes of a blob from `at` on, in order, each once. Returns when all have been sent, or when nobody takes them any more.
///
/// A request that breaks off is followed by one for the rest. Tries are counted from the last byte that came: a network that keeps failing but
/// brings something each time gets there.
pub(super) async fn fetch(
    client: &RepositoryClient,
    sources: &Sources,
    digest: Digest,
    mut at: u64,
    progress: &Progress,
    chunks: mpsc::Sender<Bytes>,
) -> Result<(), LayerError> {
    let size = progress.total;
    let mut tries = 0;
    // Some servers can't start in the middle. Then what has come already is asked for again, and thrown away.
    let mut ranges = true;
    progress.received.store(at, Ordering::Relaxed);
    while at < size {
        let start = at;
        let error = match request(client, sources, digest, &mut at, ranges, progress, &chunks).await {
            Ok(Step::Left) => return Ok(()),
            // Whether the answer ended properly behind the last byte doesn't matter: the digest tells if it was the last.
            Ok(Step::Ended) | Err(_) if at >= size => break,
            Ok(Step::Ended) => None,
            Err(error) => Some(error),
        };
        if at > start {
            tries = 0;
        }
        if let Some(error) = &error
            && error.kind() == Kind::Range
            && ranges
        {
            tracing::debug!(error = error as &dyn std::error::Error, "the server has no ranges; starting over");
            ranges = false;
            continue;
        }
        tries += 1;
        let retry = error.as_ref().map_or(Retry::After(None), RegistryError::retry);
        let Some(wait) = client.retry_policy().wait(tries, retry) else {
            return Err(match error {
                Some(source) => LayerError::Fetch { at, size, tries, source },
                None => LayerError::Cut { at, size, tries },
            });
        };
        let why = error.as_ref().map_or_else(|| "the connection closed early".to_owned(), reason);
        tracing::debug!(at, tries, ?wait, why, "will fetch the rest");
        // Rounded up: nobody is told to wait for no time at all.
        progress.set_retrying(Some((wait.as_secs() + 1, why)));
        tokio::time::sleep(wait).await;
        progress.set_retrying(None);
    }
    Ok(())
}

enum Step {
    /// The body ended, which says nothing about the blob.
    Ended,
    /// Nobody takes the bytes.
    Left,
}

/// One request, for what is missing.
async fn request(
    client: &RepositoryClient,
    sources: &Sources,
    digest: Digest,
    at: &mut u64,
    ranges: bool,
    progress: &Progress,
    chunks: &mpsc::Sender<Bytes>,
) -> Result<Step, RegistryError> {
    let mut body = client.blob_from(&digest, if ranges { *at } else { 0 }, sources).await?;
    let mut skip = at.saturating_sub(body.start);
    while let Some(mut chunk) = body.chunk().await? {
        let known = usize::try_from(skip).map_or(chunk.len(), |skip| skip.min(chunk.len()));
        chunk.advance(known);
        skip -= known as u64;
        if chunk.is_empty() {
            continue;
        }
        // A server that sends more than the blob has is not followed further; whether it was the blob, the digest tells.
        let left = progress.total - *at;
        let more = chunk.len() as u64 > left;
        chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        *at += chunk.len() as u64;
        progress.received.store(*at, Ordering::Relaxed);
        if chunks.send(chunk).await.is_err() {
            return Ok(Step::Left);
        }
        if more {
            break;
        }
    }
    Ok(Step::Ended)
}

/// An error in the few words that fit beside a progress bar.
fn reason(error: &RegistryError) -> String {
    match error.refusal() {
        Some(refusal) => format!("{} from the registry", refusal.status.as_u16()),
        None => match error.kind() {
            Kind::Timeout => "the registry is silent".to_owned(),
            Kind::Network => "the connection broke".to_owned(),
            _ => error.to_string(),
        },
    }
}
