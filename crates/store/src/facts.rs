//! The database: facts that are quick to look up and cheap to lose.
//!
//! sled can't be trusted to keep what it has acknowledged over a power cut (docs/decisions/0003-sled-is-an-index.md). So nothing is in it that the
//! files don't say too, or that can't be found out again. When it doesn't open, it is set aside and filled anew.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use layer_digest::{BlobId, DiffId, Digest};

use crate::OpenError;

/// The facts come to some hundred bytes a layer: sled's default of a gigabyte would be the largest thing in the process.
const CACHE_BYTES: u64 = 2 << 20;

#[derive(Debug)]
pub(crate) struct Facts {
    _db: sled::Db,
    /// From blob to the diffID that it decompresses to.
    diffs: sled::Tree,
    /// From image to the moment it was last used, in milliseconds since 1970.
    used: sled::Tree,
    /// From number to event.
    events: sled::Tree,
    /// From layer to the bytes that its files take on the disk, where its record doesn't say.
    layer_bytes: sled::Tree,
    /// Which repositories are known to have a blob: see [`crate::Store::learn_sources`].
    sources: sled::Tree,
}

impl Facts {
    /// Opens the database, or a new one when the old one can't be opened. Says whether it has to be filled.
    pub(crate) fn open(path: &Path) -> Result<(Self, bool), OpenError> {
        let is_new = !path.exists();
        match Self::try_open(Some(path)) {
            Ok(facts) => return Ok((facts, is_new)),
            Err(Unopened { reason, is_disk: true }) => {
                tracing::warn!(path = %path.display(), reason, "the disk doesn't let the database open; it is kept in memory this time");
                let failed = |error: Unopened| io::Error::other(error.reason);
                let facts = Self::try_open(None).map_err(failed);
                let facts = facts.map_err(|source| OpenError::Io { action: "open", path: path.to_owned(), source })?;
                return Ok((facts, true));
            }
            Err(Unopened { reason, .. }) => {
                tracing::warn!(path = %path.display(), reason, "the database does not open; it is set aside and rebuilt");
            }
        }
        let io_error = |action| move |source| OpenError::Io { action, path: path.to_owned(), source };
        let aside = path.with_extension("damaged");
        if let Err(error) = std::fs::remove_dir_all(&aside)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(io_error("remove")(error));
        }
        std::fs::rename(path, &aside).map_err(io_error("set aside"))?;
        let facts = Self::try_open(Some(path)).map_err(|error| io_error("open")(io::Error::other(error.reason)))?;
        Ok((facts, true))
    }

    /// Opens the database at `path`, or without one a new one in memory.
    fn try_open(path: Option<&Path>) -> Result<Self, Unopened> {
        let open = || -> sled::Result<Self> {
            let config = sled::Config::new();
            let config = match path {
                Some(path) => config.path(path),
                None => config.temporary(true),
            };
            let db = config.cache_capacity(CACHE_BYTES).mode(sled::Mode::LowSpace).flush_every_ms(Some(2000)).open()?;
            // Of an earlier form, in seconds.
            db.drop_tree("used")?;
            Ok(Self {
                diffs: db.open_tree("diffs")?,
                used: db.open_tree("last-use")?,
                layer_bytes: db.open_tree("layer-bytes")?,
                events: db.open_tree("events")?,
                sources: db.open_tree("sources")?,
                _db: db,
            })
        };
        // On some damage sled panics in place of returning an error, and that must not keep the daemon from starting.
        match catch_unwind(AssertUnwindSafe(open)) {
            Ok(Ok(facts)) => Ok(facts),
            Ok(Err(error)) => {
                let is_disk = matches!(&error, sled::Error::Io(error) if is_disk(error));
                Err(Unopened { reason: error.to_string(), is_disk })
            }
            Err(_) => Err(Unopened { reason: "it panicked while opening".to_owned(), is_disk: false }),
        }
    }

    pub(crate) fn set_diff(&self, blob: BlobId, diff: DiffId) {
        report(self.diffs.insert(blob.to_string(), diff.to_string().as_bytes()));
    }

    pub(crate) fn diff(&self, blob: BlobId) -> Option<DiffId> {
        let bytes = report(self.diffs.get(blob.to_string()))??;
        std::str::from_utf8(&bytes).ok()?.parse().ok()
    }

    pub(crate) fn forget_blob(&self, blob: BlobId) {
        report(self.diffs.remove(blob.to_string()));
        for key in self.sources.scan_prefix(format!("{blob} ")).keys().filter_map(report) {
            report(self.sources.remove(key));
        }
    }

    pub(crate) fn set_source(&self, blob: BlobId, registry: &str, path: &str) {
        report(self.sources.insert(format!("{blob} {registry} {path}"), &[]));
    }

    pub(crate) fn sources(&self, blob: BlobId, registry: &str) -> Vec<String> {
        let prefix = format!("{blob} {registry} ");
        let keys = self.sources.scan_prefix(&prefix).keys().filter_map(report);
        keys.filter_map(|key| Some(std::str::from_utf8(&key).ok()?.strip_prefix(&prefix)?.to_owned())).collect()
    }

    pub(crate) fn forget_source(&self, blob: BlobId, registry: &str, path: &str) {
        report(self.sources.remove(format!("{blob} {registry} {path}")));
    }

    pub(crate) fn set_used(&self, image: Digest, millisecond: i64) {
        set_number(&self.used, &image.to_string(), millisecond.to_be_bytes());
    }

    pub(crate) fn used(&self, image: Digest) -> Option<i64> {
        number(&self.used, &image.to_string()).map(i64::from_be_bytes)
    }

    pub(crate) fn set_layer_bytes(&self, layer: DiffId, bytes: u64) {
        set_number(&self.layer_bytes, &layer.to_string(), bytes.to_be_bytes());
    }

    pub(crate) fn layer_bytes(&self, layer: DiffId) -> Option<u64> {
        number(&self.layer_bytes, &layer.to_string()).map(u64::from_be_bytes)
    }

    pub(crate) fn forget_layer(&self, layer: DiffId) {
        report(self.layer_bytes.remove(layer.to_string()));
    }

    pub(crate) fn set_event(&self, number: u64, bytes: &[u8], kept: u64) {
        report(self.events.insert(number.to_be_bytes(), bytes));
        if let Some(old) = number.checked_sub(kept) {
            report(self.events.remove(old.to_be_bytes()));
        }
    }

    pub(crate) fn events(&self) -> Vec<(u64, Vec<u8>)> {
        let numbered = |(key, bytes): (sled::IVec, sled::IVec)| {
            Some((u64::from_be_bytes(key.as_ref().try_into().ok()?), bytes.to_vec()))
        };
        self.events.iter().filter_map(|item| numbered(report(item)?)).collect()
    }

    pub(crate) fn forget_image(&self, image: Digest) {
        report(self.used.remove(image.to_string()));
    }
}

fn set_number(tree: &sled::Tree, key: &str, number: [u8; 8]) {
    report(tree.insert(key, &number));
}

fn number(tree: &sled::Tree, key: &str) -> Option<[u8; 8]> {
    report(tree.get(key))??.as_ref().try_into().ok()
}

/// Why the database doesn't open, and whether another one at the same place would do no better.
struct Unopened {
    reason: String,
    is_disk: bool,
}

/// Whether the disk is full, or takes no writes.
fn is_disk(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
}

/// A fact that can't be kept or read is one that is not known: worth a line in the log, and nothing more.
fn report<T>(result: sled::Result<T>) -> Option<T> {
    result
        .inspect_err(|error| tracing::warn!(%error, "the database failed; it will be rebuilt if it does not open"))
        .ok()
}
