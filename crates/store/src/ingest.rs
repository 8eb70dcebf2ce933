//! Blobs on their way in.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::sync::Arc;

use layer_digest::{BlobId, Digest, Verified};
use layer_fs::Dir;
use layer_fs::failpoint::{Step, reach};

use crate::sync::Epoch;
use crate::{Store, StoreError};

/// From one such stretch to the next the kernel is asked to begin writing.
pub(crate) const WRITEBACK_EVERY: u64 = 8 << 20;

/// The bytes of a blob that have come so far. Dropping it keeps them, for the next attempt to go on from.
///
/// There must be one at a time for each blob; whoever leads the blob's transfer has it.
#[derive(Debug)]
pub struct Ingest {
    store: Arc<Store>,
    id: BlobId,
    file: File,
    len: u64,
    started_writeback: u64,
    begun: Epoch,
}

impl Store {
    /// Opens the partial file of a blob, with what an earlier attempt left in it. Those bytes have yet to be proven.
    ///
    /// # Errors
    ///
    /// When it can't be opened.
    pub fn ingest(self: &Arc<Self>, id: BlobId) -> Result<Ingest, StoreError> {
        let begun = self.sync.epoch();
        let open = || -> std::io::Result<(File, u64)> {
            let mut file = self.ingest.open_or_create(&part_name(id.0), 0o600)?;
            // What a failed sync may have lost is read from memory as if nothing had happened.
            if !begun.is_first() {
                file.set_len(0)?;
            }
            let len = file.seek(SeekFrom::End(0))?;
            Ok((file, len))
        };
        let (file, len) = open().map_err(StoreError::io("open", ingest_name(id.0)))?;
        reach(Step::IngestOpened);
        Ok(Ingest { store: Arc::clone(self), id, file, len, started_writeback: len, begun })
    }

    /// How many bytes of a blob an earlier attempt has left.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn partial_size(&self, id: BlobId) -> Result<u64, StoreError> {
        let stat = self.ingest.stat(part_name(id.0).as_str()).map_err(StoreError::io("look up", ingest_name(id.0)))?;
        Ok(stat.map_or(0, |stat| stat.st_size.cast_unsigned()))
    }
}

impl Store {
    /// Throws away what has come of a blob. Nobody may have it open.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn discard_partial(&self, id: BlobId) -> Result<(), StoreError> {
        self.ingest.remove_file(part_name(id.0).as_str()).map_err(StoreError::io("remove", ingest_name(id.0)))
    }
}

impl Ingest {
    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A second handle, that reads from the beginning.
    ///
    /// # Errors
    ///
    /// When it can't be opened.
    pub fn reread(&self) -> Result<File, StoreError> {
        self.store
            .ingest
            .open_file(part_name(self.id.0).as_str())
            .map_err(StoreError::io("open", ingest_name(self.id.0)))
    }

    /// Appends the next bytes.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(StoreError::io("write", ingest_name(self.id.0)))?;
        self.len += bytes.len() as u64;
        reach(Step::IngestAppended);
        if self.len - self.started_writeback >= WRITEBACK_EVERY {
            layer_fs::start_writeback(&self.file);
            self.started_writeback = self.len;
        }
        Ok(())
    }

    /// Throws away what has come, because it can't be what was promised.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn restart(&mut self) -> Result<(), StoreError> {
        let mut clear = || {
            self.file.set_len(0)?;
            self.file.rewind()
        };
        clear().map_err(StoreError::io("clear", ingest_name(self.id.0)))?;
        self.len = 0;
        self.started_writeback = 0;
        Ok(())
    }

    /// Throws the file away, because what is in it is of no use.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn discard(self) -> Result<(), StoreError> {
        self.store.discard_partial(self.id)
    }

    /// Gives the blob its place. It is durable when this returns.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn commit(self, proof: &Verified<BlobId>) -> Result<(), StoreError> {
        self.store.sync.sync(&self.store.root, self.begun).map_err(StoreError::io("sync", ingest_name(self.id.0)))?;
        self.publish(proof)
    }

    /// When it was begun.
    pub(crate) fn begun(&self) -> Epoch {
        self.begun
    }

    /// Gives the blob its place, after a sync that covered it.
    pub(crate) fn publish(mut self, proof: &Verified<BlobId>) -> Result<(), StoreError> {
        self.store.adopt_blob(&self.store.ingest, &part_name(self.id.0), proof, &mut self.file)
    }
}

/// Removes what nothing can go on from: empty files, and those that are not named as partial blobs are. Says how many are kept, and how many
/// were removed.
pub(crate) fn tidy(ingest: &Dir) -> std::io::Result<(usize, usize)> {
    let (mut kept, mut removed) = (0, 0);
    for (name, _) in ingest.entries()? {
        let is_part = name.to_str().is_ok_and(is_part_name);
        if is_part && ingest.stat(name.as_c_str())?.is_some_and(|stat| stat.st_size > 0) {
            kept += 1;
        } else {
            layer_fs::remove_tree(ingest, &name)?;
            removed += 1;
        }
    }
    Ok((kept, removed))
}

fn is_part_name(name: &str) -> bool {
    let digest = name.strip_suffix(".part").and_then(|name| name.split_once('-'));
    digest.is_some_and(|(algorithm, hex)| format!("{algorithm}:{hex}").parse::<Digest>().is_ok())
}

fn part_name(digest: Digest) -> String {
    format!("{}-{}.part", digest.algorithm().name(), digest.hex())
}

/// The blob that a partial file is of, by the file's name.
pub(crate) fn partial_id(name: &str) -> Option<BlobId> {
    name.strip_suffix(".part")?.replacen('-', ":", 1).parse().ok()
}

fn ingest_name(digest: Digest) -> String {
    format!("ingest/{}", part_name(digest))
}
