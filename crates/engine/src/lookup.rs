//! From what a user types to an image in the store.

use std::collections::HashSet;
use std::sync::Arc;

use layer_digest::{BlobId, Digest, ImageId};
use layer_oci::{Descriptor, Document, ImageConfig, Manifest, Platform};
use layer_reference::Reference;
use layer_store::{Named, Store, StoreError, StoredImage};

use crate::EngineError;

/// The shortest beginning of an ID that is taken for one.
const MIN_PREFIX: usize = 4;

/// How deep indexes may lie in indexes.
const MAX_DEPTH: usize = 4;

/// An image with all its names.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) target: Descriptor,
    /// All names that lead to it, in order. An image that lost the last to another one has none.
    pub(crate) names: Vec<Arc<Named>>,
    /// Whether it, or one of its names, is pinned.
    pub(crate) pinned: bool,
    /// When it got the youngest of its names, or lost the last.
    pub(crate) since: Option<jiff::Timestamp>,
    /// The name that it was found by; `None` if it was by ID.
    pub(crate) by: Option<Reference>,
}

/// One platform of an image, as far as it is in the store.
#[derive(Clone, Debug)]
pub(crate) struct Variant {
    pub(crate) descriptor: Descriptor,
    pub(crate) platform: Platform,
    pub(crate) document: Arc<Document>,
    pub(crate) config: Arc<ImageConfig>,
}

impl Variant {
    /// The manifest; a variant is made of nothing else.
    pub(crate) fn manifest(&self) -> Option<&Manifest> {
        match &*self.document {
            Document::Manifest(manifest) => Some(manifest),
            Document::Index(_) => None,
        }
    }

    /// The bytes of its manifest, config and layers, as they are served.
    pub(crate) fn packed_size(&self) -> u64 {
        let Some(manifest) = self.manifest() else { return 0 };
        let layers = manifest.layers.iter().map(|layer| layer.size).fold(0, u64::saturating_add);
        layers.saturating_add(self.descriptor.size).saturating_add(manifest.config.size)
    }

    /// The bytes of content in its unpacked layers.
    pub(crate) fn unpacked_size(&self, store: &Store) -> Result<u64, StoreError> {
        let mut size = 0u64;
        for id in &self.config.diff_ids {
            size = size.saturating_add(store.layer_size(*id)?.unwrap_or(0));
        }
        Ok(size)
    }
}

impl Found {
    pub(crate) fn id(&self) -> ImageId {
        ImageId(self.target.digest)
    }

    /// The names as docker lists them: those with a digest alone are among the tags, too.
    pub(crate) fn repo_tags(&self) -> Vec<String> {
        let mut names: Vec<_> = self.names.iter().map(|named| named.reference.familiar()).collect();
        names.sort();
        names
    }

    /// The repositories that the image is known from, each with its digest.
    pub(crate) fn repo_digests(&self) -> Vec<String> {
        let digest = self.target.digest;
        let mut digests: Vec<_> = self
            .names
            .iter()
            .map(|named| Reference::from(named.reference.repository().clone()).with_digest(digest).familiar())
            .collect();
        digests.dedup();
        digests
    }

    /// The platforms whose manifest and config are in the store.
    pub(crate) fn variants(&self, store: &Store) -> Result<Vec<Variant>, StoreError> {
        let mut variants = Vec::new();
        collect(store, &self.target, None, 0, &mut HashSet::new(), &mut variants)?;
        Ok(variants)
    }

    /// The variant for a platform. Without one, the host's, or else whichever there is.
    pub(crate) fn variant(&self, store: &Store, platform: Option<&Platform>) -> Result<Variant, EngineError> {
        self.choose(&self.variants(store)?, platform).cloned()
    }

    /// The same among variants that were read before.
    pub(crate) fn choose<'v>(
        &self,
        variants: &'v [Variant],
        platform: Option<&Platform>,
    ) -> Result<&'v Variant, EngineError> {
        let host = Platform::host();
        let wanted = platform.unwrap_or(&host);
        let best = variants
            .iter()
            .filter_map(|variant| Some((wanted.rank(&variant.platform)?, variant)))
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, variant)| variant);
        match (best, platform) {
            (Some(variant), _) => Ok(variant),
            (None, Some(platform)) => Err(EngineError::NoPlatform { name: self.shown(), platform: platform.clone() }),
            (None, None) => variants.first().ok_or(EngineError::Store(StoreError::NoBlob(self.target.digest))),
        }
    }

    /// What to call the image when speaking of it.
    pub(crate) fn shown(&self) -> String {
        match self.by.as_ref().or_else(|| self.names.first().map(|named| &named.reference)) {
            Some(reference) => reference.familiar(),
            None => self.target.digest.to_string(),
        }
    }
}

impl From<StoredImage> for Found {
    fn from(image: StoredImage) -> Self {
        let (pinned, since) = (image.is_pinned(), image.since());
        Self { target: image.target, names: image.names, pinned, since, by: None }
    }
}

/// All images, by digest.
pub(crate) fn all(store: &Store) -> Vec<Found> {
    store.images().into_iter().map(Found::from).collect()
}

/// The image that `name` means: a name, a digest or ID, or the unique beginning of one.
pub(crate) fn find(store: &Store, name: &str) -> Result<Found, EngineError> {
    let reference = Reference::parse(name).map(Reference::or_latest);
    if let Ok(reference) = &reference
        && let Some(found) = by_name(store, reference)
    {
        return Ok(found);
    }
    if let Some(found) = by_id(store, name)? {
        return Ok(found);
    }
    match reference {
        Ok(reference) => Err(EngineError::NoSuchImage { name: reference.familiar() }),
        Err(_) if is_id(name).is_some() => Err(EngineError::NoSuchImage { name: name.to_owned() }),
        Err(error) => Err(EngineError::Name(error)),
    }
}

fn by_name(store: &Store, reference: &Reference) -> Option<Found> {
    let found = |image: StoredImage| Found { by: Some(reference.clone()), ..image.into() };
    if let Some(image) = store.image_named(reference) {
        return Some(found(image));
    }
    // A repository and a digest mean an image that is known from there, whatever tag it was pulled by.
    let same = |named: &Arc<Named>| named.reference.repository() == reference.repository();
    let image = store.image(reference.digest()?).filter(|image| image.names.iter().any(same))?;
    Some(found(image))
}

/// The hex digits of an ID or its beginning, if a text can be one.
fn is_id(text: &str) -> Option<&str> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    let fits =
        (MIN_PREFIX..=64).contains(&hex.len()) && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    fits.then_some(hex)
}

fn by_id(store: &Store, text: &str) -> Result<Option<Found>, EngineError> {
    let Some(prefix) = is_id(text) else { return Ok(None) };
    if let Ok(digest) = format!("sha256:{prefix}").parse()
        && let Some(image) = store.image(digest)
    {
        return Ok(Some(image.into()));
    }
    let images = all(store);
    let begins = |digest: Digest| digest.hex().starts_with(prefix);
    let mut found: Vec<&Found> = images.iter().filter(|image| begins(image.target.digest)).collect();
    if found.is_empty() {
        // Tools that know images by their platform's manifest, or by their config as older engines do, are understood too.
        for image in &images {
            let inner = |variant: &Variant| {
                begins(variant.descriptor.digest)
                    || variant.manifest().is_some_and(|manifest| begins(manifest.config.digest))
            };
            // An image that can't be read isn't found by what is in it.
            if image.variants(store).is_ok_and(|variants| variants.iter().any(inner)) {
                found.push(image);
            }
        }
    }
    match found.as_slice() {
        [] => Ok(None),
        [image] => Ok(Some((*image).clone())),
        _ => Err(EngineError::Ambiguous { prefix: text.to_owned() }),
    }
}

fn collect(
    store: &Store,
    descriptor: &Descriptor,
    platform: Option<&Platform>,
    depth: usize,
    seen: &mut HashSet<Digest>,
    variants: &mut Vec<Variant>,
) -> Result<(), StoreError> {
    // An index may name a document as often as it likes.
    if !seen.insert(descriptor.digest) {
        return Ok(());
    }
    let document = match store.document(descriptor) {
        // What is whole and neither manifest nor index can be called one by an index, and is no platform of it.
        Err(StoreError::Document { .. }) if depth > 0 => return Ok(()),
        document => document?,
    };
    match &*document {
        Document::Index(index) if depth < MAX_DEPTH => {
            for entry in index.manifests.iter().filter(|entry| !entry.is_attestation()) {
                if store.leads_on(entry)? {
                    collect(store, entry, entry.platform.as_ref().or(platform), depth + 1, seen, variants)?;
                }
            }
        }
        Document::Index(_) => {}
        Document::Manifest(manifest) => {
            let config = match store.config(BlobId(manifest.config.digest)) {
                Err(StoreError::Document { .. } | StoreError::NoBlob(_)) if depth > 0 => return Ok(()),
                config => config?,
            };
            // An index knows better than a config, which for arm often lacks the variant.
            let platform = platform.cloned().map_or_else(|| config.platform(), Platform::normalize);
            let descriptor = descriptor.clone();
            variants.push(Variant { descriptor, platform, document: Arc::clone(&document), config });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use layer_digest::DiffId;
    use serde_json::{Value, json};

    use super::*;

    fn keep(store: &Store, media_type: &str, value: &Value) -> Descriptor {
        let bytes = serde_json::to_vec(value).unwrap();
        let digest = Digest::sha256(&bytes);
        store.put_blob(BlobId(digest), &bytes).unwrap();
        Descriptor::new(media_type, digest, bytes.len() as u64)
    }

    #[test]
    fn an_index_that_names_one_document_a_thousand_times_has_it_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let diff = DiffId(Digest::sha256(b"layer"));
        let rootfs = json!({"type": "layers", "diff_ids": [diff]});
        let config = json!({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs});
        let config = keep(&store, "application/vnd.oci.image.config.v1+json", &config);
        let layer = Descriptor::new("application/vnd.oci.image.layer.v1.tar", Digest::sha256(b"layer"), 5);
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer]});
        let mut top = keep(&store, media_type, &manifest);
        for _ in 0..3 {
            let media_type = "application/vnd.oci.image.index.v1+json";
            let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": vec![top; 1000]});
            top = keep(&store, media_type, &index);
        }
        let found = Found { target: top, names: Vec::new(), pinned: false, since: None, by: None };
        assert_eq!(found.variants(&store).unwrap().len(), 1);
    }

    #[test]
    fn ids_and_their_beginnings() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let target = |algorithm: &str, head: &str, len: usize| {
            let digest: Digest = format!("{algorithm}:{head:0<len$}").parse().unwrap();
            Descriptor::new("application/vnd.oci.image.manifest.v1+json", digest, 1)
        };
        let [a, b, pinned] = ["abcd1", "abcd2", "beef"].map(|head| target("sha256", head, 64));
        let long = target("sha512", "feed", 128);
        let name = |text: &str| Reference::parse(text).unwrap().or_latest();
        for (text, target) in [("a:1", &a), ("b:1", &b), ("long:1", &long), ("b:1", &a)] {
            store.set_name(&name(text), target).unwrap();
        }
        store.naming().pin_image(&pinned).unwrap();
        let found = |text: &str| find(&store, text).unwrap();
        assert!(matches!(find(&store, "abcd"), Err(EngineError::Ambiguous { .. })));
        // One that has lost its last name.
        for text in [b.digest.hex(), b.digest.to_string(), "abcd2".to_owned(), "sha256:abcd2".to_owned()] {
            let found = found(&text);
            assert!(found.target == b && found.by.is_none() && found.names.is_empty(), "{text}");
        }
        assert!(found(&pinned.digest.hex()).pinned && found("beef").target == pinned);
        for text in ["feed", &long.digest.hex()[..64]] {
            assert_eq!(found(text).target, long, "{text}");
        }
        let by = found("b:1");
        assert_eq!((by.by, by.names.len(), by.target), (Some(name("b:1")), 2, a.clone()));
        // Any tag will do where there is a digest, but not any repository.
        assert_eq!(found(&format!("a:other@{}", a.digest)).target, a);
        for text in [format!("nobody@{}", a.digest), format!("a@{}", b.digest), "sha256:cafe".to_owned()] {
            assert!(find(&store, &text).is_err(), "{text}");
        }
    }
}
