//! Imports from an address: the daemon fetches the tar itself, and tells how far it is.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, Stream};
use http::header::CONTENT_TYPE;
use layer_digest::ImageId;
use layer_engine::{Download, ImportRequest, LoadError, RegistryError, chain};
use layer_proto::ProgressLine;
use tokio::time::{Interval, MissedTickBehavior};

use crate::answer;
use crate::failure::Failure;
use crate::routes::App;

/// How often is told how far it is.
const PACE: Duration = Duration::from_millis(100);

/// Imports what lies at `address`. What the server there says at once has a status; what goes wrong later is told in the answer.
pub(super) async fn import(app: &App, request: ImportRequest, address: &str) -> Result<Response, Failure> {
    let download = app.engine.download(address).await?;
    let first = ProgressLine::message(format!("Downloading from {}", download.shown())).to_bytes();
    let total = download.size().unwrap_or(0);
    let come = Arc::new(AtomicU64::new(0));
    let import = app.engine.import_fetched(request, pieces(download, Arc::clone(&come)));
    let mut ticks = tokio::time::interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let told = Told { first: Some(first), done: Some(Box::pin(import.done())), ticks, come, total, last: 0 };
    let lines = stream::unfold(told, |mut told| async move {
        let line = told.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(line)), told))
    });
    Ok(([(CONTENT_TYPE, answer::JSON)], Body::from_stream(lines)).into_response())
}

/// The bytes of a file, which are counted as they come.
fn pieces(download: Download, come: Arc<AtomicU64>) -> impl Stream<Item = Result<Bytes, RegistryError>> {
    stream::unfold(Some(download), move |download| {
        let come = Arc::clone(&come);
        async move {
            let mut download = download?;
            match download.next().await {
                Ok(Some(piece)) => {
                    come.fetch_add(piece.len() as u64, Ordering::Relaxed);
                    Some((Ok(piece), Some(download)))
                }
                Ok(None) => None,
                // Nothing comes behind an error.
                Err(error) => Some((Err(error), None)),
            }
        }
    })
}

/// An import, line by line. It belongs to the answer: when the client goes, it is dropped.
struct Told {
    first: Option<Vec<u8>>,
    done: Option<BoxFuture<'static, Result<ImageId, LoadError>>>,
    ticks: Interval,
    come: Arc<AtomicU64>,
    /// Zero if nobody has said.
    total: u64,
    last: u64,
}

impl Told {
    async fn next(&mut self) -> Option<Vec<u8>> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            let done = self.done.as_mut()?;
            tokio::select! {
                biased;
                image = done => {
                    self.done = None;
                    let line = match image {
                        Ok(image) => ProgressLine::message(image.to_string()),
                        Err(error) => ProgressLine::error(chain(&error), error.hint()),
                    };
                    return Some(line.to_bytes());
                }
                _ = self.ticks.tick() => {
                    let come = self.come.load(Ordering::Relaxed);
                    if come > self.last {
                        self.last = come;
                        return Some(ProgressLine::progress("Importing", come, self.total).to_bytes());
                    }
                }
            }
        }
    }
}
