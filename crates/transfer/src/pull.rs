//! One pull, from the request to the name.

mod client;
mod early;
mod finish;
mod plan;
mod preview;
mod remote;
mod resolve;
mod stock;

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use layer_digest::{BlobId, DiffId};
use layer_oci::Platform;
use layer_reference::Reference;
use layer_registry::{Credentials, RepositoryClient};
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::event::{self, Event, EventReceiver, Events, Outcome, Phase};
use crate::flight::{Job, Watcher};
use crate::transfer::Inner;
use crate::{Kind, LayerError, PullCause, PullError};
use early::Early;
use plan::LayerPlan;
pub(crate) use preview::preview;
pub use preview::{LayerPreview, Preview};
pub use remote::Remote;
pub(crate) use remote::{remote, tags};
pub(crate) use stock::binary_size;

/// What to pull.
#[derive(Clone, Debug)]
pub struct PullRequest {
    /// The image, with a tag or a digest.
    pub reference: Reference,
    /// The platform to choose; the host's if there is none.
    pub platform: Option<Platform>,
    /// On whose behalf.
    pub credentials: Option<Credentials>,
    /// How long to bear with the registry.
    pub patience: Patience,
}

/// How long a pull bears with its registry, where that is not what the client is set to.
///
/// It holds for what the pull itself asks for. A layer that another pull is already fetching is fetched with the patience of that one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patience {
    /// How often a request that brought nothing is made again, in a row.
    pub retries: Option<u32>,
    /// How long a registry may stay silent in the middle of a layer.
    pub stall_timeout: Option<Duration>,
}

impl PullRequest {
    /// The platform to choose.
    fn wanted(&self) -> Platform {
        self.platform.clone().unwrap_or_else(Platform::host)
    }
}

/// A pull that somebody watches. Dropping it leaves the pull.
#[derive(Debug)]
pub struct Pull {
    events: EventReceiver,
    task: JoinHandle<()>,
}

impl Pull {
    /// The next thing that happens; `None` after [`Event::Done`] or [`Event::Failed`]. Safe to cancel.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.next().await
    }
}

impl Drop for Pull {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn start(inner: Arc<Inner>, request: PullRequest) -> Pull {
    let (events, receiver) = event::channel();
    let (place, story) = inner.pulls.enter(&request.reference, request.platform.as_ref());
    let events = events.with_story(story);
    let span = tracing::info_span!("pull", reference = %request.reference);
    let task = async move {
        let outcome = tokio::select! {
            biased;
            outcome = run(&inner, &request, &events) => outcome,
            () = inner.stopping.cancelled() => Err(PullCause::Stopped),
            () = place.cancelled() => Err(PullCause::Cancelled),
        };
        let end = match outcome {
            Ok(outcome) => {
                tracing::info!(image = %outcome.image, updated = outcome.updated, "pulled");
                Event::Done(outcome)
            }
            Err(cause) => {
                let error = PullError { reference: request.reference.clone(), cause: Box::new(cause) };
                match error.kind() {
                    Kind::Internal | Kind::NoSpace => {
                        tracing::error!(error = &error as &dyn std::error::Error, "pull failed")
                    }
                    _ => tracing::info!(error = &error as &dyn std::error::Error, "pull failed"),
                }
                Event::Failed(Arc::new(error))
            }
        };
        // Who has heard the end finds it listed no more.
        place.leave();
        events.tell(end);
    };
    Pull { events: receiver, task: tokio::spawn(task.instrument(span)) }
}

async fn run(inner: &Arc<Inner>, request: &PullRequest, events: &Events) -> Result<Outcome, PullCause> {
    let reference = &request.reference;
    let client = client::client(inner, request, events);
    let chosen = resolve::choose(inner, &client, request).await?;
    // Held until the image has its name: from here on nothing of it can be removed under us.
    let (lease, stock) = stock::take(inner, &chosen).await?;
    let room = stock.check_room(&inner.store)?;
    let end = async {
        // Layers are asked for while the config is still on its way, which saves a round trip.
        let early = early::start(inner, &client, &stock).await;
        let resolved = resolve::complete(inner, &client, request, chosen).await?;
        events.tell(Event::Pulling(reference.clone()));
        for warning in resolved.warnings.iter().chain(&room) {
            events.tell(Event::Warning(warning.clone()));
        }
        let plan = plan::plan(inner, &resolved, lease).await?;
        let fetched = bring(inner, &client, &plan.layers, early, events).await?;
        finish::finish(inner, reference, client.host_key(), resolved, plan, fetched).await
    }
    .await;
    if end.as_ref().is_err_and(PullCause::is_no_space) {
        inner.flights.give_room(stock.layers.iter().map(|layer| BlobId(layer.descriptor.digest)).collect()).await;
    }
    end
}

/// Brings in the layers that are missing, all at once; says whether there were any.
async fn bring(
    inner: &Arc<Inner>,
    client: &RepositoryClient,
    layers: &[LayerPlan],
    mut early: Early,
    events: &Events,
) -> Result<bool, PullCause> {
    if layers.iter().all(|layer| layer.exists) {
        return Ok(false);
    }
    for layer in layers {
        events.layer(layer.blob(), if layer.exists { Phase::Exists } else { Phase::Queued });
    }
    // Joined in order, base first, so that this is also the order in which they wait for a connection.
    let mut coming = FuturesUnordered::new();
    for layer in layers.iter().filter(|layer| !layer.exists) {
        let job = Job { descriptor: layer.descriptor.clone(), client: client.clone() };
        let watcher = match early.take(layer.blob(), layer.diff) {
            Some(watcher) => watcher,
            None => inner.flights.join(&job, Some(layer.diff)).await,
        };
        coming.push(async move { (job.blob(), follow(inner, job, layer.diff, watcher, events).await) });
    }
    // Those that turned out not to be needed end here.
    drop(early);
    while let Some((blob, result)) = coming.next().await {
        // Leaving the others stops them, unless another pull wants them.
        result.map_err(|source| PullCause::Layer { blob, source })?;
    }
    Ok(true)
}

/// Follows a flight to its end. If it fails for what whoever started it may not do, a flight of our own has a chance.
async fn follow(inner: &Inner, job: Job, diff: DiffId, first: Watcher, events: &Events) -> Result<(), Arc<LayerError>> {
    let mut watcher = first;
    let mut own = watcher.is_leader();
    loop {
        match watch(&mut watcher, job.blob(), events).await {
            Err(error) if !own && error.depends_on_asker() => {
                drop(watcher);
                watcher = inner.flights.join(&job, Some(diff)).await;
                own = watcher.is_leader();
            }
            result => return result,
        }
    }
}

async fn watch(watcher: &mut Watcher, blob: BlobId, events: &Events) -> Result<(), Arc<LayerError>> {
    let mut told = None;
    let mut fetched = false;
    loop {
        let (phase, end) = watcher.state();
        match end {
            Some(Ok(())) => {
                // The flight may have ended between two looks; every layer's story is told to its end all the same.
                if !fetched {
                    events.layer(blob, Phase::Fetched);
                }
                events.layer(blob, Phase::Complete);
                return Ok(());
            }
            Some(Err(error)) => return Err(error),
            None => {}
        }
        if let Some(phase) = phase
            && told.as_ref() != Some(&phase)
        {
            if matches!(phase, Phase::Unpacking { .. }) && !fetched {
                events.layer(blob, Phase::Fetched);
            }
            fetched |= matches!(phase, Phase::Fetched | Phase::Unpacking { .. });
            events.layer(blob, phase.clone());
            told = Some(phase);
        }
        watcher.changed().await;
    }
}
