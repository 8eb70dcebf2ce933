//! The wire contract of `layerd`: what travels over its socket, as serde types and nothing else.
//!
//! The shapes are those of the Docker Engine API for images, written as version [`ApiVersion::CURRENT`] has them; [`ImageSummary::at`] and
//! [`ImageInspect::at`] turn them into what an older version showed. What Docker has no word for lives under paths like [`mount::PATH`].
//!
//! Writing is exact: a member that dockerd sends as `null` or `[]` is sent so, one that it leaves out is left out. Reading is tolerant: a
//! member that is absent, `null` or unknown is no error, so that a client of this version can talk to an older or a newer daemon.
//!
//! This crate opens no sockets, knows no routes' logic and no type of the engine. Everything in it is data.

mod api;
pub mod auth;
pub mod bundle;
pub mod collection;
mod descriptor;
mod disk_usage;
mod distribution;
mod error;
mod event;
pub mod image;
mod info;
pub mod mount;
pub mod pin;
pub mod ping;
pub mod preview;
pub mod progress;
mod prune;
pub mod pull;
mod search;
mod size;
pub mod store_usage;
mod tolerant;
pub mod verify;
mod version;

pub use api::{ApiVersion, ParseApiVersionError, ZERO_TIME};
pub use auth::{AuthAnswer, AuthConfig, Secret};
pub use collection::{CollectRequest, Collected, Evicted};
pub use descriptor::{Descriptor, Platform};
pub use disk_usage::DiskUsage;
pub use distribution::DistributionInspect;
pub use error::ErrorBody;
pub use event::{Actor, Event};
pub use image::{HistoryItem, ImageInspect, ImageSummary, Removed};
pub use info::{Commit, IndexConfig, Info, Plugins, RegistryConfig, Swarm};
pub use mount::{Mount, MountRequest};
pub use pin::{Pin, PinRequest};
pub use preview::Preview;
pub use progress::{LayerStatus, LineReader, ProgressDetail, ProgressLine, Pulled};
pub use prune::PruneReport;
pub use pull::{RunningLayer, RunningPull};
pub use search::SearchResult;
pub use size::{decimal_size, parse_size};
pub use store_usage::{ImageUsage, StoreUsage};
pub use verify::{Verified, VerifyRequest};
pub use version::{Component, PlatformName, Version};
