//! The wire contract of `layerd`: what travels over its socket, as serde types and nothing else.
//!
//! The shapes are those of the Docker Engine API for images, written as version [`ApiVersion::CURRENT`] has them; [`ImageSummary::at`] and
//! [`ImageInspect::at`] turn them into what an older version showed. What Docker has no word for lives under [`mount::PATH`], [`bundle::PATH`] and
//! [`verify::PATH`].
//!
//! Writing is exact: a member that dockerd sends as `null` or `[]` is sent so, one that it leaves out is left out. Reading is tolerant: a
//! member that is absent, `null` or unknown is no error, so that a client of this version can talk to an older or a newer daemon.
//!
//! This crate opens no sockets, knows no routes' logic and no type of the engine. Everything in it is data.

mod api;
pub mod bundle;
mod descriptor;
mod error;
pub mod image;
mod info;
pub mod mount;
pub mod ping;
pub mod progress;
mod size;
mod tolerant;
pub mod verify;
mod version;

pub use api::{ApiVersion, ParseApiVersionError, ZERO_TIME};
pub use descriptor::{Descriptor, Platform};
pub use error::ErrorBody;
pub use image::{HistoryItem, ImageInspect, ImageSummary, Removed};
pub use info::{Commit, IndexConfig, Info, Plugins, RegistryConfig, Swarm};
pub use mount::{Mount, MountRequest};
pub use progress::{LayerStatus, LineReader, ProgressDetail, ProgressLine, Pulled};
pub use size::decimal_size;
pub use verify::{Verified, VerifyRequest};
pub use version::{Component, PlatformName, Version};
