//! The store as a whole: its folders and its lock.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use layer_fs::failpoint::{Step, reach};
use layer_fs::{Dir, Lock, remove_tree};

use crate::catalog::Catalog;
use crate::documents::Documents;
use crate::facts::Facts;
use crate::layers::Records;
use crate::lease::Leases;
use crate::start::{self, Folders, PRIVATE, Started};
use crate::sync::{Ahead, GroupSync};
use crate::trust::Used;
use crate::{Form, OpenError, StoreError, format, index};

/// With a smaller part of the disk free than one of so many, it counts as nearly full.
const NEARLY_FULL: u64 = 16;

/// An open store. It belongs to this process until it is dropped.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    form: Form,
    pub(crate) root: Dir,
    pub(crate) blobs: Dir,
    pub(crate) layers: Dir,
    pub(crate) ingest: Dir,
    pub(crate) staging: Dir,
    pub(crate) naming: Mutex<()>,
    pub(crate) catalog: Mutex<Catalog>,
    pub(crate) leases: Mutex<Leases>,
    pub(crate) records: Records,
    pub(crate) documents: Documents,
    pub(crate) facts: Facts,
    pub(crate) sync: Arc<GroupSync>,
    pub(crate) ahead: Arc<Ahead>,
    pub(crate) used: Mutex<Used>,
    counter: AtomicU64,
    started: Started,
    _lock: Lock,
}

impl Store {
    /// Opens the store at `path`, which is made if it isn't there. What an earlier process left half done is cleared away, partial downloads
    /// aside; the same code runs at the first start and after a crash.
    ///
    /// # Errors
    ///
    /// When another process has the store, a newer program has written it, its list of names is damaged, or the disk fails.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let begun = std::time::Instant::now();
        let (folders, started) = start::start(path)?;
        let Folders { is_new, path, root, blobs, layers, ingest, staging, lock } = folders;
        let catalog = Catalog::load(&root, &path)?;
        if format::look(&root).is_ok_and(|found| found != format::Found::Known(format::PRESENT)) {
            format::write(&root, format::PRESENT).map_err(start::failed("write", path.join("format")))?;
        }
        index::keep_reserve(&root);
        let (facts, is_empty) = Facts::open(&path.join("db"))?;
        // The database makes its files as the umask says.
        root.ensure_dir("db", PRIVATE).map_err(start::failed("open", path.join("db")))?;
        let sync = Arc::new(GroupSync::default());
        let again = root.try_clone().map_err(start::failed("open", path.clone()))?;
        let ahead = Arc::new(Ahead::new(Arc::clone(&sync), again));
        let mut store = Self {
            form: Form::default(),
            root,
            blobs,
            layers,
            ingest,
            staging,
            naming: Mutex::default(),
            catalog: Mutex::new(catalog),
            leases: Mutex::default(),
            records: Records::default(),
            documents: Documents::default(),
            facts,
            sync,
            ahead,
            used: Mutex::default(),
            counter: AtomicU64::new(0),
            started: Started { is_empty: is_empty && !is_new, ..started },
            _lock: lock,
            path,
        };
        store.started.records_read = store.records.len();
        let Started { migrated_from, temporary, staged, useless, partials, is_empty, records_read } = store.started;
        tracing::info!(
            root = %store.path.display(),
            migrated_from,
            temporary,
            staged,
            useless,
            partials,
            is_empty,
            records_read,
            images = store.read_catalog(|catalog| catalog.names().count()),
            took = ?begun.elapsed(),
            "opened the store"
        );
        Ok(store)
    }

    /// Says in which form layers are kept that come from now on.
    #[must_use]
    pub fn with_form(self, form: Form) -> Self {
        Self { form, ..self }
    }

    /// In which form layers are kept that come.
    pub fn form(&self) -> Form {
        self.form
    }

    /// What the start found and did.
    pub fn started(&self) -> &Started {
        &self.started
    }

    /// Where the store lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes that are free where the store lies.
    ///
    /// # Errors
    ///
    /// When the kernel can't tell.
    pub fn free_bytes(&self) -> Result<u64, StoreError> {
        self.root.free_bytes().map_err(StoreError::io("ask for the free room of", "/"))
    }

    /// Whether the disk is so full that a partial download is worth less than its room: less than a sixteenth is free.
    ///
    /// # Errors
    ///
    /// When the kernel can't tell.
    pub fn is_nearly_full(&self) -> Result<bool, StoreError> {
        let ask = || Ok::<_, io::Error>(self.root.free_bytes()? < self.root.total_bytes()? / NEARLY_FULL);
        ask().map_err(StoreError::io("ask for the free room of", "/"))
    }

    /// Makes an empty folder in `staging/` under a name of its own.
    pub(crate) fn stage(&self) -> io::Result<(String, Dir)> {
        loop {
            let name = self.counter.fetch_add(1, Ordering::Relaxed).to_string();
            match self.staging.create_dir(&name, PRIVATE) {
                Ok(dir) => return Ok((name, dir)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Moves a file or folder out of sight, in one step: nobody sees it half removed. `None` when there is none.
    pub(crate) fn bury(&self, from: &Dir, name: &str) -> io::Result<Option<Grave>> {
        let grave = format!("removed-{}", self.counter.fetch_add(1, Ordering::Relaxed));
        match from.publish(name, &self.staging, grave.as_str()) {
            Ok(()) => Ok(Some(Grave(grave))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes what was buried.
    pub(crate) fn clear_grave(&self, grave: Grave) -> Result<(), StoreError> {
        self.clear_staged(&grave.0).map_err(StoreError::io("clear", format!("staging/{}", grave.0)))?;
        reach(Step::GraveCleared);
        Ok(())
    }

    /// Removes something from `staging/`.
    pub(crate) fn clear_staged(&self, name: &str) -> io::Result<()> {
        remove_tree(&self.staging, &std::ffi::CString::new(name).map_err(io::Error::other)?)
    }
}

/// Something removed that still takes room. If nobody clears it, the next start does.
#[derive(Debug)]
#[must_use = "it takes room until it is cleared"]
pub(crate) struct Grave(String);
