//! Saves: from images in the store to an archive that a client reads.
//!
//! The archive is written as it is sent: the blobs as they lie in the store, each once and proven on the way, then the tables of contents of an
//! OCI image-layout and of a docker-archive. Nothing is copied to the disk first, and all of it is leased until the last byte has gone.

mod plan;
mod write;

use std::io;

use bytes::Bytes;
use tokio::sync::mpsc;

pub use plan::{SaveImage, SavePlan};

/// How many pieces of the archive may wait for whoever reads it.
const WAITING: usize = 4;

/// An archive being written. Dropping it stops that.
#[derive(Debug)]
pub struct Save {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
}

impl Save {
    /// The next piece of the archive; `None` at its end. After an error nothing comes. Safe to cancel.
    pub async fn next(&mut self) -> Option<io::Result<Bytes>> {
        self.pieces.recv().await
    }
}

pub(crate) fn start(plan: SavePlan) -> Save {
    let (sender, pieces) = mpsc::channel(WAITING);
    let span = tracing::info_span!("save");
    tokio::task::spawn_blocking(move || {
        let _entered = span.entered();
        match write::write(&plan, write::Pieces::new(sender.clone())) {
            Ok(()) => tracing::info!(images = plan.images(), "saved"),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                tracing::info!("the reader of an archive has left")
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "save failed");
                // Whoever reads sees the archive break off.
                let _ = sender.blocking_send(Err(error));
            }
        }
    });
    Save { pieces }
}
