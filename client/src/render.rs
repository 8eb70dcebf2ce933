//! From data to what a person reads.
//!
//! Nothing here asks the daemon anything. All text that came from outside goes through [`text::clean`] on its way to a screen.

pub(crate) mod age;
pub(crate) mod json;
pub(crate) mod output;
pub(crate) mod progress;
pub(crate) mod size;
pub(crate) mod table;
pub(crate) mod text;
