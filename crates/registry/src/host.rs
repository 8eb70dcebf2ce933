//! A registry's host: who is asked for what it has, where they are, and how they prove themselves.
//!
//! What is said of it comes from the settings and from files that the administrator may change at any time: they are looked at before every
//! request, and read again when they are no longer what they were.

use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;
use reqwest::Url;

mod address;
mod certificates;
mod endpoint;
mod error;
mod folders;
mod health;
mod hosts_file;
mod rule;
mod watch;

pub use address::{MirrorUrl, ParseMirrorError};
pub(crate) use certificates::Trust;
pub(crate) use endpoint::{Endpoint, Endpoints};
pub use error::HostConfigError;
pub(crate) use health::{Health, IsDown};
pub(crate) use hosts_file::Capabilities;
pub(crate) use rule::is_loopback;
pub use rule::{InsecureHost, ParseInsecureHostError};

use crate::client::Options;
use crate::context::{Peer, Role, Source};
use crate::error::RegistryError;
use crate::redirect::authority;
use crate::transport::Pools;
use endpoint::Address;
use hosts_file::Server;
use watch::Watch;

/// Docker Hub is named `docker.io` in references, but its registry listens elsewhere.
const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// The key of the mirrors of every registry that has none of its own.
pub(crate) const ANY: &str = "*";

/// The registry that references call `domain`, as `host` or `host:port`.
pub(crate) fn key_of(domain: &str) -> &str {
    if domain == DOCKER_HUB.0 { DOCKER_HUB.1 } else { domain }
}

/// One registry, shared by all that ask it.
#[derive(Debug)]
pub(crate) struct Host {
    /// What references call it.
    domain: String,
    loaded: Mutex<Option<Loaded>>,
}

/// What was read of the files.
#[derive(Debug)]
struct Loaded {
    watch: Watch,
    endpoints: Result<Endpoints, Arc<HostConfigError>>,
}

/// Why there is nobody to ask.
#[derive(Debug)]
pub(crate) enum NobodyToAsk {
    /// The name is none of a host.
    Name(RegistryError),
    /// What the administrator says makes no sense.
    Config(Arc<HostConfigError>),
}

impl Host {
    /// The host of the registry that references call `domain`.
    pub(crate) fn new(domain: &str) -> Self {
        Self { domain: domain.to_owned(), loaded: Mutex::new(None) }
    }

    /// Those who can be asked, mirrors first. Reads the files again if they have changed.
    pub(crate) fn endpoints(&self, options: &Options, pools: &Pools) -> Result<Endpoints, NobodyToAsk> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = loaded.as_ref().filter(|known| known.watch.holds()) {
            return known.endpoints.clone().map_err(NobodyToAsk::Config);
        }
        let upstream = Upstream::new(&self.domain).map_err(NobodyToAsk::Name)?;
        let mut watch = Watch::default();
        let endpoints = upstream.endpoints(options, pools, &mut watch).map_err(Arc::new);
        match &endpoints {
            Ok(all) => tracing::debug!(registry = self.domain, endpoints = all.len(), "read how a registry is reached"),
            Err(error) => tracing::warn!(
                registry = self.domain,
                error = &**error as &dyn std::error::Error,
                "the settings of a registry make no sense"
            ),
        }
        *loaded = Some(Loaded { watch, endpoints: endpoints.clone() });
        endpoints.map_err(NobodyToAsk::Config)
    }
}

/// The registry itself, as references name it.
struct Upstream<'a> {
    domain: &'a str,
    key: &'a str,
    https: Url,
    http: Url,
}

impl<'a> Upstream<'a> {
    fn new(domain: &'a str) -> Result<Self, RegistryError> {
        let key = key_of(domain);
        Ok(Self { domain, key, https: base("https", key)?, http: base("http", key)? })
    }

    fn endpoints(&self, options: &Options, pools: &Pools, watch: &mut Watch) -> Result<Endpoints, HostConfigError> {
        let found = folders::hosts_file(&options.certs_dirs, self.domain, watch)?;
        let own = options.mirrors.get(self.domain).filter(|_| found.hosts.is_none() || found.is_default);
        let any = options.mirrors.get(ANY).filter(|_| found.hosts.is_none());
        let mut all = Vec::new();
        let last = match (own.or(any), found.hosts) {
            (Some(mirrors), _) => {
                for mirror in mirrors {
                    all.push(self.endpoint(Server::at(Some(mirror.api().clone())), true, options, pools, watch)?);
                }
                Server::at(None)
            }
            (None, Some(hosts)) => {
                for mirror in hosts.mirrors {
                    all.push(self.endpoint(mirror, true, options, pools, watch)?);
                }
                hosts.last
            }
            (None, None) => Server::at(None),
        };
        all.push(self.endpoint(last, false, options, pools, watch)?);
        Ok(all.into_iter().map(Arc::new).collect())
    }

    fn endpoint(
        &self,
        server: Server,
        may_fail: bool,
        options: &Options,
        pools: &Pools,
        watch: &mut Watch,
    ) -> Result<Endpoint, HostConfigError> {
        let Server { api, capabilities, mut tls, headers, dial_timeout, proxy } = server;
        let url = api.as_ref().unwrap_or(&self.https);
        if tls.is_empty() && url.scheme() == "https" {
            // The folder of the server's own name; that of the registry goes by the name in references.
            let name = if api.is_none() { self.domain.to_owned() } else { authority(url) };
            tls = folders::certificates_of(&options.certs_dirs, &name, watch)?;
        }
        let trust = tls.read(watch)?;
        let is_own =
            url.host() == self.https.host() && url.port_or_known_default() == self.https.port_or_known_default();
        let is_lenient = pools.is_lenient(url) && trust.authorities.is_empty() && trust.skip_verify.is_none();
        let role = if is_own { Role::Registry } else { Role::Mirror(authority(url)) };
        let dial = dial_timeout.unwrap_or(if may_fail { options.mirror_timeout } else { options.connect_timeout });
        let peer = Peer { registry: self.key.to_owned(), role: role.clone() };
        let id = if api.is_none() { self.key.to_owned() } else { url.to_string() };
        Ok(Endpoint {
            source: Source::new(id, peer, may_fail),
            role,
            capabilities,
            headers,
            namespace: (!is_own).then(|| self.domain.to_owned()),
            is_trusted: is_own && (url.scheme() == "https" || is_lenient),
            transport: pools.transport(url, &trust, dial, proxy.as_ref())?,
            address: match api {
                None if is_lenient => Address::lenient(self.https.clone(), self.http.clone()),
                None => Address::Fixed(self.https.clone()),
                Some(url) => Address::Fixed(url),
            },
        })
    }
}

impl Server {
    /// A server of which nothing is said but where it is.
    fn at(api: Option<Url>) -> Self {
        Self {
            api,
            capabilities: Capabilities::ALL,
            tls: certificates::TlsFiles::default(),
            headers: HeaderMap::new(),
            dial_timeout: None,
            proxy: None,
        }
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
