//! Connections: accepted, served, and ended in an orderly way.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{Service, ServiceExt as _};

use crate::envelope::Peer;
use crate::listen::{Socket, SocketFile};

/// How long a client may take to send the head of a request, the silence before it included. Long enough for clients that keep their
/// connection between the clicks of a person; dockerd has the same.
const HEAD_TIMEOUT: Duration = Duration::from_secs(300);
/// How long to wait when the kernel has no file descriptor left for another client.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    /// Listeners and connections end themselves: no more clients, no more requests.
    stopping: CancellationToken,
    /// Connections are dropped, whatever they do.
    closing: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Begins to serve. Each connection gets a clone of `service`.
    pub(crate) fn start<S>(sockets: Vec<Socket>, service: S) -> io::Result<Self>
    where
        S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send + 'static,
    {
        let server =
            Self { stopping: CancellationToken::new(), closing: CancellationToken::new(), tasks: TaskTracker::new() };
        for socket in sockets {
            let (listener, file) = socket.into_parts();
            let listener = UnixListener::from_std(listener)?;
            server.tasks.spawn(accept(
                listener,
                file,
                service.clone(),
                server.stopping.clone(),
                server.closing.clone(),
                server.tasks.clone(),
            ));
        }
        Ok(server)
    }

    /// Takes no more clients, removes the sockets, and lets each connection end after the request that it is at.
    pub(crate) fn stop_accepting(&self) {
        self.stopping.cancel();
        self.tasks.close();
    }

    /// Waits until all connections have ended.
    pub(crate) async fn drained(&self) {
        self.tasks.wait().await;
    }

    /// Drops all connections.
    pub(crate) fn close(&self) {
        self.closing.cancel();
    }
}

async fn accept<S>(
    listener: UnixListener,
    file: Option<SocketFile>,
    service: S,
    stopping: CancellationToken,
    closing: CancellationToken,
    tasks: TaskTracker,
) where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let (service, stopping, closing) = (service.clone(), stopping.clone(), closing.clone());
                tasks.spawn(async move {
                    tokio::select! {
                        () = serve(stream, service, &stopping) => {}
                        () = closing.cancelled() => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    drop(file);
}

/// Serves one client until it leaves or the daemon stops.
async fn serve<S>(stream: UnixStream, service: S, stopping: &CancellationToken)
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let peer = stream.peer_cred().ok().map(|peer| Peer { uid: peer.uid(), pid: peer.pid() });
    tracing::debug!(?peer, "connected");
    let service = service.map_request(move |mut request: Request<Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        request
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Written as docker writes them, for scripts that look at headers by eye.
        .title_case_headers(true)
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        // The client left in the middle, or spoke no HTTP: its own affair.
        tracing::debug!(%error, "connection broke");
    }
}
