//! Searching: which repositories a registry has to offer.
//!
//! OCI's specifications know no search. What Docker Hub and those who imitate it answer is the one thing left of the registry API's first
//! version.

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::{Deserialize, Deserializer};

use crate::auth::{Credentials, basic_header};
use crate::body::{read_capped, refuse};
use crate::client::Client;
use crate::context::{Asked, Context};
use crate::error::{Kind, RegistryError};
use crate::host::{Endpoint, key_of};
use crate::retry::{RetryPolicy, Told, with_retries};
use crate::transport::Request;

/// Somebody sits and waits for the answer: what fails twice is told.
const TRIES: u32 = 2;

/// The most bytes of an answer: a hundred repositories, each with more words than anybody reads.
const MAX_ANSWER: u64 = 4 * 1024 * 1024;

/// Docker Hub searches at another host than the one that has its images.
const HUB: (&str, &str) = ("docker.io", "index.docker.io");

/// What to search for, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchRequest {
    /// The registry, as references name it; nothing for the one that the settings name.
    pub registry: Option<String>,
    /// What is looked for, in names and descriptions.
    pub term: String,
    /// The most repositories that are wanted.
    pub limit: u32,
}

/// A repository that was found. The texts are the registry's own, and can hold anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct FoundRepository {
    /// Its path in the registry.
    #[serde(deserialize_with = "or_nothing")]
    pub name: String,
    /// What it is for.
    #[serde(deserialize_with = "or_nothing")]
    pub description: String,
    /// How many people like it.
    #[serde(deserialize_with = "not_negative")]
    pub star_count: u64,
    /// Whether the registry vouches for it.
    #[serde(deserialize_with = "or_nothing")]
    pub is_official: bool,
    /// Whether the registry builds it from its sources.
    #[serde(deserialize_with = "or_nothing")]
    pub is_automated: bool,
}

/// Some servers write `null` where they have nothing to say.
fn or_nothing<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Docker Hub counts some of its own below zero.
fn not_negative<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let count: Option<i64> = Option::deserialize(deserializer)?;
    Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default())
}

/// An answer to a search. Whatever answers everything with some JSON is none.
#[derive(Deserialize)]
struct Found {
    #[serde(deserialize_with = "or_nothing")]
    results: Vec<FoundRepository>,
}

impl Client {
    /// Asks a registry for repositories, best first. Its mirrors are asked before it; of those few can search, and what one can't is no error.
    /// The credentials are those of the registry that the request names, or of Docker Hub if it names none: nobody else is shown them.
    ///
    /// # Errors
    ///
    /// When the registry refuses, can't be reached, or knows no search.
    pub async fn search(
        &self,
        request: &SearchRequest,
        credentials: &Credentials,
    ) -> Result<Vec<FoundRepository>, RegistryError> {
        let domain = request.registry.clone().unwrap_or_else(|| self.options().search_registry).to_ascii_lowercase();
        let is_lent = request.registry.is_some() || domain == HUB.0;
        let credentials = if is_lent { credentials } else { &Credentials::NONE };
        let policy = RetryPolicy { tries: self.shared.retry.tries.min(TRIES), ..self.shared.retry.clone() };
        with_retries(&policy, &Told::default(), || self.search_once(&domain, request, credentials)).await
    }

    async fn search_once(
        &self,
        domain: &str,
        request: &SearchRequest,
        credentials: &Credentials,
    ) -> Result<Vec<FoundRepository>, RegistryError> {
        let own = if domain == HUB.0 { HUB.1 } else { domain };
        let context = Context::new(key_of(own), Asked::Search { term: request.term.clone() });
        let needed = context.asked.needs(&Method::GET);
        let endpoints = self.shared.endpoints(domain, &context)?;
        let Some((last, mirrors)) = endpoints.split_last() else {
            return Err(RegistryError::NobodyToAsk { context: Box::new(context) });
        };
        let mut said: Vec<String> = Vec::new();
        for mirror in mirrors.iter().filter(|mirror| mirror.capabilities.cover(needed)) {
            match self.search_at(mirror, request, &Credentials::NONE, &context).await {
                Ok(found) => return Ok(found),
                // A mirror that knows no search isn't worth a word.
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) => said.push(error.to_string()),
            }
        }
        let context = Context { mirrors: said.into(), ..context };
        if !last.is_trusted {
            // The administrator has put somebody in the registry's place.
            return self.search_at(last, request, &Credentials::NONE, &context).await;
        }
        let registry = self.shared.registry(own, &context)?;
        self.search_at(&registry, request, credentials, &context).await
    }

    async fn search_at(
        &self,
        endpoint: &Endpoint,
        request: &SearchRequest,
        credentials: &Credentials,
        context: &Context,
    ) -> Result<Vec<FoundRepository>, RegistryError> {
        let patience = self.shared.patience;
        let mut context = context.clone();
        context.peer.role = endpoint.role.clone();
        let mut url = endpoint.base(patience).await?;
        let root = url.path().strip_suffix("v2/").unwrap_or(url.path()).to_owned();
        url.set_path(&format!("{root}v1/search"));
        url.query_pairs_mut().append_pair("q", &request.term).append_pair("n", &request.limit.to_string());
        let asked = Request {
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            own_headers: endpoint.headers.clone(),
            authorization: shown(credentials),
            apart: false,
            context: &context,
        };
        let answer = match endpoint.transport.send(asked, patience).await {
            Ok(answer) => answer,
            Err(error) => {
                if matches!(error, RegistryError::Network { .. }) {
                    // It may have come back with TLS, or without.
                    endpoint.forget();
                }
                return Err(error);
            }
        };
        if answer.response.status() != StatusCode::OK {
            let user = shown(credentials).and_then(|_| credentials.shown_name());
            return Err(refuse(answer, user, patience).await);
        }
        let malformed = {
            let context = Box::new(answer.context.clone());
            |_| RegistryError::Malformed { context, reason: "it is no JSON object with results".to_owned() }
        };
        let bytes = read_capped(answer, MAX_ANSWER, patience).await?;
        let found: Found = serde_json::from_slice(&bytes).map_err(malformed)?;
        let mut found = found.results;
        found.retain(|repository| !repository.name.is_empty());
        // Some servers send all they have.
        found.truncate(usize::try_from(request.limit).unwrap_or(usize::MAX));
        Ok(found)
    }
}

/// What of a login a search can show: nobody asks for it here, and a token is for those who issue tokens.
fn shown(credentials: &Credentials) -> Option<HeaderValue> {
    let (username, password) = credentials.basic_pair()?;
    let is_password = !password.is_empty() && credentials.refresh_token().is_none();
    is_password.then(|| basic_header(username, password))
}
