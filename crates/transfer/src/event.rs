//! What a pull tells while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use layer_digest::{BlobId, ImageId};
use layer_oci::Platform;
use layer_reference::Reference;
use tokio::sync::mpsc;

use crate::PullError;
use crate::running::Story;

/// A step of a pull.
#[derive(Clone, Debug)]
pub enum Event {
    /// The registry failed before the name was resolved, and will be asked again.
    Retrying {
        /// The image.
        reference: Reference,
        /// In how many seconds.
        seconds: u64,
        /// What it said.
        reason: String,
    },
    /// The name is resolved; the layers come next. Every pull that doesn't fail before tells it.
    Pulling(Reference),
    /// Something that the user should know, and that doesn't stop the pull.
    Warning(String),
    /// A layer has come further.
    Layer {
        /// The layer's blob.
        blob: BlobId,
        /// How far it is.
        phase: Phase,
    },
    /// The image is in the store and has its name. The last event.
    Done(Outcome),
    /// The pull has failed. The last event.
    Failed(Arc<PullError>),
}

/// How far a layer is. Sizes are in compressed bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It will be fetched.
    Queued,
    /// Others of the same registry are fetched first.
    Waiting,
    /// It is being fetched, and unpacked as it comes.
    Fetching {
        /// What has come, earlier attempts included.
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
    /// All bytes have come.
    Fetched,
    /// The rest is being unpacked.
    Unpacking {
        /// What has been unpacked.
        done: u64,
        /// What there is.
        total: u64,
    },
    /// The store has it already.
    Exists,
    /// It is in the store, proven and durable.
    Complete,
}

/// What a pull has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The name that the image has now.
    pub reference: Reference,
    /// The image.
    pub image: ImageId,
    /// The platform that was chosen.
    pub platform: Platform,
    /// Whether anything is new: the name, what it leads to, or content.
    pub updated: bool,
}

/// Beyond this many events that nobody has read yet, progress is dropped. What remains is bounded by the layers of the image.
const BACKLOG: usize = 256;

/// The sending side of a pull's events. It never blocks.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    sender: mpsc::UnboundedSender<Event>,
    backlog: Arc<AtomicUsize>,
    /// Where it is taken down for others.
    story: Option<Arc<Story>>,
}

/// A sending side that doesn't keep the channel open: for those who may outlive the pull.
#[derive(Clone, Debug)]
pub(crate) struct WeakEvents {
    sender: mpsc::WeakUnboundedSender<Event>,
    backlog: Arc<AtomicUsize>,
    story: Option<Arc<Story>>,
}

/// The receiving side.
#[derive(Debug)]
pub(crate) struct EventReceiver {
    receiver: mpsc::UnboundedReceiver<Event>,
    backlog: Arc<AtomicUsize>,
}

/// A channel for the events of one pull.
pub(crate) fn channel() -> (Events, EventReceiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let backlog = Arc::new(AtomicUsize::new(0));
    (Events { sender, backlog: Arc::clone(&backlog), story: None }, EventReceiver { receiver, backlog })
}

impl Events {
    /// The same, taken down for others too.
    pub(crate) fn with_story(self, story: Arc<Story>) -> Self {
        Self { story: Some(story), ..self }
    }

    /// Whether there is somebody on the other side.
    pub(crate) fn is_heard(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Tells an event. Progress is dropped when the reader is slow; steps never are.
    pub(crate) fn tell(&self, event: Event) {
        if let Some(story) = &self.story {
            story.note(&event);
        }
        let is_progress = matches!(event, Event::Layer { phase: Phase::Fetching { .. } | Phase::Unpacking { .. }, .. });
        if is_progress && self.backlog.load(Ordering::Relaxed) > BACKLOG {
            return;
        }
        self.backlog.fetch_add(1, Ordering::Relaxed);
        // Nobody listens any more: then the pull is being dropped, too.
        let _ = self.sender.send(event);
    }

    pub(crate) fn downgrade(&self) -> WeakEvents {
        WeakEvents { sender: self.sender.downgrade(), backlog: Arc::clone(&self.backlog), story: self.story.clone() }
    }

    pub(crate) fn layer(&self, blob: BlobId, phase: Phase) {
        self.tell(Event::Layer { blob, phase });
    }
}

impl WeakEvents {
    /// Tells an event, if the pull is still there.
    pub(crate) fn tell(&self, event: Event) {
        if let Some(sender) = self.sender.upgrade() {
            Events { sender, backlog: Arc::clone(&self.backlog), story: self.story.clone() }.tell(event);
        }
    }
}

impl EventReceiver {
    /// The next event. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        let event = self.receiver.recv().await?;
        self.backlog.fetch_sub(1, Ordering::Relaxed);
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use layer_digest::Digest;

    use super::*;

    #[tokio::test]
    async fn a_reader_that_sleeps_loses_progress_but_no_step() {
        let (events, mut receiver) = channel();
        let blob = BlobId(Digest::sha256(b""));
        for done in 0..10_000 {
            events.layer(blob, Phase::Fetching { done, total: 10_000 });
        }
        events.layer(blob, Phase::Complete);
        drop(events);
        let mut seen = Vec::new();
        while let Some(Event::Layer { phase, .. }) = receiver.next().await {
            seen.push(phase);
        }
        assert!(seen.len() < 300);
        assert_eq!(seen.last(), Some(&Phase::Complete));
    }
}
