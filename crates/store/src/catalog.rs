//! The names of images: `index.json`.
//!
//! The file is the index of an OCI image-layout, one entry for each name, so that other tools find the images by name. It changes as a
//! whole, durably, before a change is reported.
//!
//! Spec: OCI image-spec 1.1, image-layout.md, "index.json file".

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::PoisonError;

use layer_fs::Dir;
use layer_oci::Descriptor;
use layer_reference::Reference;
use serde::{Deserialize, Serialize};

use crate::index::{self, FILE};
use crate::{OpenError, Store, StoreError};

const NAME: &str = "org.opencontainers.image.ref.name";
const TAGGED: &str = "dev.layerd.tagged";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A few hundred bytes a name: room for a hundred thousand of them.
const MAX_FILE: u64 = 64 << 20;

/// A name and what it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The name: with a tag, or with a digest where the image was pulled by digest.
    pub reference: Reference,
    /// The index or manifest, as the registry described it.
    pub target: Descriptor,
    /// When the name was last given.
    pub tagged: jiff::Timestamp,
}

/// All names. The file on disk says the same.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    names: BTreeMap<Reference, (Descriptor, jiff::Timestamp)>,
    /// Entries that some other tool added, which are kept as they are.
    foreign: Vec<serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Vec<serde_json::Value>,
}

impl Catalog {
    pub(crate) fn load(root: &Dir, path: &Path) -> Result<Self, OpenError> {
        let bytes = match root.read(FILE, MAX_FILE) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let empty = Self::default();
                return match empty.save(root) {
                    Ok(()) => Ok(empty),
                    Err(source) => Err(OpenError::Io { action: "write", path: path.join(FILE), source }),
                };
            }
            Err(source) => return Err(OpenError::Io { action: "read", path: path.join(FILE), source }),
        };
        let file: File = serde_json::from_slice(&bytes)
            .map_err(|error| OpenError::Damaged { path: path.join(FILE), reason: error.to_string() })?;
        let mut catalog = Self::default();
        for entry in file.manifests {
            match Self::entry(&entry) {
                Some((reference, target, tagged)) => {
                    catalog.names.insert(reference, (target, tagged));
                }
                None => catalog.foreign.push(entry),
            }
        }
        Ok(catalog)
    }

    fn entry(entry: &serde_json::Value) -> Option<(Reference, Descriptor, jiff::Timestamp)> {
        let mut target = Descriptor::deserialize(entry).ok()?;
        let reference = Reference::parse(&target.annotations.remove(NAME)?).ok()?;
        let tagged = target.annotations.remove(TAGGED)?.parse().ok()?;
        Some((reference, target, tagged))
    }

    fn save(&self, root: &Dir) -> std::io::Result<()> {
        let mut manifests = self.foreign.clone();
        for (reference, (target, tagged)) in &self.names {
            let mut entry = target.clone();
            entry.annotations.insert(NAME.to_owned(), reference.to_string());
            entry.annotations.insert(TAGGED.to_owned(), tagged.to_string());
            manifests.push(serde_json::to_value(entry)?);
        }
        let file = File { schema_version: 2, media_type: Some(INDEX.to_owned()), manifests };
        index::replace(root, &serde_json::to_vec_pretty(&file)?)
    }
}

impl Store {
    /// All names, in order.
    pub fn names(&self) -> Vec<Named> {
        let catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        let named = |(reference, (target, tagged)): (&Reference, &(Descriptor, jiff::Timestamp))| Named {
            reference: reference.clone(),
            target: target.clone(),
            tagged: *tagged,
        };
        catalog.names.iter().map(named).collect()
    }

    /// What a name leads to.
    pub fn name(&self, reference: &Reference) -> Option<Named> {
        let catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        let (target, tagged) = catalog.names.get(reference)?;
        Some(Named { reference: reference.clone(), target: target.clone(), tagged: *tagged })
    }

    /// Gives an image a name, taking it from the image that had it. Everything that the image consists of must be durable already; the name is
    /// when this returns. Says what the name led to before.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails; nothing has changed then.
    pub fn set_name(&self, reference: &Reference, target: &Descriptor) -> Result<Option<Descriptor>, StoreError> {
        let mut target = target.clone();
        // These say what an entry of an index is for there; here they would mislead.
        target.annotations.clear();
        target.platform = None;
        self.change(|names| names.insert(reference.clone(), (target, jiff::Timestamp::now())).map(|(old, _)| old))
    }

    /// Takes names away, all of them in one step.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails; nothing has changed then.
    pub fn remove_names(&self, references: &[Reference]) -> Result<(), StoreError> {
        self.change(|names| {
            for reference in references {
                names.remove(reference);
            }
        })
    }

    fn change<T>(
        &self,
        change: impl FnOnce(&mut BTreeMap<Reference, (Descriptor, jiff::Timestamp)>) -> T,
    ) -> Result<T, StoreError> {
        let mut catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Catalog { names: catalog.names.clone(), foreign: catalog.foreign.clone() };
        let result = change(&mut next.names);
        next.save(&self.root).map_err(StoreError::io("write", FILE))?;
        *catalog = next;
        Ok(result)
    }
}
