//! One push, from the request to the tag at the registry.

mod blobs;
mod content;
mod error;
mod event;
mod gates;
mod stored;

use std::collections::HashSet;
use std::sync::Arc;

use layer_digest::{BlobId, Digest, ImageId};
use layer_oci::Platform;
use layer_reference::{Reference, Repository};
use layer_registry::{Credentials, ManifestAt, ManifestToPush, PushClient};
use tokio::task::JoinHandle;
use tracing::Instrument as _;

pub use error::{PushCause, PushError};
pub use event::{PushEvent, PushPhase};
pub(crate) use gates::Gates;

use crate::Kind;
use crate::transfer::{Done, Inner};
use content::{Chosen, Content};
use event::{EventReceiver, Events};

/// What to push.
#[derive(Clone, Debug)]
pub struct PushRequest {
    /// Where to: the images of the store that have names in it.
    pub repository: Repository,
    /// Which of them; all that have a tag if there is none.
    pub tag: Option<String>,
    /// The one platform to push. Without one an image goes as it is, with all its platforms.
    pub platform: Option<Platform>,
    /// On whose behalf.
    pub credentials: Option<Credentials>,
}

/// A push that somebody watches. Dropping it stops the push.
#[derive(Debug)]
pub struct Push {
    events: EventReceiver,
    task: JoinHandle<()>,
}

impl Push {
    /// The next thing that happens; `None` after [`PushEvent::Done`] or [`PushEvent::Failed`]. Safe to cancel.
    pub async fn next(&mut self) -> Option<PushEvent> {
        self.events.next().await
    }
}

impl Drop for Push {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn start(inner: Arc<Inner>, request: PushRequest) -> Push {
    let (events, receiver) = event::channel();
    let span = tracing::info_span!("push", repository = %request.repository);
    let task = async move {
        let outcome = tokio::select! {
            biased;
            outcome = run(&inner, &request, &events) => outcome,
            () = inner.stopping.cancelled() => Err(stopped(&request)),
        };
        let end = match outcome {
            Ok(()) => PushEvent::Done,
            Err(error) => {
                match error.kind() {
                    Kind::Internal => tracing::error!(error = &error as &dyn std::error::Error, "push failed"),
                    _ => tracing::info!(error = &error as &dyn std::error::Error, "push failed"),
                }
                PushEvent::Failed(Arc::new(error))
            }
        };
        events.tell(end);
    };
    Push { events: receiver, task: tokio::spawn(task.instrument(span)) }
}

fn stopped(request: &PushRequest) -> PushError {
    let all = Reference::from(request.repository.clone());
    let reference = request.tag.as_ref().and_then(|tag| all.clone().with_tag(tag).ok()).unwrap_or(all);
    PushError { reference, cause: Box::new(PushCause::Stopped) }
}

async fn run(inner: &Arc<Inner>, request: &PushRequest, events: &Events) -> Result<(), PushError> {
    events.tell(PushEvent::Pushing(request.repository.clone()));
    let client = inner.client.pushing(&request.repository, request.credentials.clone());
    let mut push = One { inner, client, platform: request.platform.as_ref(), events, there: HashSet::new() };
    for reference in names(inner, request)? {
        let pushed = push.image(&reference).await;
        pushed.map_err(|cause| PushError { reference, cause: Box::new(cause) })?;
    }
    Ok(())
}

/// The names to push, in order.
fn names(inner: &Inner, request: &PushRequest) -> Result<Vec<Reference>, PushError> {
    let all = Reference::from(request.repository.clone());
    if let Some(tag) = &request.tag {
        let name = all.with_tag(tag);
        return name
            .map(|name| vec![name])
            .map_err(|source| PushError { reference: all, cause: Box::new(PushCause::Name(source)) });
    }
    let names = inner.store.names().into_iter().map(|named| named.reference);
    let names: Vec<_> = names
        .filter(|name| *name.repository() == request.repository && name.tag().is_some() && name.digest().is_none())
        .collect();
    if names.is_empty() {
        return Err(PushError { reference: all, cause: Box::new(PushCause::NoTags) });
    }
    Ok(names)
}

/// A push to one repository.
struct One<'a> {
    inner: &'a Arc<Inner>,
    client: PushClient,
    platform: Option<&'a Platform>,
    events: &'a Events,
    /// The blobs that the repository is known to have by now.
    there: HashSet<Digest>,
}

impl One<'_> {
    /// Pushes the image that has this name.
    async fn image(&mut self, reference: &Reference) -> Result<(), PushCause> {
        let Some(named) = self.inner.store.name(reference) else { return Err(PushCause::NoTag) };
        let (index, image) = (named.target.clone(), ImageId(named.target.digest));
        // Its lease is held to the end: nothing of it can be removed under us.
        let chosen = match content::gather(self.inner, &named.target, self.platform).await? {
            Content::Whole(chosen) => chosen,
            Content::Partial(partial) => {
                if !partial.present.documents.is_empty() && self.has_all(&partial.missing).await? {
                    // What is missing here, the repository has: the index can go as it is.
                    partial.present
                } else if let Some(alone) = partial.alone {
                    alone
                } else {
                    self.events.tell(PushEvent::ContentMissing(index));
                    return Err(PushCause::Missing { missing: partial.missing.len() });
                }
            }
        };
        blobs::send(self.inner, &self.client, &chosen, &mut self.there, self.events).await?;
        self.documents(reference, &chosen).await?;
        let Some(top) = chosen.documents.last() else { return Ok(()) };
        if top.descriptor.digest != index.digest && self.platform.is_none() {
            let (index, manifest) = (Box::new(index), Box::new(top.descriptor.clone()));
            self.events.tell(PushEvent::ManifestInsteadOfIndex { index, manifest });
        }
        tracing::info!(name = %reference, digest = %top.descriptor.digest, "pushed");
        self.inner.done(Done::Pushed(image, reference));
        self.events.tell(PushEvent::Tagged {
            reference: reference.clone(),
            digest: top.descriptor.digest,
            size: top.bytes.len() as u64,
        });
        Ok(())
    }

    /// Whether the repository has all of these manifests.
    async fn has_all(&self, manifests: &[layer_oci::Descriptor]) -> Result<bool, PushCause> {
        for manifest in manifests {
            if !self.client.has_manifest(&manifest.digest).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sends indexes and manifests, children before their parents, and the last one under the tag.
    async fn documents(&self, reference: &Reference, chosen: &Chosen) -> Result<(), PushCause> {
        for (number, document) in chosen.documents.iter().enumerate() {
            let digest = document.descriptor.digest;
            let at = match reference.tag() {
                Some(tag) if number + 1 == chosen.documents.len() => ManifestAt::Tag(tag.to_owned()),
                _ => ManifestAt::Digest(digest),
            };
            let (media_type, bytes) = (document.descriptor.media_type.clone(), document.bytes.clone());
            let manifest = ManifestToPush { at, media_type, digest, bytes };
            self.client.put_manifest(&manifest).await.map_err(PushCause::Manifest)?;
        }
        let (registry, path) = (self.client.host_key().to_owned(), self.client.path().to_owned());
        let blobs: Vec<_> = chosen.blobs.iter().map(|blob| BlobId(blob.descriptor.digest)).collect();
        content::blocking(self.inner, move |inner| {
            inner.store.learn_sources(&registry, &path, blobs);
            Ok(())
        })
        .await
    }
}
