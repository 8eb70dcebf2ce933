//! Removing what nothing leads to any more.
//!
//! There are no counters: what is needed is what can be reached from names, dangling images, pins and leases, and that is found out anew each
//! time. Who begins to use something takes a lease first and looks then; a sweep holds the leases while it looks and moves things out of
//! sight. So what one has seen to be there, the other doesn't take.

use std::collections::{HashMap, HashSet};
use std::sync::{MutexGuard, PoisonError};

use jiff::Timestamp;
use layer_digest::{BlobId, DiffId, Digest};
use layer_oci::{Descriptor, Document, Manifest, media_type};

use crate::documents::MAX_MANIFEST;
use crate::holdings::Held;
use crate::lease::Leases;
use crate::store::Grave;
use crate::{Naming, Store, StoreError};

/// How deep indexes may lie in indexes.
const MAX_DEPTH: usize = 4;

/// Everything that images consist of, as far as it is in the store.
#[derive(Clone, Debug, Default)]
pub struct Closure {
    /// Documents and packed layers.
    pub blobs: HashSet<BlobId>,
    /// Unpacked layers.
    pub layers: HashSet<DiffId>,
    /// The indexes and manifests, each before those that it leads to.
    documents: Vec<BlobId>,
    /// The documents that were followed, by digest and media type, and how deep each lay. That a blob is needed doesn't say that it was followed:
    /// an index may name a document where it can't be followed any more, or call it something else.
    followed: HashMap<(Digest, String), usize>,
    /// The entries of indexes that are passed over.
    without: HashSet<Digest>,
}

/// What a sweep has taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Of the images that were to go, those that are gone: nothing else has their document, and no lease holds it.
    pub gone: Vec<Digest>,
    /// How many blobs.
    pub blobs: usize,
    /// How many unpacked layers.
    pub layers: usize,
    /// How many partial downloads.
    pub partials: usize,
    /// The bytes that all of it took on the disk.
    pub bytes: u64,
}

/// What a sweep has moved out of sight and not cleared yet. Large trees take a while to clear, and nobody has to wait for that; it is done
/// when this is dropped.
#[derive(Debug)]
#[must_use = "dropping it is what clears it, which should be done when no lock is held"]
pub struct Rubbish<'a> {
    store: &'a Store,
    graves: Vec<Grave>,
}

impl Drop for Rubbish<'_> {
    fn drop(&mut self) {
        for grave in self.graves.drain(..) {
            if let Err(error) = self.store.clear_grave(grave) {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "could not clear what was removed; the next start will");
            }
        }
    }
}

/// How to take that a document can't be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unreadable {
    /// What it leads to is not known, so that nothing may be said about what is not needed.
    Fatal,
    /// What it leads to can't be found by anybody, or is somebody else's affair.
    Passed,
}

impl<'a> Naming<'a> {
    /// Removes the blobs and layers of images that have been taken out of the store, except what other images consist of and what is leased.
    ///
    /// # Errors
    ///
    /// When another image can't be read, since what it needs is then not known: nothing is removed. Or when the disk fails.
    pub fn sweep(&self, images: &[Descriptor]) -> Result<(Swept, Rubbish<'a>), StoreError> {
        let store = self.store;
        let mut doomed = Closure::default();
        for image in images {
            // What can't be read of the image leads to nothing that could be found later: what can be read is removed.
            let _ = store.collect(image, 0, Unreadable::Passed, &mut doomed);
        }
        // Layers of an older store may have to be measured, which is done before anybody has to wait for it.
        for id in &doomed.layers {
            store.held_layer(*id)?;
        }
        let mut sweep = Sweep::begin(store, &HashSet::new())?;
        sweep.closure(doomed)?;
        let is_gone = |image: &Digest| !sweep.keeps_blob(BlobId(*image));
        let gone: Vec<_> = images.iter().map(|image| image.digest).filter(is_gone).collect();
        gone.iter().for_each(|image| store.facts.forget_image(*image));
        Ok((Swept { gone, ..sweep.swept }, Rubbish { store, graves: sweep.graves }))
    }

    /// Removes manifests from under all indexes that have them, and what they consist of as [`Self::sweep`] does: to who looks, they were never
    /// pulled. All of them, or none if one is an image of its own or leased; [`Swept::gone`] says which.
    ///
    /// # Errors
    ///
    /// When an image can't be read, since what it needs is then not known: nothing is removed. Or when the disk fails.
    pub fn sweep_manifests(&self, manifests: &[Descriptor]) -> Result<(Swept, Rubbish<'a>), StoreError> {
        let store = self.store;
        let mut doomed = Closure::default();
        for manifest in manifests {
            let _ = store.collect(manifest, 0, Unreadable::Passed, &mut doomed);
        }
        for id in &doomed.layers {
            store.held_layer(*id)?;
        }
        let without: HashSet<Digest> = manifests.iter().map(|manifest| manifest.digest).collect();
        let mut sweep = Sweep::begin(store, &without)?;
        if without.iter().any(|manifest| sweep.keeps_blob(BlobId(*manifest))) {
            return Ok((Swept::default(), Rubbish { store, graves: Vec::new() }));
        }
        // The index that leads to them stays: a power cut must not bring one back without what it consists of.
        sweep.documents(&mut doomed)?;
        let folders: HashSet<_> = without.iter().map(Digest::algorithm).collect();
        for algorithm in folders {
            store.sync_blobs_of(algorithm)?;
        }
        sweep.closure(doomed)?;
        let gone = manifests.iter().map(|manifest| manifest.digest).collect();
        Ok((Swept { gone, ..sweep.swept }, Rubbish { store, graves: sweep.graves }))
    }
}

impl Store {
    /// Removes what no image consists of, what is leased aside: blobs and layers of pulls that were given up, and partial downloads that nobody
    /// goes on with. Only what was last written to before `before` goes.
    ///
    /// # Errors
    ///
    /// When an image can't be read, since what it needs is then not known: nothing is removed. Or when the disk fails.
    pub fn sweep_leftovers(&self, before: Timestamp) -> Result<(Swept, Rubbish<'_>), StoreError> {
        // Layers of an older store may have to be measured, which is done before anybody has to wait for it.
        self.holdings()?;
        let mut sweep = Sweep::begin(self, &HashSet::new())?;
        let mut leftovers = sweep.leftovers(before)?;
        // What leads to others goes first, as far as that can be told.
        leftovers.blobs.sort_by_cached_key(|(id, _)| !matches!(self.as_document(id.0), Ok(Some(_))));
        for (id, held) in leftovers.blobs {
            sweep.blob(id, Some(held))?;
        }
        for (id, held) in leftovers.layers {
            sweep.layer(id, Some(held))?;
        }
        for (id, held) in leftovers.partials {
            self.discard_partial(id)?;
            sweep.swept.partials += 1;
            sweep.swept.bytes = sweep.swept.bytes.saturating_add(held.bytes);
        }
        Ok((sweep.swept, Rubbish { store: self, graves: sweep.graves }))
    }

    /// What [`Store::sweep_leftovers`] would take now.
    ///
    /// # Errors
    ///
    /// As that.
    pub fn leftovers(&self, before: Timestamp) -> Result<Swept, StoreError> {
        self.holdings()?;
        let leftovers = Sweep::begin(self, &HashSet::new())?.leftovers(before)?;
        let all = leftovers.blobs.iter().map(|(_, held)| held);
        let all = all.chain(leftovers.layers.iter().map(|(_, held)| held));
        let all = all.chain(leftovers.partials.iter().map(|(_, held)| held));
        Ok(Swept {
            gone: Vec::new(),
            bytes: all.map(|held| held.bytes).fold(0, u64::saturating_add),
            blobs: leftovers.blobs.len(),
            layers: leftovers.layers.len(),
            partials: leftovers.partials.len(),
        })
    }

    /// Everything that an image consists of, as far as it is in the store.
    ///
    /// # Errors
    ///
    /// When one of its documents can't be read.
    pub fn closure(&self, image: &Descriptor) -> Result<Closure, StoreError> {
        let mut closure = Closure::default();
        self.collect(image, 0, Unreadable::Fatal, &mut closure)?;
        Ok(closure)
    }

    /// Everything that any image consists of, and what entries of other tools lead to. What only entries of indexes lead to that are in `without`
    /// is left out.
    fn reachable(&self, without: &HashSet<Digest>) -> Result<Closure, StoreError> {
        let mut kept = Closure { without: without.clone(), ..Closure::default() };
        let (ours, foreign) = self.read_catalog(|catalog| (catalog.targets(), catalog.foreign_targets()));
        for target in ours {
            self.collect(&target, 0, Unreadable::Fatal, &mut kept)?;
        }
        // What is left out is left out of our images alone. Other tools' entries lead wherever they say, by ways that were gone before, too.
        kept.without.clear();
        kept.followed.clear();
        for target in foreign {
            self.collect(&target, 0, Unreadable::Passed, &mut kept)?;
        }
        Ok(kept)
    }

    /// Whether an entry of an index is there, as the index describes it, and small enough to be read.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn leads_on(&self, entry: &Descriptor) -> Result<bool, StoreError> {
        Ok(entry.size <= MAX_MANIFEST && self.blob_size(BlobId(entry.digest))? == Some(entry.size))
    }

    /// Whether a manifest whose config is missing lacks more than that, or only speaks about an image.
    fn lacks_layers(&self, descriptor: &Descriptor, manifest: &Manifest) -> Result<bool, StoreError> {
        for layer in &manifest.layers {
            if self.blob_size(BlobId(layer.digest))?.is_none() {
                return Ok(true);
            }
        }
        Ok(descriptor.is_attestation())
    }

    fn collect(
        &self,
        descriptor: &Descriptor,
        depth: usize,
        unreadable: Unreadable,
        closure: &mut Closure,
    ) -> Result<(), StoreError> {
        closure.blobs.insert(BlobId(descriptor.digest));
        let media_type = descriptor.media_type.as_str();
        if depth > MAX_DEPTH || !(media_type::is_index(media_type) || media_type::is_manifest(media_type)) {
            return Ok(());
        }
        // What was followed from deeper down may have been left at the limit. Each document is followed a few times at most, however often it is named.
        let followed = (descriptor.digest, media_type.to_owned());
        let before = closure.followed.get(&followed).copied();
        if before.is_some_and(|before| before <= depth) {
            return Ok(());
        }
        closure.followed.insert(followed, depth);
        let document = match self.document(descriptor) {
            Ok(document) => document,
            Err(_) if unreadable == Unreadable::Passed => return Ok(()),
            // An index can call anything a manifest. What is whole and none leads to nothing.
            Err(StoreError::Document { .. }) if depth > 0 => return Ok(()),
            Err(error) => return Err(error),
        };
        if before.is_none() {
            closure.documents.push(BlobId(descriptor.digest));
        }
        match &*document {
            Document::Index(index) => {
                for entry in &index.manifests {
                    // Platforms that were never pulled aren't there.
                    if !closure.without.contains(&entry.digest) && self.leads_on(entry)? {
                        self.collect(entry, depth + 1, unreadable, closure)?;
                    }
                }
            }
            Document::Manifest(manifest) => {
                let config = BlobId(manifest.config.digest);
                closure.blobs.insert(config);
                closure.blobs.extend(manifest.layers.iter().map(|layer| BlobId(layer.digest)));
                match self.config(config) {
                    Ok(config) => closure.layers.extend(config.diff_ids.iter().copied()),
                    // It is whole, and not the config of an image: nothing is unpacked by it.
                    Err(StoreError::Document { .. }) => {}
                    // What of an index isn't here as a whole is no platform that anybody could use.
                    Err(StoreError::NoBlob(_)) if depth > 0 && self.lacks_layers(descriptor, manifest)? => {}
                    Err(_) if unreadable == Unreadable::Passed => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

/// What nothing needs, with what it takes.
struct Leftovers {
    blobs: Vec<(BlobId, Held)>,
    layers: Vec<(DiffId, Held)>,
    partials: Vec<(BlobId, Held)>,
}

/// A sweep at work. It holds the leases: from its beginning on nobody can begin to rely on what is about to go.
struct Sweep<'a> {
    store: &'a Store,
    leases: MutexGuard<'a, Leases>,
    kept: Closure,
    swept: Swept,
    graves: Vec<Grave>,
}

impl<'a> Sweep<'a> {
    fn begin(store: &'a Store, without: &HashSet<Digest>) -> Result<Self, StoreError> {
        // What has to be read from the disk is read before anybody has to wait for it.
        store.reachable(without)?;
        let leases = store.leases.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at after the leases: a pull that has let go of its lease by now has given its name before.
        let kept = store.reachable(without)?;
        Ok(Self { store, leases, kept, swept: Swept::default(), graves: Vec::new() })
    }

    /// Takes all that images or manifests consist of out of sight, unless it is needed.
    fn closure(&mut self, mut doomed: Closure) -> Result<(), StoreError> {
        // What leads to others goes first: a sweep that is broken off leaves nothing that leads nowhere.
        self.documents(&mut doomed)?;
        for id in doomed.blobs {
            self.blob(id, None)?;
        }
        for id in doomed.layers {
            self.layer(id, None)?;
        }
        Ok(())
    }

    /// Takes the indexes and manifests among it out of sight, unless they are needed.
    fn documents(&mut self, doomed: &mut Closure) -> Result<(), StoreError> {
        for id in doomed.documents.drain(..) {
            self.blob(id, None)?;
        }
        Ok(())
    }

    fn keeps_blob(&self, id: BlobId) -> bool {
        self.kept.blobs.contains(&id) || self.leases.blobs.contains_key(&id)
    }

    fn keeps_layer(&self, id: DiffId) -> bool {
        self.kept.layers.contains(&id) || self.leases.layers.contains_key(&id)
    }

    fn leftovers(&self, before: Timestamp) -> Result<Leftovers, StoreError> {
        let holdings = self.store.holdings()?;
        let is_old = |held: &Held| held.modified < before;
        Ok(Leftovers {
            blobs: holdings.blobs.into_iter().filter(|(id, it)| is_old(it) && !self.keeps_blob(*id)).collect(),
            layers: holdings.layers.into_iter().filter(|(id, it)| is_old(it) && !self.keeps_layer(*id)).collect(),
            // Whoever brings a blob in has a lease on it. One that is in the store needs no part of it.
            partials: holdings
                .partials
                .into_iter()
                .filter(|(id, it)| is_old(it) && !self.leases.blobs.contains_key(id))
                .collect(),
        })
    }

    /// Takes a blob out of sight, unless it is needed.
    fn blob(&mut self, id: BlobId, held: Option<Held>) -> Result<(), StoreError> {
        if self.keeps_blob(id) {
            return Ok(());
        }
        let Some(held) = held.map_or_else(|| self.store.held_blob(id), |held| Ok(Some(held)))? else { return Ok(()) };
        if let Some(grave) = self.store.bury_blob(id)? {
            self.graves.push(grave);
            self.swept.blobs += 1;
            self.swept.bytes = self.swept.bytes.saturating_add(held.bytes);
        }
        self.store.forget_document(id.0);
        self.store.facts.forget_blob(id);
        Ok(())
    }

    /// Takes a layer out of sight, unless it is needed.
    fn layer(&mut self, id: DiffId, held: Option<Held>) -> Result<(), StoreError> {
        if self.keeps_layer(id) {
            return Ok(());
        }
        let Some(held) = held.map_or_else(|| self.store.held_layer(id), |held| Ok(Some(held)))? else { return Ok(()) };
        if let Some(grave) = self.store.bury_layer(id)? {
            self.graves.push(grave);
            self.swept.layers += 1;
            self.swept.bytes = self.swept.bytes.saturating_add(held.bytes);
        }
        Ok(())
    }
}
