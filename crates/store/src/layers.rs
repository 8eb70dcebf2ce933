//! Unpacked layers.

use std::io::Write;
use std::sync::{Arc, Weak};

use jiff::Timestamp;
use layer_digest::{Algorithm, BlobId, DiffId, Digest, Hasher, Verified};
use layer_fs::failpoint::{Step, reach};
use layer_fs::{Dir, FileKind, allocated, tree_allocated};
use serde::{Deserialize, Serialize};

use crate::form::{FOLDER, Form, IMAGE, LayerFiles, LayerPath};
use crate::kept::Kept;
use crate::store::Grave;
use crate::sync::{Epoch, Pace};
use crate::{Ingest, LayerRecord, Store, StoreError};

pub(crate) const RECORD: &str = "layer.json";
pub(crate) const LIST: &str = "tree";
/// The digests of the two files above, or of the record alone where there is no list, in the form of `sha256sum`.
pub(crate) const SUMS: &str = "SHA256SUMS";

/// A layer with very many implied folders has a long record; beyond this it is not one that this program wrote.
pub(crate) const MAX_RECORD: u64 = 64 << 20;

/// A layer in the store.
#[derive(Clone, Debug)]
pub struct Layer {
    /// What is known of it.
    pub record: Arc<LayerRecord>,
    /// Where its files are, in overlay form.
    pub files: LayerPath,
}

/// The room for records that were read.
const ROOM: usize = 16 << 20;
/// How many layers that is kept of which is of one size for all.
const MOST: usize = 100_000;

/// Records that have been read. They never change; a layer that is removed is forgotten.
#[derive(Debug)]
pub(crate) struct Records {
    layers: Kept<DiffId, LayerRecord>,
    briefs: Kept<DiffId, Brief>,
    disk: Kept<DiffId, LayerDisk>,
}

impl Default for Records {
    fn default() -> Self {
        Self { layers: Kept::new(ROOM), briefs: Kept::new(MOST), disk: Kept::new(MOST) }
    }
}

/// What lists need of a record, which can be long itself.
#[derive(Debug)]
struct Brief {
    blob: BlobId,
    size: u64,
}

impl Records {
    /// Forgets what was read of a layer, which is no longer there or another one now.
    pub(crate) fn forget(&self, id: DiffId) {
        self.layers.forget(id);
        self.briefs.forget(id);
        self.disk.forget(id);
    }
}

/// What a layer takes on the disk.
#[derive(Debug)]
pub(crate) struct LayerDisk {
    /// The bytes of its folder with all in it, as `du` counts them, but for what a file system needs to find the pieces of files that it has torn
    /// apart in a folder: it knows that later than we ask.
    pub(crate) bytes: u64,
    /// When it was unpacked.
    pub(crate) modified: Timestamp,
}

/// `layer.json`: the record, and what the store found out itself.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    #[serde(flatten)]
    record: &'a LayerRecord,
    /// The bytes that the files of a folder take on the disk. An image is one file, which can be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    allocated: Option<u64>,
}

/// What of that other calls need than those who want the record.
#[derive(Deserialize)]
struct Measured {
    /// Older stores have not written it down for folders either.
    #[serde(default)]
    allocated: Option<u64>,
}

impl Records {
    /// How many have been read and are kept.
    pub(crate) fn len(&self) -> usize {
        self.layers.len()
    }
}

/// A layer being unpacked, which nobody sees. Dropped without [`StagedLayer::commit`], it is removed.
#[derive(Debug)]
pub struct StagedLayer {
    store: Arc<Store>,
    name: String,
    dir: Dir,
    files: LayerFiles,
    /// The digest of the list of its files, once that is written.
    list: Option<Digest>,
    /// The bytes that the files take on the disk, once that is known.
    allocated: Option<u64>,
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
        let read = || {
            let read = self.read_record::<LayerRecord>(id)?.filter(|(record, _)| record.diff_id == id);
            let Some((record, length)) = read else { return Ok(None) };
            if !self.has_files(&record)? {
                // As good as missing, too.
                tracing::warn!(layer = %id, "the files of a layer are missing or damaged");
                return Ok(None);
            }
            Ok(Some((record, length + size_of::<LayerRecord>())))
        };
        let record = self.records.layers.find(id, read)?;
        Ok(record.map(|record| {
            let folder = self.path().join(layer_name(id));
            let files = match record.image {
                None => LayerPath::Folder(folder.join(FOLDER)),
                Some(_) => LayerPath::Image(folder.join(IMAGE)),
            };
            Layer { record, files }
        }))
    }

    /// Whether the files of a layer are there in the form that its record speaks of, and an image has its length.
    fn has_files(&self, record: &LayerRecord) -> Result<bool, StoreError> {
        let id = record.diff_id;
        let name = if record.image.is_some() { IMAGE } else { FOLDER };
        let look = || self.layer_dir(id).map_err(std::io::Error::other)?.open_dir(id.0.hex())?.stat(name);
        let stat = match look() {
            // Somebody has removed it meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            stat => stat.map_err(StoreError::io("look up", format!("{}/{name}", layer_name(id))))?,
        };
        Ok(stat.is_some_and(|stat| match &record.image {
            Some(image) => FileKind::of(&stat) == FileKind::File && u64::try_from(stat.st_size) == Ok(image.size),
            None => FileKind::of(&stat) == FileKind::Folder,
        }))
    }

    /// The bytes of content in the files of a layer, if it is in the store.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn layer_size(&self, id: DiffId) -> Result<Option<u64>, StoreError> {
        Ok(self.brief(id)?.map(|brief| brief.size))
    }

    fn brief(&self, id: DiffId) -> Result<Option<Arc<Brief>>, StoreError> {
        let of = |layer: Layer| (Brief { blob: layer.record.blob, size: layer.record.size }, 1);
        self.records.briefs.find(id, || Ok(self.layer(id)?.map(of)))
    }

    /// What a layer takes on the disk, by what was written down when it was unpacked.
    pub(crate) fn layer_disk(&self, id: DiffId) -> Result<Option<Arc<LayerDisk>>, StoreError> {
        self.records.disk.find(id, || Ok(self.measure_layer(id)?.map(|disk| (disk, 1))))
    }

    fn measure_layer(&self, id: DiffId) -> Result<Option<LayerDisk>, StoreError> {
        let Some((measured, _)) = self.read_record::<Measured>(id)? else { return Ok(None) };
        let measure = || -> std::io::Result<LayerDisk> {
            let folder = self.layers.open_dir(id.0.algorithm().name())?.open_dir(id.0.hex())?;
            let files = match folder.stat(IMAGE)? {
                Some(stat) => allocated(&stat),
                None => match measured.allocated.or_else(|| self.facts.layer_bytes(id)) {
                    Some(files) => files,
                    None => {
                        let files = tree_allocated(&folder.open_dir(FOLDER)?)?;
                        self.facts.set_layer_bytes(id, files);
                        files
                    }
                },
            };
            let own = rustix::fs::fstat(&folder)?;
            let mut bytes = files + allocated(&own);
            for name in [RECORD, LIST, SUMS] {
                bytes += folder.stat(name)?.as_ref().map_or(0, allocated);
            }
            Ok(LayerDisk { bytes, modified: crate::holdings::modified(&own) })
        };
        match measure() {
            Ok(disk) => Ok(Some(disk)),
            // Somebody has removed it meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("measure", layer_name(id))(error)),
        }
    }

    /// Reads what is written of a layer, and says how long that is; `None` when there is none.
    fn read_record<T: serde::de::DeserializeOwned>(&self, id: DiffId) -> Result<Option<(T, usize)>, StoreError> {
        let what = || format!("{}/{RECORD}", layer_name(id));
        let folder = self.layer_dir(id)?;
        let read = || -> std::io::Result<Vec<u8>> {
            let dir = folder.open_dir(id.0.hex())?;
            if dir.stat(FOLDER)?.is_none() && dir.stat(IMAGE)?.is_none() {
                return Err(std::io::ErrorKind::NotFound.into());
            }
            dir.read(RECORD, MAX_RECORD)
        };
        let bytes = match read() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("read", what())(error)),
        };
        let record = serde_json::from_slice(&bytes);
        if record.is_err() {
            // As good as missing: a pull unpacks the layer anew, in its place.
            tracing::warn!(layer = %id, "the record of a layer is damaged");
        }
        Ok(record.ok().map(|record| (record, bytes.len())))
    }

    /// Makes room to unpack a layer in, in the form that this store gives its layers.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails.
    pub fn stage_layer(self: &Arc<Self>) -> Result<StagedLayer, StoreError> {
        self.stage_layer_as(self.form())
    }

    /// Makes room to unpack a layer in, in this form.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails.
    pub fn stage_layer_as(self: &Arc<Self>, form: Form) -> Result<StagedLayer, StoreError> {
        let begun = self.sync.epoch();
        let make = || -> std::io::Result<StagedLayer> {
            let (name, dir) = self.stage()?;
            reach(Step::Staged);
            let made = match form {
                Form::Folder => dir.create_dir(FOLDER, 0o755).map(LayerFiles::Folder),
                Form::Image => dir.open_or_create(IMAGE, 0o400).map(LayerFiles::Image),
            };
            let files = match made {
                Ok(files) => files,
                Err(error) => {
                    // On a full disk the first folder may be all that fits.
                    let _ = self.clear_staged(&name);
                    return Err(error);
                }
            };
            Ok(StagedLayer {
                store: Arc::clone(self),
                name,
                dir,
                files,
                list: None,
                allocated: None,
                begun,
                committed: false,
            })
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
        Ok(self.brief(diff)?.is_some_and(|brief| brief.blob == blob))
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
            if let Ok(Some(brief)) = store.brief(id) {
                store.facts.set_diff(brief.blob, id);
                learnt += 1;
            }
        }
        tracing::info!(learnt, "filled the database anew from the layers");
    }

    /// Takes a layer out of sight. What it returns is to be cleared.
    pub(crate) fn bury_layer(&self, id: DiffId) -> Result<Option<Grave>, StoreError> {
        self.records.forget(id);
        self.facts.forget_layer(id);
        let dir = self.layer_dir(id)?;
        let grave = self.bury(&dir, &id.0.hex()).map_err(StoreError::io("remove", layer_name(id)))?;
        // Somebody who lists may have read it once more meanwhile.
        self.records.forget(id);
        reach(Step::LayerBuried);
        Ok(grave)
    }

    /// Gives a folder of `staging/`, after a sync that covered it, its place among the layers. Says whether it is there now: if somebody else has
    /// unpacked the same layer meanwhile, theirs is as good, and there is still something to be cleared where ours was.
    pub(crate) fn publish_layer(&self, staged: &str, id: DiffId) -> Result<bool, StoreError> {
        let what = || layer_name(id);
        let folder = self.layer_dir(id)?;
        let published = match self.staging.publish(staged, &folder, id.0.hex().as_str()) {
            Ok(()) => true,
            // What is there may be damaged: then ours takes its place, and that is left where ours was.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                self.replace_damaged(id, staged, &folder)?;
                false
            }
            Err(error) => return Err(StoreError::io("publish", what())(error)),
        };
        reach(Step::LayerNamed);
        folder.sync().map_err(StoreError::io("sync", what()))?;
        reach(Step::LayerPublished);
        Ok(published)
    }

    pub(crate) fn layer_dir(&self, id: DiffId) -> Result<Dir, StoreError> {
        let name = id.0.algorithm().name();
        self.layers.open_dir(name).map_err(StoreError::io("open", format!("layers/{name}")))
    }
}

impl StagedLayer {
    /// The empty folder to unpack into, or the empty file.
    pub fn files(&self) -> &LayerFiles {
        &self.files
    }

    /// What is to hear how much is written while the layer is unpacked.
    pub fn pace(&self) -> Pace {
        Pace::new(&self.store.ahead)
    }

    /// The staged folder itself, in which the files' folder lies.
    pub(crate) fn folder(&self) -> &Dir {
        &self.dir
    }

    /// When it was begun.
    pub(crate) fn begun(&self) -> Epoch {
        self.begun
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

    /// Keeps the list of the layer's files, as `write` writes it, once they are all there. `write` says how many bytes they take on the disk, if
    /// it has found that out.
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn list(
        &mut self,
        write: impl FnOnce(&mut dyn Write) -> std::io::Result<Option<u64>>,
    ) -> Result<(), StoreError> {
        let make = || -> std::io::Result<(Digest, Option<u64>)> {
            let file = self.dir.open_or_create(LIST, 0o400)?;
            file.set_len(0)?;
            let mut out = Summed { out: std::io::BufWriter::new(file), hasher: Hasher::new(Algorithm::Sha256) };
            let allocated = write(&mut out)?;
            out.out.flush()?;
            Ok((out.hasher.finish(), allocated))
        };
        let (digest, allocated) = make().map_err(StoreError::io("write", format!("staging/{}/{LIST}", self.name)))?;
        (self.list, self.allocated) = (Some(digest), allocated);
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
        reach(Step::Unpacked);
        self.write_record(id, record)?;
        reach(Step::RecordWritten);
        let begun = blob.as_ref().map_or(self.begun, |(ingest, _)| ingest.begun().min(self.begun));
        // One sync covers the files of the layer, what is known of them, and the blob: all lie on one file system.
        self.store.sync.sync(&self.store.root, begun).map_err(StoreError::io("write", what()))?;
        reach(Step::Synced);
        if let Some((ingest, proof)) = blob {
            ingest.publish(proof)?;
        }
        self.committed = self.store.publish_layer(&self.name, id)?;
        self.store.facts.set_diff(record.blob, id);
        reach(Step::FactKept);
        Ok(())
    }

    /// Writes what is known of the layer beside its files. Those of a folder have their blocks already, written or not, since the kernel counts those
    /// that it has promised.
    pub(crate) fn write_record(&self, id: DiffId, record: &LayerRecord) -> Result<(), StoreError> {
        let allocated = match (&self.files, self.allocated) {
            (LayerFiles::Folder(folder), None) => Some(tree_allocated(folder)),
            (LayerFiles::Folder(_), known) => known.map(Ok),
            (LayerFiles::Image(_), _) => None,
        };
        let allocated = allocated.transpose().map_err(StoreError::io("measure", layer_name(id)))?;
        let write = || -> std::io::Result<()> {
            let json = serde_json::to_vec(&Written { record, allocated })?;
            self.dir.write_unseen(RECORD, &json, 0o400)?;
            // An image is proven by what its record says.
            if self.list.is_some() || record.image.is_some() {
                self.dir.write_unseen(SUMS, sums(&json, self.list).as_bytes(), 0o400)?;
            }
            Ok(())
        };
        write().map_err(StoreError::io("write", layer_name(id)))
    }

    pub(crate) fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    /// The name of its folder in `staging/`, which is the caller's to clear from here on.
    pub(crate) fn into_name(mut self) -> String {
        self.committed = true;
        std::mem::take(&mut self.name)
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

/// What `SHA256SUMS` holds of a layer with this record, and this list if it has one.
pub(crate) fn sums(record: &[u8], list: Option<Digest>) -> String {
    let list = list.map_or_else(String::new, |list| format!("{}  {LIST}\n", list.hex()));
    format!("{}  {RECORD}\n{list}", Digest::sha256(record).hex())
}

/// A layer's place, relative to the store.
pub(crate) fn layer_name(id: DiffId) -> String {
    format!("layers/{}/{}", id.0.algorithm().name(), id.0.hex())
}
