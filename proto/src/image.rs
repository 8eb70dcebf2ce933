//! Images: listing, inspecting, history, removal.

mod attestation;
mod config;
mod history;
mod inspect;
mod manifest;
mod removed;
mod summary;

pub use attestation::AttestationStatement;
pub use config::{Config, Empty, Set};
pub use history::{HistoryItem, MISSING};
pub use inspect::{GraphDriver, ImageInspect, Metadata, RootFs};
pub use manifest::{AttestationData, ImageData, ManifestKind, ManifestSize, ManifestSummary, UnpackedSize};
pub use removed::Removed;
pub use summary::ImageSummary;
