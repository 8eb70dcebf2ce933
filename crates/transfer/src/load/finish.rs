//! The last step: what belongs to an image is published, and the images get their names.

use std::sync::Arc;

use layer_digest::{BlobId, ImageId};
use layer_reference::Reference;

use super::LoadCause;
use super::images::Wanted;
use super::intake::{Intake, Item};
use crate::naming::give_names;
use crate::stack::check_stack;
use crate::transfer::{Done, Inner};

/// An image that has been loaded.
pub(super) struct Loaded {
    pub(super) id: ImageId,
    pub(super) names: Vec<Reference>,
}

/// Publishes what images consist of, all in one step, and gives them their names. What else was in the archive is removed.
pub(super) fn finish(
    inner: &Arc<Inner>,
    mut intake: Intake<'_>,
    images: Vec<Wanted>,
) -> Result<Vec<Loaded>, LoadCause> {
    let store = &inner.store;
    let mut lease = store.lease();
    let (mut blobs, mut layers, mut documents) = (Vec::new(), Vec::new(), Vec::new());
    for image in &images {
        image.documents.iter().for_each(|(id, _)| lease.hold_blob(*id));
        image.stacks.iter().flatten().for_each(|diff| lease.hold_layer(*diff));
        for digest in &image.blobs {
            lease.hold_blob(BlobId(*digest));
            match intake.take(*digest) {
                Some(Item::Layer(content)) => {
                    layers.push(content.0);
                    blobs.push(content.1);
                }
                Some(Item::Blob(blob, _)) => blobs.push(*blob),
                Some(Item::Document(bytes)) => documents.push((BlobId(*digest), bytes)),
                Some(Item::Stored | Item::Taken) | None => {}
            }
        }
    }
    // What no image needs makes room first; what was found in the store stays held.
    let found = intake.into_lease();
    store.publish(blobs, layers)?;
    for (id, bytes) in documents.iter().chain(images.iter().flat_map(|image| &image.documents)) {
        store.put_blob(*id, bytes)?;
    }
    for stack in images.iter().flat_map(|image| &image.stacks) {
        check_stack(store, stack)?;
    }
    let mut loaded = Vec::new();
    for image in images {
        give_names(store, &image.target, &image.names)?;
        let id = ImageId(image.target.digest);
        store.touch(id);
        inner.done(Done::Loaded(id));
        loaded.push(Loaded { id, names: image.names });
    }
    drop((lease, found));
    Ok(loaded)
}
