//! The client: what all requests share, and how one request is made.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use layer_reference::Repository;
use reqwest::Url;

use crate::auth::{Applicant, Challenge, Credentials, Grants, Slot, challenges};
use crate::body::refuse;
use crate::context::{Asked, Context, Role};
use crate::error::{RegistryError, SetupError};
use crate::host::{Endpoint, Endpoints, Host, InsecureHost, MirrorUrl, NobodyToAsk, key_of};
use crate::retry::{RetryPolicy, Told};
use crate::transport::{Answer, Patience, Pools, Proxies, Request, drain};

mod mirrors;
mod push;

pub use push::{Chunks, PushClient};
pub(crate) use push::{Message, Payload};

/// How a [`Client`] behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the client calls itself to registries.
    pub user_agent: String,
    /// How long a connection may take to come about, TLS included.
    pub connect_timeout: Duration,
    /// How long to wait for the head of an answer, connecting included.
    pub first_byte_timeout: Duration,
    /// How long a body may stay silent.
    pub stall_timeout: Duration,
    /// How long a short document (a token, a manifest, a config) may take as a whole.
    pub document_timeout: Duration,
    /// The bytes a second that a blob must come by on average; whoever sends less counts as silent. Zero takes any speed.
    pub minimum_speed: u64,
    /// The time that this average is taken over. Only time in which the other side is waited for counts.
    pub minimum_speed_time: Duration,
    /// How often a request is tried.
    pub retry: RetryPolicy,
    /// Hosts that need not prove who they are, besides those of this machine.
    pub insecure: Vec<InsecureHost>,
    /// The folders with a folder for each registry: certificates in docker's layout, and `hosts.toml`. The first that has one for a registry
    /// says all about it. What is in them is read again when it changes.
    pub certs_dirs: Vec<PathBuf>,
    /// Mirrors by the registry as references name it, or `*` for all others; each is asked in turn before the registry. A `hosts.toml` for the
    /// same registry wins over them.
    pub mirrors: BTreeMap<String, Vec<MirrorUrl>>,
    /// How long a connection to a mirror may take to come about. Short, since there is somebody else to ask.
    pub mirror_timeout: Duration,
    /// The registry that is searched when a search names none, as references name it.
    pub search_registry: String,
    /// The proxies; nothing for those that the environment names.
    pub proxies: Option<Proxies>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            user_agent: concat!("layerd/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(10),
            first_byte_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(30),
            // 4 MiB, the largest manifest, at 35 kB/s.
            document_timeout: Duration::from_secs(120),
            // A modem of 1990 is faster; what is slower is a connection that only looks alive.
            minimum_speed: 1024,
            minimum_speed_time: Duration::from_secs(60),
            retry: RetryPolicy::default(),
            insecure: Vec::new(),
            certs_dirs: ["/etc/layerd/certs.d", "/etc/docker/certs.d", "/etc/containerd/certs.d"]
                .map(PathBuf::from)
                .into(),
            mirrors: BTreeMap::new(),
            mirror_timeout: Duration::from_secs(3),
            search_registry: "docker.io".to_owned(),
            proxies: None,
        }
    }
}

/// A client for every registry: connections, access tokens, and what is known about hosts.
///
/// Clones share all of it.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) patience: Patience,
    pub(crate) retry: RetryPolicy,
    setup: RwLock<Arc<Setup>>,
    grants: Grants,
}

/// What follows from the settings, and is made anew when they change.
#[derive(Debug)]
struct Setup {
    options: Options,
    pools: Pools,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
}

/// How many hosts are remembered before those that nobody asks are forgotten.
const MAX_UNUSED_HOSTS: usize = 256;

impl Client {
    /// Sets a client up. Nothing is asked yet.
    ///
    /// # Errors
    ///
    /// When TLS or a proxy cannot be set up.
    pub fn new(options: Options) -> Result<Self, SetupError> {
        let patience = Patience {
            first_byte: options.first_byte_timeout,
            stall: options.stall_timeout,
            document: options.document_timeout,
            least_speed: options.minimum_speed,
            least_speed_time: options.minimum_speed_time,
        };
        let retry = options.retry.clone();
        let setup = RwLock::new(Arc::new(Setup::new(options)?));
        Ok(Self { shared: Arc::new(Shared { patience, retry, setup, grants: Grants::default() }) })
    }

    /// Takes over how registries are reached: insecure hosts, folders, mirrors, proxies, time limits for connections, and the system's roots,
    /// which are read again. Other time limits and retries stay as they were.
    ///
    /// Requests under way end as they began; all later ones, those of running pulls too, go by what is set now.
    ///
    /// # Errors
    ///
    /// When TLS or a proxy cannot be set up. Then all stays as it was.
    pub fn reload(&self, options: Options) -> Result<(), SetupError> {
        let setup = Arc::new(Setup::new(options)?);
        *self.shared.setup.write().unwrap_or_else(PoisonError::into_inner) = setup;
        Ok(())
    }

    /// How registries are reached now.
    pub fn options(&self) -> Options {
        self.shared.setup().options.clone()
    }

    /// The part of this client that reads `repository`, on behalf of the one whom `credentials` name.
    pub fn repository(&self, repository: &Repository, credentials: Option<Credentials>) -> RepositoryClient {
        let shared = &self.shared;
        let domain = repository.domain().to_ascii_lowercase();
        let path = repository.path().to_owned();
        let scope = format!("repository:{path}:pull");
        let credentials = credentials.unwrap_or_default();
        let slots = Mutex::default();
        RepositoryClient {
            patience: shared.patience,
            retry: shared.retry.clone(),
            told: Told::default(),
            apart: false,
            reader: Arc::new(Reader { key: key_of(&domain).to_owned(), domain, path, scope, credentials, slots }),
            shared: Arc::clone(shared),
        }
    }
}

impl Shared {
    fn setup(&self) -> Arc<Setup> {
        Arc::clone(&self.setup.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Those who can be asked for what the registry `domain` has, mirrors first.
    pub(crate) fn endpoints(&self, domain: &str, context: &Context) -> Result<Endpoints, RegistryError> {
        let setup = self.setup();
        setup.host(domain).endpoints(&setup.options, &setup.pools).map_err(|nobody| match nobody {
            NobodyToAsk::Name(error) => error,
            NobodyToAsk::Config(source) => RegistryError::Settings { context: Box::new(context.clone()), source },
        })
    }

    /// The registry `domain` itself, which alone gets to see a login.
    pub(crate) fn registry(&self, domain: &str, context: &Context) -> Result<Arc<Endpoint>, RegistryError> {
        let nobody = || RegistryError::NobodyToAsk { context: Box::new(context.clone()) };
        let endpoints = self.endpoints(domain, context)?;
        endpoints.iter().rev().find(|endpoint| endpoint.is_trusted).cloned().ok_or_else(nobody)
    }
}

impl Setup {
    fn new(options: Options) -> Result<Self, SetupError> {
        Ok(Self { pools: Pools::new(&options)?, options, hosts: Mutex::default() })
    }

    fn host(&self, domain: &str) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(domain) {
            return Arc::clone(host);
        }
        if hosts.len() >= MAX_UNUSED_HOSTS {
            hosts.retain(|_, host| Arc::strong_count(host) > 1);
        }
        let host = Arc::new(Host::new(domain));
        hosts.insert(domain.to_owned(), Arc::clone(&host));
        host
    }
}

/// A client for one repository, on behalf of one account.
///
/// Clones share everything, and so do all of a [`Client`]'s parts that read the same repository for the same account.
#[derive(Clone, Debug)]
pub struct RepositoryClient {
    shared: Arc<Shared>,
    reader: Arc<Reader>,
    pub(crate) patience: Patience,
    pub(crate) retry: RetryPolicy,
    pub(crate) told: Told,
    /// Whether its requests have connections of their own.
    apart: bool,
}

/// Who reads what.
#[derive(Debug)]
struct Reader {
    /// The registry as references name it.
    domain: String,
    /// The registry as `host` or `host:port`.
    key: String,
    path: String,
    scope: String,
    credentials: Credentials,
    /// The grants that were used, by the endpoint that gave them and whether it was trusted then: kept for as long as this reader is.
    slots: Mutex<HashMap<(String, bool), Arc<Slot>>>,
}

/// Shown to those who may not see the credentials.
static NONE: Credentials = Credentials::NONE;

impl Reader {
    /// What `endpoint` may see of the credentials.
    fn credentials_for(&self, endpoint: &Endpoint) -> &Credentials {
        if endpoint.is_trusted { &self.credentials } else { &NONE }
    }
}

impl RepositoryClient {
    /// The registry as `host` or `host:port`: the unit of limits.
    pub fn host_key(&self) -> &str {
        &self.reader.key
    }

    /// The same client, which tries a request `tries` times in a row: see [`RetryPolicy::tries`].
    #[must_use]
    pub fn with_tries(mut self, tries: u32) -> Self {
        self.retry.tries = tries;
        self
    }

    /// The same client, to which a body that stays silent for `stall` is broken off.
    #[must_use]
    pub fn with_stall_timeout(mut self, stall: Duration) -> Self {
        self.patience.stall = stall;
        self
    }

    /// The same client, which tells `listener` before it waits to ask again for a manifest, a token or another short document: how long it
    /// waits, and why. Blobs are tried again by whoever reads them.
    #[must_use]
    pub fn with_listener(mut self, listener: impl Fn(Duration, &RegistryError) + Send + Sync + 'static) -> Self {
        self.told = Told::new(listener);
        self
    }

    /// The same client, whose requests share no connection with each other while they run: over HTTP/2 all of a host's answers come through
    /// one connection, so that a second request is no faster than the first alone.
    #[must_use]
    pub fn apart(mut self) -> Self {
        self.apart = true;
        self
    }

    /// How often requests are tried, for callers that fetch blobs.
    pub fn retry_policy(&self) -> &RetryPolicy {
        &self.retry
    }

    /// The repository's path in its registry.
    pub(crate) fn path(&self) -> &str {
        &self.reader.path
    }

    pub(crate) fn context(&self, asked: Asked) -> Context {
        Context::new(self.host_key(), asked)
    }

    /// Those who can be asked, mirrors first.
    fn endpoints(&self, context: &Context) -> Result<Endpoints, RegistryError> {
        self.shared.endpoints(&self.reader.domain, context)
    }

    fn slot(&self, endpoint: &Endpoint) -> Arc<Slot> {
        let mut slots = self.reader.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let id = endpoint.source.id();
        let slot = slots
            .entry((id.to_owned(), endpoint.is_trusted))
            .or_insert_with(|| self.shared.grants.slot(id, &self.reader.scope, self.reader.credentials_for(endpoint)));
        Arc::clone(slot)
    }

    /// Asks `endpoint` for `place`, which is relative to the repository, and returns its answer whatever the status.
    ///
    /// A grant that is no longer good is renewed once, and so is the address in the storage behind the registry.
    async fn ask_one(
        &self,
        endpoint: &Endpoint,
        method: &Method,
        place: &Place<'_>,
        headers: &HeaderMap,
        context: &Context,
    ) -> Result<Answer, RegistryError> {
        let base = endpoint.base(self.patience).await?;
        let mut url = base.clone();
        url.set_path(&format!("{}{}/{}", base.path(), self.reader.path, place.path));
        url.set_query(place.query);
        if let Some(namespace) = &endpoint.namespace
            && !url.query_pairs().any(|(name, _)| name == "ns")
        {
            url.query_pairs_mut().append_pair("ns", namespace);
        }

        let slot = self.slot(endpoint);
        let look = slot.look();
        let mut round = look.round;
        let mut authorization = match look.expired {
            Some(challenges) => {
                let renewed = self.renew(endpoint, &slot, round, &base, challenges).await?;
                round = slot.look().round;
                renewed
            }
            None => look.header,
        };
        let (mut renewed, mut moved) = (false, false);
        loop {
            let request = Request {
                method: method.clone(),
                url: url.clone(),
                headers: headers.clone(),
                own_headers: endpoint.headers.clone(),
                authorization: authorization.clone(),
                apart: self.apart,
                context,
            };
            let answer = match endpoint.transport.send(request, self.patience).await {
                Ok(answer) => answer,
                Err(error) => {
                    // It may have come back with TLS, or without.
                    if matches!(error, RegistryError::Network { .. }) {
                        endpoint.forget();
                    }
                    return Err(error);
                }
            };
            match (answer.response.status(), &answer.context.peer.role) {
                (StatusCode::UNAUTHORIZED, Role::Registry | Role::Mirror(_)) if !renewed => {
                    renewed = true;
                    let challenges = challenges(answer.response.headers());
                    let fresh = self.renew(endpoint, &slot, round, &base, challenges).await?;
                    if fresh.is_none() || fresh == authorization {
                        return Ok(answer);
                    }
                    authorization = fresh;
                }
                // Its address was signed for a time, and a cache on the way kept it for longer.
                (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Role::Storage(_)) if !moved => moved = true,
                _ => return Ok(answer),
            }
            drain(answer.response).await;
        }
    }

    async fn renew(
        &self,
        endpoint: &Endpoint,
        slot: &Slot,
        round: u64,
        registry: &Url,
        challenges: Vec<Challenge>,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let Reader { scope, path, .. } = &*self.reader;
        let mut context = self.context(Asked::Token { repository: path.clone() });
        context.peer.role = endpoint.role.clone();
        let applicant = Applicant {
            transport: &endpoint.transport,
            patience: self.patience,
            context: &context,
            registry,
            scope,
            credentials: self.reader.credentials_for(endpoint),
        };
        let offered = challenges.clone();
        let renewed = slot.renew(round, challenges, applicant.apply(&offered)).await;
        renewed.map_err(|source| RegistryError::Token { context: Box::new(context.clone()), source })
    }

    /// Makes an error of an answer that is no success.
    pub(crate) async fn refuse(&self, answer: Answer) -> RegistryError {
        let is_own = matches!(answer.context.peer.role, Role::Registry | Role::Storage(_));
        let user = self.reader.credentials.shown_name().filter(|_| is_own);
        refuse(answer, user, self.patience).await
    }
}

/// A place in a repository.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
}

impl<'a> From<&'a str> for Place<'a> {
    fn from(path: &'a str) -> Self {
        Self { path, query: None }
    }
}
