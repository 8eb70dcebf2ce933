//! The blobs of the store, as what a registry client reads from.

use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use layer_digest::{BlobId, Verifier};
use layer_registry::BlobSource;
use layer_store::{Store, StoreError};
use tokio::sync::mpsc;

/// How much is read at a time.
const READ: usize = 256 << 10;

/// How many such pieces wait for the network.
const WAITING: usize = 4;

/// A blob of the store.
pub(super) struct Stored {
    pub(super) store: Arc<Store>,
    pub(super) blob: BlobId,
}

impl BlobSource for Stored {
    fn read(&self, offset: u64, length: u64) -> mpsc::Receiver<io::Result<Bytes>> {
        let (sender, receiver) = mpsc::channel(WAITING);
        let (store, blob) = (Arc::clone(&self.store), self.blob);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = send(&store, blob, offset, length, &sender) {
                // Nobody may listen any more; then nobody needs to know.
                let _ = sender.blocking_send(Err(error));
            }
        });
        receiver
    }
}

fn send(
    store: &Store,
    blob: BlobId,
    offset: u64,
    length: u64,
    chunks: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let mut file = store.open_blob(blob).map_err(io::Error::other)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut left = length;
    while left > 0 {
        let mut buffer = BytesMut::zeroed(usize::try_from(left).unwrap_or(READ).min(READ));
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the blob is shorter than it should be"));
        }
        buffer.truncate(read);
        left -= read as u64;
        if chunks.blocking_send(Ok(buffer.freeze())).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Whether the bytes in the store are still the blob's: asked when a registry says that they aren't.
pub(super) fn prove(store: &Store, blob: BlobId, size: u64) -> Result<(), StoreError> {
    let mut file = store.open_blob(blob)?;
    let mut verifier = Verifier::new(blob, Some(size));
    let mut buffer = vec![0; READ];
    loop {
        let read = file.read(&mut buffer).map_err(|source| StoreError::Io {
            action: "read",
            what: format!("blob {blob}"),
            source,
        })?;
        if read == 0 {
            break;
        }
        verifier.update(&buffer[..read]).map_err(|_| StoreError::Damaged(blob.0))?;
    }
    verifier.finish().map(drop).map_err(|_| StoreError::Damaged(blob.0))
}
