//! Images on their way: from a registry into the store (pull), from an archive into it (load, import), and out of it into an archive (save).
//!
//! Read a pull in the order of the work: [`pull`](Transfer::pull) resolves the name (`pull/resolve.rs`), asks the store what is there
//! (`pull/plan.rs`), joins or starts a flight for each missing layer (`flight.rs`), and gives the image its name (`pull/finish.rs`). A flight
//! brings one blob in, once, for all pulls that want it: `flight/fetch.rs` gets the bytes over the network, `flight/pipeline.rs` proves,
//! inflates and unpacks them on two threads while they come.
//!
//! A load (`load.rs`) takes the same way with what a client sends, but learns only at the end what each layer is for; an import (`import.rs`) is a
//! load of one layer without an archive around it. A save (`save.rs`) writes an archive while it is sent.
//! [`push`](Transfer::push) goes the other way: it looks what of an image is here (`push/content.rs`), sends the blobs that the registry lacks
//! (`push/blobs.rs`), and then the documents, the one with the tag last.
//!
//! This is the one crate that knows where bytes come from and where they go, and the one place where network tasks and blocking threads meet.
//! It draws no progress and knows no HTTP server: what happens is told in [`Event`]s, which never hold a transfer up.

mod body;
mod content;
mod error;
mod event;
mod flight;
mod import;
mod load;
mod naming;
mod pull;
mod push;
mod repair;
mod running;
mod save;
mod stack;
mod transfer;

pub use error::{Kind, LayerError, PullCause, PullError};
pub use event::{Event, Outcome, Phase};
pub use import::{ChangeError, Changes, Import, ImportRequest};
pub use load::{Load, LoadCause, LoadError, LoadEvent, LoadRequest};
pub use pull::{LayerPreview, Patience, Preview, Pull, PullRequest, Remote};
pub use push::{Push, PushCause, PushError, PushEvent, PushPhase, PushRequest};
pub use running::{Follow, RunningPull};
pub use save::{Save, SaveImage, SavePlan};
pub use stack::{OpenImages, OpenLayers, StackingError};
pub use transfer::{Done, Limits, Transfer};
