//! A server on loopback whose answers a test decides, and which remembers every request.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use layer_reference::Repository;
use layer_registry::{Client, Credentials, Options, RepositoryClient, RetryPolicy};
use tokio::task::JoinHandle;

/// What a request looked like.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn authorization(&self) -> Option<&str> {
        self.header("authorization")
    }
}

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Starts a server that answers each request by `handler`, which also gets the number of requests for the same path before this one.
    pub(crate) async fn start(handler: impl Fn(&Seen, usize) -> Response + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::<Seen>::new()));
        let (handler, log) = (Arc::new(handler), Arc::clone(&seen));
        let router = Router::new().fallback(async move |request: Request| {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            let one = Seen {
                method: parts.method,
                path: parts.uri.path().to_owned(),
                query: parts.uri.query().unwrap_or_default().to_owned(),
                headers: parts.headers,
                body,
            };
            let before = {
                let mut log = log.lock().unwrap();
                let before = log.iter().filter(|other| other.path == one.path).count();
                log.push(one.clone());
                before
            };
            handler(&one, before)
        });
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, seen, task }
    }

    /// Every request so far, in order.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How many requests there were for `path`.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.seen().iter().filter(|seen| seen.path == path).count()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A client of its own for the repository `lib/app` on this server, with `options`.
    pub(crate) fn client_with(&self, options: Options, credentials: Option<Credentials>) -> RepositoryClient {
        Client::new(options).unwrap().repository(&self.repository(), credentials)
    }

    pub(crate) fn client(&self) -> RepositoryClient {
        self.client_with(options(), None)
    }

    pub(crate) fn repository(&self) -> Repository {
        Repository::parse(&format!("{}/lib/app", self.address)).unwrap()
    }
}

/// Options under which failures are quick: waits of a millisecond, and a stall is one after a fifth of a second.
pub(crate) fn options() -> Options {
    Options {
        stall_timeout: Duration::from_millis(200),
        retry: RetryPolicy {
            first_wait: Duration::from_millis(1),
            longest_wait: Duration::from_millis(2),
            ..RetryPolicy::default()
        },
        ..Options::default()
    }
}

/// An answer with a status and some headers.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(body.into()).unwrap()
}

/// A refusal in the form of the distribution specification.
pub(crate) fn refusal(status: u16, code: &str, message: &str) -> Response {
    let body = format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#);
    answer(status, &[("content-type", "application/json")], body)
}

/// A body that sends `chunks` and then stays silent with the connection open.
pub(crate) fn then_silence(chunks: Vec<Bytes>) -> Body {
    use futures_util::StreamExt as _;
    let chunks = futures_util::stream::iter(chunks.into_iter().map(Ok::<_, std::convert::Infallible>));
    Body::from_stream(chunks.chain(futures_util::stream::pending()))
}

/// A body that sends `chunks` and then breaks the connection.
pub(crate) fn then_break(chunks: Vec<Bytes>) -> Body {
    use futures_util::StreamExt as _;
    let chunks = futures_util::stream::iter(chunks.into_iter().map(Ok));
    let end = futures_util::stream::once(async {
        // What was sent before should leave first: the server drops what it holds when a body fails.
        tokio::task::yield_now().await;
        Err(std::io::Error::other("gone"))
    });
    Body::from_stream(chunks.chain(end))
}

/// The error and all its causes as the user would read them.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// The answer for what a test did not think of; it makes the test fail.
pub(crate) fn unexpected(seen: &Seen) -> Response {
    (StatusCode::IM_A_TEAPOT, format!("nobody expected {} {}", seen.method, seen.path)).into_response()
}
