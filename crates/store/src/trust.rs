//! What was found to be damaged, and how it is replaced.
//!
//! A blob or a layer that was proven to be damaged loses all its permission bits. It stays where it is, so that what can still be read of it can be,
//! and counts as missing for whoever asks whether it is there: the next pull brings it anew, in its place. The mark outlives the daemon, and goes
//! away with what it is on.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::sync::{Arc, PoisonError};

use layer_digest::{Algorithm, BlobId, DiffId, Hasher};
use layer_fs::Dir;
use rustix::fs::{AtFlags, Mode, RenameFlags};

use crate::blobs::blob_name;
use crate::form::{FOLDER, IMAGE, LayerFiles};
use crate::layers::{LIST, MAX_RECORD, RECORD, SUMS, layer_name, sums};
use crate::{LayerRecord, Store, StoreError};

const DAMAGED: u32 = 0;
const BLOB: u32 = 0o400;
const LAYER: u32 = 0o700;

/// How much is hashed at a time.
const READ: usize = 128 << 10;

/// The layers whose files something shows, and how often.
pub(crate) type Used = HashMap<DiffId, usize>;

/// Keeps a layer's files where they are until it is dropped: a mount shows them.
#[derive(Debug)]
pub struct InUse {
    store: Arc<Store>,
    layer: DiffId,
}

/// What a layer can be held against.
#[derive(Debug)]
pub enum LayerList {
    /// The list of the files in its folder, which is whole.
    Whole(File),
    /// It has none: it was unpacked before there were lists.
    None,
    /// The record of its image, which is whole.
    Image(Box<LayerRecord>),
    /// The list, or the record of the layer, is damaged or gone.
    Damaged(&'static str),
}

impl Store {
    /// Marks a blob as damaged. It's no error when there is none.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn distrust_blob(&self, id: BlobId) -> Result<(), StoreError> {
        self.set_blob_mode(id, DAMAGED)
    }

    /// Takes the mark off a blob, which was found to be whole after all.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn trust_blob(&self, id: BlobId) -> Result<(), StoreError> {
        if self.trusts_blob(id)? { Ok(()) } else { self.set_blob_mode(id, BLOB) }
    }

    /// Whether nobody has marked this blob as damaged.
    pub(crate) fn trusts_blob(&self, id: BlobId) -> Result<bool, StoreError> {
        let stat = self.blob_dir(id.0)?.stat(id.0.hex()).map_err(StoreError::io("look up", blob_name(id.0)))?;
        Ok(stat.is_none_or(|stat| stat.st_mode & 0o777 != DAMAGED))
    }

    /// Marks a layer as damaged. It's no error when there is none.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn distrust_layer(&self, id: DiffId) -> Result<(), StoreError> {
        // What was read of it before it was damaged must not speak for it.
        self.records.forget(id);
        set_mode(&self.layer_dir(id)?, &id.0.hex(), DAMAGED).map_err(StoreError::io("mark", layer_name(id)))
    }

    /// Takes the mark off a layer, which was found to be whole after all.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn trust_layer(&self, id: DiffId) -> Result<(), StoreError> {
        set_mode(&self.layer_dir(id)?, &id.0.hex(), LAYER).map_err(StoreError::io("unmark", layer_name(id)))
    }

    /// Whether a layer is in the store, and nobody has found it damaged.
    ///
    /// # Errors
    ///
    /// When its record can't be read.
    pub fn has_layer(&self, id: DiffId) -> Result<bool, StoreError> {
        let stat = self.layer_dir(id)?.stat(id.0.hex()).map_err(StoreError::io("look up", layer_name(id)))?;
        let is_there = stat.is_some_and(|stat| stat.st_mode & 0o777 != DAMAGED);
        Ok(is_there && self.layer(id)?.is_some())
    }

    /// Says that something shows a layer's files. Say it first, and then look whether the layer is there.
    pub fn use_layer(self: &Arc<Self>, id: DiffId) -> InUse {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default() += 1;
        InUse { store: Arc::clone(self), layer: id }
    }

    /// Whether something shows a layer's files.
    pub fn is_layer_used(&self, id: DiffId) -> bool {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&id)
    }

    /// The files of a layer; `None` when there is no such layer.
    ///
    /// # Errors
    ///
    /// When they can't be opened.
    pub fn layer_files(&self, id: DiffId) -> Result<Option<LayerFiles>, StoreError> {
        let open = || -> std::io::Result<Option<LayerFiles>> {
            let Some(dir) = found(self.layer_dir(id).map_err(std::io::Error::other)?.open_dir(id.0.hex()))? else {
                return Ok(None);
            };
            if let Some(folder) = found(dir.open_dir(FOLDER))? {
                return Ok(Some(LayerFiles::Folder(folder)));
            }
            Ok(found(dir.open_file(IMAGE))?.map(LayerFiles::Image))
        };
        open().map_err(StoreError::io("open the files of", layer_name(id)))
    }

    /// What a layer can be held against, proven by its sums as far as it has any.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn layer_list(&self, id: DiffId) -> Result<LayerList, StoreError> {
        let read = || -> std::io::Result<LayerList> {
            let dir = self.layer_dir(id).map_err(std::io::Error::other)?.open_dir(id.0.hex())?;
            let Some(record) = found(dir.read(RECORD, MAX_RECORD))? else {
                return Ok(LayerList::Damaged("its record `layer.json` is missing"));
            };
            let known = serde_json::from_slice::<LayerRecord>(&record).ok();
            if known.as_ref().is_some_and(|known| known.diff_id != id) {
                return Ok(LayerList::Damaged("its record `layer.json` is that of another layer"));
            }
            let list = found(dir.open_file(LIST))?;
            let wanted = found(dir.read(SUMS, 1 << 10))?;
            if let (Some(known), None) = (known.filter(|known| known.image.is_some()), &list) {
                let is_whole = wanted.is_some_and(|wanted| sums(&record, None).as_bytes() == wanted);
                return Ok(if is_whole {
                    LayerList::Image(Box::new(known))
                } else {
                    LayerList::Damaged("its record `layer.json` or the sum of it is damaged")
                });
            }
            let (mut list, wanted) = match (list, wanted) {
                (Some(list), Some(wanted)) => (list, wanted),
                // A list without sums is one that was being given to it when the daemon was stopped.
                (_, None) if serde_json::from_slice::<LayerRecord>(&record).is_ok() => return Ok(LayerList::None),
                (_, None) => return Ok(LayerList::Damaged("its record `layer.json` is damaged")),
                (None, Some(_)) => {
                    return Ok(LayerList::Damaged(
                        "its record `layer.json` is damaged, or the list of its files is missing",
                    ));
                }
            };
            let mut hasher = Hasher::new(Algorithm::Sha256);
            let mut buffer = vec![0; READ];
            loop {
                match list.read(&mut buffer)? {
                    0 => break,
                    len => hasher.update(&buffer[..len]),
                }
            }
            if sums(&record, Some(hasher.finish())).as_bytes() != wanted {
                return Ok(LayerList::Damaged("its record `layer.json` or the list of its files is damaged"));
            }
            list.rewind()?;
            Ok(LayerList::Whole(list))
        };
        read().map_err(StoreError::io("read", layer_name(id)))
    }

    /// Gives a layer that has none the list of `staged`, which holds the same layer and has been found to look the same. It is durable when this
    /// returns.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails.
    pub fn adopt_list(&self, id: DiffId, staged: &crate::StagedLayer) -> Result<(), StoreError> {
        let adopt = || -> std::io::Result<()> {
            let Some(digest) = staged.list_digest() else { return Ok(()) };
            let dir = self.layer_dir(id).map_err(std::io::Error::other)?.open_dir(id.0.hex())?;
            let record = dir.read(RECORD, MAX_RECORD)?;
            self.sync.sync(&self.root, staged.begun())?;
            rustix::fs::renameat(staged.folder(), LIST, &dir, LIST)?;
            dir.write_atomic(SUMS, sums(&record, Some(digest)).as_bytes(), BLOB)
        };
        adopt().map_err(StoreError::io("write", format!("{}/{LIST}", layer_name(id))))
    }

    /// Puts a staged layer in the place of the one that is there, if that is marked as damaged or has lost its record; the damaged one has the staged
    /// one's name then.
    pub(crate) fn replace_damaged(&self, id: DiffId, staged: &str, folder: &Dir) -> Result<(), StoreError> {
        // Held to the end: nobody can begin to show the files meanwhile.
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let hex = id.0.hex();
        if self.has_layer(id)? {
            return Ok(());
        }
        if used.contains_key(&id) {
            return Err(StoreError::InUse(id));
        }
        rustix::fs::renameat_with(&self.staging, staged, folder, hex.as_str(), RenameFlags::EXCHANGE)
            .map_err(StoreError::io("replace", layer_name(id)))?;
        self.records.forget(id);
        tracing::info!(layer = %id, "replaced a damaged layer");
        Ok(())
    }

    fn set_blob_mode(&self, id: BlobId, mode: u32) -> Result<(), StoreError> {
        set_mode(&self.blob_dir(id.0)?, &id.0.hex(), mode).map_err(StoreError::io("set the mode of", blob_name(id.0)))
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut used = self.store.used.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = used.get_mut(&self.layer) {
            *count -= 1;
            if *count == 0 {
                used.remove(&self.layer);
            }
        }
    }
}

/// Sets the mode of a name, durably. Names of the store are never links.
fn set_mode(dir: &Dir, name: &str, mode: u32) -> std::io::Result<()> {
    match rustix::fs::chmodat(dir, name, Mode::from_raw_mode(mode), AtFlags::empty()) {
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        changed => changed?,
    }
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    Ok(rustix::fs::fsync(file)?)
}

fn found<T>(result: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
