//! What is in an archive, taken in member by member.

use std::collections::HashMap;
use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use layer_archive::{INDEX_FILE, LAYOUT_FILE, MANIFEST_FILE, Member, Reader, blob_digest, is_tar_start};
use layer_compression::Compression;
use layer_digest::{BlobId, DiffId, Digest, VerifyError};
use layer_oci::Descriptor;
use layer_store::{Lease, SealedBlob, SealedLayer, Store, StoreError};
use layer_unpack::Writers;

use super::{LoadCause, LoadEvent, Teller};
use crate::LayerError;
use crate::content::{self, Content, TakeError};

/// The largest table of contents, as of a manifest.
const MAX_TABLE: u64 = 4 << 20;

/// The largest document: what a config may have.
const MAX_DOCUMENT: u64 = 8 << 20;

/// What all documents together may have; they are kept in memory until the tables have been read.
const MAX_DOCUMENTS: u64 = 32 << 20;

/// How much of a member is looked at to tell what it is: a block of a tar.
const HEAD: usize = 512;

/// How often progress is told. People can't follow more, and programs don't need it.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// What a member turned out to be.
pub(super) enum Item {
    /// A document: bytes of JSON.
    Document(Bytes),
    /// A layer, which nobody sees yet.
    Layer(Box<(SealedLayer, SealedBlob)>),
    /// A blob that no layer can be made of, and why not where somebody has tried.
    Blob(Box<SealedBlob>, Option<Arc<LayerError>>),
    /// A layer that the store has already, with its blob.
    Stored,
    /// It has been taken out to be published.
    Taken,
}

/// A member's content, each once.
pub(super) struct Held {
    pub(super) blob: BlobId,
    pub(super) size: u64,
    /// What a layer is packed with.
    pub(super) compression: Compression,
    /// What a layer decompresses to.
    pub(super) diff: Option<DiffId>,
    pub(super) item: Item,
}

/// All that has been taken in of an archive.
pub(super) struct Intake<'a> {
    store: &'a Arc<Store>,
    writers: &'a Writers,
    teller: &'a Teller,
    /// On all that was found in the store.
    pub(super) lease: Lease,
    held: Vec<Held>,
    by_blob: HashMap<BlobId, usize>,
    by_name: HashMap<String, usize>,
    document_bytes: u64,
    /// Documents that were read from the store.
    read: HashMap<BlobId, Bytes>,
    pub(super) layout: Option<Vec<u8>>,
    pub(super) index: Option<Vec<u8>>,
    pub(super) manifest: Option<Vec<u8>>,
}

impl<'a> Intake<'a> {
    pub(super) fn new(store: &'a Arc<Store>, writers: &'a Writers, teller: &'a Teller) -> Self {
        Self {
            store,
            writers,
            teller,
            lease: store.lease(),
            held: Vec::new(),
            by_blob: HashMap::new(),
            by_name: HashMap::new(),
            document_bytes: 0,
            read: HashMap::new(),
            layout: None,
            index: None,
            manifest: None,
        }
    }

    /// Takes in the next member.
    pub(super) fn member<R: BufRead>(&mut self, archive: &mut Reader<R>, member: Member) -> Result<(), LoadCause> {
        match member.name.as_str() {
            LAYOUT_FILE => self.layout = Some(archive.small(&member, MAX_TABLE)?),
            INDEX_FILE => self.index = Some(archive.small(&member, MAX_TABLE)?),
            MANIFEST_FILE => self.manifest = Some(archive.small(&member, MAX_TABLE)?),
            _ => self.content(archive, member)?,
        }
        Ok(())
    }

    /// Takes in a member that may be a document or a layer.
    fn content<R: BufRead>(&mut self, archive: &mut Reader<R>, member: Member) -> Result<(), LoadCause> {
        let promised = blob_digest(&member.name).map(|digest| (BlobId(digest), member.size));
        let mut source = Source::new(archive)?;
        let looks = Looks::of(&member, &source.head);
        let compression = Compression::sniff(&source.head);
        let mut tell = progress(self.teller, &member);
        let failed = |error| {
            LoadCause::taking(error, |source| LoadCause::Member { name: member.name.clone(), source: Arc::new(source) })
        };
        let held = match (looks, promised) {
            // What a v1 image had beside its layers, notes, and what else people put in.
            (Looks::Other, None) => return Ok(()),
            (Looks::Document, _) => {
                let bytes = source.whole().map_err(|error| failed(TakeError::Source(error)))?;
                self.document(&member, bytes, promised)?
            }
            (Looks::Other, Some(promised)) => {
                let blob = content::keep(self.store, &mut source, promised, &mut tell).map_err(failed)?;
                let Some(blob) = blob else { return Ok(()) };
                Held {
                    blob: promised.0,
                    size: promised.1,
                    compression,
                    diff: None,
                    item: Item::Blob(Box::new(blob), None),
                }
            }
            (Looks::Layer, Some((blob, size))) if self.is_stored(blob, size)? => {
                content::prove(&mut source, (blob, size), &mut tell).map_err(failed)?;
                Held { blob, size, compression, diff: self.store.known_diff(blob), item: Item::Stored }
            }
            (Looks::Layer, promised) => {
                match content::take(self.store, self.writers, &mut source, promised, &mut tell).map_err(failed)? {
                    Content::Layer(layer, blob) => Held {
                        blob: blob.id(),
                        size: blob.size(),
                        compression,
                        diff: Some(layer.id()),
                        item: Item::Layer(Box::new((layer, blob))),
                    },
                    Content::Blob(blob, why) => Held {
                        blob: blob.id(),
                        size: blob.size(),
                        compression,
                        diff: None,
                        item: Item::Blob(Box::new(blob), Some(Arc::new(why))),
                    },
                }
            }
        };
        // The same content under two names is there once; the second copy is removed.
        let at = match self.by_blob.get(&held.blob) {
            Some(at) => *at,
            None => {
                self.by_blob.insert(held.blob, self.held.len());
                self.held.push(held);
                self.held.len() - 1
            }
        };
        self.by_name.insert(member.name, at);
        Ok(())
    }

    /// A document of the store, which stays there; `None` when there is none, or it is damaged.
    pub(super) fn stored_document(&mut self, id: BlobId, cap: u64) -> Result<Option<Bytes>, LoadCause> {
        if let Some(bytes) = self.read.get(&id) {
            return Ok(Some(bytes.clone()));
        }
        self.lease.hold_blob(id);
        let bytes = match self.store.read_blob(id, cap) {
            Ok(bytes) => Bytes::from(bytes),
            Err(StoreError::NoBlob(_) | StoreError::Damaged(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        self.count_document(bytes.len())?;
        self.read.insert(id, bytes.clone());
        Ok(Some(bytes))
    }

    fn count_document(&mut self, len: usize) -> Result<(), LoadCause> {
        self.document_bytes = self.document_bytes.saturating_add(len as u64);
        if self.document_bytes > MAX_DOCUMENTS {
            return Err(LoadCause::TooManyDocuments { limit: MAX_DOCUMENTS });
        }
        Ok(())
    }

    fn document(
        &mut self,
        member: &Member,
        bytes: Vec<u8>,
        promised: Option<(BlobId, u64)>,
    ) -> Result<Held, LoadCause> {
        self.count_document(bytes.len())?;
        let blob = promised.map_or_else(|| BlobId(Digest::sha256(&bytes)), |(blob, _)| blob);
        let got = Digest::of(blob.0.algorithm(), &bytes);
        if got != blob.0 {
            let (want, size) = (blob.0, bytes.len() as u64);
            let source = Arc::new(LayerError::Verify(VerifyError::Digest { want, got, size }));
            return Err(LoadCause::Member { name: member.name.clone(), source });
        }
        let size = bytes.len() as u64;
        Ok(Held { blob, size, compression: Compression::None, diff: None, item: Item::Document(bytes.into()) })
    }

    /// Whether the store has a blob and its layer. What is there then, stays.
    fn is_stored(&mut self, blob: BlobId, size: u64) -> Result<bool, LoadCause> {
        self.lease.hold_blob(blob);
        let Some(diff) = self.store.known_diff(blob) else { return Ok(false) };
        self.lease.hold_layer(diff);
        Ok(self.store.has_blob(&Descriptor::new("", blob.0, size))? && self.store.has_layer(diff)?)
    }

    /// The content of a member.
    pub(super) fn named(&self, name: &str) -> Option<&Held> {
        self.by_name.get(name).map(|at| &self.held[*at])
    }

    /// The content of a digest.
    pub(super) fn blob(&self, digest: Digest) -> Option<&Held> {
        self.by_blob.get(&BlobId(digest)).map(|at| &self.held[*at])
    }

    /// Removes what is left, and gives the lease on what was found in the store.
    pub(super) fn into_lease(self) -> Lease {
        self.lease
    }

    /// Takes a content out, to be published. `None` when it isn't there or has been taken before.
    pub(super) fn take(&mut self, digest: Digest) -> Option<Item> {
        let at = *self.by_blob.get(&BlobId(digest))?;
        match std::mem::replace(&mut self.held[at].item, Item::Taken) {
            Item::Taken => None,
            item => Some(item),
        }
    }
}

/// What a member is by its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looks {
    Document,
    Layer,
    Other,
}

impl Looks {
    fn of(member: &Member, head: &[u8]) -> Self {
        let is_packed = Compression::sniff(head) != Compression::None;
        // Nothing at all is a tar without entries.
        let is_tar = is_tar_start(head) || (head.is_empty() && member.name.ends_with(".tar"));
        // A tar may begin with a brace, too, since any file may be called so.
        if is_packed || is_tar {
            return Self::Layer;
        }
        let first = head.iter().find(|byte| !byte.is_ascii_whitespace());
        let is_json = matches!(first, Some(b'{' | b'['));
        let matters = member.size <= MAX_DOCUMENT && !is_relic(&member.name);
        if is_json && matters { Self::Document } else { Self::Other }
    }
}

/// Whether a member is one that nobody has read since docker 1.10.
fn is_relic(name: &str) -> bool {
    name == "repositories" || name.ends_with("/json")
}

/// Tells how much of a layer has come, now and then.
fn progress(teller: &Teller, member: &Member) -> impl FnMut(u64) + use<> {
    let id = match blob_digest(&member.name) {
        Some(digest) => digest.short(),
        None => member.name.chars().take(12).collect(),
    };
    let (teller, total) = (teller.clone(), member.size);
    let mut told = Instant::now();
    move |done| {
        if done == total || told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            teller.progress(LoadEvent::Layer { id: id.clone(), done, total });
        }
    }
}

/// The current member as a stream, its beginning read ahead.
struct Source<'a, R> {
    archive: &'a mut Reader<R>,
    head: Vec<u8>,
    /// How much of the head has been given.
    at: usize,
}

impl<'a, R: BufRead> Source<'a, R> {
    fn new(archive: &'a mut Reader<R>) -> Result<Self, LoadCause> {
        let mut head = Vec::with_capacity(HEAD);
        while head.len() < HEAD {
            let data = archive.data()?;
            if data.is_empty() {
                break;
            }
            let len = data.len().min(HEAD - head.len());
            head.extend_from_slice(&data[..len]);
            archive.consume(len);
        }
        Ok(Self { archive, head, at: 0 })
    }

    fn whole(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl<R: BufRead> Read for Source<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let len = bytes.len().min(buf.len());
        buf[..len].copy_from_slice(&bytes[..len]);
        self.consume(len);
        Ok(len)
    }
}

impl<R: BufRead> BufRead for Source<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at < self.head.len() {
            return Ok(&self.head[self.at..]);
        }
        self.archive.data().map_err(io::Error::other)
    }

    fn consume(&mut self, amount: usize) {
        if self.at < self.head.len() {
            self.at += amount;
        } else {
            self.archive.consume(amount);
        }
    }
}
