//! Requests and answers: connection pools, redirects, time limits. It knows neither tokens nor manifests.
//!
//! There is one pool a flavour of TLS. No pool follows redirects by itself, sends a referrer, or unpacks a body: what a registry sends is what
//! is hashed.

use std::time::Duration;

use http::header::{ACCEPT_ENCODING, AUTHORIZATION, LOCATION};
use http::{HeaderMap, HeaderValue, Method};
use reqwest::Url;
use reqwest::redirect::Policy;

mod tls;
mod upload;

use crate::client::Options;
use crate::context::{Asked, Context, Peer, Role};
use crate::error::{NetworkError, RegistryError, SetupError};
use crate::host::InsecureHost;
use crate::host::is_loopback;
pub(crate) use upload::Outgoing;

use crate::redirect::{MAX_HOPS, RedirectError, authority, same_origin, target};

/// How long a connection is kept for the next request.
const IDLE: Duration = Duration::from_secs(90);

/// The most header bytes of an HTTP/2 answer. HTTP/1 has its own limits in hyper: 100 fields.
const MAX_HEADERS: u32 = 64 * 1024;

/// How much of an answer that nobody reads is taken in, to keep its connection for the next request.
const MAX_DRAIN: u64 = 64 * 1024;

/// How long one waits for that.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For the head of an answer, connecting included.
    pub(crate) first_byte: Duration,
    /// For the next bytes of a body.
    pub(crate) stall: Duration,
    /// For all of a short document.
    pub(crate) document: Duration,
}

/// The connections of a client.
#[derive(Debug)]
pub(crate) struct Transport {
    /// Certificates are checked against the system's roots.
    checked: reqwest::Client,
    /// Certificates are not checked: for the hosts in `insecure`.
    unchecked: reqwest::Client,
    /// Neither checked, nor led through a proxy: for this machine.
    loopback: reqwest::Client,
    insecure: Vec<InsecureHost>,
}

/// A request that reads something.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    /// Sent to the origin of `url` and to no other.
    pub(crate) authorization: Option<HeaderValue>,
    /// The registry on whose behalf this is, and what is asked for.
    pub(crate) context: &'a Context,
}

/// The head of an answer, and its body to come.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: reqwest::Response,
    /// The one who answered, after all redirects.
    pub(crate) context: Context,
}

impl Transport {
    pub(crate) fn new(options: &Options) -> Result<Self, SetupError> {
        let builder = |tls| {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls)
                .user_agent(&options.user_agent)
                .redirect(Policy::none())
                .referer(false)
                .connect_timeout(options.connect_timeout)
                .pool_idle_timeout(IDLE)
                .http2_max_header_list_size(MAX_HEADERS)
        };
        let build = |builder: reqwest::ClientBuilder| {
            builder.build().map_err(|error| SetupError { reason: error.without_url().to_string() })
        };
        let unchecked = tls::unchecked()?;
        Ok(Self {
            checked: build(builder(tls::checked()?))?,
            unchecked: build(builder(unchecked.clone()))?,
            loopback: build(builder(unchecked).no_proxy())?,
            insecure: options.insecure.clone(),
        })
    }

    /// Whether the host of `url` may do without a certificate, or without TLS at all.
    pub(crate) fn is_lenient(&self, url: &Url) -> bool {
        is_loopback(url) || self.insecure.iter().any(|rule| rule.covers(url))
    }

    fn pool(&self, url: &Url) -> &reqwest::Client {
        if is_loopback(url) {
            &self.loopback
        } else if self.is_lenient(url) {
            &self.unchecked
        } else {
            &self.checked
        }
    }

    /// Whether something at `url` completes a TLS handshake.
    pub(crate) async fn speaks_tls(&self, url: &Url, patience: Patience) -> bool {
        let asked = self.pool(url).get(url.clone()).send();
        match tokio::time::timeout(patience.first_byte, asked).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => !error.is_connect(),
            // Whoever stays silent may be a server that waits for the end of a request that it cannot read.
            Err(_) => false,
        }
    }

    /// Sends `request`, follows redirects, and returns the first answer that is none, whatever its status.
    pub(crate) async fn send(&self, request: Request<'_>, patience: Patience) -> Result<Answer, RegistryError> {
        let Request { method, mut url, headers, mut authorization, context } = request;
        let origin = url.clone();
        let mut context = context.clone();
        for _ in 0..=MAX_HOPS {
            let mut builder = self.pool(&url).request(method.clone(), url.clone()).headers(headers.clone());
            // Bodies are hashed as they come; an encoding for the way would be in between.
            builder = builder.header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            if let Some(authorization) = &authorization {
                builder = builder.header(AUTHORIZATION, authorization);
            }
            let response = head(builder, &context, patience).await?;
            if !is_redirect(response.status()) {
                return Ok(Answer { response, context });
            }
            let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
            let next = target(&url, location)
                .map_err(|source| RegistryError::Redirect { context: Box::new(context.clone()), source })?;
            if !same_origin(&url, &next) {
                // Not given back either, should a later hop return to where it began.
                authorization = None;
            }
            context.peer.role = role_at(&origin, &next, context.peer.role);
            url = next;
            drain(response).await;
        }
        Err(RegistryError::Redirect { context: Box::new(context), source: RedirectError::TooMany })
    }

    /// Sends a form to `url`. A redirect is an answer like any other here: a form with a secret in it goes nowhere else.
    pub(crate) async fn post(
        &self,
        url: Url,
        form: &[(&str, &str)],
        context: &Context,
        patience: Patience,
    ) -> Result<Answer, RegistryError> {
        let response = head(self.pool(&url).post(url).form(form), context, patience).await?;
        Ok(Answer { response, context: context.clone() })
    }
}

/// Waits for the head of an answer.
async fn head(
    builder: reqwest::RequestBuilder,
    context: &Context,
    patience: Patience,
) -> Result<reqwest::Response, RegistryError> {
    match tokio::time::timeout(patience.first_byte, builder.send()).await {
        Ok(Ok(response)) => {
            tracing::debug!(host = context.peer.host(), asked = %context.asked, status = response.status().as_u16(), "asked");
            Ok(response)
        }
        Ok(Err(error)) => {
            Err(RegistryError::Network { context: Box::new(context.clone()), source: NetworkError::new(&error) })
        }
        Err(_) => Err(RegistryError::NoAnswer { context: Box::new(context.clone()), waited: patience.first_byte }),
    }
}

fn is_redirect(status: http::StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// What the host of `to` is, on the way from `origin`.
fn role_at(origin: &Url, to: &Url, role: Role) -> Role {
    match role {
        Role::TokenServer(_) => Role::TokenServer(authority(to)),
        Role::Registry | Role::Storage(_) if same_origin(origin, to) => Role::Registry,
        Role::Registry | Role::Storage(_) => Role::Storage(authority(to)),
    }
}

/// Reads the rest of an answer that nobody wants, if it is short.
pub(crate) async fn drain(mut response: reqwest::Response) {
    let read = async {
        let mut left = MAX_DRAIN;
        while let Ok(Some(chunk)) = response.chunk().await {
            left = left.saturating_sub(chunk.len() as u64);
            if left == 0 {
                break;
            }
        }
    };
    // An answer that is too long or too slow costs its connection, and nothing else.
    let _ = tokio::time::timeout(DRAIN_TIME, read).await;
}

impl Context {
    /// What a registry is asked for.
    pub(crate) fn new(registry: &str, asked: Asked) -> Self {
        Self { peer: Peer { registry: registry.to_owned(), role: Role::Registry }, asked }
    }
}
