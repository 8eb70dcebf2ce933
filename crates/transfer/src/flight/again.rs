//! Unpacking a layer once more from the blob in the store, only to see how it looks.

use std::fs::File;
use std::sync::Arc;

use layer_digest::{BlobId, DiffId, Verifier};
use layer_oci::Descriptor;
use layer_store::{Form, StagedLayer, Store};
use layer_unpack::Writers;

use super::pipeline::{self, Source, Tar};
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
    let id = BlobId(blob.digest);
    let file = store.open_blob(id).map_err(LayerError::Store)?;
    let tar = unpack_file(store, (id, blob.size), file, Verifier::new(diff, None), writers)?;
    tar.layer.map(|unpacked| unpacked.stage).ok_or_else(not_unpacked)
}

/// Unpacks a blob in a file into a staged folder, as [`unpack_again`] does. `verifier` knows which layer it must be, if anybody does.
pub(crate) fn unpack_file(
    store: &Arc<Store>,
    (blob, size): (BlobId, u64),
    file: File,
    verifier: Verifier<DiffId>,
    writers: &Writers,
) -> Result<Tar, LayerError> {
    let stage = store.stage_layer_as(Form::Folder).map_err(LayerError::Store)?;
    let progress = Progress::new(size);
    let (wire_end, tar_end) = pipeline::belt();
    let (wire, tar) = std::thread::scope(|scope| {
        let wire = scope.spawn(|| pipeline::wire(blob, Source::Stored(file), &progress, wire_end));
        let tar = pipeline::unpack(verifier, Some(stage), tar_end, writers);
        (wire.join(), tar)
    });
    let wire = wire.map_err(|_| LayerError::Task(std::io::Error::other("a thread panicked")))?;
    // What is wrong with the blob explains what is wrong with the tar.
    if let (_, Some(error)) = wire? {
        return Err(error);
    }
    tar
}

fn not_unpacked() -> LayerError {
    LayerError::Task(std::io::Error::other("the layer was not unpacked"))
}
