//! What builders state about an image: where it comes from, what is in it.

use layer_digest::{BlobId, Digest};
use layer_oci::{Descriptor, Document, Platform};
use layer_store::{Store, StoreError};
use serde_json::value::RawValue;

use crate::lookup;
use crate::{Engine, EngineError};

/// The annotation that says what a statement is about.
const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";

/// The most bytes of statements that are shown together. A bill of materials of a large image has some megabytes.
const MAX_STATEMENTS: u64 = 32 << 20;

/// A statement about an image.
#[derive(Clone, Debug)]
pub struct Attestation {
    /// The statement's blob.
    pub descriptor: Descriptor,
    /// What it is about, as a URI.
    pub predicate_type: String,
    /// The statement itself, if it was wanted.
    pub statement: Option<Box<RawValue>>,
}

impl Engine {
    /// The in-toto statements about an image for a platform, the host's if none is named; of these types, or all. An image that nobody speaks about
    /// has none.
    ///
    /// # Errors
    ///
    /// When there is no such image or it hasn't the platform, or what is stated about it is not here: pulls leave it out.
    ///
    /// Spec: BuildKit, "Image Attestation Storage"; in-toto attestation framework 1.0.
    pub async fn attestations(
        &self,
        name: &str,
        platform: Option<&Platform>,
        types: &[String],
        with_statements: bool,
    ) -> Result<Vec<Attestation>, EngineError> {
        let (name, platform, types) = (name.to_owned(), platform.cloned(), types.to_vec());
        self.blocking(move |shared| {
            let store = &shared.store;
            let found = lookup::find(store, &name)?;
            let subject = found.variant(store, platform.as_ref())?.descriptor.digest;
            let Some(entry) = entry_about(store, &found.target, subject)? else { return Ok(Vec::new()) };
            let missing = |digest| EngineError::NoAttestation { name: found.shown(), digest };
            if !store.leads_on(&entry)? {
                return Err(missing(entry.digest));
            }
            let document = store.document(&entry).map_err(|error| match error {
                // An index can call anything an attestation.
                StoreError::Document { digest, source } => {
                    EngineError::Statement { digest, reason: source.to_string() }
                }
                error => EngineError::Store(error),
            })?;
            let Document::Manifest(manifest) = &*document else { return Ok(Vec::new()) };
            let (mut statements, mut room) = (Vec::new(), MAX_STATEMENTS);
            for layer in &manifest.layers {
                let Some(predicate_type) = layer.annotations.get(PREDICATE_TYPE) else { continue };
                if !types.is_empty() && !types.contains(predicate_type) {
                    continue;
                }
                let statement = if with_statements {
                    if !store.has_blob(layer)? {
                        return Err(missing(layer.digest));
                    }
                    Some(statement(store, layer, &mut room)?)
                } else {
                    None
                };
                statements.push(Attestation {
                    descriptor: layer.clone(),
                    predicate_type: predicate_type.clone(),
                    statement,
                });
            }
            Ok(statements)
        })
        .await
    }
}

/// The entry of an index that speaks about another.
fn entry_about(store: &Store, target: &Descriptor, subject: Digest) -> Result<Option<Descriptor>, StoreError> {
    Ok(match &*store.document(target)? {
        Document::Index(index) => index.manifests.iter().find(|entry| entry.attested() == Some(subject)).cloned(),
        Document::Manifest(_) => None,
    })
}

fn statement(store: &Store, layer: &Descriptor, room: &mut u64) -> Result<Box<RawValue>, EngineError> {
    let refused = |reason: String| EngineError::Statement { digest: layer.digest, reason };
    *room = room.checked_sub(layer.size).ok_or_else(|| {
        refused(format!("with its {} bytes the answer would have more than {MAX_STATEMENTS} of statements", layer.size))
    })?;
    let bytes = store.read_blob(BlobId(layer.digest), layer.size)?;
    serde_json::from_slice(&bytes).map_err(|_| refused("it is no JSON".to_owned()))
}
