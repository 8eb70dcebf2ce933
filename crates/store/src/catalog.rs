//! The names of images: `index.json`.
//!
//! The file is the index of an OCI image-layout, one entry for each name, so that other tools find the images by name. Images that have lost
//! their last name to another image, and images that are pinned by themselves, have entries without a name. It changes as a whole, durably,
//! before a change is reported; who changes it goes through [`crate::Naming`].
//!
//! Spec: OCI image-spec 1.1, image-layout.md, "index.json file".

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::{Arc, OnceLock, PoisonError};

use jiff::Timestamp;
use layer_digest::Digest;
use layer_fs::Dir;
use layer_oci::Descriptor;
use layer_reference::Reference;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

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
    pub names: Vec<Arc<Named>>,
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
///
/// It is copied for each change, and written as a whole. So that neither takes long where there are thousands of names, these are shared by the
/// copies, and so is the text of each: the name that changes is the only one to be rendered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    names: BTreeSet<Entry>,
    /// Images that lost their last name to another image, and none of which has a name.
    pub(crate) dangling: BTreeMap<Digest, Nameless>,
    /// Images that are pinned by themselves, whatever their names.
    pub(crate) pins: BTreeMap<Digest, Nameless>,
    /// Entries that some other tool added, which are kept as they are.
    foreign: Vec<Arc<RawValue>>,
}

/// A name, and its entry of the file as it is written there, once it was. Ordered by the name alone.
#[derive(Clone, Debug)]
struct Entry {
    named: Arc<Named>,
    text: Arc<OnceLock<Box<RawValue>>>,
}

impl Entry {
    fn new(named: Named) -> Self {
        Self { named: Arc::new(named), text: Arc::default() }
    }

    fn text(&self) -> serde_json::Result<&RawValue> {
        if let Some(text) = self.text.get() {
            return Ok(text);
        }
        let mut entry = self.named.target.clone();
        entry.annotations.insert(NAME.to_owned(), self.named.reference.to_string());
        entry.annotations.insert(TAGGED.to_owned(), self.named.tagged.to_string());
        if let Some(pinned) = self.named.pinned {
            entry.annotations.insert(PINNED.to_owned(), pinned.to_string());
        }
        let text = to_raw_value(&entry)?;
        Ok(self.text.get_or_init(|| text))
    }
}

impl Borrow<Reference> for Entry {
    fn borrow(&self) -> &Reference {
        &self.named.reference
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.named.reference.cmp(&other.named.reference)
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

/// The file. Written, it has one of our entries on a line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default, borrow)]
    manifests: Vec<&'a RawValue>,
}

/// What an entry of the file says, if it is one of ours.
enum Said {
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
        let file: File<'_> = serde_json::from_slice(&bytes)
            .map_err(|error| OpenError::Damaged { path: path.join(FILE), reason: error.to_string() })?;
        let mut catalog = Self::default();
        for entry in file.manifests {
            let said = Said::read(entry)
                .map_err(|error| OpenError::Damaged { path: path.join(FILE), reason: error.to_string() })?;
            match said {
                Some(Said::Name(named)) => catalog.give(named),
                Some(Said::Dangling(image)) => drop(catalog.dangling.insert(image.target.digest, image)),
                Some(Said::Pin(image)) => drop(catalog.pins.insert(image.target.digest, image)),
                None => catalog.foreign.push(entry.to_owned().into()),
            }
        }
        Ok(catalog)
    }

    pub(crate) fn save(&self, root: &Dir) -> std::io::Result<()> {
        let mut nameless = Vec::new();
        for (images, word) in [(&self.dangling, DANGLING), (&self.pins, PINNED)] {
            for image in images.values() {
                let mut entry = image.target.clone();
                entry.annotations.insert(word.to_owned(), image.since.to_string());
                nameless.push(to_raw_value(&entry)?);
            }
        }
        let mut manifests: Vec<&RawValue> = self.foreign.iter().map(|entry| &**entry).collect();
        for entry in &self.names {
            manifests.push(entry.text()?);
        }
        manifests.extend(nameless.iter().map(|entry| &**entry));
        let file = File { schema_version: 2, media_type: Some(INDEX.to_owned()), manifests };
        let bytes = serde_json::to_vec_pretty(&file)?;
        // What could not be read again must not take the place of what can.
        if bytes.len() as u64 > MAX_FILE {
            return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "there are too many names"));
        }
        index::replace(root, &bytes)
    }

    /// What a name leads to.
    pub(crate) fn name(&self, reference: &Reference) -> Option<&Arc<Named>> {
        self.names.get(reference).map(|entry| &entry.named)
    }

    /// All names, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Arc<Named>> {
        self.names.iter().map(|entry| &entry.named)
    }

    /// The names that lead to an image, in order.
    fn names_of(&self, image: Digest) -> impl Iterator<Item = &Arc<Named>> {
        self.names().filter(move |named| named.target.digest == image)
    }

    /// Gives a name, taking it from what had it.
    pub(crate) fn give(&mut self, named: Named) {
        self.names.replace(Entry::new(named));
    }

    /// Takes a name away.
    pub(crate) fn take(&mut self, reference: &Reference) -> Option<Arc<Named>> {
        self.names.take(reference).map(|entry| entry.named)
    }

    /// Takes images out, with all their names.
    pub(crate) fn remove(&mut self, images: &[Digest]) {
        let gone: HashSet<_> = images.iter().collect();
        self.names.retain(|entry| !gone.contains(&entry.named.target.digest));
        for image in images {
            self.dangling.remove(image);
            self.pins.remove(image);
        }
    }

    /// Whether a name leads to the image.
    pub(crate) fn has_name(&self, image: Digest) -> bool {
        self.names_of(image).next().is_some()
    }

    /// An image with all that leads to it, if anything does.
    fn image(&self, digest: Digest) -> Option<StoredImage> {
        let names: Vec<_> = self.names_of(digest).cloned().collect();
        let (dangling, pin) = (self.dangling.get(&digest), self.pins.get(&digest));
        let target = names.first().map(|named| &named.target).or(dangling.or(pin).map(|image| &image.target))?.clone();
        let since = |image: Option<&Nameless>| image.map(|image| image.since);
        Some(StoredImage { target, names, dangling: since(dangling), pinned: since(pin) })
    }

    /// What every image of the store begins at, each once.
    pub(crate) fn targets(&self) -> Vec<Descriptor> {
        let names = self.names().map(|named| &named.target);
        let nameless = self.dangling.values().chain(self.pins.values()).map(|image| &image.target);
        let targets: BTreeMap<_, _> = names.chain(nameless).map(|target| (target.digest, target)).collect();
        targets.into_values().cloned().collect()
    }

    /// What the entries of other tools begin at, as far as it can be understood.
    pub(crate) fn foreign_targets(&self) -> Vec<Descriptor> {
        self.foreign.iter().filter_map(|entry| descriptor(entry).ok()?).collect()
    }
}

/// What an entry describes, if it describes anything. Of a member that is there twice the last one counts, as it does for other tools.
fn descriptor(entry: &RawValue) -> serde_json::Result<Option<Descriptor>> {
    let value: serde_json::Value = serde_json::from_str(entry.get())?;
    Ok(Descriptor::deserialize(value).ok())
}

impl Said {
    /// Reads an entry; `None` for one that another tool has written.
    fn read(entry: &RawValue) -> serde_json::Result<Option<Self>> {
        Ok(descriptor(entry)?.and_then(Self::of))
    }

    fn of(mut target: Descriptor) -> Option<Self> {
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
        self.read_catalog(|catalog| catalog.names().map(|named| Named::clone(named)).collect())
    }

    /// What a name leads to.
    pub fn name(&self, reference: &Reference) -> Option<Named> {
        self.read_catalog(|catalog| catalog.name(reference).map(|named| Named::clone(named)))
    }

    /// The image that has a name.
    pub fn image_named(&self, reference: &Reference) -> Option<StoredImage> {
        self.read_catalog(|catalog| catalog.image(catalog.name(reference)?.target.digest))
    }

    /// An image, if it is one of the store.
    pub fn image(&self, digest: Digest) -> Option<StoredImage> {
        self.read_catalog(|catalog| catalog.image(digest))
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
            for named in catalog.names() {
                let image = images.entry(named.target.digest).or_insert_with(|| empty(&named.target));
                image.names.push(Arc::clone(named));
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
