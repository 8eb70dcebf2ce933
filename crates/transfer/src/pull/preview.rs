//! What a pull would do, without doing it.

use std::sync::Arc;

use layer_digest::{BlobId, ImageId};
use layer_oci::Platform;
use layer_reference::Reference;

use super::{PullRequest, client, resolve, stock};
use crate::transfer::Inner;
use crate::{PullCause, PullError};

/// What a pull would do: what the registry has under the name now, and how much of it is missing here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// What was asked for.
    pub reference: Reference,
    /// The image that the registry has under the name.
    pub image: ImageId,
    /// The image that has the name in the store, if one has.
    pub current: Option<ImageId>,
    /// The platform that an index gives the image; an image that is alone tells its platform in its config only, which is not fetched.
    pub platform: Option<Platform>,
    /// The layers, base first, each blob once.
    pub layers: Vec<LayerPreview>,
    /// The bytes that would come over the network for layers.
    pub fetch_bytes: u64,
    /// The bytes that would be taken on disk, blobs and files, by estimate: what is compressed usually unpacks to three times its size.
    pub disk_bytes: u64,
    /// The bytes that are free where the store lies.
    pub free_bytes: u64,
}

/// A layer that a pull would bring, or find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerPreview {
    /// The layer's blob.
    pub blob: BlobId,
    /// Its compressed size in bytes.
    pub size: u64,
    /// How many of these bytes are here already.
    pub here: u64,
    /// Whether it is unpacked as well.
    pub is_unpacked: bool,
}

impl Preview {
    /// Whether a pull would change anything.
    pub fn is_news(&self) -> bool {
        self.current != Some(self.image) || self.layers.iter().any(|layer| !layer.is_unpacked)
    }
}

/// Looks at the registry and into the store. Nothing is written.
pub(crate) async fn preview(inner: &Arc<Inner>, request: &PullRequest) -> Result<Preview, PullError> {
    look(inner, request)
        .await
        .map_err(|cause| PullError { reference: request.reference.clone(), cause: Box::new(cause) })
}

async fn look(inner: &Arc<Inner>, request: &PullRequest) -> Result<Preview, PullCause> {
    let reference = &request.reference;
    let client = client::plain(inner, request);
    let chosen = resolve::choose(inner, &client, request).await?;
    let stock = stock::look(inner, &chosen).await?;
    let room = stock.room();
    let layers = stock.layers.iter().map(|layer| LayerPreview {
        blob: BlobId(layer.descriptor.digest),
        size: layer.descriptor.size,
        here: layer.come,
        is_unpacked: layer.is_unpacked,
    });
    Ok(Preview {
        reference: reference.clone(),
        image: ImageId(chosen.top.digest),
        current: inner.store.name(reference).map(|named| ImageId(named.target.digest)),
        platform: chosen.platform,
        layers: layers.collect(),
        fetch_bytes: room.packed,
        disk_bytes: room.usual,
        free_bytes: inner.store.free_bytes()?,
    })
}
