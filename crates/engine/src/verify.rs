//! Proving what the store holds, and bringing anew what is damaged.
//!
//! Every document and blob is hashed, and every unpacked layer compared with the list that was made when it was unpacked. What is found to be
//! damaged is marked, so that no pull takes it for whole. All of it is leased meanwhile, and read in threads that may wait.

mod check;
mod run;
mod survey;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use layer_digest::{BlobId, DiffId, Digest, ImageId};
use layer_oci::Descriptor;
use layer_registry::Credentials;
use layer_store::Lease;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::engine::Shared;
use crate::{Engine, EngineError};

/// How many events may wait to be read. A slow reader holds the work up, which nobody else waits for.
const BACKLOG: usize = 64;

/// What to verify.
#[derive(Clone, Debug, Default)]
pub struct VerifyRequest {
    /// The images: names, IDs, or beginnings of IDs. All that have names, if there are none.
    pub images: Vec<String>,
    /// Whether to bring anew what is damaged or missing.
    pub repair: bool,
    /// On whose behalf registries are asked.
    pub credentials: Option<Credentials>,
}

/// What an image consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// An index, a manifest or a config, by its digest.
    Document,
    /// A layer as it was served, by its digest.
    Blob,
    /// An unpacked layer, by its diffID.
    Layer,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Of what kind the damaged part is.
    pub part: Part,
    /// Which one.
    pub digest: Digest,
    /// An image that it belongs to, by name.
    pub image: String,
    /// The file, for an unpacked layer whose files differ; empty for its root.
    pub path: Option<Vec<u8>>,
    /// What is wrong in one word, for programs.
    pub what: &'static str,
    /// What is wrong, as the rest of a sentence that begins with the part or the file.
    pub detail: String,
}

/// How much was verified, and with what outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Images.
    pub images: u64,
    /// Indexes, manifests and configs.
    pub documents: u64,
    /// Compressed layers.
    pub blobs: u64,
    /// Unpacked layers.
    pub layers: u64,
    /// Files, folders and other things in them.
    pub files: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Problems that were found.
    pub problems: u64,
    /// Damaged parts that were brought anew.
    pub repaired: u64,
    /// Damaged parts that are damaged still.
    pub damaged: u64,
}

/// A step of a verification.
#[derive(Debug)]
pub enum VerifyEvent {
    /// An image comes next.
    Image {
        /// The image.
        id: ImageId,
        /// A name of it, in docker's short form.
        name: String,
    },
    /// A blob or a layer comes next.
    Checking {
        /// Which of them.
        part: Part,
        /// Its digest.
        digest: Digest,
    },
    /// Something is wrong.
    Problem(Problem),
    /// A damaged part was brought anew, and is whole.
    Repaired {
        /// Of what kind it is.
        part: Part,
        /// Which one.
        digest: Digest,
    },
    /// A damaged part could not be brought anew.
    NotRepaired {
        /// Of what kind it is.
        part: Part,
        /// Which one.
        digest: Digest,
        /// Why not.
        reason: String,
    },
    /// All was looked at. The last event.
    Done(Totals),
    /// It could not be looked at. The last event.
    Failed(EngineError),
}

/// A verification that somebody watches. Dropping it stops it.
#[derive(Debug)]
pub struct Verify {
    events: mpsc::Receiver<VerifyEvent>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Verify {
    /// The next thing that happens; `None` after [`VerifyEvent::Done`] or [`VerifyEvent::Failed`]. Safe to cancel.
    pub async fn next(&mut self) -> Option<VerifyEvent> {
        self.events.recv().await
    }
}

impl Drop for Verify {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.abort();
    }
}

impl Engine {
    /// Starts to prove images, byte by byte, in a task of its own.
    pub fn verify(&self, request: VerifyRequest) -> Verify {
        let (events, receiver) = mpsc::channel(BACKLOG);
        let stop = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&self.shared);
        let tell = Tell { events, stop: Arc::clone(&stop), shared: Arc::clone(&shared) };
        let task = tokio::spawn(async move {
            let end = match run::run(&shared, &request, &tell).await {
                Ok(totals) => {
                    tracing::info!(
                        images = totals.images,
                        layers = totals.layers,
                        bytes = totals.bytes,
                        problems = totals.problems,
                        repaired = totals.repaired,
                        "verified"
                    );
                    VerifyEvent::Done(totals)
                }
                Err(error) => VerifyEvent::Failed(error),
            };
            tell.tell(end).await;
        });
        Verify { events: receiver, stop, task }
    }
}

/// The way to whoever watches.
#[derive(Clone, Debug)]
struct Tell {
    events: mpsc::Sender<VerifyEvent>,
    stop: Arc<AtomicBool>,
    shared: Arc<Shared>,
}

impl Tell {
    async fn tell(&self, event: VerifyEvent) {
        // Nobody listens any more: then the work is about to be stopped.
        let _ = self.events.send(event).await;
    }

    /// The same from a thread that may wait.
    fn tell_blocking(&self, event: VerifyEvent) {
        if self.events.blocking_send(event).is_err() {
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.shared.stopping.load(Ordering::Relaxed)
    }
}

/// Holds a blob, and its layer.
fn hold(lease: &mut Lease, blob: &Descriptor, diff: Option<DiffId>) {
    lease.hold_blob(BlobId(blob.digest));
    if let Some(diff) = diff {
        lease.hold_layer(diff);
    }
}
