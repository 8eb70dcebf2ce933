//! Requests and answers: connection pools, redirects, time limits. It knows neither tokens nor manifests.
//!
//! No pool follows redirects by itself, sends a referrer, or unpacks a body: what a registry sends is what is hashed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, AUTHORIZATION, LOCATION};
use http::{HeaderMap, HeaderValue, Method};
use reqwest::Url;

mod pools;
mod proxy;
mod tls;
mod upload;

use pools::Pool;
pub(crate) use pools::Pools;
pub use proxy::{ParseProxyError, Proxies, ProxyUrl};

use crate::context::{Context, Role};
use crate::error::{NetworkError, RegistryError};
use crate::host::InsecureHost;
use crate::host::is_loopback;
pub(crate) use upload::Outgoing;

use crate::redirect::{MAX_HOPS, RedirectError, authority, same_origin, target};

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
    /// The bytes a second that a blob must come by.
    pub(crate) least_speed: u64,
    /// The time that this speed is taken over.
    pub(crate) least_speed_time: Duration,
}

/// The connections to one server, and to those that it sends us on to.
#[derive(Clone)]
pub(crate) struct Transport {
    /// The server's host. What its folder or its entry says of trust holds for that host alone, at whatever port.
    host: Option<String>,
    own: Pool,
    /// To hosts elsewhere: their certificates are checked, against the authorities of the server too.
    away: Pool,
    /// To hosts that need not prove themselves.
    unchecked: Pool,
    /// To this machine.
    loopback: Pool,
    insecure: Arc<[InsecureHost]>,
}

/// A request that reads something.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    /// Headers that the administrator wants the server to get. Sent to the origin of `url` and to no other.
    pub(crate) own_headers: HeaderMap,
    /// Sent to the origin of `url` and to no other.
    pub(crate) authorization: Option<HeaderValue>,
    /// Whether it wants a connection of its own.
    pub(crate) apart: bool,
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

/// The HTTP library would print the passwords of proxies.
impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Transport {
    fn pool(&self, url: &Url, apart: bool) -> &reqwest::Client {
        let pool = if url.host_str() == self.host.as_deref() {
            &self.own
        } else if is_loopback(url) {
            &self.loopback
        } else if self.insecure.iter().any(|rule| rule.covers(url)) {
            &self.unchecked
        } else {
            &self.away
        };
        pool.of(apart)
    }

    /// Whether something at `url` completes a TLS handshake.
    pub(crate) async fn speaks_tls(&self, url: &Url, patience: Patience) -> bool {
        let asked = self.pool(url, false).get(url.clone()).send();
        match tokio::time::timeout(patience.first_byte, asked).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => !error.is_connect(),
            // Whoever stays silent may be a server that waits for the end of a request that it cannot read.
            Err(_) => false,
        }
    }

    /// Sends `request`, follows redirects, and returns the first answer that is none, whatever its status.
    pub(crate) async fn send(&self, request: Request<'_>, patience: Patience) -> Result<Answer, RegistryError> {
        let Request { method, mut url, headers, mut own_headers, mut authorization, apart, context } = request;
        let origin = url.clone();
        let home = context.peer.role.clone();
        let mut context = context.clone();
        for _ in 0..=MAX_HOPS {
            let mut builder = self.pool(&url, apart).request(method.clone(), url.clone()).headers(headers.clone());
            // Bodies are hashed as they come; an encoding for the way would be in between.
            builder = builder.header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            let mut origin_headers = own_headers.clone();
            if let Some(authorization) = &authorization {
                origin_headers.insert(AUTHORIZATION, authorization.clone());
            }
            // Each of these takes the place of one with the same name.
            builder = builder.headers(origin_headers);
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
                own_headers.clear();
            }
            context.peer.role = role_at(&origin, &next, &home);
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
        let response = head(self.pool(&url, false).post(url).form(form), context, patience).await?;
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

/// What the host of `to` is, on the way from `origin`, which is `home`.
fn role_at(origin: &Url, to: &Url, home: &Role) -> Role {
    match home {
        Role::TokenServer(_) => Role::TokenServer(authority(to)),
        Role::Site(_) => Role::Site(authority(to)),
        home if same_origin(origin, to) => home.clone(),
        Role::Registry | Role::Mirror(_) | Role::Storage(_) => Role::Storage(authority(to)),
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
