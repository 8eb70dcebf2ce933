//! A registry, a store and a transfer between them.

use std::sync::Arc;
use std::time::Duration;

use layer_oci::Platform;
use layer_reference::Reference;
use layer_registry::{Client, Options, RetryPolicy};
use layer_store::{OpenError, Store};
use layer_testkit::image::{Image, ImageBuilder};
use layer_testkit::layer::{Compression, Layer, LayerBuilder, noise};
use layer_testkit::registry::Registry;
use layer_transfer::{Event, Limits, Outcome, Patience, Phase, Preview, Pull, PullError, PullRequest, Transfer};

/// What a test pulls with. The store goes with it.
pub(crate) struct Setup {
    pub(crate) registry: Registry,
    pub(crate) store: Arc<Store>,
    pub(crate) transfer: Transfer,
    folder: tempfile::TempDir,
}

/// Options that make a test wait for nothing longer than it must.
pub(crate) fn quick() -> Options {
    Options {
        stall_timeout: Duration::from_millis(300),
        retry: RetryPolicy {
            tries: 4,
            first_wait: Duration::from_millis(5),
            longest_wait: Duration::from_millis(20),
            ..RetryPolicy::default()
        },
        ..Options::default()
    }
}

impl Setup {
    pub(crate) fn new() -> Self {
        Self::with(quick())
    }

    pub(crate) fn with(options: Options) -> Self {
        Self::limited(options, Limits::default())
    }

    pub(crate) fn limited(options: Options, limits: Limits) -> Self {
        Self::on(tempfile::tempdir().unwrap(), options, limits)
    }

    /// With a store in memory, where there is a place for that: a sync waits for nobody there.
    pub(crate) fn in_memory(options: Options, limits: Limits) -> Self {
        let memory = std::path::Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Self::on(folder.unwrap(), options, limits)
    }

    fn on(folder: tempfile::TempDir, options: Options, limits: Limits) -> Self {
        let store = Arc::new(Store::open(folder.path()).unwrap());
        let transfer = Transfer::new(Arc::clone(&store), Client::new(options).unwrap(), limits);
        Self { registry: Registry::start().unwrap(), store, transfer, folder }
    }

    /// Ends the transfer as a stop of the daemon does, and begins anew on the same store.
    pub(crate) async fn restart(self) -> Self {
        let Self { registry, store, transfer, folder } = self;
        transfer.shutdown().await;
        drop((transfer, store));
        // Tasks that were left a moment ago still let go of it.
        let store = loop {
            match Store::open(folder.path()) {
                Ok(store) => break Arc::new(store),
                Err(OpenError::Locked { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        };
        let transfer = Transfer::new(Arc::clone(&store), Client::new(quick()).unwrap(), Limits::default());
        Self { registry, store, transfer, folder }
    }

    pub(crate) fn start(&self, name: &str) -> Pull {
        self.start_for(name, None)
    }

    pub(crate) fn start_for(&self, name: &str, platform: Option<&str>) -> Pull {
        self.transfer.pull(request(name, platform))
    }

    pub(crate) async fn preview(&self, name: &str) -> Result<Preview, PullError> {
        self.transfer.preview(&request(name, None)).await
    }

    pub(crate) async fn pull(&self, name: &str) -> Result<Outcome, Arc<PullError>> {
        finish(self.start(name)).await.1
    }

    /// How many files lie in a folder of the store.
    pub(crate) fn count(&self, folder: &str) -> usize {
        std::fs::read_dir(self.folder.path().join(folder)).unwrap().count()
    }

    /// Asserts that nothing half done is left, and nothing half done is listed.
    pub(crate) fn assert_clean(&self) {
        assert_eq!(self.count("staging"), 0, "staged layers are left");
        assert_eq!(self.count("ingest"), 0, "partial blobs are left");
    }
}

fn request(name: &str, platform: Option<&str>) -> PullRequest {
    PullRequest {
        reference: Reference::parse(name).unwrap().or_latest(),
        platform: platform.map(|text| text.parse::<Platform>().unwrap()),
        credentials: None,
        patience: Patience::default(),
    }
}

/// Follows a pull to its end.
pub(crate) async fn finish(mut pull: Pull) -> (Vec<Event>, Result<Outcome, Arc<PullError>>) {
    let mut events = Vec::new();
    while let Some(event) = pull.next().await {
        match event {
            Event::Done(outcome) => return (events, Ok(outcome)),
            Event::Failed(error) => return (events, Err(error)),
            event => events.push(event),
        }
    }
    panic!("the pull ended without an end: {events:?}");
}

/// The phases of the layers, in the order in which they were told.
pub(crate) fn phases(events: &[Event]) -> Vec<Phase> {
    let phase = |event: &Event| match event {
        Event::Layer { phase, .. } => Some(phase.clone()),
        _ => None,
    };
    events.iter().filter_map(phase).collect()
}

/// An error with all its causes, on one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// A layer whose content can't be compressed: `size` bytes of it, different for each seed.
pub(crate) fn layer(seed: u64, size: usize) -> Layer {
    let content = noise(seed, size);
    LayerBuilder::new().dir("data").file(format!("data/{seed}"), content).pack(Compression::Gzip)
}

pub(crate) fn image(layers: impl IntoIterator<Item = Layer>) -> Image {
    ImageBuilder::new().layers(layers).build()
}
