//! A registry's host: its name, its address, and whether it must prove itself.

use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Url;
use tokio::sync::Semaphore;

mod rule;

pub(crate) use rule::is_loopback;
pub use rule::{InsecureHost, ParseInsecureHostError};

use crate::error::RegistryError;
use crate::transport::{Patience, Transport};

/// Docker Hub is named `docker.io` in references, but its registry listens elsewhere.
const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// One registry, shared by all that ask it.
#[derive(Debug)]
pub(crate) struct Host {
    /// `host` or `host:port`, as people know it.
    key: String,
    /// Loopback, or listed as insecure: any certificate will do, and plain http too.
    lenient: bool,
    /// Where such a host was found to answer. Forgotten when it no longer does.
    found: Mutex<Option<Url>>,
    /// One search at a time.
    gate: Semaphore,
}

impl Host {
    /// The host of the registry that references call `domain`.
    pub(crate) fn new(domain: &str, transport: &Transport) -> Arc<Self> {
        let key = if domain == DOCKER_HUB.0 { DOCKER_HUB.1 } else { domain };
        let lenient = base("https", key).is_ok_and(|url| transport.is_lenient(&url));
        Arc::new(Self { key: key.to_owned(), lenient, found: Mutex::new(None), gate: Semaphore::new(1) })
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The address of the registry's API, with a slash at its end.
    ///
    /// A host that need not prove itself is asked once by https; if there is no TLS to be had, it is spoken to in plain http from then on.
    pub(crate) async fn base(&self, transport: &Transport, patience: Patience) -> Result<Url, RegistryError> {
        let https = base("https", &self.key)?;
        if !self.lenient {
            return Ok(https);
        }
        if let Some(found) = self.found() {
            return Ok(found);
        }
        let _one = self.gate.acquire().await;
        if let Some(found) = self.found() {
            return Ok(found);
        }
        let found = if transport.speaks_tls(&https, patience).await { https } else { base("http", &self.key)? };
        tracing::debug!(host = %self.key, scheme = found.scheme(), "found a registry that need not prove itself");
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.clone());
        Ok(found)
    }

    fn found(&self) -> Option<Url> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the next request look again for how this host answers.
    pub(crate) fn forget(&self) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The address of the API at `key`.
fn base(scheme: &str, key: &str) -> Result<Url, RegistryError> {
    let bad = || RegistryError::BadRequest { what: "name of a registry", text: key.to_owned() };
    let url: Url = format!("{scheme}://{key}/v2/").parse().map_err(|_| bad())?;
    // Whatever the name holds, it must end up as a host and a port and nothing else.
    let whole = url.path() == "/v2/" && url.query().is_none() && url.username().is_empty() && url.password().is_none();
    if whole { Ok(url) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_made_of_host_and_port_alone() {
        for (key, want) in [
            ("registry-1.docker.io", Some("https://registry-1.docker.io/v2/")),
            ("localhost:5000", Some("https://localhost:5000/v2/")),
            ("[::1]:5000", Some("https://[::1]:5000/v2/")),
            ("r.example:443", Some("https://r.example/v2/")),
            ("user@r.example", None),
            ("r.example/path", None),
            ("r.example?x", None),
            ("r.example:99999", None),
            ("1.2.3.4.5", None),
            ("", None),
        ] {
            assert_eq!(base("https", key).ok().map(String::from).as_deref(), want, "{key}");
        }
    }
}
