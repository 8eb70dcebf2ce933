//! Why a text is no image name.

/// Why a text is no image name.
///
/// Programs match on dockerd's words for these, so that they are dockerd's, without the backticks that the rest of the program uses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseReferenceError {
    /// The text does not follow the grammar.
    #[error("invalid reference format")]
    Format,
    /// The path has upper-case letters; holds the path as it would have been used.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
    /// What stands in front of the first slash was taken for a host because of its upper-case letters, but is none.
    #[error("repository name must be lowercase")]
    UppercaseNamespace,
    /// The name is 64 hex digits, which would read as an image ID.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    HexName(String),
    /// The path is longer than a registry may take.
    #[error("repository name must not be more than 255 characters")]
    TooLong,
    /// A tag that was given by itself does not follow the grammar.
    #[error("invalid tag format")]
    Tag,
    /// The digest is by an algorithm that this program cannot compute.
    #[error("unsupported digest algorithm")]
    DigestAlgorithm,
    /// The digest has more or fewer digits than its algorithm yields.
    #[error("invalid checksum digest length")]
    DigestLength,
    /// The digest has digits other than `0-9a-f`.
    #[error("invalid checksum digest format")]
    DigestFormat,
    /// The name stands for the empty image, which no registry serves.
    #[error("'scratch' is a reserved name")]
    Reserved,
    /// There is a tag or a digest where only a repository was wanted.
    #[error("`{0}` is more than the name of a repository: it has a tag or a digest")]
    NotRepository(String),
}

/// The longest stretch of foreign text that an error repeats.
const SHOWN: usize = 320;

/// Foreign text as an error may show it: bounded, and without control characters that could move a terminal's cursor.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(SHOWN).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
