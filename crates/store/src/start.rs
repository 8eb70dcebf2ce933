//! What a start puts in order: the same code the first time, after a stop, and after a crash.
//!
//! Each step is bounded by what was left half done, or by one look at the names in a folder: nothing is read for each layer or each image.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use layer_fs::failpoint::{Step, reach};
use layer_fs::{Dir, FileKind, Lock, LockError, remove_tree};

use crate::format::{self, Found};
use crate::{OpenError, index, ingest};

/// Everything in the store belongs to root alone: layers hold setuid programs of strangers.
pub(crate) const PRIVATE: u32 = 0o700;
/// Folders on the way to the store, if they have to be made.
const ABOVE: u32 = 0o755;

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// What a start has found and done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Started {
    /// The older format that the store had.
    pub migrated_from: Option<u32>,
    /// How many files of interrupted writes were removed.
    pub temporary: usize,
    /// How many trees were removed that were being unpacked or removed.
    pub staged: usize,
    /// How many files of `ingest/` were removed that nothing could go on from.
    pub useless: usize,
    /// How many partial downloads are kept.
    pub partials: usize,
    /// Whether the database was lost or damaged, and has to be [filled anew](crate::Store::refill).
    pub is_empty: bool,
    /// How many records of layers were read: the start needs none.
    pub records_read: usize,
}

/// The folders of a store, which belongs to this process while they are open.
#[derive(Debug)]
pub(crate) struct Folders {
    /// Whether there was no store before.
    pub(crate) is_new: bool,
    pub(crate) path: PathBuf,
    pub(crate) root: Dir,
    pub(crate) blobs: Dir,
    pub(crate) layers: Dir,
    pub(crate) ingest: Dir,
    pub(crate) staging: Dir,
    pub(crate) lock: Lock,
}

/// For `map_err`: what was to be done, and on what.
pub(crate) fn failed(action: &'static str, path: PathBuf) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io { action, path, source }
}

/// Takes the store at `path` for this process, and looks at its format. `path` is made if it isn't there; nothing else is changed.
pub(crate) fn take(path: &Path) -> Result<(PathBuf, Dir, Lock), OpenError> {
    make(path).map_err(failed("make the folder", path.to_owned()))?;
    let path = path.canonicalize().map_err(failed("find", path.to_owned()))?;
    let root = Dir::open(&path).map_err(failed("open", path.clone()))?;
    let lock = Lock::take(&root, "lock").map_err(|error| match error {
        LockError::Held(holder) => OpenError::Locked { root: path.clone(), holder },
        LockError::Io(source) => OpenError::Io { action: "lock", path: path.join("lock"), source },
    })?;
    Ok((path, root, lock))
}

/// Makes the store's own folder for root alone from its first moment on, whatever the umask.
fn make(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(ABOVE).create(parent)?;
    }
    match DirBuilder::new().mode(PRIVATE).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Opens the folders, and puts in order what they hold. Says what the format was.
pub(crate) fn start(path: &Path) -> Result<(Folders, Started), OpenError> {
    let (path, root, lock) = take(path)?;
    let mut started = Started::default();
    let found = match format::look(&root) {
        Ok(Found::Newer(found)) => return Err(OpenError::Newer { root: path, found, known: format::PRESENT }),
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(OpenError::Damaged { path: path.join("format"), reason: error.to_string() });
        }
        Err(source) => return Err(failed("read", path.join("format"))(source)),
    };
    if matches!(found, Found::Known(_)) && is_lost(&root).map_err(failed("look for", path.join(index::FILE)))? {
        return Err(OpenError::Damaged { path: path.join(index::FILE), reason: "it is gone".to_owned() });
    }
    rustix::fs::fchmod(&root, rustix::fs::Mode::from_raw_mode(PRIVATE))
        .map_err(|error| failed("set the mode of", path.clone())(error.into()))?;
    let folder = |name: &str| root.ensure_dir(name, PRIVATE).map_err(failed("open", path.join(name)));
    let (blobs, layers) = (folder("blobs")?, folder("layers")?);
    for (dir, name) in [(&blobs, "blobs"), (&layers, "layers")] {
        for algorithm in ["sha256", "sha512"] {
            let place = path.join(name).join(algorithm);
            let dir = dir.ensure_dir(algorithm, PRIVATE).map_err(failed("open", place.clone()))?;
            if name == "blobs" {
                started.temporary += clear_temporary(&dir).map_err(failed("clear", place.clone()))?;
            }
            // A process that was killed between a rename and its sync has left a name that is seen and not yet durable.
            if found != Found::New {
                dir.sync().map_err(failed("sync", place))?;
            }
        }
    }
    let (ingest, staging) = (folder("ingest")?, folder("staging")?);
    folder("mounts")?;
    if root.stat("oci-layout").map_err(failed("look up", path.join("oci-layout")))?.is_none() {
        root.write_atomic("oci-layout", LAYOUT, 0o600).map_err(failed("write", path.join("oci-layout")))?;
    }
    started.temporary += clear_temporary(&root).map_err(failed("clear", path.clone()))?;
    started.staged = clear(&staging).map_err(failed("clear", path.join("staging")))?;
    (started.partials, started.useless) = ingest::tidy(&ingest).map_err(failed("clear", path.join("ingest")))?;
    if let Found::Known(number) = found
        && number < format::PRESENT
    {
        format::migrate(&root, number).map_err(failed("migrate", path.clone()))?;
        started.migrated_from = Some(number);
    }
    root.sync().map_err(failed("sync", path.clone()))?;
    let is_new = found == Found::New;
    Ok((Folders { is_new, path, root, blobs, layers, ingest, staging, lock }, started))
}

/// Whether a store that isn't new has no list of names: then it has lost it.
fn is_lost(root: &Dir) -> io::Result<bool> {
    Ok(root.stat(index::FILE)?.is_none())
}

/// Removes all that is in a folder, and says how much it was.
fn clear(dir: &Dir) -> io::Result<usize> {
    let entries = dir.entries()?;
    for (name, _) in &entries {
        remove_tree(dir, name)?;
        reach(Step::StartCleared);
    }
    Ok(entries.len())
}

/// Removes what an interrupted atomic write has left, and says how much it was.
fn clear_temporary(dir: &Dir) -> io::Result<usize> {
    let mut cleared = 0;
    for (name, kind) in dir.entries()? {
        let bytes = name.to_bytes();
        if kind == FileKind::File && bytes.starts_with(b".") && bytes.ends_with(b".tmp") {
            dir.remove_file(name.as_c_str())?;
            cleared += 1;
        }
    }
    Ok(cleared)
}
