//! From a name to the documents of one platform's image.

use std::sync::Arc;

use bytes::Bytes;
use layer_digest::{BlobId, Digest};
use layer_oci::{Descriptor, Document, ImageConfig, Manifest, Platform};
use layer_reference::Reference;
use layer_registry::{ManifestAt, RepositoryClient};
use layer_store::StoreError;

use super::PullRequest;
use crate::PullCause;
use crate::transfer::Inner;

/// How deep indexes may lie in indexes.
const MAX_DEPTH: usize = 4;

/// The largest config that is taken.
const MAX_CONFIG: u64 = 8 << 20;

/// The largest manifest or index that is read back from the store.
const MAX_MANIFEST: u64 = 4 << 20;

/// What a name stands for, as far as it can be told without the config.
pub(super) struct Chosen {
    /// The index or manifest that the registry has under the name.
    pub(super) top: Descriptor,
    /// The indexes and manifests on the way, as they were served: the top first.
    pub(super) documents: Vec<(BlobId, Bytes)>,
    /// The manifest of the chosen platform.
    pub(super) manifest: Manifest,
    /// The platform that an index gives it.
    pub(super) platform: Option<Platform>,
}

/// What a name stands for.
pub(super) struct Resolved {
    /// The index or manifest that the registry has under the name.
    pub(super) top: Descriptor,
    /// The documents on the way, as they were served, to be kept: the config first, the top last.
    pub(super) documents: Vec<(BlobId, Bytes)>,
    /// The manifest of the chosen platform.
    pub(super) manifest: Manifest,
    pub(super) config: ImageConfig,
    pub(super) platform: Platform,
    pub(super) warnings: Vec<String>,
}

/// A document with what names it.
struct Fetched {
    descriptor: Descriptor,
    bytes: Bytes,
    document: Document,
}

/// Finds the manifest that a request means. Documents that the store has are not fetched again, and nothing is written.
pub(super) async fn choose(
    inner: &Arc<Inner>,
    client: &RepositoryClient,
    request: &PullRequest,
) -> Result<Chosen, PullCause> {
    let resolver = Resolver { inner, client, reference: &request.reference };
    let wanted = request.wanted();
    let mut at = resolver.top().await?;
    let top = at.descriptor.clone();
    let mut documents = Vec::new();
    let mut platform = None;
    let manifest = loop {
        documents.push((BlobId(at.descriptor.digest), at.bytes));
        let index = match at.document {
            Document::Manifest(manifest) => break manifest,
            Document::Index(index) => index,
        };
        // A digest can't contain itself, so that a chain of indexes always ends; this ends it early.
        if documents.len() > MAX_DEPTH {
            return Err(PullCause::TooDeep { limit: MAX_DEPTH });
        }
        let entry = index.choose(&wanted).found(&wanted)?.clone();
        platform = entry.platform.clone().or(platform);
        at = resolver.child(&entry).await?;
    };
    manifest.check_layers()?;
    Ok(Chosen { top, documents, manifest, platform: platform.map(Platform::normalize) })
}

/// Adds the config, which is kept, to what a name stands for.
pub(super) async fn complete(
    inner: &Arc<Inner>,
    client: &RepositoryClient,
    request: &PullRequest,
    chosen: Chosen,
) -> Result<Resolved, PullCause> {
    let resolver = Resolver { inner, client, reference: &request.reference };
    let Chosen { top, mut documents, manifest, platform } = chosen;
    let bytes = resolver.config(&manifest.config).await?;
    let config = ImageConfig::parse(&bytes)?;
    manifest.check_config(&config)?;
    documents.push((BlobId(manifest.config.digest), bytes));
    documents.reverse();
    let found = config.platform();
    if found.os != "linux" {
        return Err(PullCause::ForeignSystem { os: found.os });
    }
    // An index knows better than a config, which for arm often lacks the variant.
    let platform = platform.unwrap_or(found);
    let wanted = request.wanted();
    let mut warnings = Vec::new();
    if wanted.rank(&platform).is_none() {
        warnings.push(format!(
            "`{}` is an image for {platform} alone, and {wanted} was wanted: it is pulled all the same",
            resolver.reference.familiar()
        ));
    }
    Ok(Resolved { top, documents, manifest, config, platform, warnings })
}

struct Resolver<'a> {
    inner: &'a Arc<Inner>,
    client: &'a RepositoryClient,
    reference: &'a Reference,
}

impl Resolver<'_> {
    /// The document that the name stands for. A tag is asked for at the registry each time; if it has not moved, that is all that is asked.
    async fn top(&self) -> Result<Fetched, PullCause> {
        if let Some(digest) = self.reference.digest() {
            return match self.stored(digest, None)? {
                Some(fetched) => Ok(fetched),
                None => self.fetch(&ManifestAt::Digest(digest)).await,
            };
        }
        let at = ManifestAt::Tag(self.reference.tag().unwrap_or("latest").to_owned());
        if let Some(known) = self.inner.store.name(self.reference)
            && let Some(head) = self.client.head(&at).await?
            && head.digest == known.target.digest
            && let Some(fetched) = self.stored(head.digest, Some(&known.target.media_type))?
        {
            return Ok(fetched);
        }
        self.fetch(&at).await
    }

    /// A document that an index names.
    async fn child(&self, entry: &Descriptor) -> Result<Fetched, PullCause> {
        let fetched = match self.stored(entry.digest, Some(&entry.media_type))? {
            Some(fetched) => fetched,
            None => self.fetch(&ManifestAt::Digest(entry.digest)).await?,
        };
        self.check_size(entry, fetched.bytes.len() as u64)?;
        Ok(fetched)
    }

    /// The config of an image, fetched once for all who want it at the same time.
    async fn config(&self, descriptor: &Descriptor) -> Result<Bytes, PullCause> {
        if let Some(bytes) = self.stored_config(descriptor)? {
            return Ok(bytes);
        }
        let id = BlobId(descriptor.digest);
        let gate = self.inner.config_gate(id);
        // Nobody closes a gate.
        let _passed = gate.acquire().await.ok();
        if let Some(bytes) = self.stored_config(descriptor)? {
            return Ok(bytes);
        }
        let bytes = self.client.small_blob(&descriptor.digest, descriptor.size, MAX_CONFIG).await?;
        let (shared, kept) = (Arc::clone(self.inner), bytes.clone());
        let keep = tokio::task::spawn_blocking(move || shared.store.put_blob(id, &kept));
        keep.await.map_err(|error| PullCause::Task(error.into()))??;
        Ok(bytes)
    }

    fn stored_config(&self, descriptor: &Descriptor) -> Result<Option<Bytes>, PullCause> {
        match self.inner.store.read_blob(BlobId(descriptor.digest), MAX_CONFIG) {
            Ok(bytes) => {
                self.check_size(descriptor, bytes.len() as u64)?;
                Ok(Some(bytes.into()))
            }
            Err(StoreError::NoBlob(_) | StoreError::Damaged(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn fetch(&self, at: &ManifestAt) -> Result<Fetched, PullCause> {
        let fetched = self.client.manifest(at).await?;
        self.parse(fetched.media_type.as_deref(), fetched.digest, fetched.bytes)
    }

    /// The document of a digest if the store has it, and it is whole.
    fn stored(&self, digest: Digest, media_type: Option<&str>) -> Result<Option<Fetched>, PullCause> {
        match self.inner.store.read_blob(BlobId(digest), MAX_MANIFEST) {
            Ok(bytes) => self.parse(media_type.filter(|text| !text.is_empty()), digest, bytes.into()).map(Some),
            // A damaged one is fetched again, and replaced.
            Err(StoreError::NoBlob(_) | StoreError::Damaged(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn parse(&self, media_type: Option<&str>, digest: Digest, bytes: Bytes) -> Result<Fetched, PullCause> {
        let document = Document::parse(media_type, &bytes)?;
        let descriptor = Descriptor::new(document.media_type(), digest, bytes.len() as u64);
        Ok(Fetched { descriptor, bytes, document })
    }

    fn check_size(&self, descriptor: &Descriptor, got: u64) -> Result<(), PullCause> {
        if descriptor.size == got {
            return Ok(());
        }
        let (digest, want) = (descriptor.digest, descriptor.size);
        Err(PullCause::Size { digest, want, got })
    }
}
