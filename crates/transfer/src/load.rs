//! Loads: from an archive that a client sends to images in the store.
//!
//! An archive is read once, front to back, and never lies on the disk as a whole. Its layers mostly come before the tables that say what they
//! are: each is unpacked and proven as it comes, in a place that nobody sees (`intake.rs`). When all has been read, the tables are followed
//! (`images.rs`, and `docker.rs` for the older form), everything is held against every digest there is, and only then is what belongs to an
//! image published, all in one step, and named (`finish.rs`). What belongs to none is removed.

mod docker;
mod error;
mod finish;
mod images;
mod intake;

use std::io::{self, BufReader};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::Stream;
use layer_archive::Reader;
use layer_compression::Decoder;
use layer_digest::ImageId;
use layer_oci::Platform;
use layer_reference::Reference;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::Kind;
use crate::body::{self, BodyReader};
use crate::transfer::Inner;
pub use error::{LoadCause, LoadError};
use intake::Intake;

/// How many events may wait for a reader. Progress that finds no room is dropped.
const BACKLOG: usize = 256;

/// How much of the archive is decompressed at a time.
const BUFFER: usize = 256 << 10;

/// What to load.
#[derive(Clone, Debug, Default)]
pub struct LoadRequest {
    /// The platforms to load, of images that have several; all that are whole if there are none.
    pub platforms: Vec<Platform>,
}

/// A step of a load.
#[derive(Clone, Debug)]
pub enum LoadEvent {
    /// A layer has come further.
    Layer {
        /// What the layer is called: twelve digits of its digest, or else the beginning of its member's name.
        id: String,
        /// What has come, in bytes.
        done: u64,
        /// What there is.
        total: u64,
    },
    /// An image is in the store. There is one of these for each of its names.
    Loaded {
        /// The image.
        image: ImageId,
        /// Its name, if the archive has one.
        name: Option<Reference>,
    },
    /// The load has failed, and nothing was loaded. The last event.
    Failed(Arc<LoadError>),
}

/// A load that somebody watches. Dropping it stops it.
#[derive(Debug)]
pub struct Load {
    events: mpsc::Receiver<LoadEvent>,
    task: JoinHandle<()>,
}

impl Load {
    /// The next thing that happens; `None` when the whole body has been taken, after the last [`LoadEvent::Loaded`] or
    /// [`LoadEvent::Failed`]. Safe to cancel.
    pub async fn next(&mut self) -> Option<LoadEvent> {
        self.events.recv().await
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // The thread finds the body broken off, and clears what it has made.
        self.task.abort();
    }
}

/// Tells what happens, from a thread that may wait.
#[derive(Clone, Debug)]
pub(crate) struct Teller(mpsc::Sender<LoadEvent>);

impl Teller {
    fn step(&self, event: LoadEvent) {
        // Nobody listens any more: then the load is being dropped, too.
        let _ = self.0.blocking_send(event);
    }

    pub(crate) fn progress(&self, event: LoadEvent) {
        let _ = self.0.try_send(event);
    }
}

pub(crate) fn start<E: Send + 'static>(
    inner: Arc<Inner>,
    request: LoadRequest,
    body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
) -> Load {
    let (sender, events) = mpsc::channel(BACKLOG);
    let (to_thread, reader) = body::channel();
    let task = async move {
        // As long as somebody holds one, the events have no end: that comes when all of the body has been taken, and not when it is known how
        // the load ends.
        let open = sender.clone();
        let teller = Teller(sender.clone());
        let span = tracing::Span::current();
        let thread = tokio::task::spawn_blocking(move || span.in_scope(|| run(&inner, &request, reader, &teller)));
        let end = async move {
            let result = thread.await.unwrap_or_else(|error| Err(LoadCause::Task(io::Error::other(error))));
            if let Err(cause) = result {
                let error = LoadError { cause: Box::new(cause) };
                match error.kind() {
                    Kind::Internal | Kind::NoSpace => {
                        tracing::error!(error = &error as &dyn std::error::Error, "load failed")
                    }
                    _ => tracing::info!(error = &error as &dyn std::error::Error, "load failed"),
                }
                let _ = sender.send(LoadEvent::Failed(Arc::new(error))).await;
            }
        };
        tokio::join!(end, to_thread.send(body));
        drop(open);
    };
    Load { events, task: tokio::spawn(task.instrument(tracing::info_span!("load"))) }
}

fn run(inner: &Arc<Inner>, request: &LoadRequest, body: BodyReader, teller: &Teller) -> Result<(), LoadCause> {
    let mut archive = Reader::new(BufReader::with_capacity(BUFFER, Decoder::of_archive(body)));
    let mut intake = Intake::new(&inner.store, inner.flights.writers(), teller);
    while let Some(member) = archive.next_file()? {
        intake.member(&mut archive, member)?;
    }
    let names = archive.finish()?;
    let wanted = images::images(inner, &mut intake, &names, &request.platforms)?;
    for image in finish::finish(inner, intake, wanted)? {
        tracing::info!(image = %image.id, names = image.names.len(), "loaded");
        if image.names.is_empty() {
            teller.step(LoadEvent::Loaded { image: image.id, name: None });
        }
        for name in image.names {
            teller.step(LoadEvent::Loaded { image: image.id, name: Some(name) });
        }
    }
    Ok(())
}
