//! Images on disk: blobs, unpacked layers, and the names that lead to them.
//!
//! ```text
//! <root>/                        0700, one process at a time (lock)
//!   oci-layout, index.json       the store as an OCI image-layout; index.json holds the names
//!   index.json.bak               the names before the last change
//!   format                       the version of this layout
//!   blobs/sha256/<hex>           indexes, manifests, configs, compressed layers: name = content, read-only
//!   layers/sha256/<hex>/         one unpacked layer by its diffID: fs/ in overlay form, layer.json, tree, SHA256SUMS
//!   ingest/<algorithm>-<hex>.part  a blob on its way in: the bytes that have come so far
//!   staging/<n>/                 a layer being unpacked, or something being removed; emptied at start
//!   mounts/                      what the engine keeps for mounted images
//!   db/                          sled: facts that are quick to look up and cheap to lose
//!   reserve                      room to be given up when the disk is full
//!   lock
//! ```
//!
//! The truth is in the files. A thing is there when its final name is: every name under `blobs/` and `layers/` was given by one rename, after
//! the bytes were proven and synced, and only [`layer_digest::Verified`] values get one. The order on disk is always content, then sync,
//! then name, then the record that refers to it; so whatever moment the power fails at, nothing refers to what isn't there.
//!
//! All calls block. This crate knows no network and no HTTP, and never deletes what a [`Lease`] or a name still needs.

mod blobs;
mod catalog;
mod documents;
mod error;
mod events;
mod facts;
mod form;
mod format;
mod holdings;
mod index;
mod ingest;
mod kept;
mod layers;
mod lease;
mod naming;
mod record;
mod recover;
mod scratch;
mod sealed;
mod sources;
mod start;
mod store;
mod sweep;
mod sync;
mod trust;
mod uses;

pub use catalog::{Named, StoredImage};
pub use error::{OpenError, StoreError, chain, disk_hint};
pub use form::{Form, LayerFiles, LayerPath};
pub use holdings::{DiskRoom, Held, Holdings};
pub use ingest::Ingest;
pub use layers::{Layer, StagedLayer};
pub use lease::Lease;
pub use naming::Naming;
pub use record::{ForeignLink, ImageRecord, LayerRecord};
pub use recover::{Recovered, recover};
pub use scratch::Scratch;
pub use sealed::{SealedBlob, SealedLayer, StagedBlob};
pub use start::Started;
pub use store::Store;
pub use sweep::{Closure, Rubbish, Swept};
pub use sync::Pace;
pub use trust::{InUse, LayerList};
