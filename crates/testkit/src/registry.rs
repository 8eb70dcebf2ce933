//! A registry inside the test: it serves pulls on a free port of 127.0.0.1, counts what it is asked, and goes wrong as told.
//!
//! Each connection has a thread of its own and speaks HTTP/1.1 by hand, so that a fault is exactly the bytes that it says, and so that the
//! registry works from any test, with or without an async runtime. It must never retry, cache or hide anything. It takes no pushes: a test
//! puts images in directly.

mod answer;
mod auth;
mod fault;
mod gate;
mod holdings;
mod log;
pub(crate) mod wire;

use std::collections::HashMap;
use std::io::{self, BufReader};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use answer::{Answer, Sent};
use anyhow::{Context, Result, ensure};
pub use auth::{Auth, Lifetime, TokenAuth};
pub use fault::{ActiveRule, Fault, Rule, Target};
pub use gate::Gate;
use holdings::Holdings;
pub use log::{Outcome, Request, peak};
use wire::{Asked, Incoming};

use crate::Blob;
use crate::image::{Document, Image};
use crate::watched::Watched;

/// A running registry; dropping it closes its port and all connections.
pub struct Registry {
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

struct Shared {
    address: SocketAddr,
    stopping: AtomicBool,
    connections: AtomicU64,
    sockets: Mutex<HashMap<u64, TcpStream>>,
    holdings: Mutex<Holdings>,
    rules: Mutex<Vec<ActiveRule>>,
    guard: Mutex<auth::Guard>,
    log: Watched<Vec<Request>>,
}

impl Registry {
    /// Starts a registry that is empty, open to all, and does everything right.
    ///
    /// # Errors
    /// No port of 127.0.0.1 or no thread can be had.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("listen on 127.0.0.1")?;
        let shared = Arc::new(Shared {
            address: listener.local_addr().context("listen on 127.0.0.1")?,
            stopping: AtomicBool::new(false),
            connections: AtomicU64::new(0),
            sockets: Mutex::default(),
            holdings: Mutex::default(),
            rules: Mutex::default(),
            guard: Mutex::default(),
            log: Watched::new(Vec::new()),
        });
        let accepting = Arc::clone(&shared);
        let listener = std::thread::Builder::new()
            .name("testkit-registry".to_owned())
            .spawn(move || accept(&listener, &accepting))
            .context("start the thread of a registry")?;
        Ok(Self { shared, listener: Some(listener) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// `127.0.0.1:<port>`, as the first part of an image's name.
    pub fn host(&self) -> String {
        self.shared.address.to_string()
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.shared.address)
    }

    /// Puts an image, or an index and all below it, under a tag. Returns the name to pull it by.
    pub fn put_image(&self, repository: &str, tag: &str, image: &Image) -> String {
        lock(&self.shared.holdings).put_image(repository, tag, image);
        format!("{}/{repository}:{tag}", self.host())
    }

    /// Puts a document; nothing is checked.
    pub fn put_document(&self, repository: &str, document: Document) {
        lock(&self.shared.holdings).put_document(repository, document);
    }

    /// Puts a blob; nothing is checked, so that content and digest may differ.
    pub fn put_blob(&self, repository: &str, blob: &Blob) {
        lock(&self.shared.holdings).put_blob(repository, blob);
    }

    /// Points a tag at a document.
    pub fn put_tag(&self, repository: &str, tag: &str, digest: &str) {
        lock(&self.shared.holdings).put_tag(repository, tag, digest);
    }

    /// Takes away a tag, a document or a blob; whether it was there.
    pub fn remove(&self, repository: &str, what: &str) -> bool {
        lock(&self.shared.holdings).remove(repository, what)
    }

    /// Gives at most so many tags in one page.
    pub fn set_tag_page(&self, count: usize) {
        lock(&self.shared.holdings).tag_page = Some(count);
    }

    /// Lets a fault strike every GET and HEAD of the target.
    pub fn fault(&self, target: Target, fault: Fault) -> ActiveRule {
        self.rule(Rule::new(target, fault))
    }

    /// Lets a fault strike as its rule says. Rules apply in the order they were set; several may meet one request.
    pub fn rule(&self, rule: Rule) -> ActiveRule {
        let rule = ActiveRule::new(rule);
        lock(&self.shared.rules).push(rule.clone());
        rule
    }

    /// Ends all rules.
    pub fn heal(&self) {
        lock(&self.shared.rules).clear();
    }

    /// Asks for authentication from now on. Faults meet only requests that pass it.
    pub fn set_auth(&self, auth: Auth) {
        lock(&self.shared.guard).auth = auth;
    }

    /// Makes every token invalid that was given so far.
    pub fn revoke_tokens(&self) {
        lock(&self.shared.guard).revoke();
    }

    /// Gives a token for pulling from a repository, without the token endpoint.
    pub fn issue_token(&self, repository: &str) -> String {
        lock(&self.shared.guard).issue(vec![format!("repository:{repository}:pull")])
    }

    /// How many tokens were given.
    pub fn tokens_issued(&self) -> u64 {
        lock(&self.shared.guard).issued()
    }

    /// All requests so far, in the order they came in.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.log.read(Clone::clone)
    }

    /// How many requests so far are such.
    pub fn count(&self, such: impl Fn(&Request) -> bool) -> usize {
        self.shared.log.read(|log| log.iter().filter(|request| such(request)).count())
    }

    /// How often a blob was asked for by GET, refusals by authentication aside.
    pub fn blob_gets(&self, digest: &str) -> usize {
        let tail = format!("/blobs/{digest}");
        self.count(|request| request.is_blob_get() && request.path.ends_with(&tail))
    }

    /// How often each blob was asked for by GET.
    pub fn blob_gets_by_digest(&self) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for request in self.requests().iter().filter(|request| request.is_blob_get()) {
            let digest = request.path.rsplit('/').next().unwrap_or_default();
            *counts.entry(digest.to_owned()).or_default() += 1;
        }
        counts
    }

    /// Blocks until at least `count` requests are such. In a task use [`until`](Self::until).
    ///
    /// # Errors
    /// They didn't come within a minute.
    pub fn wait_for(&self, count: usize, such: impl Fn(&Request) -> bool) -> Result<()> {
        let enough = |log: &Vec<Request>| log.iter().filter(|request| such(request)).count() >= count;
        let came = self.shared.log.wait(Duration::from_secs(60), enough);
        ensure!(came, "only {} of {count} requests came", self.count(&such));
        Ok(())
    }

    /// Waits until at least `count` requests are such, for example have an [`Outcome`] or more than so many bytes sent.
    pub async fn until(&self, count: usize, such: impl Fn(&Request) -> bool) {
        self.shared.log.until(|log| log.iter().filter(|request| such(request)).count() >= count).await;
    }

    /// Closes every connection, as a crash or a restart does; new ones are taken at once.
    pub fn drop_connections(&self) {
        for socket in lock(&self.shared.sockets).values() {
            // It may have been closed by the other side already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the listening thread, which then ends.
        let _ = TcpStream::connect(self.shared.address);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
        self.drop_connections();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let connection = shared.connections.fetch_add(1, Ordering::SeqCst);
        let Ok(clone) = stream.try_clone() else { continue };
        lock(&shared.sockets).insert(connection, clone);
        let serving = Arc::clone(shared);
        let spawned = std::thread::Builder::new().name("testkit-connection".to_owned()).spawn(move || {
            // An error here is a client that went or spoke no HTTP; the log tells what it had asked.
            let _ = serving.serve(connection, stream);
        });
        if spawned.is_err() {
            lock(&shared.sockets).remove(&connection);
        }
    }
}

/// Forgets a connection's socket when its thread ends; only then does the socket close.
struct Forget<'a>(&'a Shared, u64);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(&self.0.sockets).remove(&self.1);
    }
}

impl Shared {
    fn serve(&self, connection: u64, stream: TcpStream) -> io::Result<()> {
        let _forget = Forget(self, connection);
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        while let Some(request) = Incoming::read(&mut reader)? {
            let number = self.note(connection, &request);
            let answer = self.answer(&request);
            if !answer.hangs_up() {
                self.log.update(|log| log[number].status = answer.status());
            }
            let gone = || self.stopping.load(Ordering::SeqCst) || closed(&stream);
            let mut to = stream.try_clone()?;
            let sent = answer.send(&mut to, request.method == "HEAD", &gone, &mut |bytes| {
                self.log.update(|log| log[number].sent = bytes);
            });
            drop(to);
            self.log.update(|log| {
                log[number].ended = Some(Instant::now());
                log[number].outcome = match sent {
                    Sent::Whole | Sent::WholeAndClosed => Outcome::Complete,
                    Sent::Cut => Outcome::Cut,
                    Sent::Left if self.stopping.load(Ordering::SeqCst) => Outcome::Cut,
                    Sent::Left => Outcome::Left,
                };
            });
            let wants_close = request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
            if sent != Sent::Whole || wants_close {
                break;
            }
        }
        Ok(())
    }

    fn note(&self, connection: u64, request: &Incoming) -> usize {
        self.log.update(|log| {
            log.push(Request {
                connection,
                method: request.method.clone(),
                path: request.path.clone(),
                query: request.query.clone(),
                range: request.header("range").map(str::to_owned),
                headers: request.headers.clone(),
                status: 0,
                sent: 0,
                outcome: Outcome::Open,
                started: Instant::now(),
                ended: None,
            });
            log.len() - 1
        })
    }

    fn answer(&self, request: &Incoming) -> Answer {
        let asked = Asked::of(&request.path);
        if let Err(refusal) = lock(&self.guard).check(&asked, request, &self.address.to_string()) {
            return refusal;
        }
        let rules = lock(&self.rules).clone();
        let faults: Vec<Fault> = rules.iter().filter_map(|rule| rule.strike(&asked, request)).collect();
        let whole = faults.iter().any(|fault| matches!(fault, Fault::IgnoreRange));
        let mut answer = match asked {
            Asked::Token => lock(&self.guard).token(request),
            _ => lock(&self.holdings).answer(&asked, request, whole),
        };
        let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
        for fault in faults {
            answer.strike(fault, &format!("{}{query}", request.path));
        }
        answer
    }
}

/// Whether the client has closed the connection.
fn closed(stream: &TcpStream) -> bool {
    if stream.set_nonblocking(true).is_err() {
        return true;
    }
    let closed = match stream.peek(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    };
    closed || stream.set_nonblocking(false).is_err()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
