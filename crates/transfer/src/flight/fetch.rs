//! The bytes of a blob, over as many requests as it takes.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes};
use layer_digest::Digest;
use layer_registry::{BlobBody, Kind, RegistryError, RepositoryClient, Retry};
use tokio::sync::mpsc;

use super::places::Place;
use super::progress::Progress;
use super::ranges::{self, Begun, Probe};
use crate::LayerError;

/// How long a connection is watched before it is judged.
pub(super) const PERIOD: Duration = Duration::from_millis(500);

/// What a layer's own threads take, in bytes a second: a connection that is as fast is not what holds the layer up.
const FAST: u64 = 50_000_000;

/// What is fetched, and for whom.
pub(super) struct Wanted<'a> {
    pub(super) client: &'a RepositoryClient,
    pub(super) digest: Digest,
    pub(super) progress: &'a Progress,
    /// The place at the registry.
    pub(super) place: &'a Place,
}

/// Sends the bytes of a blob from `at` on, in order, each once. Returns when all have been sent, or when nobody takes them any more.
///
/// A request that breaks off is followed by one for the rest. Tries are counted from the last byte that came: a network that keeps failing but
/// brings something each time gets there. Bytes that come too slowly to count as coming don't start the count again.
pub(super) async fn fetch(wanted: &Wanted<'_>, mut at: u64, chunks: mpsc::Sender<Bytes>) -> Result<(), LayerError> {
    let Wanted { client, progress, .. } = wanted;
    let size = progress.total;
    let mut tries = 0;
    // Some servers can't start in the middle. Then what has come already is asked for again, and thrown away.
    let mut ranges = true;
    let mut may_split = true;
    while at < size {
        let start = at;
        let error = match request(wanted, &mut at, ranges, ranges && may_split, &chunks).await {
            Ok(Step::Left) => return Ok(()),
            Ok(Step::Split(begun)) => match ranges::fetch(wanted, &mut at, *begun, &chunks).await {
                ranges::End::Left => return Ok(()),
                ranges::End::Whole => break,
                // One connection finds out by itself what is wrong, if something still is.
                ranges::End::GaveUp => {
                    (may_split, tries) = (false, 0);
                    progress.received.store(at, Ordering::Relaxed);
                    continue;
                }
            },
            // Whether the answer ended properly behind the last byte doesn't matter: the digest tells if it was the last.
            Ok(Step::Ended) | Err(_) if at >= size => break,
            Ok(Step::Ended) => None,
            Err(error) => Some(error),
        };
        if at > start && !matches!(error, Some(RegistryError::Crawled { .. })) {
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
        let why = error.as_ref().map_or_else(|| "the connection closed early".to_owned(), RegistryError::brief);
        tracing::debug!(at, tries, ?wait, why, "will fetch the rest");
        progress.retrying_during(wait, why).await;
    }
    Ok(())
}

enum Step {
    /// The body ended, which says nothing about the blob.
    Ended,
    /// Nobody takes the bytes.
    Left,
    /// The connection is what holds the blob up, and the server can send parts: the rest is to come over several.
    Split(Box<Begun>),
}

/// What comes next over a connection that may be about to be split.
enum Next {
    Chunk(Option<Bytes>),
    Second(Box<Result<BlobBody, RegistryError>>),
}

/// One request, for what is missing.
async fn request(
    wanted: &Wanted<'_>,
    at: &mut u64,
    ranges: bool,
    mut may_split: bool,
    chunks: &mpsc::Sender<Bytes>,
) -> Result<Step, RegistryError> {
    let Wanted { client, digest, progress, place } = wanted;
    let mut body = client.blob(digest, if ranges { *at } else { 0 }).await?;
    let mut skip = at.saturating_sub(body.start);
    let mut meter = Meter::new();
    let mut probe: Option<Probe> = None;
    loop {
        let next = {
            let mut chunk = pin!(body.chunk());
            match &mut probe {
                None => Next::Chunk(chunk.await?),
                Some(probe) => tokio::select! {
                    chunk = &mut chunk => Next::Chunk(chunk?),
                    second = probe.answer() => Next::Second(Box::new(second)),
                },
            }
        };
        let mut chunk = match next {
            Next::Chunk(Some(chunk)) => chunk,
            Next::Chunk(None) => return Ok(Step::Ended),
            Next::Second(second) => match (probe.take(), *second) {
                (Some(probe), Ok(second)) => return Ok(Step::Split(Box::new(probe.begun(*at, body, second)))),
                (_, second) => {
                    let error = second.err().map(|error| error.to_string());
                    tracing::debug!(error, "the server has no further connection for a part of the blob");
                    may_split = false;
                    continue;
                }
            },
        };
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
        let length = chunk.len() as u64;
        *at += length;
        progress.received.store(*at, Ordering::Relaxed);
        let sending = Instant::now();
        if chunks.send(chunk).await.is_err() {
            return Ok(Step::Left);
        }
        if more {
            return Ok(Step::Ended);
        }
        if let Some(speed) = meter.count(length, sending.elapsed())
            && may_split
            && probe.is_none()
        {
            probe = Probe::start(wanted, place, *at, speed);
        }
    }
}

/// Finds out whether it is the network that bytes are waited for.
#[derive(Debug)]
pub(super) struct Meter {
    since: Instant,
    bytes: u64,
    blocked: Duration,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), bytes: 0, blocked: Duration::ZERO }
    }

    /// Counts bytes, and the time for which nobody took them. Returns the speed in bytes a second at the end of a period in which the network was
    /// waited for, and was slower than what comes behind it.
    pub(super) fn count(&mut self, bytes: u64, blocked: Duration) -> Option<u64> {
        self.bytes += bytes;
        self.blocked += blocked;
        let period = self.since.elapsed();
        if period < PERIOD {
            return None;
        }
        let done = std::mem::replace(self, Self::new());
        let millis = u64::try_from(period.as_millis()).unwrap_or(u64::MAX).max(1);
        let speed = done.bytes.saturating_mul(1000) / millis;
        (done.blocked < period / 4 && speed < FAST).then_some(speed)
    }
}
