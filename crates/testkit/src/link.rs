//! A slow line between a client and a server: every connection through it has a round trip and a rate of its own.
//!
//! It passes bytes on, late and no faster than the line; it never loses, changes or reorders one. Bytes wait in threads that sleep, so that it
//! costs next to no processor time.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::watched::Watched;

/// The most bytes that are passed on at once.
const PIECE: usize = 32 << 10;

/// How many pieces are on the line in one direction; more wait at the sender, as they do for a window of TCP.
const ON_THE_LINE: usize = 64;

/// What a line is like.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Bytes a second that one connection brings to the client.
    pub bytes_per_second: u64,
    /// The time from a request to the first byte of its answer. A new connection costs it once more.
    pub round_trip: Duration,
}

/// A running line. Dropping it closes its port and all connections.
pub struct Link {
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

struct Shared {
    address: SocketAddr,
    target: SocketAddr,
    shape: Shape,
    stopping: AtomicBool,
    bytes: AtomicU64,
    sockets: Mutex<Vec<TcpStream>>,
    counts: Watched<Counts>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    opened: usize,
    open: usize,
    peak: usize,
}

impl Link {
    /// Starts a line to `target`, on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// No port or no thread can be had.
    pub fn start(target: SocketAddr, shape: Shape) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("listen on 127.0.0.1")?;
        let shared = Arc::new(Shared {
            address: listener.local_addr().context("listen on 127.0.0.1")?,
            target,
            shape,
            stopping: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            sockets: Mutex::default(),
            counts: Watched::new(Counts::default()),
        });
        let accepting = Arc::clone(&shared);
        let listener = std::thread::Builder::new()
            .name("testkit-link".to_owned())
            .spawn(move || accept(&listener, &accepting))
            .context("start the thread of a line")?;
        Ok(Self { shared, listener: Some(listener) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The name of an image at the server behind it, as it is called on this side.
    pub fn name(&self, name: &str) -> String {
        let path = name.split_once('/').map_or(name, |(_, path)| path);
        format!("{}/{path}", self.shared.address)
    }

    /// How many connections there were so far.
    pub fn opened(&self) -> usize {
        self.shared.counts.read(|counts| counts.opened)
    }

    /// The largest number of connections that were open at one moment.
    pub fn peak(&self) -> usize {
        self.shared.counts.read(|counts| counts.peak)
    }

    /// The bytes that went to the client so far.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the listening thread, which then ends.
        let _ = TcpStream::connect(self.shared.address);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
        for socket in self.shared.sockets.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            // It may have been closed by the other side already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(client) = stream else { continue };
        // A server that is gone is a connection that closes at once.
        let Ok(server) = TcpStream::connect(shared.target) else { continue };
        // A thread that can't be had closes the connection, which a test notices.
        let _ = connect(shared, client, server);
    }
}

/// Joins two sockets by two directions of two threads each.
fn connect(shared: &Arc<Shared>, client: TcpStream, server: TcpStream) -> Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    shared.sockets.lock().unwrap_or_else(PoisonError::into_inner).extend([client.try_clone()?, server.try_clone()?]);
    shared.counts.update(|counts| {
        counts.opened += 1;
        counts.open += 1;
        counts.peak = counts.peak.max(counts.open);
    });
    let half = shared.shape.round_trip / 2;
    let up = Line { delay: half, not_before: Instant::now() + shared.shape.round_trip + half, rate: None };
    let down = Line { delay: half, not_before: Instant::now(), rate: Some(shared.shape.bytes_per_second.max(1)) };
    direction(client.try_clone()?, server.try_clone()?, up, |_| {}, || {})?;
    let (counting, closing) = (Arc::clone(shared), Arc::clone(shared));
    let count = move |bytes| {
        counting.bytes.fetch_add(bytes, Ordering::Relaxed);
    };
    direction(server, client, down, count, move || closing.counts.update(|counts| counts.open -= 1))
}

/// One direction of a connection.
struct Line {
    delay: Duration,
    /// When the first byte can arrive: a connection has to be made first.
    not_before: Instant,
    rate: Option<u64>,
}

/// Passes on what comes from `from`, and its end. `end` is called when nothing more goes to `to`.
fn direction(
    mut from: TcpStream,
    mut to: TcpStream,
    line: Line,
    count: impl Fn(u64) + Send + 'static,
    end: impl FnOnce() + Send + 'static,
) -> Result<()> {
    let (pieces, arriving): (SyncSender<(Instant, Vec<u8>)>, Receiver<_>) = sync_channel(ON_THE_LINE);
    let delay = line.delay;
    std::thread::Builder::new().name("testkit-line-in".to_owned()).spawn(move || {
        let mut buffer = vec![0; PIECE];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if pieces.send((Instant::now() + delay, buffer[..length].to_vec())).is_err() {
                // The other side is gone; the sender learns it as it would from a reset.
                let _ = from.shutdown(Shutdown::Both);
                return;
            }
        }
    })?;
    std::thread::Builder::new().name("testkit-line-out".to_owned()).spawn(move || {
        let mut free = line.not_before;
        while let Ok((due, piece)) = arriving.recv() {
            let begin = free.max(due);
            let length = piece.len() as u64;
            // The line is taken for as long as the piece is on it; lateness of the sleep before is made up for.
            free = begin + line.rate.map_or(Duration::ZERO, |rate| Duration::from_nanos(length * 1_000_000_000 / rate));
            std::thread::sleep(free.saturating_duration_since(Instant::now()));
            if to.write_all(&piece).is_err() {
                break;
            }
            count(length);
        }
        drop(arriving);
        let _ = to.shutdown(Shutdown::Both);
        end();
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use super::{Link, Shape};

    #[test]
    fn bytes_arrive_whole_late_and_no_faster_than_the_line() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let shape = Shape { bytes_per_second: 2_000_000, round_trip: Duration::from_millis(40) };
        let link = Link::start(listener.local_addr().unwrap(), shape).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 4];
            stream.read_exact(&mut asked).unwrap();
            stream.write_all(&crate::layer::noise(1, 400_000)).unwrap();
            asked
        });
        let begun = Instant::now();
        let mut client = TcpStream::connect(link.address()).unwrap();
        client.write_all(b"more").unwrap();
        let mut came = vec![0];
        client.read_exact(&mut came).unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(80), "{:?}", begun.elapsed());
        client.read_to_end(&mut came).unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(270), "{:?}", begun.elapsed());
        assert!(came == crate::layer::noise(1, 400_000));
        assert_eq!(server.join().unwrap(), *b"more");
        assert_eq!((link.opened(), link.peak(), link.bytes()), (1, 1, 400_000));
    }

    #[test]
    fn names_lead_through_the_line() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let shape = Shape { bytes_per_second: 1, round_trip: Duration::ZERO };
        let link = Link::start(listener.local_addr().unwrap(), shape).unwrap();
        assert_eq!(link.name("127.0.0.1:1/a/b:1"), format!("{}/a/b:1", link.address()));
    }
}
