//! Names for images that come from a client.

use layer_oci::Descriptor;
use layer_reference::Reference;
use layer_store::{Store, StoreError};

/// Gives an image its names. One without any, which no name leads to yet, is kept as a dangling one.
pub(crate) fn give_names(store: &Store, target: &Descriptor, names: &[Reference]) -> Result<(), StoreError> {
    let naming = store.naming();
    naming.set_names(names, target)?;
    naming.keep(target)
}
