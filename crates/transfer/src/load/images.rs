//! From the tables of contents to the images that an archive holds.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use layer_archive::{ArchiveError, DockerManifest, INDEX_FILE, Layout, Names, blob_name};
use layer_digest::{BlobId, DiffId, Digest, VerifyError};
use layer_oci::{Descriptor, Document, ImageConfig, Index, Manifest, Platform, media_type};
use layer_reference::Reference;

use super::intake::{Held, Intake, Item};
use super::{LoadCause, docker};
use crate::LayerError;
use crate::transfer::Inner;

/// How deep indexes may lie in indexes.
const MAX_DEPTH: usize = 4;

/// The caps of documents that are read back from the store.
const MAX_MANIFEST: u64 = 4 << 20;
const MAX_CONFIG: u64 = 8 << 20;

/// An image that an archive holds, and that is whole.
pub(super) struct Wanted {
    pub(super) target: Descriptor,
    pub(super) names: Vec<Reference>,
    /// Its documents, each behind those that it leads to.
    pub(super) documents: Vec<(BlobId, Bytes)>,
    /// Its layers, and what else it consists of.
    pub(super) blobs: Vec<Digest>,
    /// The layers of each platform, base first.
    pub(super) stacks: Vec<Vec<DiffId>>,
}

/// One platform of an image, all of which is there.
pub(super) struct Variant {
    pub(super) platform: Platform,
    /// Its config, and its manifest.
    pub(super) documents: [(BlobId, Bytes); 2],
    pub(super) layers: Vec<Digest>,
    pub(super) stack: Vec<DiffId>,
}

/// Finds the images of an archive, and that all of each is there or in the store, and is what it should be.
pub(super) fn images(
    inner: &Arc<Inner>,
    intake: &mut Intake<'_>,
    names: &Names,
    platforms: &[Platform],
) -> Result<Vec<Wanted>, LoadCause> {
    match (intake.layout.take(), intake.index.take(), intake.manifest.take()) {
        // The layout says more: which index or manifest an image is, to the byte.
        (Some(layout), Some(index), table) => {
            let layout = Layout::parse(&layout, &index)?;
            let mut seen = Vec::new();
            let images = layout_images(inner, intake, layout, platforms, &mut seen)?;
            if let Some(table) = table {
                docker::check(intake, names, &DockerManifest::parse(&table)?, &seen)?;
            }
            Ok(images)
        }
        (.., Some(manifest)) => docker::images(intake, names, DockerManifest::parse(&manifest)?, platforms),
        _ => Err(ArchiveError::Unrecognized.into()),
    }
}

fn layout_images(
    inner: &Arc<Inner>,
    intake: &mut Intake<'_>,
    layout: Layout,
    platforms: &[Platform],
    seen: &mut Vec<Manifest>,
) -> Result<Vec<Wanted>, LoadCause> {
    let mut images: Vec<Wanted> = Vec::new();
    for entry in layout.images {
        let is_document = media_type::is_index(&entry.media_type) || media_type::is_manifest(&entry.media_type);
        if !is_document || entry.is_attestation() {
            continue;
        }
        let name = Layout::name_of(&entry).and_then(|name| usable(name, entry.digest));
        if let Some(known) = images.iter_mut().find(|image| image.target.digest == entry.digest) {
            known.names.extend(name.filter(|name| !known.names.contains(name)));
            continue;
        }
        let mut finder = Finder {
            inner,
            intake,
            variants: Vec::new(),
            indexes: Vec::new(),
            others: Others::default(),
            seen: Vec::new(),
            followed: HashMap::new(),
        };
        if !finder.walk(&entry, entry.platform.as_ref(), 0)? {
            let name = entry.digest.to_string();
            return Err(ArchiveError::Missing { file: INDEX_FILE, name }.into());
        }
        let Finder { variants, indexes, others, seen: found, .. } = finder;
        seen.extend(found);
        let shown = name.as_ref().map_or_else(|| entry.digest.to_string(), Reference::familiar);
        let variants = choose(variants, platforms, &shown)?;
        if variants.is_empty() {
            return Err(LoadCause::NoImage { digest: entry.digest });
        }
        let mut image = Wanted {
            target: Descriptor::new(&entry.media_type, entry.digest, entry.size),
            names: name.into_iter().collect(),
            documents: others.documents,
            blobs: others.blobs,
            stacks: Vec::new(),
        };
        for variant in variants {
            image.documents.extend(variant.documents);
            image.blobs.extend(variant.layers);
            image.stacks.push(variant.stack);
        }
        image.documents.extend(indexes);
        images.push(image);
    }
    Ok(images)
}

/// The name that an image gets by one that an archive has for it: with a tag, or with the digest that the image has.
fn usable(name: Reference, image: Digest) -> Option<Reference> {
    let name = match (name.tag(), name.digest()) {
        (None, Some(digest)) => return (digest == image).then_some(name),
        (Some(_), Some(_)) => name.without_digest(),
        (_, None) => name.or_latest(),
    };
    name.check_reserved().is_ok().then_some(name)
}

/// The variants that are best for these platforms; all if there are none.
pub(super) fn choose(variants: Vec<Variant>, platforms: &[Platform], name: &str) -> Result<Vec<Variant>, LoadCause> {
    if platforms.is_empty() {
        return Ok(variants);
    }
    let mut chosen = vec![false; variants.len()];
    for platform in platforms {
        let ranked =
            variants.iter().enumerate().filter_map(|(at, variant)| Some((platform.rank(&variant.platform)?, at)));
        match ranked.min() {
            Some((_, at)) => chosen[at] = true,
            None => return Err(LoadCause::NoPlatform { name: name.to_owned(), platform: platform.clone() }),
        }
    }
    Ok(variants.into_iter().zip(chosen).filter_map(|(variant, chosen)| chosen.then_some(variant)).collect())
}

/// What an image has beside its platforms, as attestations.
#[derive(Default)]
struct Others {
    documents: Vec<(BlobId, Bytes)>,
    blobs: Vec<Digest>,
}

/// Follows an image from its top.
struct Finder<'a, 'b> {
    inner: &'a Arc<Inner>,
    intake: &'a mut Intake<'b>,
    variants: Vec<Variant>,
    /// The inner ones first.
    indexes: Vec<(BlobId, Bytes)>,
    others: Others,
    /// All manifests, of what is there and of what isn't.
    seen: Vec<Manifest>,
    /// The documents that were followed, and whether they were there: an index may name one as often as it likes.
    followed: HashMap<Digest, bool>,
}

impl Finder<'_, '_> {
    /// Follows an index or a manifest; `false` when it isn't there. What lies in an index may be missing in part: an archive has the platforms
    /// that were there when it was written.
    fn walk(&mut self, descriptor: &Descriptor, platform: Option<&Platform>, depth: usize) -> Result<bool, LoadCause> {
        if let Some(is_there) = self.followed.get(&descriptor.digest) {
            return Ok(*is_there);
        }
        let is_there = self.follow(descriptor, platform, depth)?;
        self.followed.insert(descriptor.digest, is_there);
        Ok(is_there)
    }

    fn follow(
        &mut self,
        descriptor: &Descriptor,
        platform: Option<&Platform>,
        depth: usize,
    ) -> Result<bool, LoadCause> {
        let Some(bytes) = self.document(descriptor, MAX_MANIFEST)? else { return Ok(false) };
        let digest = descriptor.digest;
        match parse(descriptor, &bytes)? {
            Document::Index(_) if depth >= MAX_DEPTH => Err(LoadCause::TooDeep { limit: MAX_DEPTH }),
            Document::Index(index) => {
                self.index(&index, platform, depth)?;
                self.indexes.push((BlobId(digest), bytes));
                Ok(true)
            }
            Document::Manifest(manifest) => {
                let found = self.variant(descriptor, bytes, &manifest, platform);
                self.seen.push(manifest);
                match found {
                    Ok(variant) => {
                        self.variants.push(variant);
                        Ok(true)
                    }
                    // Beside others, an image that can't be used, or is not all there, is passed over.
                    Err(LoadCause::Lacks { .. } | LoadCause::ForeignSystem { .. } | LoadCause::Document { .. })
                        if depth > 0 =>
                    {
                        Ok(false)
                    }
                    Err(cause) => Err(cause),
                }
            }
        }
    }

    fn index(&mut self, index: &Index, platform: Option<&Platform>, depth: usize) -> Result<(), LoadCause> {
        for entry in &index.manifests {
            if entry.is_attestation() {
                self.attestation(entry)?;
            } else if media_type::is_index(&entry.media_type) || media_type::is_manifest(&entry.media_type) {
                self.walk(entry, entry.platform.as_ref().or(platform), depth + 1)?;
            }
        }
        Ok(())
    }

    /// Keeps what speaks about an image, as far as it is there.
    fn attestation(&mut self, entry: &Descriptor) -> Result<(), LoadCause> {
        if self.followed.insert(entry.digest, true).is_some() {
            return Ok(());
        }
        let Some(bytes) = self.document(entry, MAX_MANIFEST)? else { return Ok(()) };
        if let Document::Manifest(manifest) = parse(entry, &bytes)? {
            let parts = manifest.layers.iter().chain([&manifest.config]).map(|part| part.digest);
            self.others.blobs.extend(parts.filter(|digest| self.intake.blob(*digest).is_some()));
        }
        self.others.documents.push((BlobId(entry.digest), bytes));
        Ok(())
    }

    fn variant(
        &mut self,
        descriptor: &Descriptor,
        bytes: Bytes,
        manifest: &Manifest,
        platform: Option<&Platform>,
    ) -> Result<Variant, LoadCause> {
        let digest = descriptor.digest;
        let bad = |source| LoadCause::Document { digest, source };
        manifest.check_layers().map_err(bad)?;
        let id = manifest.config.digest;
        let lacks = |what, digest| LoadCause::Lacks { what, digest };
        let config_bytes = self.document(&manifest.config, MAX_CONFIG)?.ok_or(lacks("the config", id))?;
        let config = ImageConfig::parse(&config_bytes).map_err(|source| LoadCause::Document { digest: id, source })?;
        manifest.check_config(&config).map_err(bad)?;
        let found = check_system(&config)?;
        for (layer, diff) in manifest.layers.iter().zip(&config.diff_ids) {
            if !self.layer(layer, *diff)? {
                return Err(lacks("layer", layer.digest));
            }
        }
        Ok(Variant {
            platform: platform.cloned().map_or(found, Platform::normalize),
            documents: [(BlobId(id), config_bytes), (BlobId(digest), bytes)],
            layers: manifest.layers.iter().map(|layer| layer.digest).collect(),
            stack: config.diff_ids,
        })
    }

    /// Whether a layer is there. One that is and isn't what it should be is an error, wherever it is named.
    fn layer(&mut self, descriptor: &Descriptor, diff: DiffId) -> Result<bool, LoadCause> {
        if let Some(held) = self.intake.blob(descriptor.digest) {
            check_size(descriptor, held.size)?;
            check_layer(held, &blob_name(descriptor.digest), diff)?;
            return Ok(true);
        }
        self.intake.lease.hold_blob(BlobId(descriptor.digest));
        self.intake.lease.hold_layer(diff);
        Ok(self.inner.flights.is_stored(descriptor, diff)?)
    }

    /// A document from the archive, or else from the store; `None` when neither has it.
    fn document(&mut self, descriptor: &Descriptor, cap: u64) -> Result<Option<Bytes>, LoadCause> {
        let id = BlobId(descriptor.digest);
        let bytes = match self.intake.blob(descriptor.digest).map(|held| &held.item) {
            Some(Item::Document(bytes)) => bytes.clone(),
            _ => match self.intake.stored_document(id, cap)? {
                Some(bytes) => bytes,
                None => return Ok(None),
            },
        };
        check_size(descriptor, bytes.len() as u64)?;
        Ok(Some(bytes))
    }
}

fn parse(descriptor: &Descriptor, bytes: &[u8]) -> Result<Document, LoadCause> {
    Document::parse(Some(&descriptor.media_type), bytes)
        .map_err(|source| LoadCause::Document { digest: descriptor.digest, source })
}

fn check_size(descriptor: &Descriptor, got: u64) -> Result<(), LoadCause> {
    let (digest, want) = (descriptor.digest, descriptor.size);
    if want == got { Ok(()) } else { Err(LoadCause::Size { digest, want, got }) }
}

/// The platform of an image, if this daemon can unpack it.
pub(super) fn check_system(config: &ImageConfig) -> Result<Platform, LoadCause> {
    let platform = config.platform();
    if platform.os == "linux" { Ok(platform) } else { Err(LoadCause::ForeignSystem { os: platform.os }) }
}

/// Proves that a content is the layer of a diffID.
pub(super) fn check_layer(held: &Held, name: &str, diff: DiffId) -> Result<(), LoadCause> {
    let member = |source| LoadCause::Member { name: name.to_owned(), source };
    match (&held.item, held.diff) {
        (_, Some(found)) if found == diff => Ok(()),
        (_, Some(found)) => {
            let wrong = VerifyError::Digest { want: diff.0, got: found.0, size: held.size };
            Err(member(Arc::new(LayerError::WrongDiff(wrong))))
        }
        (Item::Blob(_, Some(why)), None) => Err(member(Arc::clone(why))),
        (_, None) => Err(ArchiveError::Member { name: name.to_owned(), reason: "it is no layer".to_owned() }.into()),
    }
}
