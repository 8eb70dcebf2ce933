//! A front before a registry: it hands on what is said to it, remembers what was asked, and breaks uploads as told.
//!
//! With it a real registry goes wrong: what a cut leaves there, and what it says about that, is its own. It speaks HTTP/1.1 as far as it must to
//! tell one request from the next, and only with bodies whose length is told.

use std::collections::{HashMap, VecDeque};
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::watched::Watched;

/// What happens to a body of more bytes than `after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// It passes.
    None,
    /// So many bytes are handed on, then both connections are closed.
    Cut {
        /// The bytes.
        after: u64,
    },
    /// So many bytes are handed on, the rest is swallowed, and nothing is ever answered.
    Swallow {
        /// The bytes.
        after: u64,
    },
    /// Nothing is handed on, and the answer has this status.
    Refuse {
        /// The bytes.
        after: u64,
        /// The status.
        status: u16,
    },
}

impl BodyFault {
    fn after(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Cut { after } | Self::Swallow { after } | Self::Refuse { after, .. } => after,
        }
    }
}

/// A request that was handed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The method.
    pub method: String,
    /// The path with its query.
    pub target: String,
    /// How many bytes of its body were handed on.
    pub body: u64,
    /// Whether it had an `Authorization`.
    pub authorized: bool,
}

/// What has happened so far.
#[derive(Clone, Debug, Default)]
struct Seen {
    requests: Vec<Passed>,
    struck: usize,
    /// Clients that left while their body was swallowed.
    left: usize,
}

/// A running front; dropping it closes its port and all connections.
pub struct Front {
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

struct Shared {
    address: SocketAddr,
    upstream: SocketAddr,
    stopping: AtomicBool,
    numbers: AtomicU64,
    sockets: Mutex<HashMap<u64, [TcpStream; 2]>>,
    faults: Mutex<VecDeque<BodyFault>>,
    seen: Watched<Seen>,
}

impl Front {
    /// Starts a front before the registry at `upstream`.
    ///
    /// # Errors
    /// No port of 127.0.0.1 or no thread can be had.
    pub fn start(upstream: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("listen on 127.0.0.1")?;
        let shared = Arc::new(Shared {
            address: listener.local_addr().context("listen on 127.0.0.1")?,
            upstream,
            stopping: AtomicBool::new(false),
            numbers: AtomicU64::new(0),
            sockets: Mutex::default(),
            faults: Mutex::default(),
            seen: Watched::new(Seen::default()),
        });
        let accepting = Arc::clone(&shared);
        let listener = std::thread::Builder::new()
            .name("testkit-front".to_owned())
            .spawn(move || accept(&listener, &accepting))
            .context("start the thread of a front")?;
        Ok(Self { shared, listener: Some(listener) })
    }

    /// `127.0.0.1:<port>`, as the first part of an image's name.
    pub fn host(&self) -> String {
        self.shared.address.to_string()
    }

    /// Lets a fault strike the next body that is long enough, after those that were set before.
    pub fn fault(&self, fault: BodyFault) {
        lock(&self.shared.faults).push_back(fault);
    }

    /// Lets so many bodies pass before the faults that are set after this.
    pub fn skip(&self, count: usize) {
        lock(&self.shared.faults).extend(std::iter::repeat_n(BodyFault::None, count));
    }

    /// What was handed on so far.
    pub fn requests(&self) -> Vec<Passed> {
        self.shared.seen.read(|seen| seen.requests.clone())
    }

    /// How many requests so far are such.
    pub fn count(&self, such: impl Fn(&Passed) -> bool) -> usize {
        self.shared.seen.read(|seen| seen.requests.iter().filter(|request| such(request)).count())
    }

    /// The bytes of all bodies that were handed on.
    pub fn body_bytes(&self) -> u64 {
        self.shared.seen.read(|seen| seen.requests.iter().map(|request| request.body).sum())
    }

    /// How many faults have struck.
    pub fn struck(&self) -> usize {
        self.shared.seen.read(|seen| seen.struck)
    }

    /// Waits until so many faults have struck.
    pub async fn until_struck(&self, count: usize) {
        self.shared.seen.until(|seen| seen.struck >= count).await;
    }

    /// Blocks until so many clients have left while their body was swallowed.
    ///
    /// # Errors
    /// They didn't within a minute.
    pub fn wait_for_left(&self, count: usize) -> Result<()> {
        let left = self.shared.seen.wait(Duration::from_secs(60), |seen| seen.left >= count);
        ensure!(left, "nobody left");
        Ok(())
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the listening thread, which then ends.
        let _ = TcpStream::connect(self.shared.address);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
        for pair in lock(&self.shared.sockets).values() {
            close(pair);
        }
    }
}

fn close(pair: &[TcpStream; 2]) {
    for socket in pair {
        // It may have been closed by the other side already.
        let _ = socket.shutdown(Shutdown::Both);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let serving = Arc::clone(shared);
        // A connection that gets no thread is closed, which is all that a front can do.
        let _ = std::thread::Builder::new().name("testkit-front-connection".to_owned()).spawn(move || {
            // An error here is one side that went; the other learns of it by the end of its connection.
            let _ = serving.serve(stream);
        });
    }
}

impl Shared {
    fn serve(&self, client: TcpStream) -> io::Result<()> {
        let upstream = TcpStream::connect(self.upstream)?;
        client.set_nodelay(true)?;
        upstream.set_nodelay(true)?;
        let number = self.numbers.fetch_add(1, Ordering::SeqCst);
        lock(&self.sockets).insert(number, [client.try_clone()?, upstream.try_clone()?]);
        let (mut answers, mut to_client) = (upstream.try_clone()?, client.try_clone()?);
        let back = std::thread::Builder::new().name("testkit-front-answers".to_owned()).spawn(move || {
            let _ = io::copy(&mut answers, &mut to_client);
            // The registry has closed: so does the front.
            let _ = to_client.shutdown(Shutdown::Both);
        })?;
        let ended = self.hand_on(client, upstream);
        if let Some(pair) = lock(&self.sockets).remove(&number) {
            close(&pair);
        }
        let _ = back.join();
        ended
    }

    /// Hands requests on until one side goes, or a fault ends it.
    fn hand_on(&self, client: TcpStream, mut upstream: TcpStream) -> io::Result<()> {
        let mut answer = client.try_clone()?;
        let mut reader = BufReader::new(client);
        while let Some(head) = Head::read(&mut reader)? {
            let fault = {
                let mut faults = lock(&self.faults);
                if faults.front().is_some_and(|fault| fault.after() < head.length) { faults.pop_front() } else { None }
            };
            let fault = fault.filter(|fault| *fault != BodyFault::None);
            let passed = Passed { body: 0, ..head.passed.clone() };
            let number = self.seen.update(|seen| {
                seen.requests.push(passed);
                seen.requests.len() - 1
            });
            if let Some(BodyFault::Refuse { status, .. }) = fault {
                io::copy(&mut (&mut reader).take(head.length), &mut io::sink())?;
                self.seen.update(|seen| seen.struck += 1);
                write!(answer, "HTTP/1.1 {status} Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
                return Ok(());
            }
            upstream.write_all(&head.bytes)?;
            let length = fault.map_or(head.length, BodyFault::after);
            self.body(&mut reader, &mut upstream, length, number)?;
            match fault {
                None => {}
                Some(fault) => {
                    self.seen.update(|seen| seen.struck += 1);
                    if matches!(fault, BodyFault::Swallow { .. }) {
                        io::copy(&mut reader, &mut io::sink())?;
                        self.seen.update(|seen| seen.left += 1);
                    }
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn body(&self, reader: &mut impl Read, upstream: &mut TcpStream, length: u64, number: usize) -> io::Result<()> {
        let mut left = length;
        let mut buffer = vec![0; 64 << 10];
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(buffer.len()).min(buffer.len());
            let read = reader.read(&mut buffer[..want])?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // Counted first: the answer may come, and the test look, as soon as the last of it is written.
            self.seen.update(|seen| seen.requests[number].body += read as u64);
            upstream.write_all(&buffer[..read])?;
            left -= read as u64;
        }
        Ok(())
    }
}

/// The head of a request.
struct Head {
    bytes: Vec<u8>,
    passed: Passed,
    length: u64,
}

impl Head {
    /// The next head; `None` when the client has ended.
    fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Self>> {
        // TLS is not for this front; whoever begins with it is told so by the end of the connection.
        if reader.fill_buf()?.first().is_none_or(|first| !first.is_ascii_uppercase()) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        loop {
            let start = bytes.len();
            if reader.read_until(b'\n', &mut bytes)? == 0 {
                return Ok(None);
            }
            if matches!(&bytes[start..], b"\r\n" | b"\n") {
                break;
            }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut words = text.split_whitespace();
        let mut word = || words.next().unwrap_or_default().to_owned();
        let (method, target) = (word(), word());
        let header = |name: &str| {
            let lines = text.lines().filter_map(|line| line.split_once(':'));
            let mut named = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
            named.next().map(|(_, value)| value.trim().to_owned())
        };
        let length = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let authorized = header("authorization").is_some();
        Ok(Some(Self { bytes, passed: Passed { method, target, body: 0, authorized }, length }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Content;
    use crate::http::{get, request};
    use crate::registry::Registry;

    #[test]
    fn requests_pass_and_are_remembered() {
        let registry = Registry::start().unwrap();
        let front = Front::start(registry.address()).unwrap();
        let answer = get(front.shared.address, "/v2/?a=b", &[("Authorization", "x")]).unwrap();
        assert_eq!(answer.status, 200);
        let passed = Passed { method: "GET".into(), target: "/v2/?a=b".into(), body: 0, authorized: true };
        assert_eq!(front.requests(), [passed]);
        assert_eq!(registry.count(|_| true), 1);
    }

    #[test]
    fn a_body_that_is_long_enough_is_struck_once() {
        let registry = Registry::start().unwrap();
        let front = Front::start(registry.address()).unwrap();
        let put = |length: usize| {
            let body = Content::from(vec![7; length]);
            request(front.shared.address, "PUT", "/v2/x", &[], &body).map(|answer| answer.status)
        };
        front.fault(BodyFault::Refuse { after: 10, status: 503 });
        front.fault(BodyFault::Cut { after: 1000 });
        assert_ne!(put(10).unwrap(), 503);
        assert_eq!(put(11).unwrap(), 503);
        put(100_000).unwrap_err();
        assert_eq!((front.struck(), front.body_bytes()), (2, 10 + 1000));
    }
}
