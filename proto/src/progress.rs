//! The progress of a pull or a push: one JSON object a line, `\r\n` after each, sent as it happens.
//!
//! An answer with such a body has status 200 from its first byte; what goes wrong later is a line of its own, [`ProgressLine::error`].

mod bar;
mod line;
mod push;
mod reader;
mod status;

pub use line::{ErrorDetail, ProgressDetail, ProgressLine, Pulled};
pub use push::{IndexReplaced, Pushed};
pub use reader::{BadLine, LineReader, MAX_LINE};
pub use status::{DIGEST, DOWNLOADED, LayerStatus, PULLING_FROM, PUSHING_TO, UP_TO_DATE};

/// The media type that docker gives a body of progress lines.
pub const CONTENT_TYPE: &str = "application/json";

/// A request's header, in lower case, by which a client asks for a stream as soon as the registry has to be waited for, whatever its value. A
/// failure is the last line of that stream then, and has no status of its own. Docker has no such header.
pub const TELL_RETRIES: &str = "layerd-tell-retries";
