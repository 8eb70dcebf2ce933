//! The part of a client that writes: one repository, on behalf of one account.
//!
//! It speaks to the registry itself and to nobody who stands in for it. Bodies are sent again where an answer asks for that, so each request
//! knows where to get its body from anew.

use std::sync::Arc;

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use layer_reference::Repository;
use reqwest::Url;

use super::{Client, Shared};
use crate::auth::{Applicant, Challenge, Credentials, Slot, challenges};
use crate::body::refuse;
use crate::context::{Asked, Context, Role};
use crate::error::RegistryError;
use crate::host::{Endpoint, key_of};
use crate::redirect::{MAX_HOPS, RedirectError, authority, same_origin, target};
use crate::retry::RetryPolicy;
use crate::transport::{Answer, Outgoing, Patience, Request, Transport, drain};
use crate::upload::Part;

/// When a blob is sent in several requests, and how much of it in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunks {
    /// Blobs of more bytes than this are sent in chunks, so that not all of it is lost when a connection breaks.
    pub above: u64,
    /// The bytes in a chunk. A registry may want larger ones, and gets them.
    pub size: u64,
}

impl Default for Chunks {
    fn default() -> Self {
        // Every chunk costs a round trip, and the one that breaks is sent again.
        Self { above: 64 << 20, size: 32 << 20 }
    }
}

/// A client that pushes to one repository, on behalf of one account. Clones share everything.
#[derive(Clone, Debug)]
pub struct PushClient {
    shared: Arc<Shared>,
    writer: Arc<Writer>,
    pub(crate) patience: Patience,
    pub(crate) retry: RetryPolicy,
    pub(crate) chunks: Chunks,
}

/// Who writes what.
#[derive(Debug)]
struct Writer {
    /// The registry as references name it.
    domain: String,
    /// The registry as `host` or `host:port`.
    key: String,
    path: String,
    scope: String,
    credentials: Credentials,
    slot: Arc<Slot>,
}

/// A request to a registry, and how to make its body.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub(crate) method: Method,
    /// The registry's own, or one that the registry has named.
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload<'a>,
    pub(crate) context: &'a Context,
}

/// What a request carries.
#[derive(Debug)]
pub(crate) enum Payload<'a> {
    /// No body: the request reads something.
    Nothing,
    /// A short body, maybe of no bytes.
    Bytes(Bytes),
    /// A part of a blob.
    Part(Part<'a>),
}

impl Client {
    /// The part of this client that pushes to `repository`, on behalf of the one whom `credentials` name.
    pub fn pushing(&self, repository: &Repository, credentials: Option<Credentials>) -> PushClient {
        let shared = &self.shared;
        let domain = repository.domain().to_ascii_lowercase();
        let key = key_of(&domain).to_owned();
        let path = repository.path().to_owned();
        let scope = format!("repository:{path}:pull,push");
        let credentials = credentials.unwrap_or_default();
        let slot = shared.grants.slot(&key, &scope, &credentials);
        PushClient {
            patience: shared.patience,
            retry: shared.retry.clone(),
            chunks: Chunks::default(),
            writer: Arc::new(Writer { domain, key, path, scope, credentials, slot }),
            shared: Arc::clone(shared),
        }
    }
}

impl PushClient {
    /// The same with another idea of chunks.
    #[must_use]
    pub fn with_chunks(self, chunks: Chunks) -> Self {
        Self { chunks, ..self }
    }

    /// The registry as `host` or `host:port`: the unit of limits.
    pub fn host_key(&self) -> &str {
        &self.writer.key
    }

    /// The repository's path in its registry.
    pub fn path(&self) -> &str {
        &self.writer.path
    }

    /// The same that may read the repository `source`, too.
    pub(crate) fn reading(&self, source: &str) -> Self {
        let Writer { domain, key, path, credentials, .. } = &*self.writer;
        let scope = format!("repository:{path}:pull,push repository:{source}:pull");
        let slot = self.shared.grants.slot(key, &scope, credentials);
        let (domain, key, path, credentials) = (domain.clone(), key.clone(), path.clone(), credentials.clone());
        Self { writer: Arc::new(Writer { domain, key, path, scope, credentials, slot }), ..self.clone() }
    }

    pub(crate) fn context(&self, asked: Asked) -> Context {
        Context::new(self.host_key(), asked)
    }

    /// The address of a place in the repository.
    pub(crate) async fn place(&self, path: &str, query: Option<&str>) -> Result<Url, RegistryError> {
        let base = self.registry()?.base(self.patience).await?;
        let mut url = base.clone();
        url.set_path(&format!("{}{}/{path}", base.path(), self.writer.path));
        url.set_query(query);
        Ok(url)
    }

    /// The registry itself: its mirrors take nothing.
    fn registry(&self) -> Result<Arc<Endpoint>, RegistryError> {
        let context = self.context(Asked::PushToken { repository: self.writer.path.clone() });
        self.shared.registry(&self.writer.domain, &context)
    }

    /// Sends a message, and returns the answer whatever its status.
    ///
    /// A grant that is no longer good is renewed once. What shows who asks goes to the registry's own origin and to no other, even if the
    /// registry names the other as the place to send a blob to.
    pub(crate) async fn send(&self, message: Message<'_>) -> Result<Answer, RegistryError> {
        let registry = self.registry()?;
        let base = registry.base(self.patience).await?;
        let look = self.writer.slot.look();
        let mut round = look.round;
        let mut authorization = match look.expired {
            Some(challenges) => {
                let renewed = self.renew(&registry, round, &base, challenges).await?;
                round = self.writer.slot.look().round;
                renewed
            }
            None => look.header,
        };
        let mut url = message.url.clone();
        // Not given back should a later hop return to where it began.
        let mut is_own = same_origin(&base, &url);
        let (mut renewed, mut hops) = (false, 0);
        loop {
            let mut context = message.context.clone();
            context.peer.role = if is_own { Role::Registry } else { Role::Storage(authority(&url)) };
            let shown = authorization.clone().filter(|_| is_own);
            let own_headers = if is_own { registry.headers.clone() } else { HeaderMap::new() };
            let (method, headers) = (message.method.clone(), message.headers.clone());
            let request = Request {
                method,
                url: url.clone(),
                headers,
                own_headers,
                authorization: shown,
                apart: false,
                context: &context,
            };
            let answer = match self.send_once(&registry.transport, request, &message.payload).await {
                Ok(answer) => answer,
                Err(error) => {
                    // It may have come back with TLS, or without.
                    if is_own && matches!(error, RegistryError::Network { .. }) {
                        registry.forget();
                    }
                    return Err(error);
                }
            };
            match answer.response.status() {
                StatusCode::UNAUTHORIZED if is_own && answer.context.peer.role == Role::Registry && !renewed => {
                    renewed = true;
                    let challenges = challenges(answer.response.headers());
                    let fresh = self.renew(&registry, round, &base, challenges).await?;
                    if fresh.is_none() || fresh == authorization {
                        return Ok(answer);
                    }
                    authorization = fresh;
                }
                // Those that keep method and body.
                StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => {
                    let wrong = |source| RegistryError::Redirect { context: Box::new(context.clone()), source };
                    hops += 1;
                    if hops > MAX_HOPS {
                        return Err(wrong(RedirectError::TooMany));
                    }
                    let location = answer.response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
                    url = target(&url, location).map_err(wrong)?;
                    is_own = is_own && same_origin(&base, &url);
                }
                _ => return Ok(answer),
            }
            drain(answer.response).await;
        }
    }

    async fn send_once(
        &self,
        transport: &Transport,
        request: Request<'_>,
        payload: &Payload<'_>,
    ) -> Result<Answer, RegistryError> {
        let outgoing = match payload {
            Payload::Nothing => return transport.send(request, self.patience).await,
            Payload::Bytes(bytes) => {
                Outgoing { length: bytes.len() as u64, body: bytes.clone().into(), progress: None }
            }
            Payload::Part(part) => part.outgoing(),
        };
        transport.send_body(request, outgoing, self.patience).await
    }

    async fn renew(
        &self,
        endpoint: &Endpoint,
        round: u64,
        registry: &Url,
        challenges: Vec<Challenge>,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let Writer { scope, credentials, slot, path, .. } = &*self.writer;
        let context = self.context(Asked::PushToken { repository: path.clone() });
        let applicant = Applicant {
            transport: &endpoint.transport,
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
        refuse(answer, self.writer.credentials.shown_name(), self.patience).await
    }
}
