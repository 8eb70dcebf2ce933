//! Trying a login out, before anything is asked for with it.

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use layer_reference::Repository;
use reqwest::Url;

use crate::auth::{Applicant, Credentials, Secret, basic_header, challenges, log_in};
use crate::body::refuse;
use crate::client::Client;
use crate::context::{Asked, Context};
use crate::error::RegistryError;
use crate::host::key_of;
use crate::retry::{RetryPolicy, Told, with_retries};
use crate::transport::{Answer, Request, drain};

/// Somebody sits and waits for the answer: what fails twice is told.
const TRIES: u32 = 2;

/// What Docker's clients call Docker Hub where they keep logins, and when they say nothing.
const DOCKER_HUB: &str = "docker.io";

/// What else Docker Hub's hosts are called.
const HUB_ALIASES: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];

/// A login that the registry has nothing against.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Login {
    /// The registry asked who it is, and accepted the answer.
    Accepted {
        /// A refresh token, to be kept in place of the password. Given by some token servers.
        identity_token: Option<Secret>,
    },
    /// The registry is open to everybody, so that nothing was shown to it and nothing is proven.
    NotAsked,
}

impl Client {
    /// Tries out whether a registry accepts `credentials`, by asking for the root of its API.
    ///
    /// `server` names the registry as Docker's clients do: `host`, `host:port` or an address of which the host alone counts. When it is empty,
    /// or `https://index.docker.io/v1/`, Docker Hub is meant. Nothing is kept of it, neither here nor at the registry.
    ///
    /// # Errors
    ///
    /// When the registry refuses, can't be reached, or `server` is no name of one.
    ///
    /// Spec: Docker registry token authentication, "offline_token"; OCI distribution-spec 1.1, "Determining Support".
    pub async fn login(&self, server: &str, credentials: &Credentials) -> Result<Login, RegistryError> {
        let domain = domain(server)?;
        let policy = RetryPolicy { tries: self.shared.retry.tries.min(TRIES), ..self.shared.retry.clone() };
        with_retries(&policy, &Told::default(), || self.try_login(&domain, credentials)).await
    }

    async fn try_login(&self, domain: &str, credentials: &Credentials) -> Result<Login, RegistryError> {
        let context = Context::new(key_of(domain), Asked::Root);
        let endpoint = self.shared.registry(domain, &context)?;
        let (transport, patience) = (&endpoint.transport, self.shared.patience);
        let base = endpoint.base(patience).await?;
        let ask = async |authorization: Option<HeaderValue>| {
            let request = Request {
                method: Method::GET,
                url: base.clone(),
                headers: HeaderMap::new(),
                own_headers: endpoint.headers.clone(),
                authorization,
                apart: false,
                context: &context,
            };
            let answer = transport.send(request, patience).await;
            if matches!(answer, Err(RegistryError::Network { .. })) {
                // It may have come back with TLS, or without.
                endpoint.forget();
            }
            answer
        };
        let no = |answer: Answer| refuse(answer, credentials.shown_name(), patience);
        let answer = ask(None).await?;
        match answer.response.status() {
            StatusCode::OK => return Ok(Login::NotAsked),
            // A token server may give strangers a token that opens the root and nothing else.
            StatusCode::UNAUTHORIZED if credentials.is_empty() => return Err(no(answer).await),
            StatusCode::UNAUTHORIZED => {}
            _ => return Err(no(answer).await),
        }
        let offered = challenges(answer.response.headers());
        let of = |scheme: &str| offered.iter().find(|challenge| challenge.scheme == scheme);
        let (authorization, identity_token) = if let Some(bearer) = of("bearer") {
            let applicant =
                Applicant { transport, patience, context: &context, registry: &base, scope: "", credentials };
            let (issued, identity_token) = log_in(&applicant, bearer).await?;
            (issued.header, identity_token)
        } else if let (Some(_), Some((username, password))) = (of("basic"), credentials.basic_pair()) {
            (basic_header(username, password), None)
        } else {
            return Err(no(answer).await);
        };
        drain(answer.response).await;
        let answer = ask(Some(authorization)).await?;
        if answer.response.status() != StatusCode::OK {
            return Err(no(answer).await);
        }
        drain(answer.response).await;
        Ok(Login::Accepted { identity_token })
    }
}

/// The registry that `server` means, as references name it.
fn domain(server: &str) -> Result<String, RegistryError> {
    let bad = || RegistryError::BadRequest { what: "name of a registry", text: shown(server) };
    let server = server.trim();
    let rest = match server.split_once("://") {
        Some(("http" | "https", rest)) => rest,
        Some(_) => return Err(bad()),
        None => server,
    };
    let host = rest.split('/').next().unwrap_or_default().to_ascii_lowercase();
    if host.is_empty() && !server.is_empty() {
        return Err(bad());
    }
    if host.is_empty() || host == DOCKER_HUB || HUB_ALIASES.contains(&&*host) {
        return Ok(DOCKER_HUB.to_owned());
    }
    // A host in front of a path is what references know; one without dot and port is taken for a part of the path there.
    let name = if host.contains(['.', ':']) || host == "localhost" { host.clone() } else { format!("{host}:443") };
    let known = Repository::parse(&format!("{name}/a")).is_ok_and(|repository| repository.domain() == name);
    let is_host = format!("https://{host}/").parse::<Url>().is_ok_and(|url| url.username().is_empty());
    if known && is_host { Ok(host) } else { Err(bad()) }
}

/// A name from outside, cut to what an error has room for. Somebody may have typed a password in its place.
fn shown(server: &str) -> String {
    match server.rsplit_once('@') {
        Some((_, host)) => format!("****@{}", host.chars().take(100).collect::<String>()),
        None => server.chars().take(100).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_in_many_ways() {
        for (server, want) in [
            ("", Some("docker.io")),
            ("https://index.docker.io/v1/", Some("docker.io")),
            ("docker.io", Some("docker.io")),
            ("registry-1.docker.io", Some("docker.io")),
            ("R.Example", Some("r.example")),
            ("r.example:5000", Some("r.example:5000")),
            ("https://r.example/some/path", Some("r.example")),
            ("http://127.0.0.1:5000/v2/", Some("127.0.0.1:5000")),
            ("r.example/team", Some("r.example")),
            ("localhost", Some("localhost")),
            ("[::1]:5000", Some("[::1]:5000")),
            ("registry", Some("registry")),
            ("ftp://r.example", None),
            ("https://", None),
            ("bob:pw@r.example", None),
            ("https://bob:pw@r.example/", None),
            ("r.example?x", None),
            ("a b", None),
            ("r.example:port", None),
        ] {
            assert_eq!(domain(server).ok().as_deref(), want, "{server}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_not_told() {
        let error = domain("https://bob:hidden@r.example/").unwrap_err();
        assert_eq!(error.to_string(), "`****@r.example/` is no name of a registry");
    }
}
