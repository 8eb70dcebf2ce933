//! Folders for what is needed for a while.

use std::path::PathBuf;
use std::sync::Arc;

use layer_fs::Dir;

use crate::{Store, StoreError};

/// An empty folder in `staging/`, which nobody else sees. It is removed when it is dropped.
#[derive(Debug)]
pub struct Scratch {
    store: Arc<Store>,
    name: String,
    dir: Dir,
}

impl Store {
    /// Makes a folder that goes when it is dropped.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails.
    pub fn scratch(self: &Arc<Self>) -> Result<Scratch, StoreError> {
        let (name, dir) = self.stage().map_err(StoreError::io("make a folder in", "staging"))?;
        Ok(Scratch { store: Arc::clone(self), name, dir })
    }
}

impl Scratch {
    /// The folder.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Where it lies.
    pub fn path(&self) -> PathBuf {
        self.store.path().join("staging").join(&self.name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = self.store.clear_staged(&self.name) {
            tracing::warn!(%error, name = self.name, "could not clear a folder of `staging/`; the next start will");
        }
    }
}
