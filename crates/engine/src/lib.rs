//! What an image daemon can do, as plain calls: pull, push, load, save, import, list, inspect, tag, remove, prune, mount.
//!
//! [`Engine`] ties the store, the transfers and the mounts together for a caller in the same process: the daemon, or any other Rust program.
//! Its types are plain values. It knows no HTTP, no API versions and no wire format; words for users are only in errors and warnings.

mod archives;
mod attestations;
mod bundle;
mod collect;
mod engine;
mod error;
mod events;
mod images;
mod labels;
mod login;
mod lookup;
mod manifests;
mod mounts;
mod names;
mod pins;
mod platforms;
mod prune;
mod running;
mod search;
mod usage;
mod verify;

pub use attestations::Attestation;
pub use bundle::{BundleInfo, BundleRequest};
pub use collect::{Collected, Collection, Evicted, Marks};
pub use engine::{Engine, Options, StoreInfo};
pub use error::{EngineError, ImagesError, Kind, OpenError};
pub use events::{Action, EventReader, ImageEvent};
pub use images::{HistoryItem, ImageDetail, ImageSummary};
pub use labels::LabelCondition;
pub use layer_registry::{
    Credentials, Download, FoundRepository, InsecureHost, Login, MirrorUrl, Options as RegistryOptions,
    ParseInsecureHostError, ParseMirrorError, ParseProxyError, Proxies, ProxyUrl, RegistryError, SearchRequest, Secret,
    SetupError,
};
pub use layer_store::{Form, Recovered, chain, recover};
pub use layer_transfer::{
    ChangeError, Changes, Import, ImportRequest, Load, LoadCause, LoadError, LoadEvent, LoadRequest, Save,
};
pub use layer_transfer::{
    Event, Follow, LayerPreview, Limits, Outcome, Patience, Phase, Preview, Pull, PullCause, PullError, PullRequest,
    Remote, RunningPull,
};
pub use layer_transfer::{Push, PushCause, PushError, PushEvent, PushPhase, PushRequest};
pub use manifests::{ManifestInfo, ManifestKind};
pub use mounts::{MountInfo, MountRequest};
pub use names::Removed;
pub use pins::Pin;
pub use prune::{PruneRequest, Pruned};
pub use usage::{DiskUsage, ImageUsage};
pub use verify::{Part, Problem, Totals, Verify, VerifyEvent, VerifyRequest};
