//! What a registry has under a name, without pulling it.

use std::sync::Arc;

use layer_oci::{Descriptor, Document, ImageConfig, Platform};
use layer_registry::ManifestAt;

use super::{PullRequest, client};
use crate::transfer::Inner;
use crate::{PullCause, PullError};

/// The largest config that is taken.
const MAX_CONFIG: u64 = 8 << 20;

/// What a registry has under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// The index or manifest.
    pub descriptor: Descriptor,
    /// The platforms that it is for: those that an index names, in its order, or that of the one image. None for what is no image.
    pub platforms: Vec<Platform>,
}

/// Asks the registry, and nobody else. Nothing is written.
pub(crate) async fn remote(inner: &Arc<Inner>, request: &PullRequest) -> Result<Remote, PullError> {
    ask(inner, request)
        .await
        .map_err(|cause| PullError { reference: request.reference.clone(), cause: Box::new(cause) })
}

async fn ask(inner: &Arc<Inner>, request: &PullRequest) -> Result<Remote, PullCause> {
    let reference = &request.reference;
    let client = client::plain(inner, request);
    let at = match reference.digest() {
        Some(digest) => ManifestAt::Digest(digest),
        None => ManifestAt::Tag(reference.tag().unwrap_or("latest").to_owned()),
    };
    let fetched = client.manifest(&at).await?;
    let document = Document::parse(fetched.media_type.as_deref(), &fetched.bytes)?;
    let descriptor = Descriptor::new(document.media_type(), fetched.digest, fetched.bytes.len() as u64);
    let platforms = match document {
        Document::Index(index) => index.manifests.into_iter().filter_map(|entry| entry.platform).collect(),
        Document::Manifest(manifest) => {
            let config = &manifest.config;
            let bytes = client.small_blob(&config.digest, config.size, MAX_CONFIG).await?;
            // That of an artifact is something else.
            ImageConfig::parse(&bytes).map(|config| config.platform()).into_iter().collect()
        }
    };
    Ok(Remote { descriptor, platforms })
}

/// The tags of a repository, in the registry's order.
pub(crate) async fn tags(inner: &Arc<Inner>, request: &PullRequest) -> Result<Vec<String>, PullError> {
    client::plain(inner, request)
        .tags()
        .await
        .map_err(|error| PullError { reference: request.reference.clone(), cause: Box::new(error.into()) })
}
