//! Unpacked layers.

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use layer_digest::{Algorithm, BlobId, DiffId, Digest, Hasher, Verified};
use layer_fs::Dir;

use crate::store::Grave;
use crate::{Ingest, LayerRecord, Store, StoreError};

pub(crate) const RECORD: &str = "layer.json";
pub(crate) const FILES: &str = "fs";
pub(crate) const LIST: &str = "tree";
/// The digests of the two files above, in the form of `sha256sum`.
pub(crate) const SUMS: &str = "SHA256SUMS";

/// A layer with very many implied folders has a long record; beyond this it is not one that this program wrote.
pub(crate) const MAX_RECORD: u64 = 64 << 20;

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
pub(crate) struct Records(pub(crate) Mutex<HashMap<DiffId, Arc<LayerRecord>>>);

/// A layer being unpacked, which nobody sees. Dropped without [`StagedLayer::commit`], it is removed.
#[derive(Debug)]
pub struct StagedLayer {
    store: Arc<Store>,
    name: String,
    dir: Dir,
    fs: Dir,
    /// The digest of the list of its files, once that is written.
    list: Option<Digest>,
    committed: bool,
}

impl Store {
    /// The layer of a diffID, if it is in the store. What has the name is whole: it got it when it was.
    ///
    /// # Errors
    ///
    /// When its record can't be read.
    pub fn layer(&self, id: DiffId) -> Result<Option<Layer>, StoreError> {
        let fs = self.path().join(layer_name(id)).join(FILES);
        if let Some(record) = self.records.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
            return Ok(Some(Layer { record: Arc::clone(record), fs }));
        }
        let folder = self.layer_dir(id)?;
        let bytes = match folder.open_dir(id.0.hex()).and_then(|dir| dir.read(RECORD, MAX_RECORD)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("read", format!("{}/{RECORD}", layer_name(id)))(error)),
        };
        let record: LayerRecord = serde_json::from_slice(&bytes).map_err(|error| {
            StoreError::io("read", format!("{}/{RECORD}", layer_name(id)))(std::io::Error::from(error))
        })?;
        let record = Arc::new(record);
        self.records.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::clone(&record));
        Ok(Some(Layer { record, fs }))
    }

    /// Makes room to unpack a layer in.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails.
    pub fn stage_layer(self: &Arc<Self>) -> Result<StagedLayer, StoreError> {
        let make = || -> std::io::Result<StagedLayer> {
            let (name, dir) = self.stage()?;
            let fs = dir.create_dir(FILES, 0o755)?;
            Ok(StagedLayer { store: Arc::clone(self), name, dir, fs, list: None, committed: false })
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

    /// Fills the facts anew from the records of the layers.
    pub(crate) fn rebuild_facts(&self) {
        let ids = self.layer_ids().unwrap_or_default();
        let mut learnt = 0;
        for id in ids {
            if let Ok(Some(layer)) = self.layer(id) {
                self.facts.set_diff(layer.record.blob, id);
                learnt += 1;
            }
        }
        tracing::info!(learnt, "rebuilt the facts from the layers");
    }

    /// Takes a layer out of sight. What it returns is to be cleared.
    pub(crate) fn bury_layer(&self, id: DiffId) -> Result<Option<Grave>, StoreError> {
        self.records.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        let dir = self.layer_dir(id)?;
        self.bury(&dir, &id.0.hex()).map_err(StoreError::io("remove", layer_name(id)))
    }

    pub(crate) fn layer_dir(&self, id: DiffId) -> Result<Dir, StoreError> {
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

    /// The staged folder itself, in which the files' folder lies.
    pub(crate) fn folder(&self) -> &Dir {
        &self.dir
    }

    pub(crate) fn list_digest(&self) -> Option<Digest> {
        self.list
    }

    /// Opens the list of the layer's files, once it is kept.
    ///
    /// # Errors
    ///
    /// When it can't be opened.
    pub fn open_list(&self) -> Result<std::fs::File, StoreError> {
        self.dir.open_file(LIST).map_err(StoreError::io("open", format!("staging/{}/{LIST}", self.name)))
    }

    /// Keeps the list of the layer's files, as `write` writes it, once they are all there.
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn list(&mut self, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<(), StoreError> {
        let make = || -> std::io::Result<Digest> {
            let file = self.dir.open_or_create(LIST, 0o400)?;
            file.set_len(0)?;
            let mut out = Summed { out: std::io::BufWriter::new(file), hasher: Hasher::new(Algorithm::Sha256) };
            write(&mut out)?;
            out.out.flush()?;
            Ok(out.hasher.finish())
        };
        self.list = Some(make().map_err(StoreError::io("write", format!("staging/{}/{LIST}", self.name)))?);
        Ok(())
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
        let write = || {
            self.dir.write_atomic(RECORD, &json, 0o400)?;
            if let Some(list) = self.list {
                self.dir.write_atomic(SUMS, sums(&json, list).as_bytes(), 0o400)?;
            }
            // One sync covers the files of the layer, its record and the blob: all lie on one file system.
            self.store.sync.sync(&self.store.root)
        };
        write().map_err(StoreError::io("write", what()))?;
        if let Some((ingest, proof)) = blob {
            ingest.publish(proof)?;
        }
        let folder = self.store.layer_dir(id)?;
        match self.store.staging.publish(self.name.as_str(), &folder, id.0.hex().as_str()) {
            Ok(()) => self.committed = true,
            // Somebody else has unpacked the same layer meanwhile: theirs is as good, and ours is removed. Or what is there is damaged: then ours
            // takes its place, and that is removed.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                self.store.replace_damaged(id, &self.name, &folder)?;
            }
            Err(error) => return Err(StoreError::io("publish", what())(error)),
        }
        folder.sync().map_err(StoreError::io("sync", what()))?;
        self.store.facts.set_diff(record.blob, id);
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

/// Bytes on their way to a file, hashed as they pass.
struct Summed<W> {
    out: W,
    hasher: Hasher,
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let len = self.out.write(bytes)?;
        self.hasher.update(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// What `SHA256SUMS` holds of a layer with this record and this list.
pub(crate) fn sums(record: &[u8], list: Digest) -> String {
    format!("{}  {RECORD}\n{}  {LIST}\n", Digest::sha256(record).hex(), list.hex())
}

/// A layer's place, relative to the store.
pub(crate) fn layer_name(id: DiffId) -> String {
    format!("layers/{}/{}", id.0.algorithm().name(), id.0.hex())
}
