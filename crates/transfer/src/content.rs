//! Layers whose name is told by their bytes alone: the way of a pull's layers, from another source and to a place that nobody sees yet.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::thread;

use layer_digest::{Algorithm, BlobId, Verifier};
use layer_store::{SealedBlob, SealedLayer, StagedBlob, Store};
use layer_unpack::Writers;

use crate::LayerError;
use crate::flight::pipeline::{self, Tar};
use crate::flight::unpack_file;

/// How much is taken from the source at a time.
const READ: usize = 128 << 10;

/// What a stream of bytes turned out to be. Nobody sees it yet.
#[derive(Debug)]
pub(crate) enum Content {
    /// A layer, and the blob that holds it.
    Layer(SealedLayer, SealedBlob),
    /// A blob that no layer can be made of, and why not.
    Blob(SealedBlob, LayerError),
}

/// Why a stream could not be taken in at all.
#[derive(Debug)]
pub(crate) enum TakeError {
    /// Its source failed.
    Source(io::Error),
    /// This side failed, or the bytes are not those that were promised.
    Layer(LayerError),
}

impl From<LayerError> for TakeError {
    fn from(error: LayerError) -> Self {
        Self::Layer(error)
    }
}

/// Takes in a stream to its end: keeps its bytes, inflates and unpacks them, and finds out what they are. `promised` is the blob that it must be,
/// if it comes under a name; `tell` hears how many bytes have come.
pub(crate) fn take(
    store: &Arc<Store>,
    writers: &Writers,
    source: &mut impl BufRead,
    promised: Option<(BlobId, u64)>,
    tell: &mut dyn FnMut(u64),
) -> Result<Content, TakeError> {
    let stage = store.stage_layer().map_err(LayerError::Store)?;
    let mut wire = Wire::new(source, promised, Some(store.stage_blob().map_err(LayerError::Store)?), tell);
    let (wire_end, tar_end) = pipeline::belt();
    let verifier = Verifier::naming(Algorithm::Sha256);
    let (inflated, tar) = thread::scope(|scope| {
        let tar = scope.spawn(move || pipeline::unpack(verifier, Some(stage), tar_end, writers));
        let inflated = pipeline::inflate(&mut wire, wire_end);
        (inflated, tar.join())
    });
    let tar = tar.map_err(|_| LayerError::Task(io::Error::other("the thread that unpacks has panicked")))?;
    let tar = match tar {
        // A disk that is full or fails; what came before it follows from that.
        Err(LayerError::Unpack(error)) if error.io().is_some() => return Err(LayerError::Unpack(error).into()),
        tar => tar,
    };
    let (proof, blob) = wire.finish()?;
    let blob = match blob {
        Some(blob) => blob.seal(proof),
        None => return Err(LayerError::Task(io::Error::other("the blob was not kept")).into()),
    };
    let tar = match (inflated?, tar) {
        (None, Err(error)) if error.is_unfit() => {
            tracing::info!(error = &error as &dyn std::error::Error, "a layer gets a folder");
            let (id, file) = ((blob.id(), blob.size()), blob.open().map_err(LayerError::Store)?);
            unpack_file(store, id, file, Verifier::naming(Algorithm::Sha256), writers)
        }
        (None, tar) => tar,
        (Some(error), _) => Err(error),
    };
    let tar = match tar {
        Ok(tar) => tar,
        // As above: nothing is wrong with the layer.
        Err(LayerError::Unpack(error)) if error.io().is_some() => return Err(LayerError::Unpack(error).into()),
        Err(error) => return Ok(Content::Blob(blob, error)),
    };
    let layer = seal(tar, &blob)?;
    Ok(Content::Layer(layer, blob))
}

/// Reads a stream to its end, and proves that it is the blob that it must be. Nothing of it is kept.
pub(crate) fn prove(
    source: &mut impl BufRead,
    promised: (BlobId, u64),
    tell: &mut dyn FnMut(u64),
) -> Result<(), TakeError> {
    Wire::new(source, Some(promised), None, tell).finish().map(|_| ())
}

/// Keeps a stream that is no layer.
pub(crate) fn keep(
    store: &Arc<Store>,
    source: &mut impl BufRead,
    promised: (BlobId, u64),
    tell: &mut dyn FnMut(u64),
) -> Result<Option<SealedBlob>, TakeError> {
    let stage = store.stage_blob().map_err(LayerError::Store)?;
    let (proof, blob) = Wire::new(source, Some(promised), Some(stage), tell).finish()?;
    Ok(blob.map(|blob| blob.seal(proof)))
}

fn seal(tar: Tar, blob: &SealedBlob) -> Result<SealedLayer, LayerError> {
    let Some(unpacked) = tar.layer else {
        return Err(LayerError::Task(io::Error::other("the layer was not unpacked")));
    };
    let record = unpacked.record(blob.id(), &tar.proof);
    unpacked.stage.seal(tar.proof, &record).map_err(LayerError::Store)
}

/// A stream, proven and kept as it is read.
struct Wire<'a, R> {
    source: &'a mut R,
    verifier: Verifier<BlobId>,
    blob: Option<StagedBlob>,
    tell: &'a mut dyn FnMut(u64),
    chunk: Vec<u8>,
    at: usize,
    failure: Option<TakeError>,
}

impl<'a, R: BufRead> Wire<'a, R> {
    fn new(
        source: &'a mut R,
        promised: Option<(BlobId, u64)>,
        blob: Option<StagedBlob>,
        tell: &'a mut dyn FnMut(u64),
    ) -> Self {
        let verifier = match promised {
            Some((id, size)) => Verifier::new(id, Some(size)),
            None => Verifier::naming(Algorithm::Sha256),
        };
        Self { source, verifier, blob, tell, chunk: Vec::new(), at: 0, failure: None }
    }

    /// Makes sure that there are bytes to give, unless the stream has ended.
    fn advance(&mut self) -> Result<(), TakeError> {
        if self.at < self.chunk.len() {
            return Ok(());
        }
        self.chunk.resize(READ, 0);
        self.at = 0;
        let len = pipeline::fill(self.source, &mut self.chunk).map_err(TakeError::Source);
        self.chunk.truncate(*len.as_ref().unwrap_or(&0));
        len?;
        self.verifier.update(&self.chunk).map_err(LayerError::Verify)?;
        if let Some(blob) = &mut self.blob {
            blob.append(&self.chunk).map_err(LayerError::Store)?;
        }
        (self.tell)(self.verifier.seen());
        Ok(())
    }

    /// Reads what is left, and proves the whole.
    fn finish(mut self) -> Result<(layer_digest::Verified<BlobId>, Option<StagedBlob>), TakeError> {
        loop {
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            self.at = self.chunk.len();
            self.advance()?;
            if self.chunk.is_empty() {
                let proof = self.verifier.finish().map_err(LayerError::Verify)?;
                return Ok((proof, self.blob));
            }
        }
    }
}

impl<R: BufRead> Read for Wire<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let len = bytes.len().min(buf.len());
        buf[..len].copy_from_slice(&bytes[..len]);
        self.consume(len);
        Ok(len)
    }
}

impl<R: BufRead> BufRead for Wire<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if let Err(error) = self.advance() {
            // The decoder passes this on as its own; what it really is is asked for at the end.
            self.failure = Some(error);
            return Err(io::Error::other("the stream ends here"));
        }
        Ok(&self.chunk[self.at..])
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}
