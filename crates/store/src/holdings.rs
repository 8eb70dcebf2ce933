//! What lies in the store, and what it takes on the disk.
//!
//! Nothing here walks through trees: a layer's size was found out when it was unpacked, and is kept beside it. Only layers of stores that are
//! older than that are measured, each once.

use std::collections::HashMap;

use jiff::Timestamp;
use layer_digest::{BlobId, DiffId, Digest};
use layer_fs::{Dir, FileKind, allocated};

use crate::blobs::blob_name;
use crate::ingest::partial_id;
use crate::{Store, StoreError};

const ALGORITHMS: [&str; 2] = ["sha256", "sha512"];

/// One thing in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The bytes it takes on the disk, as `du` counts them.
    pub bytes: u64,
    /// The bytes of content: the length of a blob, or of all files of a layer.
    pub size: u64,
    /// When it was last written to: for what is whole, when it came in.
    pub modified: Timestamp,
}

/// Everything in the store that belongs to images, or is on its way to.
#[derive(Clone, Debug, Default)]
pub struct Holdings {
    /// Documents and packed layers.
    pub blobs: HashMap<BlobId, Held>,
    /// Unpacked layers.
    pub layers: HashMap<DiffId, Held>,
    /// Blobs that have come in part.
    pub partials: HashMap<BlobId, Held>,
    /// The bytes of the folders that all of it lies in.
    pub folders: u64,
}

impl Holdings {
    /// The bytes on the disk, all in all: what `du` counts for `blobs/`, `layers/` and `ingest/`.
    pub fn bytes(&self) -> u64 {
        let held = self.blobs.values().chain(self.layers.values()).chain(self.partials.values());
        held.map(|held| held.bytes).fold(self.folders, u64::saturating_add)
    }
}

/// The room on the file system of the store, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskRoom {
    /// All of it.
    pub total: u64,
    /// What is free.
    pub free: u64,
}

impl Store {
    /// Everything in the store. What comes or goes meanwhile may or may not be among it.
    ///
    /// # Errors
    ///
    /// When the disk fails. A layer whose record can't be read is passed over.
    pub fn holdings(&self) -> Result<Holdings, StoreError> {
        let mut holdings = Holdings::default();
        let mut folder = |dir: &Dir, name: &str| -> Result<(), StoreError> {
            let stat = rustix::fs::fstat(dir).map_err(StoreError::io("look up", name))?;
            holdings.folders = holdings.folders.saturating_add(allocated(&stat));
            Ok(())
        };
        for (dir, name) in [(&self.blobs, "blobs"), (&self.layers, "layers"), (&self.ingest, "ingest")] {
            folder(dir, name)?;
        }
        let mut digests = Vec::new();
        for (kind, parent) in [("blobs", &self.blobs), ("layers", &self.layers)] {
            for algorithm in ALGORITHMS {
                let what = || format!("{kind}/{algorithm}");
                let dir = parent.open_dir(algorithm).map_err(StoreError::io("open", what()))?;
                folder(&dir, kind)?;
                for (name, _) in dir.entries().map_err(StoreError::io("read", what()))? {
                    let digest = name.to_str().ok().and_then(|hex| format!("{algorithm}:{hex}").parse().ok());
                    digests.extend(digest.map(|digest: Digest| (kind, digest)));
                }
            }
        }
        for (kind, digest) in digests {
            if kind == "blobs" {
                holdings.blobs.extend(self.held_blob(BlobId(digest))?.map(|held| (BlobId(digest), held)));
            } else {
                match self.held_layer(DiffId(digest)) {
                    Ok(held) => holdings.layers.extend(held.map(|held| (DiffId(digest), held))),
                    // It takes room that can't be told, and is no reason to tell nothing.
                    Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "passed over a layer"),
                }
            }
        }
        for (name, _) in self.ingest.entries().map_err(StoreError::io("read", "ingest"))? {
            let Some(id) = name.to_str().ok().and_then(partial_id) else { continue };
            let stat = self.ingest.stat(name.as_c_str()).map_err(StoreError::io("look up", "ingest"))?;
            holdings.partials.extend(stat.map(|stat| (id, held_file(&stat))));
        }
        Ok(holdings)
    }

    /// The room on the file system of the store.
    ///
    /// # Errors
    ///
    /// When the kernel can't tell.
    pub fn disk_room(&self) -> Result<DiskRoom, StoreError> {
        let stat = rustix::fs::fstatvfs(&self.root).map_err(StoreError::io("ask for the room of", "/"))?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(DiskRoom { total: bytes(stat.f_blocks), free: bytes(stat.f_bfree) })
    }

    pub(crate) fn held_blob(&self, id: BlobId) -> Result<Option<Held>, StoreError> {
        let stat =
            self.blob_dir(id.0)?.stat(id.0.hex().as_str()).map_err(StoreError::io("look up", blob_name(id.0)))?;
        Ok(stat.filter(|stat| FileKind::of(stat) == FileKind::File).map(|stat| held_file(&stat)))
    }

    pub(crate) fn held_layer(&self, id: DiffId) -> Result<Option<Held>, StoreError> {
        let Some(size) = self.layer_size(id)? else { return Ok(None) };
        let Some(disk) = self.layer_disk(id)? else { return Ok(None) };
        Ok(Some(Held { bytes: disk.bytes, size, modified: disk.modified }))
    }
}

fn held_file(stat: &rustix::fs::Stat) -> Held {
    Held { bytes: allocated(stat), size: stat.st_size.cast_unsigned(), modified: modified(stat) }
}

/// When a file was last written to. A time beyond all calendars counts as the beginning of 1970.
pub(crate) fn modified(stat: &rustix::fs::Stat) -> Timestamp {
    Timestamp::from_second(stat.st_mtime).unwrap_or(Timestamp::UNIX_EPOCH)
}
