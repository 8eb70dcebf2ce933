//! The way of one verification: image by image, documents first.

use std::collections::HashSet;
use std::sync::Arc;

use layer_digest::{DiffId, Digest};
use layer_oci::Descriptor;
use layer_store::Lease;

use super::survey::{self, LayerParts, Survey};
use super::{Part, Problem, Tell, Totals, VerifyEvent, VerifyRequest, check};
use crate::EngineError;
use crate::chain;
use crate::engine::Shared;
use crate::lookup::{self, Found};

/// How often an image is looked at again because a document of it was brought: each time may show another one, as deep as indexes may lie.
const SURVEYS: usize = 6;

/// Verifies what is asked for, and tells how it goes.
pub(super) async fn run(shared: &Arc<Shared>, request: &VerifyRequest, tell: &Tell) -> Result<Totals, EngineError> {
    let names = request.images.clone();
    let images = blocking(shared, move |shared| find(shared, &names)).await?;
    let mut run = Run {
        shared,
        request,
        tell,
        lease: shared.store.lease(),
        totals: Totals::default(),
        told: HashSet::new(),
        brought: HashSet::new(),
        checked: HashSet::new(),
    };
    for image in images {
        run.image(&image).await?;
    }
    Ok(run.totals)
}

/// The images that are meant, each once.
fn find(shared: &Shared, names: &[String]) -> Result<Vec<Found>, EngineError> {
    if names.is_empty() {
        return Ok(lookup::all(&shared.store));
    }
    let mut images: Vec<Found> = Vec::new();
    for name in names {
        let found = lookup::find(&shared.store, name)?;
        if images.iter().all(|image| image.target.digest != found.target.digest) {
            images.push(found);
        }
    }
    Ok(images)
}

async fn blocking<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) -> Result<T, EngineError> + Send + 'static,
) -> Result<T, EngineError> {
    let shared = Arc::clone(shared);
    tokio::task::spawn_blocking(move || work(&shared)).await.map_err(|error| EngineError::Task(error.into()))?
}

/// One verification.
struct Run<'a> {
    shared: &'a Arc<Shared>,
    request: &'a VerifyRequest,
    tell: &'a Tell,
    /// Grows with what is found to belong to the images.
    lease: Lease,
    totals: Totals,
    /// What has been told about, or counted, already: images share parts.
    told: HashSet<Digest>,
    brought: HashSet<Digest>,
    checked: HashSet<(Digest, Option<DiffId>)>,
}

impl Run<'_> {
    async fn image(&mut self, image: &Found) -> Result<(), EngineError> {
        let mut survey = self.survey(image).await?;
        if survey.is_gone {
            return Ok(());
        }
        self.totals.images += 1;
        self.tell.tell(VerifyEvent::Image { id: image.id(), name: image.shown() }).await;
        for _ in 0..SURVEYS {
            self.tell_documents(image, &survey).await;
            if !self.request.repair || !self.bring_documents(image, &survey).await {
                break;
            }
            survey = self.survey(image).await?;
        }
        for document in survey.damaged() {
            self.totals.damaged += u64::from(self.checked.insert((document.descriptor.digest, None)));
        }
        for parts in survey.layers {
            if self.checked.insert((parts.blob.digest, parts.diff)) {
                self.layer(image, parts).await?;
            }
        }
        Ok(())
    }

    /// Looks at the documents of an image, and leases all that they lead to.
    async fn survey(&mut self, image: &Found) -> Result<Survey, EngineError> {
        let image = image.clone();
        let mut lease = std::mem::replace(&mut self.lease, self.shared.store.lease());
        let (survey, lease) = blocking(self.shared, move |shared| {
            let survey = survey::survey(shared, &image, &mut lease)?;
            Ok((survey, lease))
        })
        .await?;
        self.lease = lease;
        Ok(survey)
    }

    async fn tell_documents(&mut self, image: &Found, survey: &Survey) {
        for document in &survey.documents {
            let digest = document.descriptor.digest;
            if !self.told.insert(digest) {
                continue;
            }
            self.totals.documents += 1;
            self.totals.bytes += document.descriptor.size;
            if let Some((what, detail)) = &document.problem {
                let (part, image) = (Part::Document, image.shown());
                let problem = Problem { part, digest, image, path: None, what, detail: detail.clone() };
                self.totals.problems += 1;
                self.tell.tell(VerifyEvent::Problem(problem)).await;
            }
        }
    }

    /// Fetches the documents that are damaged or missing; says whether any was.
    async fn bring_documents(&mut self, image: &Found, survey: &Survey) -> bool {
        let mut any = false;
        for document in survey.damaged() {
            let (part, digest) = (Part::Document, document.descriptor.digest);
            // What could not be brought once, or is of no use although it is what it should be, is not asked for again.
            if !self.brought.insert(digest) {
                continue;
            }
            let mut reason = "the image has no name, so that no registry can be asked".to_owned();
            let mut is_whole = false;
            for repository in repositories(image) {
                let credentials = self.request.credentials.clone();
                match self.shared.transfer.bring_document(&repository, credentials, &document.descriptor).await {
                    Ok(()) => {
                        is_whole = true;
                        break;
                    }
                    Err(error) => reason = chain(&error),
                }
            }
            if is_whole {
                any = true;
                self.totals.repaired += 1;
                self.tell.tell(VerifyEvent::Repaired { part, digest }).await;
            } else {
                self.tell.tell(VerifyEvent::NotRepaired { part, digest, reason }).await;
            }
        }
        any
    }

    /// Proves a blob and the layer in it, and brings both anew if one is damaged and that is wanted.
    async fn layer(&mut self, image: &Found, parts: LayerParts) -> Result<(), EngineError> {
        let LayerParts { blob, diff } = parts;
        let (tell, name, descriptor) = (self.tell.clone(), image.shown(), blob.clone());
        let shared = Arc::clone(self.shared);
        let found = blocking(self.shared, move |_| check::layer(&shared, &tell, &name, &descriptor, diff)).await?;
        self.totals.blobs += 1;
        self.totals.layers += u64::from(diff.is_some());
        self.totals.files += found.files;
        self.totals.bytes += found.bytes;
        self.totals.problems += found.problems;
        let mut damaged: Vec<(Part, Digest)> = Vec::new();
        if found.bad_blob {
            damaged.push((Part::Blob, blob.digest));
        }
        if let Some(diff) = diff.filter(|_| found.bad_layer) {
            damaged.push((Part::Layer, diff.0));
        }
        if damaged.is_empty() {
            return Ok(());
        }
        if !self.request.repair {
            self.totals.damaged += damaged.len() as u64;
            return Ok(());
        }
        match self.bring_layer(image, &blob, diff, found.bad_layer).await {
            Ok(()) => {
                self.totals.repaired += damaged.len() as u64;
                for (part, digest) in damaged {
                    self.tell.tell(VerifyEvent::Repaired { part, digest }).await;
                }
            }
            Err(reason) => {
                self.totals.damaged += damaged.len() as u64;
                for (part, digest) in damaged {
                    self.tell.tell(VerifyEvent::NotRepaired { part, digest, reason: reason.clone() }).await;
                }
            }
        }
        Ok(())
    }

    async fn bring_layer(
        &self,
        image: &Found,
        blob: &Descriptor,
        diff: Option<DiffId>,
        replaces: bool,
    ) -> Result<(), String> {
        let Some(diff) = diff else {
            return Err("the config of the image, which says what is in the blob, can't be read".to_owned());
        };
        if replaces && self.shared.store.is_layer_used(diff) {
            let target = self.shared.mounts.of_layer(diff).map(|mount| mount.target);
            let on =
                target.map_or_else(String::new, |target| format!(" on `{0}`: `layer umount {0}`", target.display()));
            return Err(format!("it is mounted{on}, and then repair again"));
        }
        let mut reason = "the image has no name, so that no registry can be asked".to_owned();
        for repository in repositories(image) {
            let credentials = self.request.credentials.clone();
            match self.shared.transfer.bring_layer(&repository, credentials, blob, diff).await {
                Ok(()) => return Ok(()),
                Err(error) => reason = chain(&*error),
            }
        }
        Err(reason)
    }
}

/// Where an image can be asked for, by its names.
fn repositories(image: &Found) -> Vec<layer_reference::Repository> {
    let mut repositories: Vec<_> = image.names.iter().map(|named| named.reference.repository().clone()).collect();
    repositories.dedup();
    repositories
}
