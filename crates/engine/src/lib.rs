//! What an image daemon can do, as plain calls: pull, list, inspect, tag, remove, mount.
//!
//! [`Engine`] ties the store, the transfers and the mounts together for a caller in the same process: the daemon, or any other Rust program.
//! Its types are plain values. It knows no HTTP, no API versions and no wire format; words for users are only in errors and warnings.

mod engine;
mod error;
mod images;
mod lookup;
mod mounts;
mod names;

pub use engine::{Engine, Options, StoreInfo};
pub use error::{EngineError, Kind, OpenError};
pub use images::{HistoryItem, ImageDetail, ImageSummary};
pub use layer_registry::{Credentials, InsecureHost, Options as RegistryOptions, ParseInsecureHostError, Secret};
pub use layer_store::{Recovered, recover};
pub use layer_transfer::{
    Event, LayerPreview, Limits, Outcome, Phase, Preview, Pull, PullCause, PullError, PullRequest,
};
pub use mounts::{MountInfo, MountRequest};
pub use names::Removed;
