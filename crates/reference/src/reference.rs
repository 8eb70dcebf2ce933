//! The name of an image: a repository, and which image in it.

use std::fmt;
use std::str::FromStr;

use layer_digest::{Algorithm, Digest, ParseDigestError};

use crate::error::shown;
use crate::repository::split_domain;
use crate::{ParseReferenceError, Repository, grammar};

/// The tag that is meant when none is given.
const DEFAULT_TAG: &str = "latest";

/// A normalised image name: `docker.io/library/alpine:3.20@sha256:…`, where tag and digest may be absent.
///
/// `Display` prints the canonical form, which parses to the same value; so does [`Reference::familiar`]. Ordered by repository, tag, digest.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    repository: Repository,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Parses and normalises a name as people and Docker's clients write it.
    ///
    /// `alpine` becomes `docker.io/library/alpine`, `index.docker.io` becomes `docker.io`. No tag is added: see [`Reference::or_latest`].
    ///
    /// # Errors
    ///
    /// When `text` does not follow the grammar, is a bare image ID (64 hex digits), has a path over 255 bytes, or a digest by an unknown
    /// algorithm. The reserved name `scratch` parses: see [`Reference::check_reserved`].
    pub fn parse(text: &str) -> Result<Self, ParseReferenceError> {
        if grammar::is_identifier(text) {
            return Err(ParseReferenceError::HexName(text.to_owned()));
        }
        let (domain, rest) = split_domain(text);
        let name = rest.split(':').next().unwrap_or_default();
        if name.chars().any(char::is_uppercase) {
            return Err(ParseReferenceError::Uppercase(shown(name)));
        }
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (&*rest, None),
        };
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        if !tag.is_none_or(grammar::is_tag) || !digest.is_none_or(grammar::is_digest) {
            return Err(ParseReferenceError::Format);
        }
        let repository = Repository::from_parts(domain, path)?;
        let digest = digest.map(parse_digest).transpose()?;
        Ok(Self { repository, tag: tag.map(str::to_owned), digest })
    }

    /// The repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The repository, when nothing else is wanted any more.
    pub fn into_repository(self) -> Repository {
        self.repository
    }

    /// The tag, without its colon.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the manifest or index that is meant. Where there is a tag too, the digest decides.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The same name with the tag `latest`, if it has neither tag nor digest.
    pub fn or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// The same name with this tag; a digest stays.
    ///
    /// # Errors
    ///
    /// [`ParseReferenceError::Tag`] when `tag` does not follow the grammar.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ParseReferenceError> {
        if !grammar::is_tag(tag) {
            return Err(ParseReferenceError::Tag);
        }
        Ok(Self { tag: Some(tag.to_owned()), ..self.clone() })
    }

    /// The same name with this digest; a tag stays.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }

    /// The same name without a tag.
    pub fn without_tag(&self) -> Self {
        Self { tag: None, ..self.clone() }
    }

    /// The same name without a digest.
    pub fn without_digest(&self) -> Self {
        Self { digest: None, ..self.clone() }
    }

    /// The name as docker shows it to people: `alpine:latest`, `localhost:5000/app:1`, `alpine@sha256:…`.
    pub fn familiar(&self) -> String {
        format!("{}{}", self.repository.familiar(), Suffix(self))
    }

    /// What docker prints as the `id` of a pull's first line: the tag, or else the whole canonical name (which ends in the digest).
    pub fn tag_or_canonical(&self) -> String {
        self.tag.clone().unwrap_or_else(|| self.to_string())
    }

    /// Refuses the name of the empty image, whatever its tag.
    ///
    /// Docker answers it with 403 when it is pulled, and other malformed names with 400; hence the separate step.
    ///
    /// # Errors
    ///
    /// [`ParseReferenceError::Reserved`] for `scratch` on Docker Hub.
    pub fn check_reserved(&self) -> Result<(), ParseReferenceError> {
        if self.repository.is_reserved() { Err(ParseReferenceError::Reserved) } else { Ok(()) }
    }
}

/// Parses what has the shape of a digest, and sorts the refusals as Docker's clients know them: length before digits.
fn parse_digest(text: &str) -> Result<Digest, ParseReferenceError> {
    text.parse().map_err(|error| match error {
        ParseDigestError::Malformed { algorithm, .. } => {
            let wanted = match algorithm {
                Algorithm::Sha256 => 64,
                Algorithm::Sha512 => 128,
            };
            if text.len() == algorithm.name().len() + 1 + wanted {
                ParseReferenceError::DigestFormat
            } else {
                ParseReferenceError::DigestLength
            }
        }
        ParseDigestError::Unsupported(name) if !name.bytes().any(|b| b.is_ascii_uppercase()) => {
            ParseReferenceError::DigestAlgorithm
        }
        _ => ParseReferenceError::DigestFormat,
    })
}

/// Prints what follows the repository.
struct Suffix<'a>(&'a Reference);

impl fmt::Display for Suffix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(tag) = &self.0.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.0.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.repository, Suffix(self))
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Reference {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl From<Repository> for Reference {
    /// The bare name: no tag, no digest.
    fn from(repository: Repository) -> Self {
        Self { repository, tag: None, digest: None }
    }
}

#[cfg(test)]
mod tests;
