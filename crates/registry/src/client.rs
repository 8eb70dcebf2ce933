//! The client: what all requests share, and how one request is made.

mod push;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use layer_reference::Repository;
use reqwest::Url;

use crate::auth::{Applicant, Challenge, Credentials, Grants, Slot, challenges};
use crate::body::refuse;
use crate::context::{Asked, Context, Role};
use crate::error::{RegistryError, SetupError};
use crate::host::{Host, InsecureHost};
use crate::retry::RetryPolicy;
use crate::transport::{Answer, Patience, Request, Transport, drain};
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
    /// How often a request is tried.
    pub retry: RetryPolicy,
    /// Hosts that need not prove who they are, besides those of this machine.
    pub insecure: Vec<InsecureHost>,
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
            retry: RetryPolicy::default(),
            insecure: Vec::new(),
        }
    }
}

/// A client for every registry: connections, access tokens, and what is known about hosts.
///
/// Clones share all of it.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    transport: Transport,
    patience: Patience,
    retry: RetryPolicy,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
    grants: Grants,
}

/// How many hosts are remembered before those that nobody asks are forgotten.
const MAX_UNUSED_HOSTS: usize = 256;

impl Client {
    /// Sets a client up. Nothing is asked yet.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up.
    pub fn new(options: Options) -> Result<Self, SetupError> {
        let patience = Patience {
            first_byte: options.first_byte_timeout,
            stall: options.stall_timeout,
            document: options.document_timeout,
        };
        let transport = Transport::new(&options)?;
        let (hosts, grants) = (Mutex::default(), Grants::default());
        Ok(Self { shared: Arc::new(Shared { transport, patience, retry: options.retry, hosts, grants }) })
    }

    /// The part of this client that reads `repository`, on behalf of the one whom `credentials` name.
    pub fn repository(&self, repository: &Repository, credentials: Option<Credentials>) -> RepositoryClient {
        let shared = &self.shared;
        let host = shared.host(repository.domain());
        let path = repository.path().to_owned();
        let scope = format!("repository:{path}:pull");
        let credentials = credentials.unwrap_or_default();
        let slot = shared.grants.slot(host.key(), &scope, &credentials);
        RepositoryClient {
            patience: shared.patience,
            retry: shared.retry.clone(),
            reader: Arc::new(Reader { host, path, scope, credentials, slot }),
            shared: Arc::clone(shared),
        }
    }
}

impl Shared {
    fn host(&self, domain: &str) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= MAX_UNUSED_HOSTS {
            hosts.retain(|_, host| Arc::strong_count(host) > 1);
        }
        let host = hosts.entry(domain.to_ascii_lowercase());
        Arc::clone(host.or_insert_with_key(|domain| Host::new(domain, &self.transport)))
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
}

/// Who reads what.
#[derive(Debug)]
struct Reader {
    host: Arc<Host>,
    path: String,
    scope: String,
    credentials: Credentials,
    slot: Arc<Slot>,
}

impl RepositoryClient {
    /// The registry as `host` or `host:port`: the unit of limits.
    pub fn host_key(&self) -> &str {
        self.reader.host.key()
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

    /// Asks the registry for `place`, which is relative to the repository, and returns its answer whatever the status.
    ///
    /// A grant that is no longer good is renewed once, and so is the address in the storage behind the registry.
    pub(crate) async fn ask(
        &self,
        method: Method,
        place: &Place<'_>,
        headers: HeaderMap,
        context: &Context,
    ) -> Result<Answer, RegistryError> {
        let base = self.reader.host.base(&self.shared.transport, self.patience).await?;
        let mut url = base.clone();
        url.set_path(&format!("{}{}/{}", base.path(), self.reader.path, place.path));
        url.set_query(place.query);

        let look = self.reader.slot.look();
        let mut round = look.round;
        let mut authorization = match look.expired {
            Some(challenges) => {
                let renewed = self.renew(round, &base, challenges).await?;
                round = self.reader.slot.look().round;
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
                authorization: authorization.clone(),
                context,
            };
            let answer = match self.shared.transport.send(request, self.patience).await {
                Ok(answer) => answer,
                Err(error) => {
                    // It may have come back with TLS, or without.
                    if matches!(error, RegistryError::Network { .. }) {
                        self.reader.host.forget();
                    }
                    return Err(error);
                }
            };
            match (answer.response.status(), &answer.context.peer.role) {
                (StatusCode::UNAUTHORIZED, Role::Registry) if !renewed => {
                    renewed = true;
                    let challenges = challenges(answer.response.headers());
                    let fresh = self.renew(round, &base, challenges).await?;
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
        round: u64,
        registry: &Url,
        challenges: Vec<Challenge>,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let Reader { scope, credentials, slot, path, .. } = &*self.reader;
        let context = self.context(Asked::Token { repository: path.clone() });
        let applicant = Applicant {
            transport: &self.shared.transport,
            patience: self.patience,
            context: &context,
            registry,
            scope,
            credentials,
        };
        let offered = challenges.clone();
        let renewed = slot.renew(round, challenges, applicant.apply(&offered)).await;
        renewed.map_err(|source| RegistryError::Token { context: Box::new(context.clone()), source })
    }

    /// Makes an error of an answer that is no success.
    pub(crate) async fn refuse(&self, answer: Answer) -> RegistryError {
        refuse(answer, self.reader.credentials.shown_name(), self.patience).await
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
