//! Content that is proven before anybody knows whether it is wanted, as it comes out of an archive.
//!
//! It lies in `staging/`, where nobody sees it and the next start clears it, until somebody publishes it or lets go of it. Sealed content holds no
//! file open, so that an archive may have any number of layers.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;

use layer_digest::{BlobId, DiffId, Verified};
use layer_fs::Dir;
use layer_fs::failpoint::{Step, reach};

use crate::ingest::WRITEBACK_EVERY;
use crate::sync::Epoch;
use crate::{LayerRecord, StagedLayer, Store, StoreError};

const BLOB: &str = "blob";

/// A folder of `staging/`, removed when it is dropped.
#[derive(Debug)]
struct Place {
    store: Arc<Store>,
    name: String,
    begun: Epoch,
    published: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.published
            && let Err(error) = self.store.clear_staged(&self.name)
        {
            tracing::warn!(%error, name = self.name, "could not clear a staged folder; the next start will");
        }
    }
}

/// The bytes of a blob whose name is not known, or not to be relied on, before all have come. Dropped without [`StagedBlob::seal`], they are
/// removed.
#[derive(Debug)]
pub struct StagedBlob {
    place: Place,
    file: File,
    len: u64,
    started_writeback: u64,
}

/// A proven blob that nobody sees yet. Dropped without [`Store::publish`], it is removed.
#[derive(Debug)]
#[must_use = "it takes room, and is removed when it is dropped"]
pub struct SealedBlob {
    place: Place,
    proof: Verified<BlobId>,
}

/// A proven, unpacked layer that nobody sees yet. Dropped without [`Store::publish`], it is removed.
#[derive(Debug)]
#[must_use = "it takes room, and is removed when it is dropped"]
pub struct SealedLayer {
    place: Place,
    proof: Verified<DiffId>,
    blob: BlobId,
}

impl Store {
    /// Makes room for a blob in `staging/`.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails.
    pub fn stage_blob(self: &Arc<Self>) -> Result<StagedBlob, StoreError> {
        let make = || -> std::io::Result<StagedBlob> {
            let begun = self.sync.epoch();
            let (name, dir) = self.stage()?;
            let place = Place { store: Arc::clone(self), name, begun, published: false };
            let file = dir.open_or_create(BLOB, 0o600)?;
            Ok(StagedBlob { place, file, len: 0, started_writeback: 0 })
        };
        make().map_err(StoreError::io("make a file in", "staging"))
    }

    /// Publishes blobs, and then layers that were unpacked of these or of blobs that are there: all are durable, and visible, when this returns.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails; then what is not published yet is removed.
    pub fn publish(&self, blobs: Vec<SealedBlob>, layers: Vec<SealedLayer>) -> Result<(), StoreError> {
        // One sync covers them all: they lie on one file system.
        let begun = blobs.iter().map(|blob| blob.place.begun).chain(layers.iter().map(|layer| layer.place.begun)).min();
        let begun = begun.unwrap_or_else(|| self.sync.epoch());
        reach(Step::Unpacked);
        self.sync.sync(&self.root, begun).map_err(StoreError::io("sync", "staging"))?;
        reach(Step::Synced);
        blobs.into_iter().try_for_each(SealedBlob::publish)?;
        layers.into_iter().try_for_each(SealedLayer::publish)
    }
}

impl StagedBlob {
    /// Appends the next bytes.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(StoreError::io("write", self.place.what()))?;
        self.len += bytes.len() as u64;
        if self.len - self.started_writeback >= WRITEBACK_EVERY {
            layer_fs::start_writeback(&self.file);
            self.started_writeback = self.len;
        }
        Ok(())
    }

    /// Says what the bytes are. Nobody sees them yet.
    pub fn seal(self, proof: Verified<BlobId>) -> SealedBlob {
        SealedBlob { place: self.place, proof }
    }
}

impl SealedBlob {
    /// The blob.
    pub fn id(&self) -> BlobId {
        self.proof.id()
    }

    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.proof.size()
    }

    /// Opens it to be read.
    ///
    /// # Errors
    ///
    /// When it can't be opened.
    pub fn open(&self) -> Result<File, StoreError> {
        self.place.dir()?.open_file(BLOB).map_err(StoreError::io("open", self.place.what()))
    }

    /// Gives the blob its place, after a sync that covered it.
    fn publish(self) -> Result<(), StoreError> {
        let store = &self.place.store;
        let dir = self.place.dir()?;
        let mut file = dir.open_file(BLOB).map_err(StoreError::io("open", self.place.what()))?;
        store.adopt_blob(&dir, BLOB, &self.proof, &mut file)
    }
}

impl StagedLayer {
    /// Says what the layer is, and of which blob it was unpacked. Nobody sees it yet.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails; then it is removed.
    pub fn seal(self, diff: Verified<DiffId>, record: &LayerRecord) -> Result<SealedLayer, StoreError> {
        self.write_record(diff.id(), record)?;
        let store = self.store();
        let begun = self.begun();
        let place = Place { store, name: self.into_name(), begun, published: false };
        Ok(SealedLayer { place, proof: diff, blob: record.blob })
    }
}

impl SealedLayer {
    /// The layer.
    pub fn id(&self) -> DiffId {
        self.proof.id()
    }

    /// Gives the layer its place, after a sync that covered it, and its blob has one.
    fn publish(mut self) -> Result<(), StoreError> {
        let store = Arc::clone(&self.place.store);
        self.place.published = store.publish_layer(&self.place.name, self.proof.id())?;
        store.facts.set_diff(self.blob, self.proof.id());
        reach(Step::FactKept);
        Ok(())
    }
}

impl Place {
    fn dir(&self) -> Result<Dir, StoreError> {
        self.store.staging.open_dir(self.name.as_str()).map_err(StoreError::io("open", self.what()))
    }

    fn what(&self) -> String {
        format!("staging/{}", self.name)
    }
}
