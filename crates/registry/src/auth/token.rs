//! Access tokens from a registry's token server.

use std::time::Duration;

use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::Url;
use serde::Deserialize;

use super::grant::Issued;
use super::realm::token_server;
use super::{Applicant, Challenge, Secret, basic_header, bearer_header};
use crate::body::{read_capped, refuse};
use crate::context::{Context, Peer, Role};
use crate::error::RegistryError;
use crate::redirect::authority;
use crate::transport::Request;

/// The most bytes of a token server's answer. Tokens with long lists of rights have some ten thousand.
const MAX_ANSWER: u64 = 1024 * 1024;

/// How long a token lasts when its server doesn't say so, or says 0.
///
/// Spec: Docker's token authentication: "for compatibility with older clients".
const DEFAULT_LIFETIME: u64 = 60;

/// How this client calls itself where OAuth2 wants a name.
const CLIENT_ID: &str = "layerd";

/// The parts of a token server's answer that matter here.
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    /// The same by its OAuth2 name.
    access_token: Option<String>,
    expires_in: Option<f64>,
    /// What may be kept in place of the password.
    refresh_token: Option<String>,
}

/// Gets a token as `challenge` says: by a refresh token, by name and password, or as a stranger.
///
/// The scope is what the request needs, whatever the challenge asks for: a registry cannot make us fetch a stronger token.
///
/// Spec: Docker registry token authentication; OAuth2 (RFC 6749, section 6) with a refresh token.
pub(super) async fn fetch(applicant: &Applicant<'_>, challenge: &Challenge) -> Result<Issued, RegistryError> {
    ask(applicant, challenge, Stay::Access).await.map(|(issued, _)| issued)
}

/// Gets a token as [`fetch`] does, and a refresh token with it where the server gives one for a password.
pub(crate) async fn log_in(
    applicant: &Applicant<'_>,
    challenge: &Challenge,
) -> Result<(Issued, Option<Secret>), RegistryError> {
    ask(applicant, challenge, Stay::Login).await
}

/// How long access is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stay {
    /// For the requests at hand.
    Access,
    /// Also later, without the password.
    Login,
}

async fn ask(
    applicant: &Applicant<'_>,
    challenge: &Challenge,
    stay: Stay,
) -> Result<(Issued, Option<Secret>), RegistryError> {
    let Applicant { transport, patience, context, registry, scope, credentials } = *applicant;
    let url = token_server(registry, challenge.parameter("realm"))
        .map_err(|source| RegistryError::Realm { context: Box::new(context.clone()), source })?;
    let peer = Peer { registry: context.peer.registry.clone(), role: Role::TokenServer(authority(&url)) };
    let context = Context { peer, ..context.clone() };
    let service = challenge.parameter("service");

    let answer = if let Some(refresh_token) = credentials.refresh_token() {
        let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
        form.push(("client_id", CLIENT_ID));
        form.extend((!scope.is_empty()).then_some(("scope", scope)));
        form.extend(service.map(|service| ("service", service)));
        transport.post(url, &form, &context, patience).await?
    } else {
        let user = credentials.basic_pair();
        let url = with_query(url, user.map(|(name, _)| name), scope, service, stay);
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
        let authorization = user.map(|(name, password)| basic_header(name, password));
        transport
            .send(
                Request {
                    method: Method::GET,
                    url,
                    headers,
                    own_headers: HeaderMap::new(),
                    authorization,
                    apart: false,
                    context: &context,
                },
                patience,
            )
            .await?
    };
    if answer.response.status() != StatusCode::OK {
        return Err(refuse(answer, credentials.shown_name(), patience).await);
    }
    let bytes = read_capped(answer, MAX_ANSWER, patience).await?;
    // The reason is in our own words: the parser's may quote what it read.
    issued(&bytes).map_err(|reason| RegistryError::Malformed { context: Box::new(context), reason: reason.to_owned() })
}

/// The question for a token, put behind what the address says already.
fn with_query(mut url: Url, account: Option<&str>, scope: &str, service: Option<&str>, stay: Stay) -> Url {
    let account = account.map(|account| ("account", account));
    let scope = (!scope.is_empty()).then_some(("scope", scope));
    let service = service.map(|service| ("service", service));
    // Rights to several repositories are spelled in a row in a form, and one by one in a query.
    let scopes = scope.into_iter().flat_map(|(name, scopes)| scopes.split(' ').map(move |scope| (name, scope)));
    let login = [("client_id", CLIENT_ID), ("offline_token", "true")];
    let login = login.into_iter().filter(|_| stay == Stay::Login);
    url.query_pairs_mut().extend_pairs(account).extend_pairs(scopes).extend_pairs(service).extend_pairs(login);
    url
}

fn issued(bytes: &[u8]) -> Result<(Issued, Option<Secret>), &'static str> {
    let answer: TokenAnswer = serde_json::from_slice(bytes).map_err(|_| "it is no JSON object of the right kind")?;
    let token = [answer.token, answer.access_token].into_iter().flatten().find(|token| !token.is_empty());
    let header = bearer_header(&token.ok_or("there is no token in it")?).ok_or("the token cannot stand in a header")?;
    let lifetime = answer
        .expires_in
        .filter(|seconds| *seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .unwrap_or(Duration::from_secs(DEFAULT_LIFETIME));
    let refresh_token = answer.refresh_token.filter(|token| !token.is_empty()).map(Secret::new);
    Ok((Issued::expiring(header, lifetime), refresh_token))
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn reads_what_token_servers_send() {
        for (text, want) in [
            (r#"{"token":"a","expires_in":300}"#, Ok(("Bearer a", 270))),
            (r#"{"access_token":"b","expires_in":10.0}"#, Ok(("Bearer b", 9))),
            (r#"{"token":"","access_token":"b"}"#, Ok(("Bearer b", 54))),
            (r#"{"access_token":"b","refresh_token":"r"}"#, Ok(("Bearer b", 54))),
            (r#"{"token":"a","expires_in":0}"#, Ok(("Bearer a", 54))),
            (r#"{"token":"a","expires_in":-5,"issued_at":"x"}"#, Ok(("Bearer a", 54))),
            (r#"{"token":"a","expires_in":1e300}"#, Ok(("Bearer a", 54))),
            (r#"{"token":"a\nb"}"#, Err("the token cannot stand in a header")),
            (r#"{"token":null}"#, Err("there is no token in it")),
            (r#""secret""#, Err("it is no JSON object of the right kind")),
            ("null", Err("it is no JSON object of the right kind")),
        ] {
            match (issued(text.as_bytes()), want) {
                (Ok((issued, refresh_token)), Ok((header, seconds))) => {
                    assert_eq!(refresh_token.is_some(), text.contains("refresh"), "{text}");
                    assert_eq!(issued.header.to_str().unwrap(), header, "{text}");
                    assert_eq!(issued.expires, Some(Instant::now() + Duration::from_secs(seconds)), "{text}");
                }
                (found, want) => assert_eq!(found.err(), want.err(), "{text}"),
            }
        }
    }
}
