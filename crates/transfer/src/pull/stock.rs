//! What of an image's layers the store has, as far as its manifest tells, and the room that the rest will take.

use std::collections::HashSet;
use std::sync::Arc;

use layer_digest::BlobId;
use layer_oci::{Descriptor, media_type};
use layer_store::{Lease, Store, StoreError};

use super::resolve::Chosen;
use crate::PullCause;
use crate::transfer::Inner;

/// How many times larger the files of a compressed layer usually are than its blob. Distributions' base layers come to 2.6, large programs to 4.
const USUAL_RATIO: u64 = 3;

/// The layers of a manifest, base first, each blob once.
pub(super) struct Stock {
    pub(super) layers: Vec<Stocked>,
}

/// A layer, and how much of it there is.
pub(super) struct Stocked {
    pub(super) descriptor: Descriptor,
    /// How many bytes of the blob have come, in an earlier pull that was broken off or to the end.
    pub(super) come: u64,
    /// Whether the layer is unpacked as well.
    pub(super) is_unpacked: bool,
}

/// Bytes that will be taken on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Room {
    /// Blobs that are still to come.
    pub(super) packed: u64,
    /// All of it, if nothing becomes larger by being unpacked: less can't do.
    pub(super) least: u64,
    /// All of it, if layers unpack as they usually do.
    pub(super) usual: u64,
}

/// Leases the blobs of an image, and then looks which there are.
pub(super) async fn take(inner: &Arc<Inner>, chosen: &Chosen) -> Result<(Lease, Stock), PullCause> {
    let documents = chosen.documents.iter().map(|(id, _)| *id);
    let parts = chosen.manifest.layers.iter().chain([&chosen.manifest.config]).map(|part| BlobId(part.digest));
    let blobs: Vec<_> = documents.chain(parts).collect();
    let mut lease = inner.store.lease();
    // Whoever collects holds the table of leases for a while.
    let hold = move || {
        blobs.into_iter().for_each(|id| lease.hold_blob(id));
        lease
    };
    let lease = tokio::task::spawn_blocking(hold).await.map_err(|error| PullCause::Task(error.into()))?;
    Ok((lease, look(inner, chosen).await?))
}

/// Looks which layers there are.
pub(super) async fn look(inner: &Arc<Inner>, chosen: &Chosen) -> Result<Stock, PullCause> {
    let mut seen = HashSet::new();
    let layers: Vec<_> = chosen.manifest.layers.iter().filter(|layer| seen.insert(layer.digest)).cloned().collect();
    let shared = Arc::clone(inner);
    let look = move || -> Result<Stock, StoreError> {
        let layers = layers.into_iter().map(|descriptor| {
            let blob = BlobId(descriptor.digest);
            let come = if shared.store.has_blob(&descriptor)? {
                descriptor.size
            } else {
                shared.store.partial_size(blob)?.min(descriptor.size)
            };
            let is_unpacked = shared.flights.seems_stored(&descriptor)?;
            Ok(Stocked { descriptor, come, is_unpacked })
        });
        Ok(Stock { layers: layers.collect::<Result<_, StoreError>>()? })
    };
    Ok(tokio::task::spawn_blocking(look).await.map_err(|error| PullCause::Task(error.into()))??)
}

impl Stock {
    /// The blobs that a registry has to be asked for.
    pub(super) fn to_fetch(&self) -> impl Iterator<Item = &Descriptor> {
        self.layers.iter().filter(|layer| layer.come < layer.descriptor.size).map(|layer| &layer.descriptor)
    }

    /// The room that the missing will take.
    pub(super) fn room(&self) -> Room {
        let mut room = Room::default();
        for layer in &self.layers {
            let size = layer.descriptor.size;
            let packed = size - layer.come;
            let files = if layer.is_unpacked { 0 } else { size };
            let ratio = if media_type::is_plain_layer(&layer.descriptor.media_type) { 1 } else { USUAL_RATIO };
            room.packed = room.packed.saturating_add(packed);
            room.least = room.least.saturating_add(packed).saturating_add(files);
            room.usual = room.usual.saturating_add(packed).saturating_add(files.saturating_mul(ratio));
        }
        room
    }

    /// Sees to it that the image has a chance to fit. Returns a warning when it only may.
    ///
    /// What is known is the size of the blobs; how large their files are shows when they have come. So a pull is refused only if it can't
    /// succeed.
    pub(super) fn check_room(&self, store: &Store) -> Result<Option<String>, PullCause> {
        let room = self.room();
        if room.least == 0 {
            return Ok(None);
        }
        let (free, root) = (store.free_bytes()?, store.path());
        if room.least > free {
            return Err(PullCause::NoRoom { needed: room.least, free, root: root.to_owned() });
        }
        let may_not_fit = room.usual > free;
        Ok(may_not_fit.then(|| {
            let (usual, free) = (binary_size(room.usual), binary_size(free));
            format!("such an image usually takes {usual}, and {free} are free on `{}`: it may not fit", root.display())
        }))
    }
}

/// Spells a number of bytes in binary units, as file systems are measured: `1.2 GiB`.
pub(crate) fn binary_size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut unit = None;
    let mut tenths = u128::from(bytes) * 10;
    for name in UNITS {
        if tenths < 10_240 {
            break;
        }
        // Rounded up: what is needed is not told too small.
        tenths = tenths.div_ceil(1024);
        unit = Some(name);
    }
    match unit {
        None => format!("{bytes} bytes"),
        Some(unit) => format!("{}.{} {unit}", tenths / 10, tenths % 10),
    }
}

#[cfg(test)]
mod tests {
    use layer_digest::Digest;

    use super::*;

    fn layer(size: u64, come: u64, is_unpacked: bool, media_type: &str) -> Stocked {
        Stocked {
            descriptor: Descriptor::new(media_type, Digest::sha256(&size.to_le_bytes()), size),
            come,
            is_unpacked,
        }
    }

    #[test]
    fn what_is_there_takes_no_room() {
        let gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
        let stock = Stock {
            layers: vec![
                layer(100, 0, false, gzip),
                layer(200, 50, false, gzip),
                layer(300, 300, false, media_type::OCI_LAYER),
                layer(400, 400, true, gzip),
            ],
        };
        assert_eq!(stock.room(), Room { packed: 250, least: 850, usual: 250 + 300 + 600 + 300 });
        let missing: Vec<_> = stock.to_fetch().map(|descriptor| descriptor.size).collect();
        assert_eq!(missing, [100, 200]);
    }

    #[test]
    fn sizes_are_told_in_binary_units() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (1025, "1.1 KiB"),
            (310 << 20, "310.0 MiB"),
            ((12 << 30) / 10, "1.2 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(binary_size(bytes), text);
        }
    }
}
