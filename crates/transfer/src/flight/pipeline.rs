//! The two threads that a layer passes through while it comes.
//!
//! The first takes the wire's bytes: proves them, keeps them, inflates them. The second takes the tar's: proves them, and makes files. Between
//! them goes a bounded queue of buffers that are used again and again, and before the first a bounded queue of what the network brings; a slow
//! disk thereby slows the network down, and memory doesn't grow with the layer.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use bytes::{Buf as _, Bytes};
use layer_compression::Decoder;
use layer_digest::{BlobId, DiffId, Verified, Verifier};
use layer_fs::failpoint::{Step, reach};
use layer_store::{ForeignLink, ImageRecord, Ingest, LayerFiles, LayerRecord, Pace, StagedLayer, StoreError};
use layer_unpack::manifest::{self, Contents};
use layer_unpack::{Applied, Index, Unsealed, Writers, apply_image, apply_noting};

use super::progress::Progress;
use crate::LayerError;

/// The size of the buffers between the threads. Smaller ones cost inflate up to a quarter of its speed.
const CHUNK: usize = 256 << 10;

/// How many buffers are between the threads.
const CHUNKS: usize = 8;

/// How much is read at a time from a file.
const READ: usize = 128 << 10;

/// Where the bytes of a blob come from.
pub(super) enum Source {
    /// From the network, after what an earlier attempt has left. All of it is kept.
    Network { ingest: Ingest, chunks: tokio::sync::mpsc::Receiver<Bytes> },
    /// From the blob in the store.
    Stored(File),
}

/// What the first thread has found out.
pub(super) struct Wire {
    pub(super) proof: Verified<BlobId>,
    /// What is to be published, if it came over the network.
    pub(super) ingest: Option<Ingest>,
}

/// What the second thread has found out.
pub(crate) struct Tar {
    pub(crate) proof: Verified<DiffId>,
    /// What is to be published, if it was unpacked.
    pub(crate) layer: Option<Unpacked>,
}

/// A layer that was unpacked, and what is known of it.
pub(crate) struct Unpacked {
    pub(crate) stage: StagedLayer,
    applied: Applied,
    /// What is known of its image, if it is one.
    index: Option<Index>,
}

impl Unpacked {
    /// What is to be written down of the layer, which was unpacked of this blob.
    pub(crate) fn record(&self, blob: BlobId, proof: &Verified<DiffId>) -> LayerRecord {
        let links = self.applied.foreign_links.iter();
        LayerRecord {
            diff_id: proof.id(),
            blob,
            tar_size: proof.size(),
            size: self.applied.bytes,
            entries: self.applied.entries,
            implied_parents: self.applied.implied_parents.clone(),
            foreign_links: links
                .map(|link| ForeignLink { path: link.path.clone(), target: link.target.clone() })
                .collect(),
            image: self.index.map(|Index { size, sum }| ImageRecord { size, sum }),
        }
    }
}

/// The belt between the two threads.
pub(crate) fn belt() -> (WireEnd, TarEnd) {
    let (to_tar, from_wire) = sync_channel(CHUNKS);
    let (used, reuse) = channel();
    let disk_failed = Arc::new(AtomicBool::new(false));
    let tar = TarEnd { from_wire, used, disk_failed: Arc::clone(&disk_failed) };
    (WireEnd { to_tar, reuse, disk_failed }, tar)
}

/// The first thread's end of the belt.
pub(crate) struct WireEnd {
    to_tar: SyncSender<Vec<u8>>,
    reuse: Receiver<Vec<u8>>,
    disk_failed: Arc<AtomicBool>,
}

/// The second thread's end of the belt.
pub(crate) struct TarEnd {
    from_wire: Receiver<Vec<u8>>,
    used: Sender<Vec<u8>>,
    disk_failed: Arc<AtomicBool>,
}

/// The first thread: proves, keeps and inflates a blob.
///
/// Bytes that can't be inflated, or that the second thread can't use, are followed to their end all the same: only then is it known whether the
/// blob is bad, or its way here was. In that case alone another attempt makes sense.
pub(super) fn wire(
    blob: BlobId,
    source: Source,
    progress: &Progress,
    belt: WireEnd,
) -> Result<(Wire, Option<LayerError>), LayerError> {
    let mut reader = WireReader::open(blob, source, progress)?;
    let failure = inflate(&mut reader, belt)?;
    let wire = reader.finish()?;
    Ok((wire, failure))
}

/// Inflates what a reader gives, onto the belt. Gives why it could not all be inflated; an error is that of the other thread's disk.
pub(crate) fn inflate(reader: &mut (impl BufRead + Unpin), belt: WireEnd) -> Result<Option<LayerError>, LayerError> {
    let mut decoder = Decoder::new(reader);
    loop {
        let mut chunk = belt.reuse.try_recv().unwrap_or_default();
        chunk.resize(CHUNK, 0);
        match fill(&mut decoder, &mut chunk) {
            Ok(0) => return Ok(None),
            Ok(len) => {
                chunk.truncate(len);
                reach(Step::Inflated);
                // The second thread stops early when it fails. If the disk did, there is no use in going on.
                if belt.to_tar.send(chunk).is_err() {
                    if belt.disk_failed.load(Ordering::Acquire) {
                        return Err(LayerError::Cancelled);
                    }
                    return Ok(None);
                }
            }
            Err(error) => return Ok(Some(LayerError::Decompress(error))),
        }
    }
}

/// Reads until the buffer is full or the stream ends.
pub(crate) fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match reader.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// The blob as a stream, proven and kept as it is read.
struct WireReader<'a> {
    verifier: Verifier<BlobId>,
    progress: &'a Progress,
    /// What an earlier attempt has left, or the blob in the store; until it is read to its end.
    file: Option<File>,
    buffer: Vec<u8>,
    at: usize,
    network: Option<(Ingest, tokio::sync::mpsc::Receiver<Bytes>)>,
    chunk: Bytes,
    failure: Option<LayerError>,
}

impl<'a> WireReader<'a> {
    fn open(blob: BlobId, source: Source, progress: &'a Progress) -> Result<Self, LayerError> {
        let verifier = Verifier::new(blob, Some(progress.total));
        let (file, network) = match source {
            Source::Stored(file) => (Some(file), None),
            Source::Network { ingest, chunks } => {
                let file = if ingest.is_empty() { None } else { Some(ingest.reread().map_err(LayerError::Store)?) };
                (file, Some((ingest, chunks)))
            }
        };
        let chunk = Bytes::new();
        Ok(Self { verifier, progress, file, buffer: Vec::new(), at: 0, network, chunk, failure: None })
    }

    /// Makes sure that there are bytes to give, unless the stream has ended.
    fn advance(&mut self) -> Result<(), LayerError> {
        if let Some(file) = &mut self.file {
            if self.at < self.buffer.len() {
                return Ok(());
            }
            self.buffer.resize(READ, 0);
            self.at = 0;
            let len = fill(file, &mut self.buffer).map_err(LayerError::Reread)?;
            self.buffer.truncate(len);
            if len > 0 {
                return self.verifier.update(&self.buffer).map_err(LayerError::Verify);
            }
            self.file = None;
            self.buffer = Vec::new();
        }
        if !self.chunk.is_empty() {
            return Ok(());
        }
        let Some((ingest, chunks)) = &mut self.network else { return Ok(()) };
        if let Some(chunk) = chunks.blocking_recv() {
            self.verifier.update(&chunk).map_err(LayerError::Verify)?;
            ingest.append(&chunk).map_err(LayerError::Store)?;
            self.chunk = chunk;
        } else if self.verifier.seen() < self.progress.total {
            // The network part has given up, or was stopped, and says why itself.
            return Err(LayerError::Cancelled);
        }
        Ok(())
    }

    /// Reads what is left, and proves the whole. Bytes that turn out wrong are thrown away.
    fn finish(mut self) -> Result<Wire, LayerError> {
        let result = self.rest().and_then(|()| self.verifier.finish().map_err(LayerError::Verify));
        let ingest = self.network.map(|(ingest, _)| ingest);
        match (result, ingest) {
            (Ok(proof), ingest) => Ok(Wire { proof, ingest }),
            (Err(error @ (LayerError::Verify(_) | LayerError::Reread(_))), Some(ingest)) => {
                ingest.discard().map_err(LayerError::Store)?;
                Err(error)
            }
            (Err(error), _) => Err(error),
        }
    }

    fn rest(&mut self) -> Result<(), LayerError> {
        loop {
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            let len = match self.fill_buf() {
                Ok(buffer) => buffer.len(),
                Err(error) => return Err(self.failure.take().unwrap_or(LayerError::Decompress(error))),
            };
            if len == 0 {
                return Ok(());
            }
            self.consume(len);
        }
    }
}

impl Read for WireReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let len = bytes.len().min(buf.len());
        buf[..len].copy_from_slice(&bytes[..len]);
        self.consume(len);
        Ok(len)
    }
}

impl BufRead for WireReader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if let Err(error) = self.advance() {
            // The decoder passes this on as its own; what it really is is asked for at the end.
            self.failure = Some(error);
            return Err(io::Error::other("the blob ends here"));
        }
        Ok(if self.file.is_some() { &self.buffer[self.at..] } else { &self.chunk })
    }

    fn consume(&mut self, amount: usize) {
        if self.file.is_some() {
            self.at += amount;
        } else {
            self.chunk.advance(amount);
        }
        self.progress.consumed.fetch_add(amount as u64, Ordering::Relaxed);
    }
}

/// The second thread: proves a tar, and unpacks it if there is a place for it.
pub(super) fn tar(
    diff: DiffId,
    stage: Option<StagedLayer>,
    belt: TarEnd,
    writers: &Writers,
) -> Result<Tar, LayerError> {
    unpack(Verifier::new(diff, None), stage, belt, writers)
}

/// The same for a tar that may be any, or a certain one: the verifier knows.
pub(crate) fn unpack(
    verifier: Verifier<DiffId>,
    stage: Option<StagedLayer>,
    belt: TarEnd,
    writers: &Writers,
) -> Result<Tar, LayerError> {
    let mut reader =
        TarReader { verifier, belt, pace: stage.as_ref().map(StagedLayer::pace), chunk: Vec::new(), at: 0 };
    let staged = match stage {
        Some(stage) => match unpack_staged(&mut reader, stage, writers) {
            Ok(staged) => Some(staged),
            Err(error) => {
                if matches!(&error, LayerError::Unpack(error) if error.io().is_none()) {
                    // The other thread goes on to the end of the blob.
                } else {
                    reader.belt.disk_failed.store(true, Ordering::Release);
                }
                // Its folder is cleared after the other thread has been told, by letting go of the belt.
                drop(reader);
                return Err(error);
            }
        },
        None => {
            while let Ok(bytes) = reader.fill_buf()
                && !bytes.is_empty()
            {
                let len = bytes.len();
                reader.consume(len);
            }
            None
        }
    };
    let proof = reader.verifier.finish().map_err(LayerError::WrongDiff)?;
    let layer = staged.map(|staged| staged.seal(&proof)).transpose()?;
    Ok(Tar { proof, layer })
}

/// A layer that was unpacked, and of which it isn't known yet which one it is.
struct Staged {
    stage: StagedLayer,
    applied: Applied,
    image: Option<Unsealed>,
}

impl Staged {
    /// Says so.
    fn seal(self, proof: &Verified<DiffId>) -> Result<Unpacked, LayerError> {
        let Self { stage, applied, image } = self;
        let index = match (image, stage.files()) {
            (Some(image), LayerFiles::Image(file)) => Some(image.seal(file, proof.id().0).map_err(LayerError::Unpack)?),
            _ => None,
        };
        Ok(Unpacked { stage, applied, index })
    }
}

/// Unpacks a tar in the form that is asked for. What came of it can be proven later: a folder has a list of its files, an image a sum.
fn unpack_staged(tar: &mut TarReader, mut stage: StagedLayer, writers: &Writers) -> Result<Staged, LayerError> {
    let folder = match stage.files() {
        LayerFiles::Image(file) => {
            let (applied, image) = apply_image(&mut *tar, file).map_err(LayerError::Unpack)?;
            tar.begin_writeback();
            return Ok(Staged { stage, applied, image: Some(image) });
        }
        LayerFiles::Folder(folder) => folder.try_clone().map_err(|source| {
            LayerError::Store(StoreError::Io { action: "open", what: "a staged layer".to_owned(), source })
        })?,
    };
    let mut contents = Contents::default();
    let applied = apply_noting(&mut *tar, &folder, &mut contents, writers).map_err(LayerError::Unpack)?;
    // Its files are all there: the disk takes them while they are listed.
    tar.begin_writeback();
    stage.list(|out| manifest::write(&folder, &contents, out)).map_err(LayerError::Store)?;
    Ok(Staged { stage, applied, image: None })
}

/// The tar as a stream, proven as it comes.
struct TarReader {
    verifier: Verifier<DiffId>,
    belt: TarEnd,
    /// Told how much goes to the disk, if any does.
    pace: Option<Pace>,
    chunk: Vec<u8>,
    at: usize,
}

impl TarReader {
    /// Says that all is written, and the disk may begin to take it.
    fn begin_writeback(&self) {
        if let Some(pace) = &self.pace {
            pace.begin();
        }
    }
}

impl Read for TarReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let len = bytes.len().min(buf.len());
        buf[..len].copy_from_slice(&bytes[..len]);
        self.consume(len);
        Ok(len)
    }
}

impl BufRead for TarReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.chunk.len() {
            let used = std::mem::take(&mut self.chunk);
            if used.capacity() > 0 {
                // The other thread may be done; then nobody needs it.
                let _ = self.belt.used.send(used);
            }
            self.at = 0;
            // The end of the belt is the end of the tar, or of what could be inflated of it; the digest tells which.
            if let Ok(chunk) = self.belt.from_wire.recv() {
                self.verifier.update(&chunk).map_err(io::Error::other)?;
                if let Some(pace) = &self.pace {
                    pace.written(chunk.len() as u64);
                }
                self.chunk = chunk;
                reach(Step::Unpacking);
            }
        }
        Ok(&self.chunk[self.at..])
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}
