//! The registry client of one pull: with its login, its patience, and somebody to tell when it has to wait.

use layer_registry::RepositoryClient;

use super::PullRequest;
use crate::event::{Event, Events};
use crate::transfer::Inner;

/// The client for what `request` wants, with nobody to tell.
pub(super) fn plain(inner: &Inner, request: &PullRequest) -> RepositoryClient {
    let mut client = inner.client.repository(request.reference.repository(), request.credentials.clone());
    if let Some(retries) = request.patience.retries {
        client = client.with_tries(retries.saturating_add(1));
    }
    if let Some(stall) = request.patience.stall_timeout {
        client = client.with_stall_timeout(stall);
    }
    client
}

/// The client for what `request` wants, which tells `events` when it has to wait.
///
/// Layers in flight keep it for longer than the pull may last, so that it doesn't hold the pull's events open.
pub(super) fn client(inner: &Inner, request: &PullRequest, events: &Events) -> RepositoryClient {
    let client = plain(inner, request);
    let (events, reference) = (events.downgrade(), request.reference.clone());
    client.with_listener(move |wait, error| {
        // Rounded up: nobody is told to wait for no time at all.
        let (seconds, reason) = (wait.as_secs() + 1, error.brief());
        events.tell(Event::Retrying { reference: reference.clone(), seconds, reason });
    })
}
