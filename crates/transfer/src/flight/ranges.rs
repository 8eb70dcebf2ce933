//! One blob over several connections, where one connection is what holds it up.
//!
//! The blob is cut into segments. Each connection fetches one after the other, and what comes is passed on in the order of the blob, so that
//! nobody behind this notices: what is kept of the blob is still its beginning, without holes. Segments that come before their turn wait in
//! memory, whose size all flights share.
//!
//! Connections are added while that helps. One that the registry refuses is one less, and its segment is another's; if the last one fails, the
//! blob goes on over a single connection as if nothing had happened.

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use layer_registry::{BlobBody, Kind, RegistryError, RepositoryClient, Retry};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::MissedTickBehavior;

use super::fetch::{PERIOD, Wanted};
use super::places::{Connection, Place};

/// The size of a segment. A new request costs a round trip: 40 ms are a tenth of the time that 4 MiB take at 12 MB/s.
const SEGMENT: u64 = 4 << 20;

/// How many connections are added at a time.
const ADDED: usize = 3;

/// What is left must be worth a further connection: so many segments, and so many seconds at the speed of the first.
const WORTH_SEGMENTS: u64 = 2;
const WORTH_SECONDS: u64 = 1;

/// A second connection that is being tried while the first goes on. That it works proves that the server can send parts.
pub(super) struct Probe {
    from: u64,
    end: u64,
    speed: u64,
    connection: Connection,
    room: OwnedSemaphorePermit,
    answer: Pin<Box<dyn Future<Output = Result<BlobBody, RegistryError>> + Send>>,
}

/// Two connections to begin with.
pub(super) struct Begun {
    first: (Span, BlobBody),
    second: Option<(Span, BlobBody, OwnedSemaphorePermit)>,
    connection: Connection,
    speed: u64,
}

/// A part of the blob.
#[derive(Clone, Copy, Debug)]
struct Span {
    at: u64,
    end: u64,
}

/// How it ended.
pub(super) enum End {
    /// All has come.
    Whole,
    /// Nobody takes the bytes any more.
    Left,
    /// No connection is left.
    GaveUp,
}

impl Probe {
    /// Asks for a segment some way behind `at` over a second connection, if that is worth it and there is room.
    ///
    /// `speed` is that of the first connection, in bytes a second.
    pub(super) fn start(wanted: &Wanted<'_>, place: &Place, at: u64, speed: u64) -> Option<Self> {
        let size = wanted.progress.total;
        let left = size - at;
        if left < WORTH_SEGMENTS * SEGMENT || left / speed.max(1) < WORTH_SECONDS {
            return None;
        }
        let connection = place.connect()?;
        let room = Arc::clone(place.ahead()).try_acquire_owned().ok()?;
        let (from, end) = (at + SEGMENT, (at + 2 * SEGMENT).min(size));
        let (client, digest, sources) = (wanted.client.clone().apart(), wanted.digest, wanted.sources.clone());
        let answer = Box::pin(async move { client.blob_part(&digest, from..end, &sources).await });
        Some(Self { from, end, speed, connection, room, answer })
    }

    /// The answer. Safe to cancel.
    pub(super) async fn answer(&mut self) -> Result<BlobBody, RegistryError> {
        (&mut self.answer).await
    }

    /// Puts the two connections together; the first has come to `at` meanwhile.
    pub(super) fn begun(self, at: u64, first: BlobBody, second: BlobBody) -> Begun {
        let Self { from, end, speed, connection, room, .. } = self;
        if at < from {
            let second = Some((Span { at: from, end }, second, room));
            return Begun { first: (Span { at, end: from }, first), second, connection, speed };
        }
        // The first was quicker than the answer. It comes to the end of the segment by itself.
        Begun { first: (Span { at, end: end.max(at) }, first), second: None, connection, speed }
    }
}

/// Sends the rest of the blob from `at` on, in order. When this ends, `at` is behind the last byte that was sent.
pub(super) async fn fetch(wanted: &Wanted<'_>, at: &mut u64, begun: Begun, chunks: &mpsc::Sender<Bytes>) -> End {
    let place = wanted.place;
    let (queue, order) = mpsc::unbounded_channel();
    let shared = Shared {
        wanted,
        client: wanted.client.clone().apart(),
        own: Arc::new(Semaphore::new(1)),
        ahead: Arc::clone(place.ahead()),
        plan: Mutex::new(Plan { next: *at, queue: Some(queue), returned: BTreeMap::new(), may_grow: true }),
        returned: Notify::new(),
        working: AtomicUsize::new(0),
        came: AtomicU64::new(0),
        blocked: AtomicU64::new(0),
    };
    let Begun { first: (first, body), second, connection, speed } = begun;
    let Ok(own) = Arc::clone(&shared.own).try_acquire_owned() else { return End::GaveUp };
    let mut workers = FuturesUnordered::new();
    let first = shared.plan().segment(first, wanted.progress.total, own);
    workers.push(shared.work(None, Some((first, body))));
    let second = second.map(|(span, body, room)| (shared.plan().segment(span, wanted.progress.total, room), body));
    workers.push(shared.work(Some(connection), second));
    if let Some(connection) = place.connect() {
        workers.push(shared.work(Some(connection), None));
    }
    tracing::debug!(at = *at, speed, "one connection holds the blob up; fetching it over several");

    let mut growth = Growth { speed, connections: 1 };
    let mut tick = tokio::time::interval(PERIOD);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.reset();
    let mut begun = Instant::now();
    let mut deliver = pin!(shared.deliver(at, order, chunks));
    loop {
        tokio::select! {
            end = &mut deliver => return end,
            Some(end) = workers.next() => {
                if let Err(GaveUp) = end {
                    return End::GaveUp;
                }
                // The last one had nothing more to do, or was one too many, and others had left.
                if workers.is_empty() && shared.plan().has_more(wanted.progress.total) {
                    workers.push(shared.work(None, None));
                }
            }
            _ = tick.tick() => {
                let period = begun.elapsed();
                begun = Instant::now();
                for _ in 0..shared.growth(&mut growth, period) {
                    let Some(connection) = place.connect() else { break };
                    workers.push(shared.work(Some(connection), None));
                }
            }
        }
    }
}

/// The connections of one blob.
struct Shared<'a> {
    wanted: &'a Wanted<'a>,
    client: RepositoryClient,
    /// The room for one segment that no other flight can take: with it alone the blob gets on.
    own: Arc<Semaphore>,
    /// The room that all flights share.
    ahead: Arc<Semaphore>,
    plan: Mutex<Plan>,
    /// Tells that a segment was given back.
    returned: Notify,
    /// How many connections are at work.
    working: AtomicUsize,
    /// Bytes that have come since somebody looked.
    came: AtomicU64,
    /// Microseconds since then for which nobody took bytes.
    blocked: AtomicU64,
}

/// Which segments there are.
struct Plan {
    /// The first byte that belongs to no segment yet.
    next: u64,
    /// Where segments are announced, in the order of the blob; gone when there are no more to come.
    queue: Option<mpsc::UnboundedSender<Coming>>,
    /// Those that a connection has given back, by their place.
    returned: BTreeMap<u64, Segment>,
    may_grow: bool,
}

/// A segment for the one who fetches it.
struct Segment {
    span: Span,
    buffer: BytesMut,
    pieces: mpsc::UnboundedSender<Bytes>,
}

/// A segment for the one who passes it on. As long as it is there its room is taken.
struct Coming {
    end: u64,
    pieces: mpsc::UnboundedReceiver<Bytes>,
    _room: OwnedSemaphorePermit,
}

/// The last connection has failed for good.
struct GaveUp;

/// How many connections there were when it was last looked at, and how fast they were together.
struct Growth {
    speed: u64,
    connections: usize,
}

impl Plan {
    /// Whether there are segments that nobody works at.
    fn has_more(&self, size: u64) -> bool {
        self.next < size || !self.returned.is_empty()
    }

    /// Makes a segment of what comes next.
    fn segment(&mut self, span: Span, size: u64, room: OwnedSemaphorePermit) -> Segment {
        let (pieces, coming) = mpsc::unbounded_channel();
        self.next = span.end;
        if let Some(queue) = &self.queue {
            // If nobody passes it on any more, all of this is about to be dropped.
            let _ = queue.send(Coming { end: span.end, pieces: coming, _room: room });
        }
        if self.next >= size {
            self.queue = None;
        }
        Segment { span, buffer: BytesMut::new(), pieces }
    }
}

impl Shared<'_> {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes segments on in the order of the blob.
    async fn deliver(
        &self,
        at: &mut u64,
        mut order: mpsc::UnboundedReceiver<Coming>,
        chunks: &mpsc::Sender<Bytes>,
    ) -> End {
        while let Some(mut coming) = order.recv().await {
            while *at < coming.end {
                let Some(piece) = coming.pieces.recv().await else { return End::GaveUp };
                let length = piece.len() as u64;
                let sending = Instant::now();
                if chunks.send(piece).await.is_err() {
                    return End::Left;
                }
                *at += length;
                let blocked = u64::try_from(sending.elapsed().as_micros()).unwrap_or(u64::MAX);
                self.blocked.fetch_add(blocked, Ordering::Relaxed);
            }
        }
        End::Whole
    }

    /// How many connections should be added.
    fn growth(&self, growth: &mut Growth, period: std::time::Duration) -> usize {
        let came = self.came.swap(0, Ordering::Relaxed);
        let blocked = self.blocked.swap(0, Ordering::Relaxed);
        let micros = u64::try_from(period.as_micros()).unwrap_or(u64::MAX).max(1);
        let speed = u64::try_from(u128::from(came) * 1_000_000 / u128::from(micros)).unwrap_or(u64::MAX);
        let connections = self.working.load(Ordering::Relaxed);
        let mut plan = self.plan();
        // Those that were added must have brought something, if less than their share: they are new.
        let helped = connections <= growth.connections || speed > growth.speed + growth.speed / 5;
        let (idle, is_held_up) = (came == 0, blocked > micros / 4);
        plan.may_grow &= helped || is_held_up || idle;
        if !helped || is_held_up || idle {
            return 0;
        }
        *growth = Growth { speed, connections };
        if plan.may_grow && plan.queue.is_some() { ADDED } else { 0 }
    }

    /// One connection: fetches segments until there are no more, or until it brings nothing and others go on. `further` counts it at the
    /// registry, where it is not the one that the layer's place counts for.
    async fn work(&self, further: Option<Connection>, mut begun: Option<(Segment, BlobBody)>) -> Result<(), GaveUp> {
        let _working = Working::new(&self.working);
        loop {
            let (mut segment, mut body) = match begun.take() {
                Some((segment, body)) => (segment, Some(body)),
                None => match self.next(further.as_ref()).await {
                    Some(segment) => (segment, None),
                    None => return Ok(()),
                },
            };
            let mut tries = 0;
            while segment.span.at < segment.span.end {
                let before = segment.span.at;
                let error = self.request(&mut segment, body.take()).await.err();
                if segment.span.at >= segment.span.end {
                    break;
                }
                let crawled = matches!(error, Some(RegistryError::Crawled { .. }));
                let progressed = segment.span.at > before && !crawled;
                let why = error.as_ref().map_or_else(|| "the connection closed early".to_owned(), RegistryError::brief);
                // All are polled by one task, so that no two of them can leave at the same time.
                if !progressed && self.working.load(Ordering::Relaxed) > 1 {
                    tracing::debug!(why, "a connection is given up; the others go on");
                    self.give_back(segment);
                    return Ok(());
                }
                tries = if progressed { 1 } else { tries + 1 };
                let retry = match &error {
                    Some(error) if error.kind() == Kind::Range => Retry::Never,
                    Some(error) => error.retry(),
                    None => Retry::After(None),
                };
                let wait = self.client.retry_policy().wait(tries, retry).ok_or(GaveUp)?;
                tracing::debug!(at = segment.span.at, tries, ?wait, why, "will fetch the rest of the segment");
                if self.working.load(Ordering::Relaxed) > 1 {
                    tokio::time::sleep(wait).await;
                } else {
                    self.wanted.progress.retrying_during(wait, why).await;
                }
            }
        }
    }

    /// One request, for what is missing of a segment.
    async fn request(&self, segment: &mut Segment, body: Option<BlobBody>) -> Result<(), RegistryError> {
        let mut body = match body {
            Some(body) => body,
            None => {
                let part = segment.span.at..segment.span.end;
                self.client.blob_part(&self.wanted.digest, part, self.wanted.sources).await?
            }
        };
        while let Some(mut chunk) = body.chunk().await? {
            let left = segment.span.end - segment.span.at;
            chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            let length = chunk.len() as u64;
            // What waits for its turn lies in one piece of memory, and not in the pieces that sockets are read into.
            if segment.buffer.capacity() < chunk.len() {
                segment.buffer.reserve(usize::try_from(left).unwrap_or(chunk.len()));
            }
            segment.buffer.extend_from_slice(&chunk);
            segment.span.at += length;
            // If nobody passes it on any more, all of this is about to be dropped.
            let _ = segment.pieces.send(segment.buffer.split().freeze());
            self.came.fetch_add(length, Ordering::Relaxed);
            self.wanted.progress.received.fetch_add(length, Ordering::Relaxed);
            if segment.span.at == segment.span.end {
                break;
            }
        }
        Ok(())
    }

    /// The next segment, once there is room for it; `None` when there are no more, or when this connection is one too many.
    async fn next(&self, further: Option<&Connection>) -> Option<Segment> {
        let size = self.wanted.progress.total;
        loop {
            {
                let mut plan = self.plan();
                // Before anything else: whoever was woken for it must not leave with it lying here, since the others wait for room that it holds.
                if let Some((_, segment)) = plan.returned.pop_first() {
                    return Some(segment);
                }
                if further.is_some_and(Connection::is_surplus) {
                    return None;
                }
                if plan.next >= size {
                    return None;
                }
            }
            let room = tokio::select! {
                biased;
                () = self.returned.notified() => continue,
                own = Arc::clone(&self.own).acquire_owned() => own,
                ahead = Arc::clone(&self.ahead).acquire_owned() => ahead,
            };
            let mut plan = self.plan();
            let (at, room) = (plan.next, room.ok()?);
            // Another connection may have taken the last one meanwhile.
            if at < size {
                return Some(plan.segment(Span { at, end: (at + SEGMENT).min(size) }, size, room));
            }
        }
    }

    /// Leaves the rest of a segment to another connection.
    fn give_back(&self, segment: Segment) {
        let mut plan = self.plan();
        plan.may_grow = false;
        plan.returned.insert(segment.span.at, segment);
        drop(plan);
        self.returned.notify_one();
    }
}

/// Counts a connection for as long as it is at work.
struct Working<'a>(&'a AtomicUsize);

impl<'a> Working<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
