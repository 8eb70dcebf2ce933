//! What can be wrong with an archive.

use std::fmt::Write as _;
use std::io;

use layer_oci::DocumentError;
use layer_unpack::TarError;

/// Why an archive can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// It is no tar, or one that readers would differ on.
    #[error("read the archive")]
    Tar(#[source] TarError),
    /// A member is what none may be.
    #[error("member `{}` of the archive: {reason}", shown(.name))]
    Member {
        /// The member.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It holds more than any archive of images does.
    #[error("the archive has more than {limit} {what}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How many are taken.
        limit: usize,
    },
    /// One of its tables of contents can't be read.
    #[error("read `{file}` of the archive")]
    Json {
        /// Which.
        file: &'static str,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The index can't be used.
    #[error("read `{file}` of the archive")]
    Document {
        /// Which.
        file: &'static str,
        /// What is wrong with it.
        #[source]
        source: DocumentError,
    },
    /// A table of contents names something that is not there.
    #[error("`{file}` names `{}`, which is not in the archive", shown(.name))]
    Missing {
        /// The table.
        file: &'static str,
        /// The name.
        name: String,
    },
    /// Its two tables of contents lead to different images.
    #[error("`manifest.json` leads to the image of `{}`, and `index.json` does not: which it is would depend on the reader", shown(.name))]
    Contradiction {
        /// The config that `manifest.json` names.
        name: String,
    },
    /// It has no table of contents. The first words are docker's.
    #[error("unrecognized image format: the archive has neither `manifest.json` nor `oci-layout` with `index.json`")]
    Unrecognized,
}

impl ArchiveError {
    pub(crate) fn member(name: &str, reason: impl Into<String>) -> Self {
        Self::Member { name: name.to_owned(), reason: reason.into() }
    }

    /// The error of the stream behind this one, where there is one.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Tar(TarError::Read(error)) => Some(error),
            _ => None,
        }
    }
}

impl From<TarError> for ArchiveError {
    fn from(error: TarError) -> Self {
        Self::Tar(error)
    }
}

/// A foreign name on one line, without control characters, of bounded length.
fn shown(name: &str) -> String {
    const MAX: usize = 200;
    let mut text = String::new();
    for char in name.chars().take(MAX) {
        let misleads =
            matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        if char.is_control() || misleads {
            // Writing to a `String` can't fail.
            let _ = write!(text, "{}", char.escape_default());
        } else {
            text.push(char);
        }
    }
    text
}
