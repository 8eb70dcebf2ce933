//! When images were last used.

use jiff::Timestamp;
use layer_digest::ImageId;

use crate::Store;

impl Store {
    /// Records that an image was used just now: pulled, mounted or saved. To look at an image is not to use it.
    pub fn touch(&self, image: ImageId) {
        self.facts.set_used(image.0, Timestamp::now().as_millisecond());
    }

    /// When an image was last used. An image whose uses are not known, because the database was lost, counts as used when it got the
    /// youngest of its names, or lost its last.
    pub fn last_used(&self, image: ImageId) -> Option<Timestamp> {
        let used = self.facts.used(image.0).and_then(|moment| Timestamp::from_millisecond(moment).ok());
        used.or_else(|| self.image(image.0)?.since())
    }
}
