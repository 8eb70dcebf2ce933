//! What all pulls of a daemon share.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use futures_util::stream::Stream;
use layer_digest::{BlobId, ImageId};
use layer_reference::Reference;
use layer_registry::{Client, RegistryError};
use layer_store::Store;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::PullError;
use crate::event::Outcome;
use crate::flight::Flights;
use crate::import::{self, Import, ImportRequest};
use crate::load::{self, Load, LoadRequest};
use crate::pull::{self, Preview, Pull, PullRequest, Remote};
use crate::push::{self, Gates, Push, PushRequest};
use crate::running::{Follow, RunningPull, RunningPulls};
use crate::save::{self, Save, SavePlan};

/// How much happens at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many layers are fetched from one registry at a time. Registries don't count against each other: one that goes silent holds up
    /// nobody else's pulls.
    pub downloads_per_registry: usize,
    /// How many layers are fetched at a time from all registries together. The first layer of each registry doesn't count: registries that go
    /// silent, however many, hold up nobody else's pulls.
    pub downloads: usize,
    /// How many connections a registry gets for layers. Those that its layers leave over are given to large layers which one connection holds
    /// up; with one, every layer has a single connection.
    pub connections_per_registry: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // More connections bring little on one link, and each layer in flight takes some 10 MiB.
        Self { downloads_per_registry: 4, downloads: 12, connections_per_registry: 6 }
    }
}

/// Brings images into a store. Clones share everything.
#[derive(Clone, Debug)]
pub struct Transfer {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) store: Arc<Store>,
    pub(crate) client: Client,
    pub(crate) flights: Flights,
    pub(crate) gates: Gates,
    /// The configs that are being fetched, each by one pull: whoever else wants one waits, and finds it in the store.
    configs: Mutex<HashMap<BlobId, Arc<Semaphore>>>,
    pub(crate) pulls: Arc<RunningPulls>,
    /// Who wants to know what has been done.
    observer: OnceLock<Observer>,
    /// Cancelled when the daemon stops and no flight is left: what still waits for a registry ends.
    pub(crate) stopping: CancellationToken,
}

/// Something that a transfer has done to an image.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Done<'a> {
    /// It was pulled, or found to be up to date.
    Pulled(&'a Outcome),
    /// It was pushed under this name.
    Pushed(ImageId, &'a Reference),
    /// It was read from an archive.
    Loaded(ImageId),
    /// It was made of a tar of files, and got this name if it got one.
    Imported(ImageId, Option<&'a Reference>),
}

struct Observer(Box<dyn Fn(Done<'_>) + Send + Sync>);

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

impl Inner {
    /// Tells the observer what has been done.
    pub(crate) fn done(&self, done: Done<'_>) {
        if let Some(Observer(observer)) = self.observer.get() {
            observer(done);
        }
    }

    /// The gate before a config that isn't in the store. Who has passed it looks into the store again.
    pub(crate) fn config_gate(&self, id: BlobId) -> Arc<Semaphore> {
        let mut configs = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody waits at now come back when they are asked for.
        configs.retain(|_, gate| Arc::strong_count(gate) > 1);
        Arc::clone(configs.entry(id).or_insert_with(|| Arc::new(Semaphore::new(1))))
    }
}

impl Transfer {
    /// Sets pulls up between `client` and `store`. Tasks run on the runtime that this is called on.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn new(store: Arc<Store>, client: Client, limits: Limits) -> Self {
        let flights = Flights::new(Arc::clone(&store), Handle::current(), limits);
        let (gates, configs, observer) = (Gates::default(), Mutex::default(), OnceLock::new());
        let (pulls, stopping) = (Arc::default(), CancellationToken::new());
        Self { inner: Arc::new(Inner { store, client, flights, gates, configs, pulls, observer, stopping }) }
    }

    /// Has `observer` told of all that is done to images from now on, whether or not whoever asked for it still listens. There is one observer; it
    /// is called by the transfer and must not block for long.
    #[must_use]
    pub fn observed(self, observer: impl Fn(Done<'_>) + Send + Sync + 'static) -> Self {
        // The first one stays.
        let _ = self.inner.observer.set(Observer(Box::new(observer)));
        self
    }

    /// Starts to pull an image, in a task of its own. Dropping the [`Pull`] leaves it: layers that nobody else waits for are stopped, and what
    /// has come of them is kept.
    pub fn pull(&self, request: PullRequest) -> Pull {
        pull::start(Arc::clone(&self.inner), request)
    }

    /// The pulls that run, the oldest first.
    pub fn pulls(&self) -> Vec<RunningPull> {
        self.inner.pulls.list()
    }

    /// Follows a pull that runs, from how far it has come; `None` if there is none by that number, or none any more.
    pub fn follow_pull(&self, id: u64) -> Option<Follow> {
        self.inner.pulls.follow(id)
    }

    /// Ends a pull that runs, as if whoever began it had gone: what has come of it is kept. Says which that was.
    pub fn cancel_pull(&self, id: u64) -> Option<RunningPull> {
        self.inner.pulls.cancel(id)
    }

    /// Starts to push images, in a task of its own. Dropping the [`Push`] stops it; what the registry has of it by then, it keeps.
    pub fn push(&self, request: PushRequest) -> Push {
        push::start(Arc::clone(&self.inner), request)
    }

    /// Looks what a pull would do, without doing it: the registry is asked, and nothing is written.
    ///
    /// # Errors
    ///
    /// When the pull would fail before it fetched a layer, room on disk aside.
    pub async fn preview(&self, request: &PullRequest) -> Result<Preview, PullError> {
        pull::preview(&self.inner, request).await
    }

    /// Asks a registry what it has under a name. Nothing is written, and the platform that is wanted doesn't matter.
    ///
    /// # Errors
    ///
    /// When the registry doesn't tell.
    pub async fn remote(&self, request: &PullRequest) -> Result<Remote, PullError> {
        pull::remote(&self.inner, request).await
    }

    /// The tags that a registry has in the repository of `request`, in its order.
    ///
    /// # Errors
    ///
    /// When the registry doesn't tell.
    pub async fn tags(&self, request: &PullRequest) -> Result<Vec<String>, PullError> {
        pull::tags(&self.inner, request).await
    }

    /// Starts to load the images of an archive, in a task of its own. `body` is a tar, plain or packed by gzip, zstd, xz or bzip2. Dropping the
    /// [`Load`] stops it, and nothing is kept.
    pub fn load<E: Send + 'static>(
        &self,
        request: LoadRequest,
        body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Load {
        load::start(Arc::clone(&self.inner), request, body)
    }

    /// Starts to import a root file system, in a task of its own. `body` is a tar, plain or packed by gzip, zstd, xz or bzip2. Dropping the
    /// [`Import`] stops it, and nothing is kept.
    pub fn import<E: Send + 'static>(
        &self,
        request: ImportRequest,
        body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Import {
        import::start(Arc::clone(&self.inner), request, body)
    }

    /// Imports as [`Self::import`] does what this side fetches: it is read no further than it is wanted.
    pub fn import_fetched(
        &self,
        request: ImportRequest,
        body: impl Stream<Item = Result<Bytes, RegistryError>> + Send + 'static,
    ) -> Import {
        import::start_fetched(Arc::clone(&self.inner), request, body)
    }

    /// Starts to write an archive, on a thread of its own. Dropping the [`Save`] stops it.
    pub fn save(&self, plan: SavePlan) -> Save {
        save::start(plan)
    }

    /// Stops all transfers and waits until they have let go of the store. What has come is kept.
    pub async fn shutdown(&self) {
        self.inner.flights.shutdown().await;
        self.inner.stopping.cancel();
    }
}
