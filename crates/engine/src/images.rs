//! Looking at images.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use layer_digest::ImageId;
use layer_oci::{Descriptor, ImageConfig, Platform};

use crate::engine::Shared;
use crate::lookup::{self, Found};
use crate::{Engine, EngineError};

/// An image in a list.
#[derive(Clone, Debug)]
pub struct ImageSummary {
    /// The digest of its top descriptor.
    pub id: ImageId,
    /// What its names lead to.
    pub descriptor: Descriptor,
    /// Its names with tags, in docker's short form.
    pub repo_tags: Vec<String>,
    /// The repositories it is known from, with its digest, in docker's short form.
    pub repo_digests: Vec<String>,
    /// When it was made, if its config says.
    pub created: Option<Timestamp>,
    /// The labels of its config.
    pub labels: Option<BTreeMap<String, String>>,
    /// The bytes of all platforms that are in the store, packed and unpacked.
    pub size: u64,
    /// How often it is mounted.
    pub mounts: u64,
}

/// All about one platform of an image.
#[derive(Clone, Debug)]
pub struct ImageDetail {
    /// The digest of its descriptor.
    pub id: ImageId,
    /// What its names lead to, or the manifest of the platform that was asked for.
    pub descriptor: Descriptor,
    /// Its names with tags, in docker's short form.
    pub repo_tags: Vec<String>,
    /// The repositories it is known from, with its digest, in docker's short form.
    pub repo_digests: Vec<String>,
    /// The platform.
    pub platform: Platform,
    /// Its config.
    pub config: Arc<ImageConfig>,
    /// The bytes of its documents and layers, packed.
    pub size: u64,
    /// When one of its names was last given.
    pub last_tagged: Option<Timestamp>,
}

/// A step of how an image came to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryItem {
    /// The image, for its last step. Of the others no ID is known.
    pub id: Option<ImageId>,
    /// When the step was done, if its config says.
    pub created: Option<Timestamp>,
    /// What was run.
    pub created_by: String,
    /// The names of the image, for its last step.
    pub tags: Vec<String>,
    /// The bytes of content that it added.
    pub size: u64,
    /// What was said of it.
    pub comment: String,
}

impl Engine {
    /// All images, the newest first. Those that lost their last name to another image are among them, without names.
    ///
    /// Of an image that can't be read its names are told, and the log says why: neither is it hidden, nor does it hide others.
    ///
    /// # Errors
    ///
    /// When an internal task fails.
    pub async fn images(&self) -> Result<Vec<ImageSummary>, EngineError> {
        self.blocking(|shared| {
            let mut images: Vec<_> =
                lookup::all(&shared.store).iter().map(|found| summary_or_names(shared, found)).collect();
            images.sort_by_key(|image| (std::cmp::Reverse(image.created), image.id));
            Ok(images)
        })
        .await
    }

    /// One platform of an image; by default the host's.
    ///
    /// # Errors
    ///
    /// When there is no such image or it isn't there for that platform.
    pub async fn image(&self, name: &str, platform: Option<&Platform>) -> Result<ImageDetail, EngineError> {
        let (name, platform) = (name.to_owned(), platform.cloned());
        self.blocking(move |shared| {
            let found = lookup::find(&shared.store, &name)?;
            let variant = found.variant(&shared.store, platform.as_ref()).map_err(|error| named(error, &name))?;
            let index = if variant.descriptor.digest == found.target.digest { 0 } else { found.target.size };
            let descriptor = if platform.is_some() { &variant.descriptor } else { &found.target };
            Ok(ImageDetail {
                id: ImageId(descriptor.digest),
                descriptor: descriptor.clone(),
                repo_tags: found.repo_tags(),
                repo_digests: found.repo_digests(),
                size: variant.packed_size().saturating_add(index),
                last_tagged: found.since,
                platform: variant.platform,
                config: variant.config,
            })
        })
        .await
    }

    /// How an image came to be, the last step first.
    ///
    /// # Errors
    ///
    /// When there is no such image or it isn't there for that platform.
    pub async fn history(&self, name: &str, platform: Option<&Platform>) -> Result<Vec<HistoryItem>, EngineError> {
        let (name, platform) = (name.to_owned(), platform.cloned());
        self.blocking(move |shared| {
            let found = lookup::find(&shared.store, &name)?;
            let variant = found.variant(&shared.store, platform.as_ref()).map_err(|error| named(error, &name))?;
            let mut layers = variant.config.diff_ids.iter();
            let mut items = Vec::new();
            for step in &variant.config.history {
                let layer = if step.empty_layer { None } else { layers.next() };
                let size = layer.map(|id| shared.store.layer_size(*id)).transpose()?.flatten();
                items.push(HistoryItem {
                    id: None,
                    created: step.created.as_deref().and_then(|text| text.parse().ok()),
                    created_by: step.created_by.clone(),
                    tags: Vec::new(),
                    size: size.unwrap_or(0),
                    comment: step.comment.clone(),
                });
            }
            items.reverse();
            if let Some(last) = items.first_mut() {
                last.id = Some(found.id());
                last.tags = found.repo_tags();
            }
            Ok(items)
        })
        .await
    }
}

/// Speaks of an image by the name that the user gave.
fn named(error: EngineError, name: &str) -> EngineError {
    match error {
        EngineError::NoPlatform { platform, .. } => EngineError::NoPlatform { name: name.to_owned(), platform },
        error => error,
    }
}

/// What can be told of an image, whether it can be read or not.
pub(crate) fn summary_or_names(shared: &Shared, found: &Found) -> ImageSummary {
    summary(shared, found).unwrap_or_else(|error| {
        let names = found.shown();
        tracing::error!(image = %found.id(), names, error = &error as &dyn std::error::Error, "cannot read an image");
        ImageSummary {
            id: found.id(),
            descriptor: found.target.clone(),
            repo_tags: found.repo_tags(),
            repo_digests: found.repo_digests(),
            created: None,
            labels: None,
            size: 0,
            mounts: shared.mounts.count(found.id()),
        }
    })
}

pub(crate) fn summary(shared: &Shared, found: &Found) -> Result<ImageSummary, EngineError> {
    let store = &shared.store;
    let variants = found.variants(store)?;
    let mut size = 0u64;
    for variant in &variants {
        size = size.saturating_add(variant.packed_size()).saturating_add(variant.unpacked_size(store)?);
    }
    let shown = found.choose(&variants, None)?;
    Ok(ImageSummary {
        id: found.id(),
        descriptor: found.target.clone(),
        repo_tags: found.repo_tags(),
        repo_digests: found.repo_digests(),
        created: shown.config.created.as_deref().and_then(|text| text.parse().ok()),
        labels: shown.config.config.labels.clone(),
        size,
        mounts: shared.mounts.count(found.id()),
    })
}
