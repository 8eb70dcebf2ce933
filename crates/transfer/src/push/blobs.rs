//! Layers and configs on their way to a registry.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use layer_digest::{BlobId, Digest};
use layer_registry::{BlobToPush, PushClient, PushedBlob, UploadError, UploadProgress};
use tokio::time::MissedTickBehavior;

use super::PushCause;
use super::content::{Blob, Chosen, blocking};
use super::event::{Events, PushPhase};
use super::stored::{Stored, prove};
use crate::transfer::Inner;

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// Sends all blobs that the repository doesn't have, several at once. `there` are those that it is known to have.
pub(super) async fn send(
    inner: &Arc<Inner>,
    client: &PushClient,
    chosen: &Chosen,
    there: &mut HashSet<Digest>,
    events: &Events,
) -> Result<(), PushCause> {
    let elsewhere = elsewhere(inner, client, chosen).await?;
    let mut coming = FuturesUnordered::new();
    for blob in &chosen.blobs {
        let digest = blob.descriptor.digest;
        let known = there.contains(&digest);
        if blob.is_layer {
            events.layer(BlobId(digest), if known { PushPhase::Exists } else { PushPhase::Waiting });
        }
        if !known {
            let one = One { inner, client, blob, elsewhere: elsewhere.get(&digest), events };
            coming.push(async move { one.send().await.map(|()| digest) });
        }
    }
    while let Some(sent) = coming.next().await {
        // Leaving the others stops them.
        there.insert(sent?);
    }
    Ok(())
}

/// The repository of the same registry that each blob is known from.
async fn elsewhere(
    inner: &Arc<Inner>,
    client: &PushClient,
    chosen: &Chosen,
) -> Result<HashMap<Digest, String>, PushCause> {
    let digests: Vec<_> = chosen.blobs.iter().map(|blob| blob.descriptor.digest).collect();
    let (registry, own) = (client.host_key().to_owned(), client.path().to_owned());
    blocking(inner, move |inner| {
        let source = |digest: Digest| {
            let mut sources = inner.store.sources(&registry, BlobId(digest)).into_iter();
            Some((digest, sources.find(|path| *path != own)?))
        };
        Ok(digests.into_iter().filter_map(source).collect())
    })
    .await
}

/// One blob on its way.
struct One<'a> {
    inner: &'a Arc<Inner>,
    client: &'a PushClient,
    blob: &'a Blob,
    elsewhere: Option<&'a String>,
    events: &'a Events,
}

impl One<'_> {
    fn id(&self) -> BlobId {
        BlobId(self.blob.descriptor.digest)
    }

    fn tell(&self, phase: PushPhase) {
        if self.blob.is_layer {
            self.events.layer(self.id(), phase);
        }
    }

    async fn send(&self) -> Result<(), PushCause> {
        let (digest, size) = (self.blob.descriptor.digest, self.blob.descriptor.size);
        let (gate, registry) = (self.inner.gates.blob(self.client, digest), self.inner.gates.registry(self.client));
        // Neither gate is ever closed.
        let _turn = gate.acquire().await;
        let _place = registry.acquire().await;
        let source = Stored { store: Arc::clone(&self.inner.store), blob: self.id() };
        let progress = Arc::new(UploadProgress::default());
        let elsewhere = self.elsewhere.map(String::as_str);
        let blob = BlobToPush { digest, size, source: &source, elsewhere, progress: &progress };
        let pushed = self.told(&progress, self.client.push_blob(&blob)).await;
        let pushed = match pushed {
            Ok(pushed) => pushed,
            Err(error) => return Err(self.failed(error).await),
        };
        match pushed {
            PushedBlob::Existed => self.tell(PushPhase::Exists),
            PushedBlob::Mounted(from) => self.tell(PushPhase::Mounted { from }),
            PushedBlob::Uploaded => {
                // It may have ended between two looks; every layer's story is told to its end all the same.
                self.tell(PushPhase::Pushing { done: size, total: size });
                self.tell(PushPhase::Pushed);
                if let Some(path) = self.elsewhere.cloned() {
                    let (registry, id) = (self.client.host_key().to_owned(), self.id());
                    blocking(self.inner, move |inner| {
                        inner.store.forget_source(&registry, &path, id);
                        Ok(())
                    })
                    .await?;
                }
            }
        }
        Ok(())
    }

    /// Does `work`, and tells now and then how far it is.
    async fn told<T>(&self, progress: &UploadProgress, work: impl Future<Output = T>) -> T {
        let total = self.blob.descriptor.size;
        let mut tick = tokio::time::interval(TELL_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(work);
        let mut last = None;
        loop {
            tokio::select! {
                result = &mut work => return result,
                _ = tick.tick() => {}
            }
            let phase = match (progress.retrying(), progress.sent()) {
                (Some((seconds, reason)), _) => PushPhase::Retrying { seconds, reason },
                (None, 0) => continue,
                (None, done) => PushPhase::Pushing { done, total },
            };
            if last.as_ref() != Some(&phase) {
                self.tell(phase.clone());
                last = Some(phase);
            }
        }
    }

    /// The cause behind a failure: a registry that says that the bytes are wrong may be right.
    async fn failed(&self, error: UploadError) -> PushCause {
        let (id, size) = (self.id(), self.blob.descriptor.size);
        if let UploadError::Rejected(_) = &error
            && let Err(cause) = blocking(self.inner, move |inner| Ok(prove(&inner.store, id, size)?)).await
        {
            return cause;
        }
        PushCause::Blob { blob: id, source: error }
    }
}
