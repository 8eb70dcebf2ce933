//! The store as a whole: its folders, its lock, and what start-up puts in order.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use layer_fs::{Dir, FileKind, Lock, LockError, remove_tree};

use crate::catalog::Catalog;
use crate::documents::Documents;
use crate::facts::Facts;
use crate::layers::Records;
use crate::lease::Leases;
use crate::sync::GroupSync;
use crate::trust::Used;
use crate::{OpenError, StoreError};

/// Everything in the store belongs to root alone: layers hold setuid programs of strangers.
const PRIVATE: u32 = 0o700;

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// An open store. It belongs to this process until it is dropped.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
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
    pub(crate) sync: GroupSync,
    pub(crate) used: Mutex<Used>,
    counter: AtomicU64,
    _lock: Lock,
}

impl Store {
    /// Opens the store at `path`, which is made if it isn't there. What an earlier process left half done is cleared away, partial downloads
    /// aside; the same code runs at the first start and after a crash.
    ///
    /// # Errors
    ///
    /// When another process has the store, or it can't be used.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let io = |action, path: PathBuf| move |source| OpenError::Io { action, path, source };
        std::fs::create_dir_all(path).map_err(io("make the folder", path.to_owned()))?;
        let path = path.canonicalize().map_err(io("find", path.to_owned()))?;
        let root = Dir::open(&path).map_err(io("open", path.clone()))?;
        rustix::fs::fchmod(&root, rustix::fs::Mode::from_raw_mode(PRIVATE))
            .map_err(|error| io("set the mode of", path.clone())(error.into()))?;
        let lock = Lock::take(&root, "lock").map_err(|error| match error {
            LockError::Held(holder) => OpenError::Locked { root: path.clone(), holder },
            LockError::Io(source) => OpenError::Io { action: "lock", path: path.join("lock"), source },
        })?;
        let folder = |name: &str| root.ensure_dir(name, PRIVATE).map_err(io("open", path.join(name)));
        let (blobs, layers) = (folder("blobs")?, folder("layers")?);
        for (dir, name) in [(&blobs, "blobs"), (&layers, "layers")] {
            for algorithm in ["sha256", "sha512"] {
                let place = path.join(name).join(algorithm);
                let dir = dir.ensure_dir(algorithm, PRIVATE).map_err(io("open", place.clone()))?;
                clear_temporary(&dir).map_err(io("clear", place))?;
            }
        }
        let (ingest, staging) = (folder("ingest")?, folder("staging")?);
        folder("mounts")?;
        if root.stat("oci-layout").map_err(io("look up", path.join("oci-layout")))?.is_none() {
            root.write_atomic("oci-layout", LAYOUT, 0o600).map_err(io("write", path.join("oci-layout")))?;
        }
        clear_temporary(&root).map_err(io("clear", path.clone()))?;
        let swept = clear(&staging).map_err(io("clear", path.join("staging")))?;
        let catalog = Catalog::load(&root, &path)?;
        let (facts, rebuilt) = Facts::open(&path.join("db"))?;
        let store = Self {
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
            sync: GroupSync::default(),
            used: Mutex::default(),
            counter: AtomicU64::new(0),
            _lock: lock,
            path,
        };
        if rebuilt {
            store.rebuild_facts();
        }
        tracing::info!(root = %store.path.display(), swept, rebuilt, images = store.names().len(), "opened the store");
        Ok(store)
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
        self.clear_staged(&grave.0).map_err(StoreError::io("clear", format!("staging/{}", grave.0)))
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

/// Removes all that is in a folder, and says how much it was.
fn clear(dir: &Dir) -> io::Result<usize> {
    let entries = dir.entries()?;
    for (name, _) in &entries {
        remove_tree(dir, name)?;
    }
    Ok(entries.len())
}

/// Removes what an interrupted atomic write has left.
fn clear_temporary(dir: &Dir) -> io::Result<()> {
    for (name, kind) in dir.entries()? {
        let bytes = name.to_bytes();
        if kind == FileKind::File && bytes.starts_with(b".") && bytes.ends_with(b".tmp") {
            dir.remove_file(name.as_c_str())?;
        }
    }
    Ok(())
}
