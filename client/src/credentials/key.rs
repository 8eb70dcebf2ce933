//! Registries, and the keys that logins for them are kept under.

use std::fmt;
use std::str::FromStr;

/// How images name Docker Hub.
const HUB: &str = "docker.io";

/// The key that Docker's clients keep the login for Docker Hub under.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// What else Docker Hub's hosts are called.
const HUB_ALIASES: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];

/// A registry, as images name it: `docker.io`, `host`, `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Registry(String);

impl Registry {
    /// Docker Hub.
    pub(crate) fn hub() -> Self {
        Self(HUB.into())
    }

    /// The registry that people mean by `text`: a host, or an address of which the host alone counts. Nothing means Docker Hub.
    pub(crate) fn named(text: &str) -> Self {
        let rest = text.trim().split_once("://").map_or(text.trim(), |(_, rest)| rest);
        let host = rest.split('/').next().unwrap_or_default().to_ascii_lowercase();
        if host.is_empty() || HUB_ALIASES.contains(&&*host) { Self::hub() } else { Self(host) }
    }

    /// What Docker's clients and their helpers call it.
    pub(crate) fn server(&self) -> &str {
        if self.is_hub() { HUB_KEY } else { &self.0 }
    }

    /// Whether it is Docker Hub.
    pub(crate) fn is_hub(&self) -> bool {
        self.0 == HUB
    }

    /// As images name it.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text names no registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is neither a host, nor `host:port`, nor the address of one")]
pub(crate) struct ParseRegistryError;

impl FromStr for Registry {
    type Err = ParseRegistryError;

    /// As [`Registry::named`], for what a person has typed: a slip must not lead to Docker Hub, or take a password for a part of a name.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        let host = rest.split('/').next().unwrap_or_default();
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_host) {
            return Err(ParseRegistryError);
        }
        Ok(Self::named(text))
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a login is wanted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The registry.
    pub(crate) registry: Registry,
    /// The repository in it; empty for all of the registry.
    repository: String,
}

/// Whose rules hold for the keys of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Docker's: a login is for a registry, whatever else its key says.
    Docker,
    /// Podman's and its relatives': a login may be for a part of a registry.
    Containers,
}

/// How well a key fits; the greater, the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    /// It names the registry and a path that means something else, which docker doesn't look at.
    OtherPath,
    /// It names the registry in another way: as an address, or by another name of Docker Hub.
    Address,
    /// It names the registry as images do, or as docker does.
    Registry,
    /// It names a part of the registry, by so many components.
    Part(usize),
}

impl Wanted {
    /// The login for all of a registry.
    pub(crate) fn all_of(registry: &Registry) -> Self {
        Self { registry: registry.clone(), repository: String::new() }
    }

    /// The login that pulls the image `name`, which is as it was typed.
    pub(crate) fn image(name: &str) -> Self {
        let (repository, _) = crate::name::split_tag(name.split('@').next().unwrap_or(name));
        match repository.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" || has_upper_case(first) => {
                let registry = Registry::named(first);
                let library = if registry.is_hub() && !rest.contains('/') { "library/" } else { "" };
                Self { registry, repository: format!("{library}{rest}") }
            }
            Some(_) => Self { registry: Registry::hub(), repository: repository.into() },
            None => Self { registry: Registry::hub(), repository: format!("library/{repository}") },
        }
    }

    /// How well `key` fits; `None` if it is for something else.
    pub(crate) fn fit(&self, key: &str, dialect: Dialect) -> Option<Fit> {
        if Registry::named(key) != self.registry || key.trim().is_empty() {
            return None;
        }
        if key == self.registry.server() || key == self.registry.as_str() {
            return Some(Fit::Registry);
        }
        let Some((_, path)) = key.split_once('/').filter(|_| !key.contains("://")) else { return Some(Fit::Address) };
        let path = path.trim_end_matches('/');
        if matches!(path, "" | "v1" | "v2") {
            return Some(Fit::Address);
        }
        let is_part = self.repository.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if is_part {
            return Some(Fit::Part(path.split('/').count()));
        }
        (dialect == Dialect::Docker).then_some(Fit::OtherPath)
    }

    /// The best of `keys`; of equals the first.
    pub(crate) fn best<'a>(&self, keys: impl IntoIterator<Item = &'a str>, dialect: Dialect) -> Option<&'a str> {
        let mut best: Option<(Fit, &str)> = None;
        for key in keys {
            if let Some(fit) = self.fit(key, dialect)
                && best.is_none_or(|(other, _)| fit > other)
            {
                best = Some((fit, key));
            }
        }
        best.map(|(_, key)| key)
    }
}

fn has_upper_case(text: &str) -> bool {
    text.chars().any(char::is_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_has_one_name() {
        for (text, name, server) in [
            ("", "docker.io", HUB_KEY),
            ("docker.io", "docker.io", HUB_KEY),
            ("https://index.docker.io/v1/", "docker.io", HUB_KEY),
            ("registry-1.docker.io", "docker.io", HUB_KEY),
            ("GHCR.io", "ghcr.io", "ghcr.io"),
            ("https://r.example:5000/v2/", "r.example:5000", "r.example:5000"),
            ("r.example/team", "r.example", "r.example"),
            ("[::1]:5000", "[::1]:5000", "[::1]:5000"),
        ] {
            let registry = Registry::named(text);
            assert_eq!((registry.as_str(), registry.server()), (name, server), "{text}");
        }
    }

    #[test]
    fn what_is_typed_has_to_be_a_host() {
        for text in ["r.example", "https://r.example:5000/v2/", "[::1]:5000", "registry_1", "docker.io"] {
            assert_eq!(text.parse::<Registry>(), Ok(Registry::named(text)));
        }
        for text in ["", "/", "https://", "/r.example", "bob:pw@r.example", "r.example?x", "a b"] {
            assert_eq!(text.parse::<Registry>(), Err(ParseRegistryError), "{text}");
        }
    }

    #[test]
    fn an_image_says_where_it_comes_from() {
        for (name, registry, repository) in [
            ("alpine", "docker.io", "library/alpine"),
            ("alpine:3.20", "docker.io", "library/alpine"),
            ("acme/app@sha256:00", "docker.io", "acme/app"),
            ("docker.io/alpine", "docker.io", "library/alpine"),
            ("index.docker.io/acme/app:1", "docker.io", "acme/app"),
            ("localhost/app", "localhost", "app"),
            ("127.0.0.1:5000/a/b:1@sha256:00", "127.0.0.1:5000", "a/b"),
            ("R.Example/app", "r.example", "app"),
        ] {
            let wanted = Wanted::image(name);
            assert_eq!((wanted.registry.as_str(), &*wanted.repository), (registry, repository), "{name}");
        }
    }

    #[test]
    fn the_most_specific_key_counts() {
        let app = Wanted::image("r.example/acme/team/app:1");
        let keys = ["https://r.example/v1/", "r.example", "r.example/acme", "r.example/acme/team", "r.example/acme/te"];
        assert_eq!(app.best(keys, Dialect::Containers), Some("r.example/acme/team"));
        assert_eq!(app.best(["r.example/acme/team/app"], Dialect::Containers), Some("r.example/acme/team/app"));
        assert_eq!(app.best(keys.into_iter().take(2), Dialect::Containers), Some("r.example"));
        assert_eq!(app.best(["r.example/other", "x.example", ""], Dialect::Containers), None);
        // Docker's rules know no parts.
        assert_eq!(app.best(["r.example/other", "x.example"], Dialect::Docker), Some("r.example/other"));
        let hub = Wanted::image("alpine");
        assert_eq!(hub.best(["index.docker.io", "x.io", HUB_KEY], Dialect::Docker), Some(HUB_KEY));
        assert_eq!(hub.best(["docker.io/library"], Dialect::Containers), Some("docker.io/library"));
        for key in ["index.docker.io", "docker.io", "https://index.docker.io/v1", "http://docker.io", "docker.io/v1/"] {
            assert_eq!(hub.best([key], Dialect::Docker), Some(key));
        }
        let port = Wanted::image("r.example:5000/app");
        assert_eq!(port.best(["r.example", "https://r.example:5000"], Dialect::Docker), Some("https://r.example:5000"));
    }
}
