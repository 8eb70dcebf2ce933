//! Where the bytes of a pushed blob come from, and how far they are.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream;
use tokio::sync::mpsc;

use crate::transport::Outgoing;

/// Whoever has the bytes of a blob.
pub trait BlobSource: Send + Sync {
    /// Begins to read `length` bytes from byte `offset` on, in chunks of any size. A reader that is no longer listened to should end.
    fn read(&self, offset: u64, length: u64) -> mpsc::Receiver<io::Result<Bytes>>;
}

/// How far an upload is: moved by the upload, and read by whoever wants to know.
#[derive(Debug, Default)]
pub struct UploadProgress {
    sent: AtomicU64,
    retrying: Mutex<Option<(u64, String)>>,
    /// Why the source could not be read: an HTTP library has no place for it.
    failure: Mutex<Option<io::Error>>,
}

impl UploadProgress {
    /// How many bytes of the blob are on their way or there. It falls when a part has to be sent again.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// While the next try is waited for: in how many seconds it comes, and what went wrong.
    pub fn retrying(&self) -> Option<(u64, String)> {
        self.retrying.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_sent(&self, at: u64) {
        self.sent.store(at, Ordering::Relaxed);
    }

    pub(super) fn set_retrying(&self, retrying: Option<(u64, String)>) {
        *self.retrying.lock().unwrap_or_else(PoisonError::into_inner) = retrying;
    }

    pub(super) fn take_failure(&self) -> Option<io::Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn fail(&self, error: io::Error) -> io::Error {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        io::Error::other("the bytes to send can't be read")
    }
}

/// A part of a blob, to be sent as a body.
#[derive(Clone)]
pub(crate) struct Part<'a> {
    pub(super) source: &'a dyn BlobSource,
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) progress: &'a Arc<UploadProgress>,
}

impl fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("offset", &self.offset).field("length", &self.length).finish_non_exhaustive()
    }
}

impl Part<'_> {
    /// The body, from its first byte; also when it was sent before.
    pub(crate) fn outgoing(&self) -> Outgoing<'_> {
        let Self { source, offset, length, progress } = *self;
        progress.set_sent(offset);
        let state = (source.read(offset, length), length, Arc::clone(progress));
        let chunks = stream::unfold(state, |(mut chunks, left, progress)| async move {
            if left == 0 {
                return None;
            }
            let chunk = match chunks.recv().await {
                Some(Ok(chunk)) if chunk.len() as u64 <= left => Ok(chunk),
                Some(Ok(_)) => Err(io::Error::other("there are more bytes than the blob has")),
                Some(Err(error)) => Err(error),
                None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "there are fewer bytes than the blob has")),
            };
            match chunk {
                Ok(chunk) => {
                    let len = chunk.len() as u64;
                    progress.sent.fetch_add(len, Ordering::Relaxed);
                    Some((Ok(chunk), (chunks, left - len, progress)))
                }
                Err(error) => Some((Err(progress.fail(error)), (chunks, 0, progress))),
            }
        });
        Outgoing { body: reqwest::Body::wrap_stream(chunks), length, progress: Some(progress) }
    }
}
