//! The names of images: `index.json`.
//!
//! The file is the index of an OCI image-layout, one entry for each name, so that other tools find the images by name. Images that have lost
//! their last name to another image, and images that are pinned by themselves, have entries without a name. It changes as a whole, durably,
//! before a change is reported; who changes it goes through [`crate::Naming`].
//!
//! Spec: OCI image-spec 1.1, image-layout.md, "index.json file".

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::PoisonError;

use jiff::Timestamp;
use layer_digest::Digest;
use layer_fs::Dir;
use layer_oci::Descriptor;
use layer_reference::Reference;
use serde::{Deserialize, Serialize};

use crate::index::{self, FILE};
use crate::{OpenError, Store, StoreError};

const NAME: &str = "org.opencontainers.image.ref.name";
/// When the name was given.
const TAGGED: &str = "dev.layerd.tagged";
/// When the image lost its last name. Entries with this have no name.
const DANGLING: &str = "dev.layerd.dangling";
/// When the name was pinned, or, on an entry of its own, the image.
const PINNED: &str = "dev.layerd.pinned";
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
    pub tagged: Timestamp,
    /// When the name was pinned, if it is: what it leads to is then kept by every collection.
    pub pinned: Option<Timestamp>,
}

/// An entry without a name.
#[derive(Clone, Debug)]
pub(crate) struct Nameless {
    /// The index or manifest.
    pub(crate) target: Descriptor,
    /// When its last name went to another image, or when it was pinned.
    pub(crate) since: Timestamp,
}

/// An image of the store, with all that leads to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredImage {
    /// The index or manifest.
    pub target: Descriptor,
    /// All its names, in order.
    pub names: Vec<Named>,
    /// When it lost its last name to another image; then it has none.
    pub dangling: Option<Timestamp>,
    /// When it was pinned by itself.
    pub pinned: Option<Timestamp>,
}

impl StoredImage {
    /// Whether it is pinned, by itself or by one of its names.
    pub fn is_pinned(&self) -> bool {
        self.pinned.is_some() || self.names.iter().any(|named| named.pinned.is_some())
    }

    /// When it got the youngest of its names, or lost the last.
    pub fn since(&self) -> Option<Timestamp> {
        self.names.iter().map(|named| named.tagged).chain(self.dangling).chain(self.pinned).max()
    }
}

/// All names. The file on disk says the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) names: BTreeMap<Reference, Named>,
    /// Images that lost their last name to another image, and none of which has a name.
    pub(crate) dangling: BTreeMap<Digest, Nameless>,
    /// Images that are pinned by themselves, whatever their names.
    pub(crate) pins: BTreeMap<Digest, Nameless>,
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

/// An entry of the file, as one of ours.
enum Entry {
    Name(Named),
    Dangling(Nameless),
    Pin(Nameless),
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
            match Entry::read(&entry) {
                Some(Entry::Name(named)) => drop(catalog.names.insert(named.reference.clone(), named)),
                Some(Entry::Dangling(image)) => drop(catalog.dangling.insert(image.target.digest, image)),
                Some(Entry::Pin(image)) => drop(catalog.pins.insert(image.target.digest, image)),
                None => catalog.foreign.push(entry),
            }
        }
        Ok(catalog)
    }

    pub(crate) fn save(&self, root: &Dir) -> std::io::Result<()> {
        let mut manifests = self.foreign.clone();
        for named in self.names.values() {
            let mut entry = named.target.clone();
            entry.annotations.insert(NAME.to_owned(), named.reference.to_string());
            entry.annotations.insert(TAGGED.to_owned(), named.tagged.to_string());
            if let Some(pinned) = named.pinned {
                entry.annotations.insert(PINNED.to_owned(), pinned.to_string());
            }
            manifests.push(serde_json::to_value(entry)?);
        }
        for (images, word) in [(&self.dangling, DANGLING), (&self.pins, PINNED)] {
            for image in images.values() {
                let mut entry = image.target.clone();
                entry.annotations.insert(word.to_owned(), image.since.to_string());
                manifests.push(serde_json::to_value(entry)?);
            }
        }
        let file = File { schema_version: 2, media_type: Some(INDEX.to_owned()), manifests };
        let bytes = serde_json::to_vec_pretty(&file)?;
        // What could not be read again must not take the place of what can.
        if bytes.len() as u64 > MAX_FILE {
            return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "there are too many names"));
        }
        index::replace(root, &bytes)
    }

    /// Whether a name leads to the image.
    pub(crate) fn has_name(&self, image: Digest) -> bool {
        self.names.values().any(|named| named.target.digest == image)
    }

    /// What every image of the store begins at, each once.
    pub(crate) fn targets(&self) -> Vec<Descriptor> {
        let names = self.names.values().map(|named| &named.target);
        let nameless = self.dangling.values().chain(self.pins.values()).map(|image| &image.target);
        let targets: BTreeMap<_, _> = names.chain(nameless).map(|target| (target.digest, target)).collect();
        targets.into_values().cloned().collect()
    }

    /// What the entries of other tools begin at, as far as it can be understood.
    pub(crate) fn foreign_targets(&self) -> Vec<Descriptor> {
        self.foreign.iter().filter_map(|entry| Descriptor::deserialize(entry).ok()).collect()
    }
}

impl Entry {
    /// Reads an entry; `None` for one that another tool has written.
    fn read(entry: &serde_json::Value) -> Option<Self> {
        let mut target = Descriptor::deserialize(entry).ok()?;
        let mut time = |word: &str| -> Option<Timestamp> { target.annotations.remove(word)?.parse().ok() };
        let (tagged, dangling, pinned) = (time(TAGGED), time(DANGLING), time(PINNED));
        match (target.annotations.remove(NAME), tagged, dangling, pinned) {
            (Some(name), Some(tagged), ..) => {
                Some(Self::Name(Named { reference: Reference::parse(&name).ok()?, target, tagged, pinned }))
            }
            (None, _, Some(since), _) => Some(Self::Dangling(Nameless { target, since })),
            (None, _, None, Some(since)) => Some(Self::Pin(Nameless { target, since })),
            _ => None,
        }
    }
}

impl Store {
    /// All names, in order.
    pub fn names(&self) -> Vec<Named> {
        self.read_catalog(|catalog| catalog.names.values().cloned().collect())
    }

    /// What a name leads to.
    pub fn name(&self, reference: &Reference) -> Option<Named> {
        self.read_catalog(|catalog| catalog.names.get(reference).cloned())
    }

    /// All images, those without a name too, by digest.
    pub fn images(&self) -> Vec<StoredImage> {
        self.read_catalog(|catalog| {
            let mut images = BTreeMap::new();
            let empty = |target: &Descriptor| StoredImage {
                target: target.clone(),
                names: Vec::new(),
                dangling: None,
                pinned: None,
            };
            for named in catalog.names.values() {
                let image = images.entry(named.target.digest).or_insert_with(|| empty(&named.target));
                image.names.push(named.clone());
            }
            for (digest, image) in &catalog.dangling {
                images.entry(*digest).or_insert_with(|| empty(&image.target)).dangling = Some(image.since);
            }
            for (digest, image) in &catalog.pins {
                images.entry(*digest).or_insert_with(|| empty(&image.target)).pinned = Some(image.since);
            }
            images.into_values().collect()
        })
    }

    pub(crate) fn read_catalog<T>(&self, read: impl FnOnce(&Catalog) -> T) -> T {
        read(&self.catalog.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the names, on disk first. Only [`crate::Naming`] may: it is what keeps changes apart that look before they change.
    pub(crate) fn change_catalog<T>(&self, change: impl FnOnce(&mut Catalog) -> T) -> Result<T, StoreError> {
        // Nobody else changes it meanwhile; who reads it need not wait for the disk.
        let mut next = self.read_catalog(Catalog::clone);
        let result = change(&mut next);
        next.save(&self.root).map_err(StoreError::io("write", FILE))?;
        *self.catalog.lock().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(result)
    }
}
