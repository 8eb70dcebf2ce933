//! Recovery beyond what a start does, for days when files were damaged: everything is looked at, and what can't be right makes way.
//!
//! It runs while no daemon has the store. What it removes is what a pull brings in again: blobs whose bytes are wrong, layers without a record.
//! Names are taken away only if they lead nowhere, and are told.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use layer_digest::{BlobId, DiffId, Digest, Verifier};
use layer_oci::{Descriptor, Document, media_type};
use layer_reference::Reference;

use crate::documents::MAX_MANIFEST;
use crate::start::{failed, take};
use crate::{OpenError, Store, StoreError, chain, format, index};

const MAX_INDEX: u64 = 64 << 20;
/// How deep indexes may lie in indexes.
const MAX_DEPTH: usize = 4;

/// What a recovery has found and done.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The store.
    pub root: PathBuf,
    /// What was wrong with `index.json`, if something was: it has been made anew.
    pub index: Option<String>,
    /// The names, each of which leads to an image.
    pub names: Vec<Reference>,
    /// Names that led nowhere, and have been taken away, with what was missing.
    pub lost: Vec<(Reference, String)>,
    /// Images that lack something, which pulling them again brings in.
    pub incomplete: Vec<(Reference, String)>,
    /// Images that no name leads to: their names are lost, or were taken away.
    pub nameless: Vec<Digest>,
    /// How many blobs are whole.
    pub blobs: usize,
    /// Blobs that were damaged, and have been removed.
    pub damaged_blobs: Vec<Digest>,
    /// How many layers are there.
    pub layers: usize,
    /// Layers that were damaged, and have been removed.
    pub damaged_layers: Vec<DiffId>,
}

/// Makes a store usable again: rebuilds `index.json` from what is left of it and of the version before, the database from the records of the
/// layers, and removes blobs and layers that are damaged. All blobs are read.
///
/// # Errors
///
/// When a daemon has the store, there is none, it is of a newer format, or the disk fails.
pub fn recover(path: &Path) -> Result<Recovered, OpenError> {
    let mut found = Recovered::default();
    std::fs::metadata(path).map_err(failed("find", path.to_owned()))?;
    repair_files(path, &mut found)?;
    let store = Arc::new(Store::open(path)?);
    Store::refill(&Arc::downgrade(&store));
    found.root = store.path().to_owned();
    let examined = store
        .examine_blobs(&mut found)
        .and_then(|()| store.examine_layers(&mut found))
        .and_then(|()| store.examine_images(&mut found));
    examined.map_err(|error| OpenError::Io {
        action: "examine",
        path: found.root.clone(),
        source: std::io::Error::other(chain(&error)),
    })?;
    tracing::info!(names = found.names.len(), blobs = found.blobs, layers = found.layers, "recovered the store");
    Ok(found)
}

/// Sees to it that the store can be opened, and that the database is filled anew when it is.
fn repair_files(path: &Path, found: &mut Recovered) -> Result<(), OpenError> {
    let (path, root, _lock) = take(path)?;
    match format::look(&root) {
        Ok(format::Found::Newer(found)) => {
            return Err(OpenError::Newer { root: path, found, known: format::PRESENT });
        }
        Ok(_) => {}
        // What it has said can't be known. All formats so far are read in the same way.
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            root.remove_file("format").map_err(failed("remove", path.join("format")))?;
        }
        Err(source) => return Err(failed("read", path.join("format"))(source)),
    }
    let bytes = root.read(index::FILE, MAX_INDEX);
    found.index = match &bytes {
        Ok(bytes) => serde_json::from_slice::<Whole>(bytes).err().map(|error| error.to_string()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some("it was gone".to_owned()),
        Err(error) => Some(error.to_string()),
    };
    if found.index.is_some() {
        let mut entries = index::salvage(&bytes.unwrap_or_default());
        entries.extend(root.read(index::BACKUP, MAX_INDEX).map(|bytes| index::salvage(&bytes)).unwrap_or_default());
        // Of a name that both have, the newer one counts.
        let mut seen = HashSet::new();
        entries.retain(|entry| seen.insert(name_of(entry).map_or_else(|| entry.to_string(), str::to_owned)));
        let json = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": entries,
        });
        let _ = rustix::fs::renameat(&root, index::FILE, &root, "index.json.damaged");
        // Written past the backup: that has just been used, and stays until the next change.
        root.write_atomic(index::FILE, format!("{json:#}").as_bytes(), 0o600)
            .map_err(failed("write", path.join(index::FILE)))?;
    }
    let db = path.join("db");
    match std::fs::remove_dir_all(&db) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed("remove", db)(error)),
        _ => Ok(()),
    }
}

/// What `index.json` must at least be.
#[derive(serde::Deserialize)]
struct Whole {
    #[serde(rename = "manifests")]
    _manifests: Vec<serde_json::Map<String, serde_json::Value>>,
}

fn name_of(entry: &serde_json::Value) -> Option<&str> {
    entry["annotations"]["org.opencontainers.image.ref.name"].as_str()
}

impl Store {
    /// Reads every blob, and removes those whose bytes are not what their names say.
    fn examine_blobs(&self, found: &mut Recovered) -> Result<(), StoreError> {
        for digest in self.blob_digests()? {
            if self.is_whole(digest)? {
                found.blobs += 1;
            } else {
                if let Some(grave) = self.bury_blob(BlobId(digest))? {
                    self.clear_grave(grave)?;
                }
                found.damaged_blobs.push(digest);
            }
        }
        Ok(())
    }

    fn is_whole(&self, digest: Digest) -> Result<bool, StoreError> {
        let Ok(mut file) = self.open_blob(BlobId(digest)) else { return Ok(false) };
        let mut verifier = Verifier::new(BlobId(digest), None);
        let mut buffer = vec![0; 256 << 10];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(verifier.finish().is_ok()),
                Ok(len) if verifier.update(&buffer[..len]).is_ok() => {}
                // A sector that can't be read makes the blob as useless as one that is wrong.
                Ok(_) | Err(_) => return Ok(false),
            }
        }
    }

    /// Removes the layers whose record is missing, can't be read or speaks of another layer, and those without files. Those that are marked as
    /// damaged stay where they are: something may still show them, and they count as missing in any case.
    fn examine_layers(&self, found: &mut Recovered) -> Result<(), StoreError> {
        for id in self.layer_ids()? {
            // What the disk doesn't give is as useless as what is wrong.
            if self.layer(id).is_ok_and(|layer| layer.is_some()) {
                found.layers += 1;
            } else {
                if let Some(grave) = self.bury_layer(id)? {
                    self.clear_grave(grave)?;
                }
                found.damaged_layers.push(id);
            }
        }
        Ok(())
    }

    /// Follows every name. Those that lead nowhere are taken away.
    fn examine_images(&self, found: &mut Recovered) -> Result<(), StoreError> {
        let mut reached = HashSet::new();
        for named in self.names() {
            let mut missing = BTreeSet::new();
            match self.follow(&named.target, 0, &mut reached, &mut missing) {
                Ok(()) if missing.is_empty() => found.names.push(named.reference),
                Ok(()) => {
                    let what = missing.into_iter().collect::<Vec<_>>().join(", ");
                    found.incomplete.push((named.reference.clone(), what));
                    found.names.push(named.reference);
                }
                Err(error) => found.lost.push((named.reference, chain(&error))),
            }
        }
        let lost: Vec<_> = found.lost.iter().map(|(reference, _)| reference.clone()).collect();
        if !lost.is_empty() {
            self.remove_names(&lost)?;
        }
        // Images that lost their names to others, and pinned ones, have entries all the same. What one of them lacks nobody misses by a name; one that
        // leads nowhere would keep everything else from being removed.
        let mut empty = Vec::new();
        for target in self.read_catalog(crate::catalog::Catalog::targets) {
            if self.follow(&target, 0, &mut reached, &mut BTreeSet::new()).is_err() {
                empty.push(target.digest);
            }
        }
        if !empty.is_empty() {
            self.naming().remove_images(&empty)?;
        }
        for target in self.read_catalog(crate::catalog::Catalog::foreign_targets) {
            // What other tools have written is theirs.
            let _ = self.follow(&target, 0, &mut reached, &mut BTreeSet::new());
        }
        // What is part of an image without a name is not one itself.
        let mut images = Vec::new();
        let mut parts = HashSet::new();
        for digest in self.blob_digests()?.into_iter().filter(|digest| !reached.contains(digest)) {
            if let Some(document) = self.as_document(digest)?
                && self.is_usable(&document)?
            {
                let size = self.blob_size(BlobId(digest))?.unwrap_or_default();
                images.push(Descriptor::new(document.media_type(), digest, size));
                if let Document::Index(index) = document {
                    parts.extend(index.manifests.iter().map(|entry| entry.digest));
                }
            }
        }
        for image in images.into_iter().filter(|image| !parts.contains(&image.digest)) {
            // From here on it is one that has lost its name, which a prune removes and nothing else.
            self.naming().keep(&image)?;
            found.nameless.push(image.digest);
        }
        found.nameless.sort_unstable();
        Ok(())
    }

    /// Collects what an image leads to, and what of it is missing.
    ///
    /// # Errors
    ///
    /// When the image's own document can't be read.
    fn follow(
        &self,
        descriptor: &Descriptor,
        depth: usize,
        reached: &mut HashSet<Digest>,
        missing: &mut BTreeSet<String>,
    ) -> Result<(), StoreError> {
        reached.insert(descriptor.digest);
        let media_type = descriptor.media_type.as_str();
        if depth > MAX_DEPTH || !(media_type::is_index(media_type) || media_type::is_manifest(media_type)) {
            return Ok(());
        }
        match &*self.document(descriptor)? {
            Document::Index(index) => {
                let mut platforms = 0;
                for entry in &index.manifests {
                    // Platforms that were never pulled aren't there.
                    if self.blob_size(BlobId(entry.digest))?.is_some() {
                        platforms += 1;
                        if let Err(error) = self.follow(entry, depth + 1, reached, missing) {
                            missing.insert(chain(&error));
                        }
                    }
                }
                if platforms == 0 {
                    missing.insert("the manifests of all platforms".to_owned());
                }
            }
            Document::Manifest(manifest) => {
                for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
                    reached.insert(blob.digest);
                    if !self.has_blob(blob)? {
                        missing.insert(format!("blob `{}`", blob.digest));
                    }
                }
                if let Ok(config) = self.config(BlobId(manifest.config.digest)) {
                    for id in &config.diff_ids {
                        if self.layer(*id)?.is_none() {
                            missing.insert(format!("layer `{id}`"));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn blob_digests(&self) -> Result<Vec<Digest>, StoreError> {
        let mut digests = Vec::new();
        for algorithm in ["sha256", "sha512"] {
            let what = || format!("blobs/{algorithm}");
            let dir = self.blobs.open_dir(algorithm).map_err(StoreError::io("open", what()))?;
            for (name, _) in dir.entries().map_err(StoreError::io("read", what()))? {
                digests.extend(name.to_str().ok().and_then(|hex| format!("{algorithm}:{hex}").parse::<Digest>().ok()));
            }
        }
        Ok(digests)
    }

    /// Whether a document leads to something: a manifest to its config, an index to one of its manifests.
    fn is_usable(&self, document: &Document) -> Result<bool, StoreError> {
        match document {
            Document::Manifest(manifest) => Ok(self.config(BlobId(manifest.config.digest)).is_ok()),
            Document::Index(index) => {
                for entry in &index.manifests {
                    if self.leads_on(entry)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    /// What a blob says if it is a manifest or an index.
    pub(crate) fn as_document(&self, digest: Digest) -> Result<Option<Document>, StoreError> {
        if self.blob_size(BlobId(digest))?.is_none_or(|size| size > MAX_MANIFEST) {
            return Ok(None);
        }
        let bytes = self.read_blob(BlobId(digest), MAX_MANIFEST)?;
        Ok(if bytes.starts_with(b"{") { Document::parse(None, &bytes).ok() } else { None })
    }
}

/// The report, a line for each thing.
impl fmt::Display for Recovered {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "store `{}`", self.root.display())?;
        match &self.index {
            Some(reason) => writeln!(out, "index.json: made anew ({reason})")?,
            None => writeln!(out, "index.json: whole")?,
        }
        writeln!(out, "names: {}", self.names.len())?;
        writeln!(out, "blobs: {} whole, {} damaged and removed", self.blobs, self.damaged_blobs.len())?;
        self.damaged_blobs.iter().try_for_each(|digest| writeln!(out, "  removed blob `{digest}`"))?;
        writeln!(out, "layers: {} there, {} damaged and removed", self.layers, self.damaged_layers.len())?;
        self.damaged_layers.iter().try_for_each(|id| writeln!(out, "  removed layer `{id}`"))?;
        writeln!(out, "database: filled anew from the layers")?;
        for (name, what) in &self.incomplete {
            writeln!(out, "`{}` lacks {what}: pull it again", name.familiar())?;
        }
        for (name, why) in &self.lost {
            writeln!(out, "`{}` led nowhere, and is no name any more ({why}): pull it again", name.familiar())?;
        }
        for digest in &self.nameless {
            writeln!(
                out,
                "`{digest}` is an image without a name, and kept as one: pulled by its name, it is there at once"
            )?;
        }
        Ok(())
    }
}
