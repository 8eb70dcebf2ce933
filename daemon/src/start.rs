//! The life of the daemon: settings, store, sockets, service, end.

use std::io::{self, Write as _};
use std::num::NonZero;
use std::time::Duration;

use layer_engine::{Engine, Options, chain};
use listenfd::ListenFd;

use crate::cli::{Args, Command};
use crate::config::{ConfigError, Settings};
use crate::listen::{self, ListenError, Socket};
use crate::server::Server;
use crate::signals::{Signals, Wish};
use crate::{collection, limits, log, notify, routes};

/// How long clients get to hear that their pulls were stopped.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Why the daemon doesn't start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StartError {
    /// The settings make no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The runtime can't be set up.
    #[error("start the threads")]
    Threads(#[source] io::Error),
    /// Signals can't be waited for.
    #[error("wait for signals")]
    Signals(#[source] io::Error),
    /// Nobody reads what was found.
    #[error("tell what was found")]
    Report(#[source] io::Error),
    /// The store can't be used.
    #[error(transparent)]
    Engine(#[from] layer_engine::OpenError),
    /// There is nowhere to listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

impl StartError {
    /// What the administrator can do.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Config(error) => error.hint(),
            Self::Engine(error) => error.hint(),
            Self::Listen(error) => error.hint(),
            Self::Threads(_) | Self::Signals(_) | Self::Report(_) => None,
        }
    }
}

/// Runs the daemon until a signal ends it.
pub(crate) fn run(args: Args) -> Result<(), StartError> {
    if let Some(Command::Recover) = args.command {
        return recover(args);
    }
    // Before there are threads: it changes the environment.
    let mut passed = ListenFd::from_env();
    let settings = Settings::new(args.clone())?;
    log::start(&settings.log);
    limits::take_descriptors();
    limits::bound_arenas();
    // A layer's work is done on threads of its own; these wait for sockets. A second one keeps a busy one from holding up all others.
    let workers = std::thread::available_parallelism().map_or(2, NonZero::get).max(2);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("layerd")
        .enable_all()
        .build()
        .map_err(StartError::Threads)?;
    let result = runtime.block_on(live(&args, settings, &mut passed));
    // Whatever still runs on a blocking thread is a file operation that the next start makes up for.
    runtime.shutdown_timeout(LAST_WORDS);
    result
}

/// Repairs the store, and tells on standard output what was found.
fn recover(args: Args) -> Result<(), StartError> {
    let settings = Settings::new(args)?;
    log::start(&settings.log);
    let found = layer_engine::recover(&settings.root).map_err(layer_engine::OpenError::from)?;
    io::stdout().write_all(found.to_string().as_bytes()).map_err(StartError::Report)
}

async fn live(args: &Args, settings: Settings, passed: &mut ListenFd) -> Result<(), StartError> {
    let mut signals = Signals::new().map_err(StartError::Signals)?;
    let passed = listen::take(&settings.listen, passed)?;
    let mut options = Options { root: settings.root, form: settings.layers, ..Options::default() };
    if let Some(downloads) = settings.downloads {
        options.limits.downloads_per_registry = downloads.into();
    }
    settings.network.apply(&mut options);
    settings.registries.apply(&mut options.registry);
    // The store's lock comes first: who doesn't get it must not touch the other's socket.
    let engine = Engine::open(options).await?;
    let sockets = listen::open(&settings.listen, &settings.group, passed)?;
    let places = sockets.iter().map(Socket::to_string).collect::<Vec<_>>().join(", ");
    let service = routes::service(engine.clone(), settings.gc.collection.clone());
    let server = Server::start(sockets, service).map_err(|source| ListenError::Io {
        path: engine.root().to_owned(),
        action: "watch the sockets",
        source,
    })?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), root = %engine.root().display(), listen = places, "started");
    let status = format!("Listening at {places}");
    notify::ready(&status);

    let collector = tokio::spawn(collection::run(engine.clone(), settings.gc));

    let signal = loop {
        match signals.next().await {
            Wish::Stop(signal) => break signal,
            Wish::Reload => {
                notify::reloading();
                match reload(args, &engine) {
                    Ok(()) => tracing::info!("settings for registries are read again"),
                    Err(error) => {
                        let error = chain(&error);
                        tracing::error!(error, "settings could not be read again: those from before still hold");
                    }
                }
                notify::ready(&status);
            }
        }
    };
    tracing::info!(signal, "stopping");
    notify::stopping("Waiting for running requests");
    collector.abort();
    server.stop_accepting();
    // Who follows events waits for nothing else.
    engine.close_events();
    tokio::select! {
        () = server.drained() => {}
        () = tokio::time::sleep(settings.shutdown_timeout) => tracing::warn!("requests still run: they are stopped"),
        signal = signals.next_stop() => tracing::warn!(signal, "told again to stop: running requests are stopped"),
    }
    engine.shutdown().await;
    if tokio::time::timeout(LAST_WORDS, server.drained()).await.is_err() {
        tracing::info!("connections are closed while clients still read");
    }
    server.close();
    server.drained().await;
    tracing::info!("stopped");
    Ok(())
}

/// Why the settings could not be read again.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    /// They make no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Connections can't be set up with them.
    #[error(transparent)]
    Setup(#[from] layer_engine::SetupError),
}

/// Reads the settings again, and takes over how registries are reached. Everything else holds until the next start.
fn reload(args: &Args, engine: &Engine) -> Result<(), ReloadError> {
    let settings = Settings::new(args.clone())?;
    let mut options = engine.registries();
    settings.registries.apply(&mut options);
    Ok(engine.set_registries(options)?)
}
