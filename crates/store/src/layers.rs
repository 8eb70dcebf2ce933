//! Unpacked layers.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use layer_digest::{BlobId, DiffId, Verified};
use layer_fs::Dir;
use layer_fs::failpoint::{Step, reach};

use crate::store::Grave;
use crate::sync::Epoch;
use crate::{Ingest, LayerRecord, Store, StoreError};

const RECORD: &str = "layer.json";
const FILES: &str = "fs";

/// A layer with very many implied folders has a long record; beyond this it is not one that this program wrote.
const MAX_RECORD: u64 = 64 << 20;

/// A layer in the store.
#[derive(Clone, Debug)]
pub struct Layer {
    /// What is known of it.
    pub record: Arc<LayerRecord>,
    /// Its files, in overlay form.
    pub fs: PathBuf,
}

/// Records that have been read. They never change; a layer that is removed is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Records(Mutex<HashMap<DiffId, Arc<LayerRecord>>>);

impl Records {
    /// How many have been read.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// A layer being unpacked, which nobody sees. Dropped without [`StagedLayer::commit`], it is removed.
#[derive(Debug)]
pub struct StagedLayer {
    store: Arc<Store>,
    name: String,
    dir: Dir,
    fs: Dir,
    begun: Epoch,
    committed: bool,
}

impl Store {
    /// The layer of a diffID, if it is in the store. What has the name is whole: it got it when it was. One whose record or folder somebody has
    /// damaged since is as good as missing.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn layer(&self, id: DiffId) -> Result<Option<Layer>, StoreError> {
        let fs = self.path().join(layer_name(id)).join(FILES);
        if let Some(record) = self.records.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
            return Ok(Some(Layer { record: Arc::clone(record), fs }));
        }
        let folder = self.layer_dir(id)?;
        let read = || -> std::io::Result<Vec<u8>> {
            let dir = folder.open_dir(id.0.hex())?;
            dir.open_dir(FILES)?;
            dir.read(RECORD, MAX_RECORD)
        };
        let bytes = match read() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("read", format!("{}/{RECORD}", layer_name(id)))(error)),
        };
        let record = match serde_json::from_slice::<LayerRecord>(&bytes) {
            Ok(record) if record.diff_id == id => Arc::new(record),
            // As good as missing: a pull unpacks the layer anew, in its place.
            _ => {
                tracing::warn!(layer = %id, "the record of a layer is damaged");
                return Ok(None);
            }
        };
        self.records.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::clone(&record));
        Ok(Some(Layer { record, fs }))
    }

    /// Makes room to unpack a layer in.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails.
    pub fn stage_layer(self: &Arc<Self>) -> Result<StagedLayer, StoreError> {
        let begun = self.sync.epoch();
        let make = || -> std::io::Result<StagedLayer> {
            let (name, dir) = self.stage()?;
            reach(Step::Staged);
            let fs = match dir.create_dir(FILES, 0o755) {
                Ok(fs) => fs,
                Err(error) => {
                    // On a full disk the first folder may be the last that fits.
                    let _ = self.clear_staged(&name);
                    return Err(error);
                }
            };
            Ok(StagedLayer { store: Arc::clone(self), name, dir, fs, begun, committed: false })
        };
        make().map_err(StoreError::io("make a folder in", "staging"))
    }

    /// Says that a blob, once decompressed, is the layer of this diffID: somebody has proven it.
    pub fn learn_diff(&self, blob: &Verified<BlobId>, diff: &Verified<DiffId>) {
        self.facts.set_diff(blob.id(), diff.id());
    }

    /// The diffID that a blob is known to decompress to.
    pub fn known_diff(&self, blob: BlobId) -> Option<DiffId> {
        self.facts.diff(blob)
    }

    /// Whether a blob is known to decompress to a layer that is here: by the database, or, since that may have forgotten it, by the record of
    /// the layer, which names the blob that it was unpacked from.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn is_proven(&self, blob: BlobId, diff: DiffId) -> Result<bool, StoreError> {
        if self.known_diff(blob) == Some(diff) {
            return Ok(true);
        }
        Ok(self.layer(diff)?.is_some_and(|layer| layer.record.blob == blob))
    }

    /// The layers in the store.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn layer_ids(&self) -> Result<Vec<DiffId>, StoreError> {
        let mut ids = Vec::new();
        for algorithm in ["sha256", "sha512"] {
            let what = || format!("layers/{algorithm}");
            let dir = self.layers.open_dir(algorithm).map_err(StoreError::io("open", what()))?;
            for (name, _) in dir.entries().map_err(StoreError::io("read", what()))? {
                ids.extend(name.to_str().ok().and_then(|hex| format!("{algorithm}:{hex}").parse::<DiffId>().ok()));
            }
        }
        Ok(ids)
    }

    /// Fills the database anew from the records of the layers, if the start has found it lost or damaged. Until that is done, [`is_proven`](Self::is_proven)
    /// knows all the same, and reads the record it needs. Ends early when the store is dropped meanwhile.
    pub fn refill(store: &Weak<Self>) {
        let Some(ids) = store.upgrade().filter(|store| store.started().is_empty).map(|store| store.layer_ids()) else {
            return;
        };
        let mut learnt = 0;
        for id in ids.unwrap_or_default() {
            // Held for one layer at a time: whoever drops the store waits for nothing.
            let Some(store) = store.upgrade() else { return };
            if let Ok(Some(layer)) = store.layer(id) {
                store.facts.set_diff(layer.record.blob, id);
                learnt += 1;
            }
        }
        tracing::info!(learnt, "filled the database anew from the layers");
    }

    /// Takes a layer out of sight. What it returns is to be cleared.
    pub(crate) fn bury_layer(&self, id: DiffId) -> Result<Option<Grave>, StoreError> {
        self.records.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        let dir = self.layer_dir(id)?;
        self.bury(&dir, &id.0.hex()).map_err(StoreError::io("remove", layer_name(id)))
    }

    fn layer_dir(&self, id: DiffId) -> Result<Dir, StoreError> {
        let name = id.0.algorithm().name();
        self.layers.open_dir(name).map_err(StoreError::io("open", format!("layers/{name}")))
    }
}

impl StagedLayer {
    /// The empty folder to unpack into.
    pub fn root(&self) -> &Dir {
        &self.fs
    }

    /// Where that folder lies.
    pub fn path(&self) -> PathBuf {
        self.store.path().join("staging").join(&self.name).join(FILES)
    }

    /// Publishes the layer, and the blob it came from if that is new: both are durable, and visible, when this returns.
    ///
    /// The proofs are the only way in: `diff` that the tar was the layer's, the blob's that the wire was.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails; then the layer is removed, and the blob's bytes stay where they are.
    pub fn commit(
        mut self,
        diff: &Verified<DiffId>,
        record: &LayerRecord,
        blob: Option<(Ingest, &Verified<BlobId>)>,
    ) -> Result<(), StoreError> {
        let id = diff.id();
        let what = || layer_name(id);
        let json =
            serde_json::to_vec(record).map_err(|error| StoreError::io("write", what())(std::io::Error::from(error)))?;
        reach(Step::Unpacked);
        let begun = blob.as_ref().map_or(self.begun, |(ingest, _)| ingest.begun().min(self.begun));
        let write = || {
            self.dir.write_atomic(RECORD, &json, 0o400)?;
            reach(Step::RecordWritten);
            // One sync covers the files of the layer, its record and the blob: all lie on one file system.
            self.store.sync.sync(&self.store.root, begun)
        };
        write().map_err(StoreError::io("write", what()))?;
        reach(Step::Synced);
        if let Some((ingest, proof)) = blob {
            ingest.publish(proof)?;
        }
        let folder = self.store.layer_dir(id)?;
        let hex = id.0.hex();
        let mut published = self.store.staging.publish(self.name.as_str(), &folder, hex.as_str());
        let is_taken = published.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::AlreadyExists);
        // One that is damaged makes way.
        let old = if is_taken && self.store.layer(id)?.is_none() { self.store.bury_layer(id)? } else { None };
        if old.is_some() {
            published = self.store.staging.publish(self.name.as_str(), &folder, hex.as_str());
        }
        match published {
            Ok(()) => self.committed = true,
            // Somebody else has unpacked the same layer meanwhile: theirs is as good, and ours is removed.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(StoreError::io("publish", what())(error)),
        }
        reach(Step::LayerNamed);
        folder.sync().map_err(StoreError::io("sync", what()))?;
        reach(Step::LayerPublished);
        self.store.facts.set_diff(record.blob, id);
        reach(Step::FactKept);
        if let Some(old) = old {
            self.store.clear_grave(old)?;
        }
        Ok(())
    }
}

impl Drop for StagedLayer {
    fn drop(&mut self) {
        if !self.committed
            && let Err(error) = self.store.clear_staged(&self.name)
        {
            tracing::warn!(%error, name = self.name, "could not clear a staged layer; the next start will");
        }
    }
}

/// A layer's place, relative to the store.
fn layer_name(id: DiffId) -> String {
    format!("layers/{}/{}", id.0.algorithm().name(), id.0.hex())
}
