//! Attributes that were left out.

use std::fmt::Write as _;

use crate::tar::{Entry, Shown};

/// Attributes that were left out, because no Linux or not this file system could hold them. Images bring them from other systems, and run
/// without them under any other engine.
#[derive(Debug, Default)]
pub(crate) struct LeftOut {
    count: u64,
    /// The first of them, and whose it is.
    first: String,
}

impl LeftOut {
    pub(crate) fn add(&mut self, name: &[u8], entry: &Entry) {
        if self.count == 0 {
            // Writing to a string can't fail.
            let _ = write!(self.first, "{} of {}", Shown(name), Shown(&entry.path));
        }
        self.count += 1;
    }

    /// Says so once for the layer.
    pub(crate) fn report(&self) {
        if self.count > 0 {
            tracing::warn!(
                attributes = self.count,
                first = self.first,
                "left out attributes that can't be stored here"
            );
        }
    }
}
