//! Unpacking a layer once more from the blob in the store, only to see how it looks.

use std::sync::Arc;

use layer_digest::DiffId;
use layer_oci::Descriptor;
use layer_store::{StagedLayer, Store};
use layer_unpack::Writers;

use super::pipeline::{self, Source};
use super::progress::Progress;
use crate::LayerError;

/// Unpacks a blob of the store into a staged folder, and lists it. Nothing is published; the folder is removed when it is dropped. It blocks, and takes
/// a thread of its own beside the caller's.
///
/// # Errors
///
/// When the blob isn't there or is damaged, is not the layer that it should be, or the disk is full or fails.
pub(crate) fn unpack_again(
    store: &Arc<Store>,
    blob: &Descriptor,
    diff: DiffId,
    writers: &Writers,
) -> Result<StagedLayer, LayerError> {
    let id = layer_digest::BlobId(blob.digest);
    let stage = store.stage_layer().map_err(LayerError::Store)?;
    let file = store.open_blob(id).map_err(LayerError::Store)?;
    let progress = Progress::new(blob.size);
    let (wire_end, tar_end) = pipeline::belt();
    let (wire, tar) = std::thread::scope(|scope| {
        let wire = scope.spawn(|| pipeline::wire(id, Source::Stored(file), &progress, wire_end));
        let tar = pipeline::tar(diff, Some(stage), tar_end, writers);
        (wire.join(), tar)
    });
    let wire = wire.map_err(|_| LayerError::Task(std::io::Error::other("a thread panicked")))?;
    // What is wrong with the blob explains what is wrong with the tar.
    if let (_, Some(error)) = wire? {
        return Err(error);
    }
    match tar?.layer {
        Some((stage, _)) => Ok(stage),
        None => Err(LayerError::Task(std::io::Error::other("the layer was not unpacked"))),
    }
}
