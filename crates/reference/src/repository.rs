//! The name of a repository: a registry's domain and a path in it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::error::shown;
use crate::{ParseReferenceError, Reference, grammar};

/// What Docker Hub is called in names.
pub(crate) const HUB: &str = "docker.io";

/// What Docker Hub was called before; taken for the same.
const LEGACY_HUB: &str = "index.docker.io";

/// A name in front of the first slash that is a host although it looks like a namespace.
const LOCALHOST: &str = "localhost";

/// Where Docker Hub keeps the images whose name has a single component.
const LIBRARY: &str = "library/";

/// A repository: `docker.io/library/alpine`.
///
/// The domain is always there, and a path on Docker Hub always has a namespace, so that one repository has one spelling. `Display` prints
/// that spelling; [`Repository::familiar`] prints the one for people. Ordered by domain, then path.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    domain: String,
    path: String,
}

impl Repository {
    /// Parses and normalises a name that has neither tag nor digest.
    ///
    /// # Errors
    ///
    /// As [`Reference::parse`]; also when there is a tag or a digest.
    pub fn parse(text: &str) -> Result<Self, ParseReferenceError> {
        let reference = Reference::parse(text)?;
        if reference.tag().is_some() || reference.digest().is_some() {
            return Err(ParseReferenceError::NotRepository(shown(text)));
        }
        Ok(reference.into_repository())
    }

    /// Checks the two parts that [`split_domain`] made.
    pub(crate) fn from_parts(domain: &str, path: &str) -> Result<Self, ParseReferenceError> {
        if !grammar::is_path(path) {
            return Err(ParseReferenceError::Format);
        }
        if !grammar::is_domain(domain) {
            // `MY_ORG/app` was split as if `MY_ORG` were a host, which may not have an underscore; written small it is a fine namespace.
            let namespace = domain.to_ascii_lowercase();
            let uppercase = namespace != domain && grammar::is_component(&namespace);
            return Err(if uppercase { ParseReferenceError::UppercaseNamespace } else { ParseReferenceError::Format });
        }
        if path.len() > grammar::MAX_PATH {
            return Err(ParseReferenceError::TooLong);
        }
        Ok(Self { domain: domain.to_owned(), path: path.to_owned() })
    }

    /// The registry: `docker.io`, `localhost:5000`, `[::1]:5000`. Its case is as it was written.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The path in the registry: `library/alpine`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The name as docker shows it to people: `alpine`, `acme/app`, `localhost:5000/app`.
    ///
    /// It parses to the same repository. Where leaving `docker.io/` or `library/` away would make it another one (a namespace on Docker Hub
    /// that looks like a host, or 64 hex digits), that part stays.
    pub fn familiar(&self) -> String {
        if self.domain != HUB {
            return self.to_string();
        }
        if let Some(name) = self.path.strip_prefix(LIBRARY)
            && !name.contains('/')
            && !grammar::is_identifier(name)
        {
            return name.to_owned();
        }
        let (domain, path) = split_domain(&self.path);
        if domain == HUB && path == self.path { self.path.clone() } else { self.to_string() }
    }

    /// Whether this is `scratch`, the name of the empty image.
    pub fn is_reserved(&self) -> bool {
        self.domain == HUB && self.path == "library/scratch"
    }
}

/// Splits a name in its domain and the rest (path, and whatever follows), supplying what Docker leaves away.
///
/// What stands in front of the first slash is a domain if it has a dot or a colon, is `localhost`, or has upper-case letters (which no path
/// may have); else all is a path on Docker Hub. Nothing is checked yet.
pub(crate) fn split_domain(name: &str) -> (&str, Cow<'_, str>) {
    let (domain, rest) = match name.split_once('/') {
        Some((LEGACY_HUB, rest)) => (HUB, rest),
        Some((first, rest))
            if first == LOCALHOST || first.contains(['.', ':']) || first.chars().any(char::is_uppercase) =>
        {
            (first, rest)
        }
        _ => (HUB, name),
    };
    if domain == HUB && !rest.contains('/') {
        return (domain, format!("{LIBRARY}{rest}").into());
    }
    (domain, rest.into())
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.path)
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Repository {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}
