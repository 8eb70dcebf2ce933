//! Pools of connections: one for all servers of which nothing special is said, and one for each of the others.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Url;
use reqwest::redirect::Policy;
use rustls::{ClientConfig, RootCertStore};

use super::{ProxyUrl, Transport, tls};
use crate::client::Options;
use crate::error::SetupError;
use crate::host::{HostConfigError, InsecureHost, Trust, is_loopback};

/// How long a connection is kept for the next request.
const IDLE: Duration = Duration::from_secs(90);

/// The most header bytes of an HTTP/2 answer. HTTP/1 has its own limits in hyper: 100 fields.
const MAX_HEADERS: u32 = 64 * 1024;

/// What all connections of a client have in common.
pub(crate) struct Pools {
    user_agent: String,
    /// Made once from the settings; loopback never goes by one.
    proxies: Vec<reqwest::Proxy>,
    /// The system's.
    roots: Arc<RootCertStore>,
    insecure: Arc<[InsecureHost]>,
    /// Those for servers of which nothing special is said.
    plain: Mutex<HashMap<(Flavour, Duration), Pool>>,
}

/// Connections of one kind. Clones share them.
#[derive(Clone)]
pub(super) struct Pool {
    /// Over HTTP/2, all requests to a host share one connection.
    shared: reqwest::Client,
    /// HTTP/1.1 answers one request at a time on a connection.
    apart: reqwest::Client,
}

impl Pool {
    /// The connections for a request that wants one of its own, or that doesn't.
    pub(super) fn of(&self, apart: bool) -> &reqwest::Client {
        if apart { &self.apart } else { &self.shared }
    }
}

/// How a plain pool treats the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Flavour {
    /// Its certificate is checked against the system's roots.
    Checked,
    /// Its certificate is taken unseen: for the hosts that are listed as insecure.
    Unchecked,
    /// Neither checked, nor led through a proxy: for this machine.
    Loopback,
}

/// The HTTP library would print the passwords of proxies.
impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools").field("insecure", &self.insecure).finish_non_exhaustive()
    }
}

impl Pools {
    /// Reads the system's roots, and sees that connections can be made at all.
    pub(crate) fn new(options: &Options) -> Result<Self, SetupError> {
        let environment;
        let proxies = match &options.proxies {
            Some(proxies) => proxies,
            None => {
                environment = super::Proxies::from_environment();
                environment.as_ref().map_err(|error| SetupError { reason: error.to_string() })?
            }
        };
        let pools = Self {
            user_agent: options.user_agent.clone(),
            proxies: proxies.all().map_err(failed)?,
            roots: Arc::new(tls::system_roots()),
            insecure: options.insecure.clone().into(),
            plain: Mutex::default(),
        };
        for flavour in [Flavour::Checked, Flavour::Unchecked, Flavour::Loopback] {
            pools.plain(flavour, options.connect_timeout)?;
        }
        Ok(pools)
    }

    /// Whether the host of `url` may do without a certificate, or without TLS at all.
    pub(crate) fn is_lenient(&self, url: &Url) -> bool {
        is_loopback(url) || self.is_insecure(url)
    }

    fn is_insecure(&self, url: &Url) -> bool {
        self.insecure.iter().any(|rule| rule.covers(url))
    }

    /// The connections to the server at `url`, which may take `dial` each to come about, and go by `proxy` if the server has one of its own.
    pub(crate) fn transport(
        &self,
        url: &Url,
        trust: &Trust,
        dial: Duration,
        proxy: Option<&ProxyUrl>,
    ) -> Result<Transport, HostConfigError> {
        let setup = |error: SetupError| HostConfigError::Setup {
            host: url.host_str().unwrap_or_default().to_owned(),
            reason: error.reason,
        };
        let plain = |flavour| self.plain(flavour, dial).map_err(setup);
        let by = match proxy {
            Some(proxy) => &[proxy.for_all().map_err(|error| setup(failed(error)))?][..],
            None if is_loopback(url) => &[],
            None => &self.proxies,
        };
        let is_plain = proxy.is_none() && trust.authorities.is_empty();
        let mut roots = Arc::clone(&self.roots);
        if !trust.authorities.is_empty() {
            let more = Arc::make_mut(&mut roots);
            for (path, authority) in &trust.authorities {
                more.add(authority.clone()).map_err(|error| HostConfigError::Unusable {
                    path: path.clone(),
                    reason: format!("holds a certificate that can't be that of an authority: {error}"),
                })?;
            }
        }
        // Docker, too, lets the list of insecure registries win over certificates. Loopback must prove itself once an authority is named.
        let loopback_is_free = is_loopback(url) && trust.authorities.is_empty();
        let unchecked = trust.skip_verify.unwrap_or(self.is_insecure(url) || loopback_is_free);
        let own = if is_plain && trust.identities.is_empty() && trust.skip_verify.is_none() {
            plain(match () {
                () if is_loopback(url) => Flavour::Loopback,
                () if unchecked => Flavour::Unchecked,
                () => Flavour::Checked,
            })?
        } else {
            let config = if unchecked {
                tls::unchecked(&trust.identities)
            } else {
                tls::checked(Arc::clone(&roots), &trust.identities)
            };
            config.and_then(|config| self.build(config, dial, by)).map_err(setup)?
        };
        let away = if is_plain {
            plain(Flavour::Checked)?
        } else {
            let by = if proxy.is_some() { by } else { &self.proxies };
            tls::checked(roots, &[]).and_then(|config| self.build(config, dial, by)).map_err(setup)?
        };
        Ok(Transport {
            host: url.host_str().map(str::to_owned),
            own,
            away,
            unchecked: plain(Flavour::Unchecked)?,
            loopback: plain(Flavour::Loopback)?,
            insecure: Arc::clone(&self.insecure),
        })
    }

    fn plain(&self, flavour: Flavour, dial: Duration) -> Result<Pool, SetupError> {
        let mut plain = self.plain.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = plain.get(&(flavour, dial)) {
            return Ok(pool.clone());
        }
        let config = match flavour {
            Flavour::Checked => tls::checked(Arc::clone(&self.roots), &[])?,
            Flavour::Unchecked | Flavour::Loopback => tls::unchecked(&[])?,
        };
        let by = if flavour == Flavour::Loopback { &[] } else { &self.proxies[..] };
        let pool = self.build(config, dial, by)?;
        plain.insert((flavour, dial), pool.clone());
        Ok(pool)
    }

    fn build(&self, tls: ClientConfig, dial: Duration, by: &[reqwest::Proxy]) -> Result<Pool, SetupError> {
        let client = |tls| {
            let mut builder = reqwest::Client::builder()
                .tls_backend_preconfigured(tls)
                .user_agent(&self.user_agent)
                .redirect(Policy::none())
                .referer(false)
                .connect_timeout(dial)
                .pool_idle_timeout(IDLE)
                .http2_max_header_list_size(MAX_HEADERS)
                // The library's own look at the environment is switched off: proxies are a setting here.
                .no_proxy();
            for proxy in by {
                builder = builder.proxy(proxy.clone());
            }
            builder.build().map_err(failed)
        };
        Ok(Pool { shared: client(tls.clone())?, apart: client(tls::without_http2(tls))? })
    }
}

fn failed(error: reqwest::Error) -> SetupError {
    SetupError { reason: error.without_url().to_string() }
}
