//! The life of the service: open, listen, serve, drain, stop.

use std::io;
use std::time::Duration;

use axum::ServiceExt;
use axum::extract::Request;
use axum::middleware;
use layer_engine::{Engine, Limits, OpenError, Options};
use tokio_util::sync::CancellationToken;
use tower::Layer as _;

use crate::config::Config;
use crate::listen::{ListenError, Sockets};
use crate::{routes, signals, version};

/// How long running requests may take to end once the daemon is told to stop. A pull that isn't done by then keeps what has come.
const DRAIN: Duration = Duration::from_secs(10);

/// Why the daemon doesn't run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("wait for signals")]
    Signals(#[source] io::Error),
}

impl ServerError {
    /// What the administrator can do.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Open(error) => error.hint(),
            Self::Listen(ListenError::Taken(_)) => {
                Some("stop the other daemon, or give this one a `--listen` and a `--root` of its own".to_owned())
            }
            Self::Listen(_) | Self::Signals(_) => None,
        }
    }
}

/// Runs the daemon until it is told to stop.
pub(crate) async fn run(config: Config) -> Result<(), ServerError> {
    // Before anything that takes time: a signal that comes meanwhile counts.
    let stopped = tokio::spawn(signals::stop());
    let limits = Limits::default();
    let options = Options {
        root: config.root.clone(),
        registry: layer_engine::RegistryOptions { insecure: config.insecure.clone(), ..Default::default() },
        limits: Limits {
            downloads_per_registry: config.downloads_per_registry.unwrap_or(limits.downloads_per_registry),
        },
    };
    let engine = Engine::open(options).await?;
    let mut sockets = Sockets::open(&config)?;
    let stop = CancellationToken::new();
    // The version is taken off the path before the path is routed.
    let app = middleware::from_fn(version::negotiate).layer(routes::router(engine.clone()));
    let mut servers = tokio::task::JoinSet::new();
    for listener in sockets.listeners.drain(..) {
        let (app, stop) = (app.clone(), stop.clone());
        servers.spawn(async move {
            let service = ServiceExt::<Request>::into_make_service(app);
            axum::serve(listener, service).with_graceful_shutdown(stop.cancelled_owned()).await
        });
    }
    tracing::info!(root = %config.root.display(), "ready");
    notify(&[sd_notify::NotifyState::Ready]);

    let signalled = stopped.await.unwrap_or(Ok(()));
    tracing::info!("stopping");
    notify(&[sd_notify::NotifyState::Stopping]);
    stop.cancel();
    let drained = async { while servers.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::info!("requests are still running; what their pulls have fetched is kept");
    }
    servers.shutdown().await;
    engine.shutdown().await;
    sockets.remove();
    tracing::info!("stopped");
    signalled.map_err(ServerError::Signals)
}

/// Tells the service manager, if there is one.
fn notify(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "could not notify the service manager");
    }
}
