//! What a push tells while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use layer_digest::{BlobId, Digest};
use layer_oci::Descriptor;
use layer_reference::{Reference, Repository};
use tokio::sync::mpsc;

use super::PushError;

/// A step of a push.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PushEvent {
    /// It begins. The first event of every push.
    Pushing(Repository),
    /// A layer has come further.
    Layer {
        /// The layer's blob.
        blob: BlobId,
        /// How far it is.
        phase: PushPhase,
    },
    /// Not all of an index is here, nor at the registry: one of its manifests was pushed in its place.
    ManifestInsteadOfIndex {
        /// The image.
        index: Box<Descriptor>,
        /// What has the tag at the registry.
        manifest: Box<Descriptor>,
    },
    /// Not enough of an image is here to push it. The failure follows.
    ContentMissing(Descriptor),
    /// An image is at the registry and has its tag there.
    Tagged {
        /// Its name.
        reference: Reference,
        /// What the tag leads to.
        digest: Digest,
        /// The size of that document in bytes.
        size: u64,
    },
    /// All images are at the registry. The last event.
    Done,
    /// The push has failed. The last event.
    Failed(Arc<PushError>),
}

/// How far a layer is. Sizes are in bytes of the blob.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushPhase {
    /// It has not begun: others are sent first.
    Waiting,
    /// It is being sent.
    Pushing {
        /// What has gone.
        done: u64,
        /// What there is.
        total: u64,
    },
    /// The registry failed, and will be asked again.
    Retrying {
        /// In how many seconds.
        seconds: u64,
        /// What it said.
        reason: String,
    },
    /// The repository has it already.
    Exists,
    /// The registry has taken it over from another repository.
    Mounted {
        /// The path of that repository.
        from: String,
    },
    /// It was sent, and the registry has it.
    Pushed,
}

/// Beyond this many events that nobody has read yet, progress is dropped. What remains is bounded by the layers of the images.
const BACKLOG: usize = 256;

/// The sending side of a push's events. It never blocks.
#[derive(Clone, Debug)]
pub(super) struct Events {
    sender: mpsc::UnboundedSender<PushEvent>,
    backlog: Arc<AtomicUsize>,
}

/// The receiving side.
#[derive(Debug)]
pub(super) struct EventReceiver {
    receiver: mpsc::UnboundedReceiver<PushEvent>,
    backlog: Arc<AtomicUsize>,
}

/// A channel for the events of one push.
pub(super) fn channel() -> (Events, EventReceiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let backlog = Arc::new(AtomicUsize::new(0));
    (Events { sender, backlog: Arc::clone(&backlog) }, EventReceiver { receiver, backlog })
}

impl Events {
    /// Tells an event. Progress is dropped when the reader is slow; steps never are.
    pub(super) fn tell(&self, event: PushEvent) {
        let is_progress = matches!(event, PushEvent::Layer { phase: PushPhase::Pushing { .. }, .. });
        if is_progress && self.backlog.load(Ordering::Relaxed) > BACKLOG {
            return;
        }
        self.backlog.fetch_add(1, Ordering::Relaxed);
        // Nobody listens any more: then the push is being dropped, too.
        let _ = self.sender.send(event);
    }

    pub(super) fn layer(&self, blob: BlobId, phase: PushPhase) {
        self.tell(PushEvent::Layer { blob, phase });
    }
}

impl EventReceiver {
    /// The next event. Safe to cancel.
    pub(super) async fn next(&mut self) -> Option<PushEvent> {
        let event = self.receiver.recv().await?;
        self.backlog.fetch_sub(1, Ordering::Relaxed);
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_that_sleeps_loses_progress_but_no_step() {
        let (events, mut receiver) = channel();
        let blob = BlobId(Digest::sha256(b""));
        for done in 0..10_000 {
            events.layer(blob, PushPhase::Pushing { done, total: 10_000 });
        }
        events.layer(blob, PushPhase::Pushed);
        drop(events);
        let mut seen = Vec::new();
        while let Some(PushEvent::Layer { phase, .. }) = receiver.next().await {
            seen.push(phase);
        }
        assert!(seen.len() < 300);
        assert_eq!(seen.last(), Some(&PushPhase::Pushed));
    }
}
