//! Pins: what every collection keeps.

use layer_digest::ImageId;

use crate::lookup;
use crate::{Engine, EngineError};

/// A pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The image that is kept by it.
    pub image: ImageId,
    /// The name that is pinned, in docker's short form: when it moves, the pin moves with it. Without one the image itself is pinned.
    pub reference: Option<String>,
}

impl Engine {
    /// Pins a name, so that what it leads to is kept by every prune and every collection; or, by ID, an image, whatever its names are. It's no
    /// error when it is pinned already.
    ///
    /// # Errors
    ///
    /// When there is no such image, or the disk is full or fails.
    pub async fn pin(&self, name: &str) -> Result<Pin, EngineError> {
        let name = name.to_owned();
        self.blocking(move |shared| {
            let naming = shared.store.naming();
            let found = lookup::find(&shared.store, &name)?;
            let named = found.by.as_ref().filter(|by| found.names.iter().any(|named| named.reference == **by));
            match named {
                Some(reference) => naming.pin_name(reference)?,
                None => naming.pin_image(&found.target)?,
            };
            tracing::info!(image = %found.id(), name, "pinned");
            Ok(Pin { image: found.id(), reference: named.map(layer_reference::Reference::familiar) })
        })
        .await
    }

    /// Takes the pin off a name; or, by ID, all pins off an image and its names.
    ///
    /// # Errors
    ///
    /// When there is no such image, it isn't pinned so, or the disk is full or fails.
    pub async fn unpin(&self, name: &str) -> Result<Vec<Pin>, EngineError> {
        let name = name.to_owned();
        self.blocking(move |shared| {
            let naming = shared.store.naming();
            let found = lookup::find(&shared.store, &name)?;
            let mut taken = Vec::new();
            for named in &found.names {
                let is_meant = found.by.as_ref().is_none_or(|by| *by == named.reference);
                if is_meant && naming.unpin_name(&named.reference)? {
                    taken.push(Pin { image: found.id(), reference: Some(named.reference.familiar()) });
                }
            }
            let by_name = found.by.as_ref().is_some_and(|by| found.names.iter().any(|named| named.reference == *by));
            if !by_name && naming.unpin_image(found.target.digest)? {
                taken.push(Pin { image: found.id(), reference: None });
            }
            if taken.is_empty() {
                return Err(EngineError::NotPinned { name });
            }
            tracing::info!(image = %found.id(), name, "unpinned");
            Ok(taken)
        })
        .await
    }

    /// All pins.
    pub async fn pins(&self) -> Vec<Pin> {
        let mut pins = Vec::new();
        for image in self.shared.store.images() {
            let id = ImageId(image.target.digest);
            let names = image.names.iter().filter(|named| named.pinned.is_some());
            pins.extend(names.map(|named| Pin { image: id, reference: Some(named.reference.familiar()) }));
            pins.extend(image.pinned.map(|_| Pin { image: id, reference: None }));
        }
        pins
    }
}
