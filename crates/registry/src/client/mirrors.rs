//! Asking a registry's servers in turn: its mirrors first, then the registry itself.
//!
//! Whatever goes wrong at a mirror, the next one is asked. The last server's answer is the one that counts; what the mirrors had to say goes
//! along with its error.

use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};

use super::{Place, RepositoryClient};
use crate::body::refuse;
use crate::context::{Context, Sources};
use crate::error::{Kind, RegistryError};
use crate::host::{Endpoint, IsDown};
use crate::retry::Retry;
use crate::transport::Answer;

impl RepositoryClient {
    /// Asks for `place`, which is relative to the repository, and returns the answer of the first server that has it, or of the last one
    /// whatever its status.
    pub(crate) async fn ask(
        &self,
        method: Method,
        place: &Place<'_>,
        headers: HeaderMap,
        context: &Context,
    ) -> Result<Answer, RegistryError> {
        self.ask_from(method, place, headers, context, &Sources::default()).await
    }

    /// As [`Self::ask`], but passes over the mirrors that `sources` avoids. Whoever answers is noted there.
    pub(crate) async fn ask_from(
        &self,
        method: Method,
        place: &Place<'_>,
        headers: HeaderMap,
        context: &Context,
        sources: &Sources,
    ) -> Result<Answer, RegistryError> {
        let all = self.endpoints(context)?;
        let needed = context.asked.needs(&method);
        let able: Vec<_> = all.iter().filter(|endpoint| endpoint.capabilities.cover(needed)).collect();
        // The last one is asked in any case: it is the closest to where the bytes are made.
        let chosen = able
            .iter()
            .enumerate()
            .filter(|(index, endpoint)| index + 1 == able.len() || !sources.avoids(&endpoint.source));
        let chosen: Vec<_> = chosen.map(|(_, endpoint)| *endpoint).collect();
        let mut said: Vec<String> = Vec::new();
        for (index, endpoint) in chosen.iter().enumerate() {
            let mut context = context.clone();
            context.peer.role = endpoint.role.clone();
            context.source = endpoint.source.clone();
            context.mirrors = said.as_slice().into();
            let outcome = if index + 1 == chosen.len() {
                Some(self.ask_one(endpoint, &method, place, &headers, &context).await)
            } else {
                match self.ask_mirror(endpoint, &method, place, &headers, &context).await {
                    Ok(answer) => Some(Ok(answer)),
                    Err(why) => {
                        said.push(why);
                        None
                    }
                }
            };
            if let Some(outcome) = outcome {
                if let Ok(answer) = &outcome {
                    sources.serve(&answer.context.source);
                }
                return outcome;
            }
        }
        let context = Context { mirrors: said.into(), ..context.clone() };
        Err(RegistryError::NobodyToAsk { context: Box::new(context) })
    }

    /// Asks a mirror that has somebody behind it. Returns its answer if that is what was asked for, and its excuse if not.
    async fn ask_mirror(
        &self,
        mirror: &Arc<Endpoint>,
        method: &Method,
        place: &Place<'_>,
        headers: &HeaderMap,
        context: &Context,
    ) -> Result<Answer, String> {
        let pass = match mirror.source.health() {
            None => None,
            Some(health) => match health.enter().await {
                Ok(pass) => Some(pass),
                Err(IsDown(why)) => return Err(format!("{why} (it was not asked again so soon)")),
            },
        };
        let error = match self.ask_one(mirror, method, place, headers, context).await {
            Ok(answer) if matches!(answer.response.status(), StatusCode::OK | StatusCode::PARTIAL_CONTENT) => {
                if let Some(pass) = pass {
                    pass.answered();
                }
                return Ok(answer);
            }
            Ok(answer) => refuse(answer, None, self.patience).await,
            Err(error) => error,
        };
        let why = chain(&error);
        let Some(health) = mirror.source.health() else { return Err(why) };
        match error.kind() {
            Kind::Network | Kind::Timeout | Kind::Tls => {
                tracing::warn!(mirror = %mirror.source, why, "a mirror cannot be used; it is left alone for a while");
                health.went_down(why.clone());
            }
            Kind::Unavailable | Kind::RateLimited => {
                let asked = match error.retry() {
                    Retry::After(asked) => asked,
                    Retry::Never => None,
                };
                tracing::warn!(mirror = %mirror.source, why, "a mirror has troubles; it is left alone for a while");
                health.was_busy(asked, why.clone());
            }
            // It is there, and does not have this, or does not give it to us.
            _ => {
                tracing::debug!(mirror = %mirror.source, why, "a mirror does not help");
                if let Some(pass) = pass {
                    pass.answered();
                }
            }
        }
        Err(why)
    }
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
