//! Blobs: files named by their content.

use std::fs::File;
use std::io::{Read as _, Write as _};

use layer_digest::{Algorithm, BlobId, Digest, Verified};
use layer_fs::failpoint::{Step, reach};
use layer_fs::{Dir, FileKind};
use layer_oci::Descriptor;

use crate::store::Grave;
use crate::{Store, StoreError};

/// Blobs never change, and say so.
const READ_ONLY: u32 = 0o400;

impl Store {
    /// The size of a blob, if it is in the store.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn blob_size(&self, id: BlobId) -> Result<Option<u64>, StoreError> {
        let stat =
            self.blob_dir(id.0)?.stat(id.0.hex().as_str()).map_err(StoreError::io("look up", blob_name(id.0)))?;
        Ok(stat.filter(|stat| FileKind::of(stat) == FileKind::File).map(|stat| stat.st_size.cast_unsigned()))
    }

    /// Whether the blob that a descriptor names is there, with the size it promises. A file of another size is damaged, and as good
    /// as missing; so is one that was found to be damaged.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn has_blob(&self, descriptor: &Descriptor) -> Result<bool, StoreError> {
        let id = BlobId(descriptor.digest);
        Ok(self.blob_size(id)? == Some(descriptor.size) && self.trusts_blob(id)?)
    }

    /// Opens a blob for reading. Its bytes have to be proven anew by whoever relies on them.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoBlob`] when it isn't there.
    pub fn open_blob(&self, id: BlobId) -> Result<File, StoreError> {
        self.blob_dir(id.0)?.open_file(id.0.hex().as_str()).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => StoreError::NoBlob(id.0),
            _ => StoreError::io("open", blob_name(id.0))(error),
        })
    }

    /// Reads a small blob, and proves it.
    ///
    /// # Errors
    ///
    /// When it isn't there, is longer than `cap` bytes, or is damaged.
    pub fn read_blob(&self, id: BlobId, cap: u64) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        let file = self.open_blob(id)?;
        file.take(cap + 1).read_to_end(&mut bytes).map_err(StoreError::io("read", blob_name(id.0)))?;
        if bytes.len() as u64 > cap || Digest::of(id.0.algorithm(), &bytes) != id.0 {
            return Err(StoreError::Damaged(id.0));
        }
        Ok(bytes)
    }

    /// Keeps a small blob: a manifest, an index or a config. It is on disk when this returns.
    ///
    /// # Errors
    ///
    /// When the bytes aren't those of `id`, or the disk is full or fails.
    pub fn put_blob(&self, id: BlobId, bytes: &[u8]) -> Result<(), StoreError> {
        if Digest::of(id.0.algorithm(), bytes) != id.0 {
            return Err(StoreError::Damaged(id.0));
        }
        // One that is damaged makes way.
        if self.read_blob(id, bytes.len() as u64).is_ok() {
            return Ok(());
        }
        reach(Step::DocumentWriting);
        self.blob_dir(id.0)?
            .write_atomic(&id.0.hex(), bytes, READ_ONLY)
            .map_err(StoreError::io("write", blob_name(id.0)))?;
        reach(Step::DocumentWritten);
        Ok(())
    }

    /// Takes a blob out of sight. What it returns is to be cleared.
    pub(crate) fn bury_blob(&self, id: BlobId) -> Result<Option<Grave>, StoreError> {
        let dir = self.blob_dir(id.0)?;
        let grave = self.bury(&dir, &id.0.hex()).map_err(StoreError::io("remove", blob_name(id.0)))?;
        reach(Step::BlobBuried);
        Ok(grave)
    }

    /// Makes durable which blobs of an algorithm there are.
    pub(crate) fn sync_blobs_of(&self, algorithm: Algorithm) -> Result<(), StoreError> {
        let name = algorithm.name();
        let dir = self.blobs.open_dir(name).map_err(StoreError::io("open", format!("blobs/{name}")))?;
        dir.sync().map_err(StoreError::io("sync", format!("blobs/{name}")))
    }

    pub(crate) fn blob_dir(&self, digest: Digest) -> Result<Dir, StoreError> {
        let name = digest.algorithm().name();
        self.blobs.open_dir(name).map_err(StoreError::io("open", format!("blobs/{name}")))
    }

    /// Gives the proven file `part` of the folder `from` its place among the blobs. A damaged file of that name makes way.
    pub(crate) fn adopt_blob(
        &self,
        from: &Dir,
        part: &str,
        proof: &Verified<BlobId>,
        file: &mut File,
    ) -> Result<(), StoreError> {
        let digest = proof.id().0;
        let what = || blob_name(digest);
        file.flush().map_err(StoreError::io("write", what()))?;
        rustix::fs::fchmod(&*file, rustix::fs::Mode::from_raw_mode(READ_ONLY))
            .map_err(StoreError::io("set the mode of", what()))?;
        let dir = self.blob_dir(digest)?;
        rustix::fs::renameat(from, part, &dir, digest.hex()).map_err(StoreError::io("publish", what()))?;
        reach(Step::BlobNamed);
        dir.sync().map_err(StoreError::io("sync", what()))?;
        reach(Step::BlobPublished);
        Ok(())
    }
}

/// A blob's place, relative to the store.
pub(crate) fn blob_name(digest: Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}
