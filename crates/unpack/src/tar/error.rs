//! What can be wrong with a tar.

use std::{fmt, io};

/// Why a stream can't be read as a tar.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TarError {
    /// The stream failed.
    #[error("read the stream")]
    Read(#[source] io::Error),
    /// The stream ends inside an entry.
    #[error("the tar ends in the middle, at byte {offset}")]
    Truncated {
        /// How many bytes of tar there were.
        offset: u64,
    },
    /// A header block is none.
    #[error("no tar header at byte {offset}: {reason}")]
    Header {
        /// Where the block begins.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// An entry is malformed, or readers of tars would differ on it.
    #[error("entry `{}`: {reason}", Shown(.path))]
    Entry {
        /// The entry's name, as far as it is known.
        path: Vec<u8>,
        /// What is wrong with it.
        reason: String,
    },
}

impl TarError {
    pub(crate) fn entry(path: &[u8], reason: impl Into<String>) -> Self {
        Self::Entry { path: path.to_vec(), reason: reason.into() }
    }
}

/// A foreign name as people may see it: on one line, without control characters, of bounded length.
pub(crate) struct Shown<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX: usize = 200;
        let cut = &self.0[..self.0.len().min(MAX)];
        for char in String::from_utf8_lossy(cut).chars() {
            // What has no width of its own, or turns the direction of the text, would make the name look like another.
            let misleads = matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
            if char.is_control() || misleads {
                write!(f, "{}", char.escape_default())?;
            } else {
                write!(f, "{char}")?;
            }
        }
        if self.0.len() > MAX { f.write_str("…") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_names_are_shown_on_one_line_and_as_they_are() {
        for (name, want) in [
            (&b"etc/caf\xc3\xa9"[..], "etc/café"),
            (b"a\nb\x1b[31m", "a\\nb\\u{1b}[31m"),
            (b"\xff", "\u{fffd}"),
            ("gpj\u{202e}.exe".as_bytes(), "gpj\\u{202e}.exe"),
        ] {
            assert_eq!(Shown(name).to_string(), want);
        }
        assert_eq!(Shown(&[b'x'; 201]).to_string(), format!("{}…", "x".repeat(200)));
    }
}
