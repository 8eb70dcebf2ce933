//! What images take on the disk.
//!
//! Images share blobs and layers, so that the sizes of images don't add up. [`Shares`] knows for each thing in the store which images consist
//! of it; from that follow what is an image's alone, what would be free without it, and what nothing needs.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use layer_digest::{BlobId, DiffId, ImageId};
use layer_store::{Held, Holdings, Store};

use crate::engine::Shared;
use crate::images::{ImageSummary, summary_or_names};
use crate::lookup::{self, Found};
use crate::names::is_used;
use crate::{Engine, EngineError};

/// What the images of a store take on the disk, in bytes as `du` counts them.
#[derive(Clone, Debug)]
pub struct DiskUsage {
    /// All in all: what `du` counts for `blobs/`, `layers/` and `ingest/`.
    pub total: u64,
    /// Packed layers and documents.
    pub blobs: u64,
    /// Unpacked layers.
    pub layers: u64,
    /// Blobs that have come in part.
    pub partials: u64,
    /// Of all that, what no image consists of: a running pull needs it, or nobody.
    pub leftovers: u64,
    /// What a prune of all images would free now: all but what mounted and pinned images and running pulls need.
    pub reclaimable: u64,
    /// The images, the newest first.
    pub images: Vec<ImageUsage>,
}

/// What an image takes on the disk, in bytes as `du` counts them.
#[derive(Clone, Debug)]
pub struct ImageUsage {
    /// The image, as in a list, but for its size: that is here what it takes on the disk, `unique` and `shared` together.
    pub image: ImageSummary,
    /// What would be free if the image went.
    pub unique: u64,
    /// What other images consist of, too.
    pub shared: u64,
    /// Whether it is pinned.
    pub pinned: bool,
    /// When it was last used.
    pub last_used: Option<Timestamp>,
}

/// Which images consist of what.
pub(crate) struct Shares {
    /// The images, and the things that each consists of. An image that can't be read is left out.
    pub(crate) images: Vec<(Found, Vec<usize>)>,
    pub(crate) things: Vec<Thing>,
    pub(crate) holdings: Holdings,
}

/// A blob or a layer.
pub(crate) struct Thing {
    pub(crate) held: Held,
    /// How many images consist of it.
    pub(crate) users: u32,
    /// Whether somebody has a lease on it.
    leased: bool,
}

/// What identifies a thing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Blob(BlobId),
    Layer(DiffId),
}

impl Shares {
    pub(crate) fn find(store: &Store) -> Result<Self, EngineError> {
        let holdings = store.holdings()?;
        let mut numbers = HashMap::new();
        let mut things = Vec::new();
        let blobs = holdings.blobs.iter().map(|(id, held)| (Key::Blob(*id), *held, store.is_leased(*id)));
        let layers = holdings.layers.iter().map(|(id, held)| (Key::Layer(*id), *held, store.is_layer_leased(*id)));
        for (key, held, leased) in blobs.chain(layers) {
            numbers.insert(key, things.len());
            things.push(Thing { held, users: 0, leased });
        }
        let mut images = Vec::new();
        for found in lookup::all(store) {
            let closure = match store.closure(&found.target) {
                Ok(closure) => closure,
                // Somebody has removed it meanwhile.
                Err(_) if store.image(found.target.digest).is_none() => continue,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(image = %found.id(), error, "cannot read an image");
                    continue;
                }
            };
            let keys = closure.blobs.into_iter().map(Key::Blob).chain(closure.layers.into_iter().map(Key::Layer));
            let parts: Vec<usize> = keys.filter_map(|key| numbers.get(&key).copied()).collect();
            parts.iter().for_each(|part| things[*part].users += 1);
            images.push((found, parts));
        }
        Ok(Self { images, things, holdings })
    }

    /// The sizes of the things, by `size`, that are one image's alone, and that it shares.
    fn of(&self, parts: &[usize], size: impl Fn(&Held) -> u64) -> (u64, u64) {
        parts.iter().map(|part| &self.things[*part]).fold((0u64, 0u64), |(unique, shared), thing| {
            let size = size(&thing.held);
            if thing.users > 1 { (unique, shared.saturating_add(size)) } else { (unique.saturating_add(size), shared) }
        })
    }

    /// The bytes of the things that `take` takes.
    fn bytes(&self, take: impl Fn(&Thing) -> bool) -> u64 {
        self.things.iter().filter(|thing| take(thing)).map(|thing| thing.held.bytes).fold(0, u64::saturating_add)
    }
}

impl Engine {
    /// What images take on the disk, all and each.
    ///
    /// # Errors
    ///
    /// When the disk fails, or the record of a layer can't be read.
    pub async fn disk_usage(&self) -> Result<DiskUsage, EngineError> {
        self.blocking(disk_usage).await
    }

    /// What mounts take on the disk beside their images, in bytes as `du` counts them: what was copied for them, and what was written to them. Their
    /// trees are walked through.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub async fn mount_usage(&self) -> Result<u64, EngineError> {
        self.blocking(|shared| shared.mounts.allocated(&shared.store)).await
    }

    /// For each image the bytes of content that other images consist of, too: a part of [`ImageSummary::size`].
    ///
    /// # Errors
    ///
    /// When the disk fails, or the record of a layer can't be read.
    pub async fn shared_sizes(&self) -> Result<BTreeMap<ImageId, u64>, EngineError> {
        self.blocking(|shared| {
            let shares = Shares::find(&shared.store)?;
            let of = |parts: &[usize]| shares.of(parts, |held| held.size).1;
            Ok(shares.images.iter().map(|(found, parts)| (found.id(), of(parts))).collect())
        })
        .await
    }
}

fn disk_usage(shared: &Shared) -> Result<DiskUsage, EngineError> {
    let shares = Shares::find(&shared.store)?;
    let mut images = Vec::new();
    // What mounts, pins and pulls need.
    let mut needed: Vec<bool> = shares.things.iter().map(|thing| thing.leased).collect();
    for (found, parts) in &shares.images {
        if is_used(shared, found) {
            parts.iter().for_each(|part| needed[*part] = true);
        }
        let image = summary_or_names(shared, found);
        let (unique, shared_bytes) = shares.of(parts, |held| held.bytes);
        images.push(ImageUsage {
            image: ImageSummary { size: unique.saturating_add(shared_bytes), ..image },
            unique,
            shared: shared_bytes,
            pinned: found.pinned,
            last_used: shared.store.last_used(found.id()),
        });
    }
    images.sort_by_key(|usage| (std::cmp::Reverse(usage.image.created), usage.image.id));
    let sum = |held: &mut dyn Iterator<Item = &Held>| held.map(|held| held.bytes).fold(0, u64::saturating_add);
    let partials = sum(&mut shares.holdings.partials.values());
    let idle = shares.holdings.partials.iter().filter(|(id, _)| !shared.store.is_leased(**id));
    let idle = sum(&mut idle.map(|(_, held)| held));
    let unneeded = shares.things.iter().zip(&needed).filter(|(_, needed)| !**needed);
    let unneeded = sum(&mut unneeded.map(|(thing, _)| &thing.held));
    Ok(DiskUsage {
        total: shares.holdings.bytes(),
        blobs: sum(&mut shares.holdings.blobs.values()),
        layers: sum(&mut shares.holdings.layers.values()),
        partials,
        leftovers: shares.bytes(|thing| thing.users == 0).saturating_add(partials),
        reclaimable: unneeded.saturating_add(idle),
        images,
    })
}
