//! Names for images that come from a client.

use layer_oci::Descriptor;
use layer_reference::{Reference, Repository};
use layer_store::{Store, StoreError};

/// Gives an image its names. One without any, which no name leads to yet, is kept under its digest in the repository `otherwise`: what has no
/// name at all is not listed, and could not be removed.
pub(crate) fn give_names(
    store: &Store,
    target: &Descriptor,
    names: &[Reference],
    otherwise: &str,
) -> Result<(), StoreError> {
    for name in names {
        if store.name(name).is_none_or(|named| named.target.digest != target.digest) {
            store.set_name(name, target)?;
        }
    }
    let is_named = !names.is_empty() || store.names().iter().any(|named| named.target.digest == target.digest);
    if !is_named && let Ok(repository) = Repository::parse(otherwise) {
        store.set_name(&Reference::from(repository).with_digest(target.digest), target)?;
    }
    Ok(())
}
