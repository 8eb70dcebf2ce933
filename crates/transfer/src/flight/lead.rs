//! The task that leads a flight.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use layer_digest::{BlobId, DiffId};
use layer_registry::Sources;
use layer_store::{Form, Ingest, Lease, StoreError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use super::pipeline::{self, Source, Tar, Wire};
use super::places::Place;
use super::progress::Progress;
use super::{Claim, Flight, Job, Shared, fetch};
use crate::LayerError;
use crate::event::Phase;

/// How often watchers hear of progress. People can't follow more, and programs don't need it.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// How many pieces from the network may wait for the first thread. Where the network is fast each has some 400 KiB.
const CHUNKS_WAITING: usize = 3;

/// Brings a blob in, and tells those who wait how it ended.
pub(super) async fn lead(shared: Arc<Shared>, flight: Arc<Flight>, job: Job) {
    // Every thread of the flight holds one of these: when all are gone, so are the threads.
    let (alive, mut threads) = mpsc::channel::<Infallible>(1);
    // Those who wait have leases of their own; but the last of them may leave while the threads still write.
    let held = Mutex::default();
    let lead = Lead { shared: &shared, flight: &flight, job: &job, alive, held: &held };
    let end = tokio::select! {
        end = lead.run() => end,
        () = flight.cancel.cancelled() => Err(LayerError::Cancelled),
    };
    drop(lead);
    let _ = threads.recv().await;
    drop(held);
    match &end {
        Ok(()) => tracing::debug!("brought in"),
        Err(error) => tracing::debug!(error = error as &dyn std::error::Error, "not brought in"),
    }
    flight.state.send_modify(|state| state.end = Some(end.map_err(Arc::new)));
    shared.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&job.blob());
    flight.gone.cancel();
}

struct Lead<'a> {
    shared: &'a Arc<Shared>,
    flight: &'a Flight,
    job: &'a Job,
    alive: mpsc::Sender<Infallible>,
    /// What the threads write to, and must not be removed under them.
    held: &'a Mutex<Vec<Lease>>,
}

/// What is known at the beginning of an attempt.
struct Found {
    blob: bool,
    layer: bool,
    proven: bool,
}

impl Lead<'_> {
    async fn run(&self) -> Result<(), LayerError> {
        // Bytes of an earlier attempt, and bytes on the disk, may have gone bad since; neither counts as the registry's fault.
        let mut trust_stored = true;
        let mut chances = 2;
        let mut form = self.shared.store.form();
        let sources = Sources::default();
        // The way to the registry and back is used to learn what the blob must be.
        let blob = self.job.blob();
        self.hold(move |lease| lease.hold_blob(blob)).await?;
        let mut ahead = self.ahead(&sources).await?;
        let diff = self.expected().await;
        self.hold(move |lease| lease.hold_layer(diff)).await?;
        loop {
            let found = self.look(diff).await?;
            let use_stored = found.blob && trust_stored;
            if use_stored && found.layer && found.proven {
                return Ok(());
            }
            let claim = if found.layer { None } else { Some(self.shared.claim(diff)) };
            let claim = match claim {
                // Another blob with the same layer is on its way. Once this blob is here and proven, only that has to be waited for.
                Some(Err(other)) if use_stored && found.proven => {
                    other.cancelled().await;
                    continue;
                }
                Some(Ok(claim)) => Some(claim),
                Some(Err(_)) | None => None,
            };
            let unpack = claim.is_some();
            let how = How { diff, form, use_stored, sources: &sources };
            match self.attempt(how, claim, ahead.take()).await {
                Ok(()) if unpack || found.layer => return Ok(()),
                Ok(()) => trust_stored = true,
                Err(Attempt::Final(error)) => return Err(error),
                // The blob is here by then, and so it is asked of nobody again.
                Err(Attempt::Useless { error, wire }) if form == Form::Image && error.is_unfit() => {
                    tracing::info!(%diff, error = &error as &dyn std::error::Error, "the layer gets a folder");
                    form = Form::Folder;
                    if let Wire { proof, ingest: Some(ingest) } = *wire {
                        joined(self.spawn(move || ingest.commit(&proof)).await)?.map_err(LayerError::Store)?;
                        trust_stored = true;
                    }
                }
                Err(Attempt::Useless { error, wire }) => {
                    if let Some(ingest) = wire.ingest {
                        joined(self.spawn(|| ingest.discard()).await)?.map_err(LayerError::Store)?;
                    }
                    return Err(error);
                }
                Err(Attempt::Corrupt { error, resumed }) => {
                    if use_stored {
                        tracing::warn!("the blob is damaged on disk; it is fetched again");
                        trust_stored = false;
                        continue;
                    }
                    let senders = sources.to_string();
                    // What an earlier attempt had left may be to blame, and is gone now. So may a mirror, which is asked no more.
                    chances -= u32::from(!sources.distrust() && !resumed);
                    if chances == 0 {
                        return Err(error.sent_by(senders));
                    }
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the bytes were wrong; fetching them again"
                    );
                }
            }
        }
    }

    /// Takes a lease for as long as there are threads. Whoever collects holds the table of leases for a while.
    async fn hold(&self, hold: impl FnOnce(&mut Lease) + Send + 'static) -> Result<(), LayerError> {
        let mut lease = self.shared.store.lease();
        let take = move || {
            hold(&mut lease);
            lease
        };
        let lease = joined(self.spawn(take).await)?;
        self.held.lock().unwrap_or_else(PoisonError::into_inner).push(lease);
        Ok(())
    }

    /// Asks for the blob before it is known what it must be, unless that is known or the blob is here.
    async fn ahead(&self, sources: &Sources) -> Result<Option<Coming>, LayerError> {
        if self.flight.diff.borrow().is_some() {
            return Ok(None);
        }
        let (store, descriptor) = (Arc::clone(&self.shared.store), self.job.descriptor.clone());
        let is_stored = joined(self.spawn(move || store.has_blob(&descriptor)).await)?.map_err(LayerError::Store)?;
        if is_stored { Ok(None) } else { self.ask(sources).await.map(Some) }
    }

    /// What the blob must be once decompressed. Whoever started the flight, or joined it, tells as soon as it knows.
    async fn expected(&self) -> DiffId {
        let mut diff = self.flight.diff.subscribe();
        loop {
            if let Some(diff) = *diff.borrow_and_update() {
                return diff;
            }
            // The sender lives in the flight. If all leave without a word, the flight is cancelled.
            let _ = diff.changed().await;
        }
    }

    async fn look(&self, diff: DiffId) -> Result<Found, LayerError> {
        let (store, descriptor) = (Arc::clone(&self.shared.store), self.job.descriptor.clone());
        let look = move || -> Result<Found, StoreError> {
            Ok(Found {
                blob: store.has_blob(&descriptor)?,
                layer: store.has_layer(diff)?,
                proven: store.is_proven(BlobId(descriptor.digest), diff)?,
            })
        };
        joined(self.spawn(look).await)?.map_err(LayerError::Store)
    }

    /// Asks the registry for the blob, from where an earlier attempt stopped. A place at the registry is held while the network is used, not
    /// while the rest is unpacked.
    async fn ask(&self, sources: &Sources) -> Result<Coming, LayerError> {
        let job = self.job;
        let place = self.place().await;
        let (store, blob, size) = (Arc::clone(&self.shared.store), job.blob(), job.descriptor.size);
        let open = move || -> Result<Ingest, StoreError> {
            let mut ingest = store.ingest(blob)?;
            if ingest.len() > size {
                ingest.restart()?;
            }
            Ok(ingest)
        };
        let ingest = joined(self.spawn(open).await)?.map_err(LayerError::Store)?;
        let (chunks, waiting) = mpsc::channel(CHUNKS_WAITING);
        let progress = Arc::new(Progress::new(size));
        let (client, digest, start) = (job.client.clone(), job.descriptor.digest, ingest.len());
        progress.received.store(start, Ordering::Relaxed);
        let (counters, sources) = (Arc::clone(&progress), sources.clone());
        let network = async move {
            let wanted =
                fetch::Wanted { client: &client, sources: &sources, digest, progress: &counters, place: &place };
            let result = fetch::fetch(&wanted, start, chunks).await;
            drop(place);
            result
        };
        let network = self.shared.runtime.spawn(network.in_current_span());
        Ok(Coming { ingest, waiting, progress, network: AbortOnDropHandle::new(network) })
    }

    /// One way through the pipeline, for what is coming already or what is asked for now.
    async fn attempt(&self, how: How<'_>, claim: Option<Claim>, ahead: Option<Coming>) -> Result<(), Attempt> {
        let How { diff, form, use_stored, sources } = how;
        let (blob, size) = (self.job.blob(), self.job.descriptor.size);
        let (progress, source, network, resumed) = if use_stored {
            let store = Arc::clone(&self.shared.store);
            let file = joined(self.spawn(move || store.open_blob(blob)).await)?.map_err(LayerError::Store)?;
            let progress = Progress::new(size);
            progress.received.store(size, Ordering::Relaxed);
            (Arc::new(progress), Source::Stored(file), None, false)
        } else {
            let Coming { ingest, waiting, progress, network } = match ahead {
                Some(coming) => coming,
                None => self.ask(sources).await?,
            };
            let resumed = !ingest.is_empty();
            (progress, Source::Network { ingest, chunks: waiting }, Some(network), resumed)
        };
        let stage = if claim.is_some() {
            let store = Arc::clone(&self.shared.store);
            Some(joined(self.spawn(move || store.stage_layer_as(form)).await)?.map_err(LayerError::Store)?)
        } else {
            None
        };
        let (wire_end, tar_end) = pipeline::belt();
        let counters = Arc::clone(&progress);
        let wire = self.labour(move || pipeline::wire(blob, source, &counters, wire_end));
        let writers = Arc::clone(&self.shared.writers);
        let tar = self.labour(move || pipeline::tar(diff, stage, tar_end, &writers));
        let network = async {
            match network {
                Some(network) => joined(network.await)?,
                None => Ok(()),
            }
        };
        let (network, wire, tar) = self.told(&progress, async { tokio::join!(network, wire, tar) }).await;
        let (wire, tar) = sort(network, joined(wire)?, joined(tar)?, resumed)?;
        self.commit(wire, tar).await?;
        drop(claim);
        Ok(())
    }

    /// A place among those that fetch.
    async fn place(&self) -> Place {
        let registry = self.shared.places.at(self.job.client.host_key());
        if let Some(place) = registry.try_place() {
            return place;
        }
        self.tell(Phase::Waiting);
        registry.place().await
    }

    /// Does `work`, and tells the watchers now and then how far it is.
    async fn told<T>(&self, progress: &Progress, work: impl Future<Output = T>) -> T {
        let mut tick = tokio::time::interval(TELL_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(work);
        loop {
            tokio::select! {
                result = &mut work => return result,
                _ = tick.tick() => self.tell(progress.phase()),
            }
        }
    }

    fn tell(&self, phase: Phase) {
        self.flight.state.send_if_modified(|state| {
            let changed = state.phase.as_ref() != Some(&phase);
            state.phase = Some(phase);
            changed
        });
    }

    /// Publishes what has been proven.
    async fn commit(&self, wire: Wire, tar: Tar) -> Result<(), LayerError> {
        let store = Arc::clone(&self.shared.store);
        let commit = move || match tar.layer {
            Some(unpacked) => {
                let record = unpacked.record(wire.proof.id(), &tar.proof);
                unpacked.stage.commit(&tar.proof, &record, wire.ingest.map(|ingest| (ingest, &wire.proof)))
            }
            None => {
                if let Some(ingest) = wire.ingest {
                    ingest.commit(&wire.proof)?;
                }
                store.learn_diff(&wire.proof, &tar.proof);
                Ok(())
            }
        };
        joined(self.spawn(commit).await)?.map_err(LayerError::Store)
    }

    /// Runs something that blocks, on a thread that the flight doesn't end without.
    fn spawn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        self.shared.runtime.spawn_blocking(self.counted(work))
    }

    /// The same for something that takes all that a processor gives.
    fn labour<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        self.shared.labour.begin(self.counted(work))
    }

    fn counted<T>(&self, work: impl FnOnce() -> T + Send + 'static) -> impl FnOnce() -> T + Send + 'static {
        let alive = self.alive.clone();
        let span = tracing::Span::current();
        move || {
            let result = span.in_scope(work);
            drop(alive);
            result
        }
    }
}

/// How an attempt is made.
struct How<'a> {
    /// What the blob must be once decompressed.
    diff: DiffId,
    /// How the layer is to be kept.
    form: Form,
    /// Whether the blob in the store is read, and nobody asked.
    use_stored: bool,
    /// Who has sent bytes of the blob before, and whose were wrong.
    sources: &'a Sources,
}

/// A blob on its way in.
struct Coming {
    /// What an earlier attempt has left, to be followed by what the network brings.
    ingest: Ingest,
    waiting: mpsc::Receiver<Bytes>,
    progress: Arc<Progress>,
    /// The task that brings it. It ends when this is dropped.
    network: AbortOnDropHandle<Result<(), LayerError>>,
}

/// How an attempt fails.
enum Attempt {
    /// Another one would fail in the same way.
    Final(LayerError),
    /// The bytes were wrong, or could not be read again, and have been thrown away.
    Corrupt { error: LayerError, resumed: bool },
    /// The bytes are the right ones, and no layer can be made of them.
    Useless { error: LayerError, wire: Box<Wire> },
}

impl From<LayerError> for Attempt {
    fn from(error: LayerError) -> Self {
        Self::Final(error)
    }
}

/// Finds out what the parts have to say. If several failed, the one counts that the others followed from.
fn sort(
    network: Result<(), LayerError>,
    wire: Result<(Wire, Option<LayerError>), LayerError>,
    tar: Result<Tar, LayerError>,
    resumed: bool,
) -> Result<(Wire, Tar), Attempt> {
    // A disk that is full or fails stops everything else.
    let tar = match tar {
        Err(LayerError::Unpack(error)) if error.io().is_some() => {
            return Err(Attempt::Final(LayerError::Unpack(error)));
        }
        Err(error @ LayerError::Store(_)) => return Err(Attempt::Final(error)),
        tar => tar,
    };
    network?;
    let (wire, inflate) = match wire {
        Ok(wire) => wire,
        Err(error @ (LayerError::Verify(_) | LayerError::Reread(_))) => {
            return Err(Attempt::Corrupt { error, resumed });
        }
        Err(error) => return Err(Attempt::Final(error)),
    };
    // The blob is the one that was asked for, so that another attempt would bring the same.
    match (inflate, tar) {
        (None, Ok(tar)) => Ok((wire, tar)),
        (Some(error), _) | (None, Err(error)) => Err(Attempt::Useless { error, wire: Box::new(wire) }),
    }
}

/// The outcome of a thread, whose panic is a bug that must not take the daemon along.
fn joined<T>(result: Result<T, tokio::task::JoinError>) -> Result<T, LayerError> {
    result.map_err(|error| LayerError::Task(io::Error::other(error)))
}
