//! One server that can be asked for what a registry has: the registry itself, or a mirror of it.

use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;
use reqwest::Url;
use tokio::sync::Semaphore;

use super::hosts_file::Capabilities;
use crate::context::{Role, Source};
use crate::error::RegistryError;
use crate::transport::{Patience, Transport};

/// One server that can be asked for what a registry has.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// What tells it from the others, and what is known of it.
    pub(crate) source: Source,
    /// What it is to the registry.
    pub(crate) role: Role,
    pub(crate) capabilities: Capabilities,
    /// Sent with every request to it, and to nobody else.
    pub(crate) headers: HeaderMap,
    /// What it is told of the registry that is meant; nothing if it is that registry.
    pub(crate) namespace: Option<String>,
    /// Whether it gets to see the credentials for the registry: only the registry's own host does.
    pub(crate) is_trusted: bool,
    pub(crate) transport: Transport,
    pub(super) address: Address,
}

/// Where a server's API is.
#[derive(Debug)]
pub(super) enum Address {
    /// There.
    Fixed(Url),
    /// At a host that need not prove itself, under TLS or in plain http.
    Lenient(Box<Lenient>),
}

#[derive(Debug)]
pub(super) struct Lenient {
    https: Url,
    http: Url,
    /// Where it was found to answer. Forgotten when it no longer does.
    found: Mutex<Option<Url>>,
    /// One search at a time.
    gate: Semaphore,
}

impl Address {
    pub(super) fn lenient(https: Url, http: Url) -> Self {
        Self::Lenient(Box::new(Lenient { https, http, found: Mutex::new(None), gate: Semaphore::new(1) }))
    }
}

impl Endpoint {
    /// The address of the API, with a slash at its end.
    ///
    /// A host that need not prove itself is asked once by https; if there is no TLS to be had, it is spoken to in plain http from then on.
    pub(crate) async fn base(&self, patience: Patience) -> Result<Url, RegistryError> {
        let Lenient { https, http, found, gate } = match &self.address {
            Address::Fixed(url) => return Ok(url.clone()),
            Address::Lenient(lenient) => &**lenient,
        };
        let known = || found.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known() {
            return Ok(known);
        }
        let _one = gate.acquire().await;
        if let Some(known) = known() {
            return Ok(known);
        }
        let url = if self.transport.speaks_tls(https, patience).await { https } else { http }.clone();
        tracing::debug!(%url, "found a registry that need not prove itself");
        *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(url.clone());
        Ok(url)
    }

    /// Makes the next request look again for how this host answers.
    pub(crate) fn forget(&self) {
        if let Address::Lenient(lenient) = &self.address {
            *lenient.found.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

/// The servers for one registry, in the order in which they are asked. There is at least one.
pub(crate) type Endpoints = Arc<[Arc<Endpoint>]>;
