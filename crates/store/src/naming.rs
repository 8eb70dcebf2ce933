//! Changing names: one at a time.

use std::sync::{MutexGuard, PoisonError};

use jiff::Timestamp;
use layer_digest::Digest;
use layer_oci::Descriptor;
use layer_reference::Reference;

use crate::catalog::Nameless;
use crate::{Named, Store, StoreError};

/// The right to change names. While it is held nobody else gives or takes one, so that what its holder has found out about an image still
/// holds when it acts on that.
///
/// It is taken before the leases and the list of names, and never while one of those is held.
#[derive(Debug)]
pub struct Naming<'a> {
    pub(crate) store: &'a Store,
    _held: MutexGuard<'a, ()>,
}

impl Store {
    /// Waits for the right to change names. Names can be read meanwhile.
    pub fn naming(&self) -> Naming<'_> {
        Naming { store: self, _held: self.naming.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    /// [`Naming::set_name`], for who needs to know nothing of names before.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails; nothing has changed then.
    pub fn set_name(&self, reference: &Reference, target: &Descriptor) -> Result<Option<Descriptor>, StoreError> {
        self.naming().set_name(reference, target)
    }

    /// [`Naming::remove_names`], for who needs to know nothing of names before.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails; nothing has changed then.
    pub fn remove_names(&self, references: &[Reference]) -> Result<(), StoreError> {
        self.naming().remove_names(references)
    }
}

impl Naming<'_> {
    /// Gives an image a name, taking it from the image that had it. Everything that the image consists of must be durable already; the name is
    /// when this returns. Says what the name led to before; if that was the same image, nothing changes.
    ///
    /// An image that loses its last name this way stays, as a dangling one. A pin on the name stays on the name.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails; nothing has changed then.
    pub fn set_name(&self, reference: &Reference, target: &Descriptor) -> Result<Option<Descriptor>, StoreError> {
        let before = self.store.name(reference).map(|named| named.target);
        self.set_names(std::slice::from_ref(reference), target)?;
        Ok(before)
    }

    /// [`Naming::set_name`] for several names, in one step.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails; nothing has changed then.
    pub fn set_names(&self, references: &[Reference], target: &Descriptor) -> Result<(), StoreError> {
        let mut target = target.clone();
        // These say what an entry of an index is for there; here they would mislead.
        target.annotations.clear();
        target.platform = None;
        let is_new =
            |name: &&Reference| self.store.name(name).is_none_or(|before| before.target.digest != target.digest);
        let references: Vec<_> = references.iter().filter(is_new).collect();
        if references.is_empty() {
            return Ok(());
        }
        let now = Timestamp::now();
        self.store.change_catalog(|catalog| {
            catalog.dangling.remove(&target.digest);
            let mut left = Vec::new();
            for reference in references {
                let before = catalog.take(reference);
                let pinned = before.as_ref().and_then(|named| named.pinned);
                left.extend(before.map(|named| named.target.clone()));
                catalog.give(Named { reference: reference.clone(), target: target.clone(), tagged: now, pinned });
            }
            for old in left {
                if !catalog.has_name(old.digest) {
                    catalog.dangling.insert(old.digest, Nameless { target: old, since: now });
                }
            }
        })
    }

    /// Keeps an image without a name, as a dangling one. Everything that it consists of must be durable already. Nothing changes if a name leads to
    /// it, or it is kept already.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails; nothing has changed then.
    pub fn keep(&self, target: &Descriptor) -> Result<(), StoreError> {
        if self.store.image(target.digest).is_some() {
            return Ok(());
        }
        let mut target = target.clone();
        target.annotations.clear();
        target.platform = None;
        let since = Timestamp::now();
        self.store.change_catalog(|catalog| drop(catalog.dangling.insert(target.digest, Nameless { target, since })))
    }

    /// Takes names away, all of them in one step. An image that loses its last name this way is not in the store any more; what it consists
    /// of stays until it is swept.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails; nothing has changed then.
    pub fn remove_names(&self, references: &[Reference]) -> Result<(), StoreError> {
        self.store.change_catalog(|catalog| references.iter().for_each(|name| drop(catalog.take(name))))
    }

    /// Takes images out of the store in one step, with all their names and pins. What they consist of stays until it is swept.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails; nothing has changed then.
    pub fn remove_images(&self, images: &[Digest]) -> Result<(), StoreError> {
        self.store.change_catalog(|catalog| catalog.remove(images))
    }

    /// Pins a name: whatever it leads to is kept by every collection. Says whether it was not pinned before; `false` too when there is no
    /// such name.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails; nothing has changed then.
    pub fn pin_name(&self, reference: &Reference) -> Result<bool, StoreError> {
        self.change_pin(reference, Some(Timestamp::now()))
    }

    /// Takes the pin off a name. Says whether there was one.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails; nothing has changed then.
    pub fn unpin_name(&self, reference: &Reference) -> Result<bool, StoreError> {
        self.change_pin(reference, None)
    }

    fn change_pin(&self, reference: &Reference, pinned: Option<Timestamp>) -> Result<bool, StoreError> {
        if self.store.name(reference).is_none_or(|named| named.pinned.is_some() == pinned.is_some()) {
            return Ok(false);
        }
        self.store.change_catalog(|catalog| {
            if let Some(named) = catalog.take(reference) {
                catalog.give(Named { pinned, ..Named::clone(&named) });
            }
        })?;
        Ok(true)
    }

    /// Pins an image: it is kept by every collection, whatever happens to its names. Says whether it was not pinned before.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails; nothing has changed then.
    pub fn pin_image(&self, target: &Descriptor) -> Result<bool, StoreError> {
        if self.store.read_catalog(|catalog| catalog.pins.contains_key(&target.digest)) {
            return Ok(false);
        }
        let image = Nameless { target: target.clone(), since: Timestamp::now() };
        self.store.change_catalog(|catalog| drop(catalog.pins.insert(target.digest, image)))?;
        Ok(true)
    }

    /// Takes the pin off an image itself; pins on its names stay. Says whether there was one.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails; nothing has changed then.
    pub fn unpin_image(&self, image: Digest) -> Result<bool, StoreError> {
        if self.store.read_catalog(|catalog| !catalog.pins.contains_key(&image)) {
            return Ok(false);
        }
        self.store.change_catalog(|catalog| {
            if let Some(pin) = catalog.pins.remove(&image)
                && !catalog.has_name(image)
                && !catalog.dangling.contains_key(&image)
            {
                // Only the pin has kept it: now it is one that has lost its last name.
                catalog.dangling.insert(image, Nameless { since: Timestamp::now(), ..pin });
            }
        })?;
        Ok(true)
    }
}
