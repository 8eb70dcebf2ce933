//! How registries are reached: the settings that can change while the daemon runs.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use layer_engine::{InsecureHost, MirrorUrl, ParseProxyError, Proxies, ProxyUrl, RegistryOptions};
use layer_reference::Repository;
use serde::{Deserialize, Deserializer};

/// The key of the mirrors of every registry that has none of its own.
const ANY: &str = "*";

/// The options about registries that are not reached in the plain way.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct RegistryArgs {
    /// A folder with a folder for each registry, in which are its certificates or its `hosts.toml`. Can be given more than once; the first
    /// that knows a registry counts [default: /etc/layerd/certs.d, /etc/docker/certs.d, /etc/containerd/certs.d]
    #[arg(long, value_name = "FOLDER", env = "LAYERD_CERTS_DIR", hide_env_values = true, value_delimiter = ',')]
    certs_dir: Option<Vec<PathBuf>>,

    /// A mirror that is asked before its registry: `docker.io=https://mirror.lab:5000`, or `*=…` for all registries. Can be given more than
    /// once
    #[arg(long, value_name = "HOST=URL", env = "LAYERD_MIRROR", hide_env_values = true, value_delimiter = ',')]
    mirror: Option<Vec<Mirror>>,

    /// The registry that is searched when a search names none [default: docker.io]
    #[arg(long, value_name = "HOST", env = "LAYERD_SEARCH_REGISTRY", hide_env_values = true)]
    search_registry: Option<OneRegistry>,

    /// The proxy for registries in plain http: `http://host:port`, or a `socks5` one [default: that of HTTP_PROXY]
    #[arg(long, value_name = "URL", env = "LAYERD_HTTP_PROXY", hide_env_values = true)]
    http_proxy: Option<Unread>,

    /// The proxy for registries under TLS [default: that of HTTPS_PROXY]
    #[arg(long, value_name = "URL", env = "LAYERD_HTTPS_PROXY", hide_env_values = true)]
    https_proxy: Option<Unread>,

    /// The hosts that are reached without a proxy: names, addresses, `10.0.0.0/8`, `*`, with commas between [default: those of NO_PROXY]
    #[arg(long, value_name = "HOSTS", env = "LAYERD_NO_PROXY", hide_env_values = true)]
    no_proxy: Option<String>,
}

/// An argument that may have a password in it: the parser of arguments would show what it can't read.
#[derive(Clone)]
struct Unread(String);

impl FromStr for Unread {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

/// The proxies in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct ProxyTable {
    http: Option<Parsed<ProxyUrl>>,
    https: Option<Parsed<ProxyUrl>>,
    no_proxy: Option<String>,
}

/// The mirrors in the file, by registry.
pub(super) type MirrorTable = BTreeMap<Registry, Vec<Parsed<MirrorUrl>>>;

/// How registries are reached, with nothing left open.
#[derive(Clone, Debug)]
pub(crate) struct Registries {
    insecure: Vec<InsecureHost>,
    /// Nothing for the usual ones.
    certs_dirs: Option<Vec<PathBuf>>,
    mirrors: BTreeMap<String, Vec<MirrorUrl>>,
    /// Nothing for Docker Hub.
    search: Option<OneRegistry>,
    proxies: Proxies,
}

impl Registries {
    /// What `args` leave open is taken from the file, and proxies that nobody names from the environment.
    pub(super) fn new(
        args: RegistryArgs,
        insecure: Vec<InsecureHost>,
        certs_dir: Option<Vec<PathBuf>>,
        mirrors: Option<MirrorTable>,
        search: Option<OneRegistry>,
        proxy: Option<ProxyTable>,
    ) -> Result<Self, ParseProxyError> {
        let proxy = proxy.unwrap_or_default();
        let read = |text: Option<Unread>, name| {
            text.map(|text| text.0.parse().map_err(|_| ParseProxyError::of(name))).transpose()
        };
        let from_args = Proxies {
            http: read(args.http_proxy, "--http-proxy")?,
            https: read(args.https_proxy, "--https-proxy")?,
            no_proxy: args.no_proxy,
        };
        let from_file = Proxies {
            http: proxy.http.map(|proxy| proxy.0),
            https: proxy.https.map(|proxy| proxy.0),
            no_proxy: proxy.no_proxy,
        };
        let mut by_registry = BTreeMap::<_, Vec<_>>::new();
        match args.mirror {
            Some(mirrors) => {
                for Mirror { registry, url } in mirrors {
                    by_registry.entry(registry.0).or_default().push(url);
                }
            }
            None => {
                for (registry, urls) in mirrors.unwrap_or_default() {
                    by_registry.insert(registry.0, urls.into_iter().map(|url| url.0).collect());
                }
            }
        }
        Ok(Self {
            insecure,
            certs_dirs: args.certs_dir.or(certs_dir),
            mirrors: by_registry,
            search: args.search_registry.or(search),
            proxies: from_args.or(from_file).or(Proxies::from_environment()?),
        })
    }

    /// Sets them.
    pub(crate) fn apply(self, options: &mut RegistryOptions) {
        options.insecure = self.insecure;
        options.certs_dirs = self.certs_dirs.unwrap_or_else(|| RegistryOptions::default().certs_dirs);
        options.mirrors = self.mirrors;
        options.search_registry =
            self.search.map_or_else(|| RegistryOptions::default().search_registry, |registry| registry.0);
        options.proxies = Some(self.proxies);
    }
}

/// A registry as references name it, or `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Registry(String);

impl FromStr for Registry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.to_ascii_lowercase();
        let is_registry = Repository::parse(&format!("{name}/x")).is_ok_and(|parsed| parsed.domain() == name);
        if name == ANY || is_registry {
            Ok(Self(name))
        } else {
            Err(format!("`{text}` is no registry: write `docker.io`, `host:port`, or `*` for all"))
        }
    }
}

impl<'de> Deserialize<'de> for Registry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Parsed::deserialize(deserializer).map(|parsed| parsed.0)
    }
}

/// A registry, and not all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OneRegistry(String);

impl FromStr for OneRegistry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(Registry(name)) if name != ANY => Ok(Self(name)),
            _ => Err(format!("`{text}` is no registry: write `docker.io` or `host:port`")),
        }
    }
}

impl<'de> Deserialize<'de> for OneRegistry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Parsed::deserialize(deserializer).map(|parsed| parsed.0)
    }
}

/// One mirror of one registry.
#[derive(Clone, Debug)]
pub(crate) struct Mirror {
    registry: Registry,
    url: MirrorUrl,
}

impl FromStr for Mirror {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (registry, url) = text
            .split_once('=')
            .ok_or_else(|| "a mirror is a registry and an address: `docker.io=https://mirror.lab:5000`".to_owned())?;
        Ok(Self { registry: registry.parse()?, url: url.parse().map_err(|error| format!("{error}"))? })
    }
}

/// A text in the file that means something.
#[derive(Debug)]
pub(super) struct Parsed<T>(T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(serde::de::Error::custom)
    }
}
