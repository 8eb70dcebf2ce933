//! Imports: from a tar with a root file system to an image of one layer.

pub(crate) mod changes;

use std::io::{self, BufReader};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::Stream;
use jiff::Timestamp;
use layer_compression::{Compression, Decoder};
use layer_digest::{BlobId, Digest, ImageId};
use layer_oci::media_type::{OCI_CONFIG, OCI_LAYER, OCI_MANIFEST};
use layer_oci::{Descriptor, Platform};
use layer_reference::Reference;
use layer_registry::RegistryError;
use serde_json::json;
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::body::{self, BodyReader};
use crate::content::{self, Content};
use crate::load::{LoadCause, LoadError};
use crate::naming::give_names;
use crate::stack::check_stack;
use crate::transfer::{Done, Inner};
pub use changes::{ChangeError, Changes};

/// How much of the tar is decompressed at a time.
const BUFFER: usize = 256 << 10;

/// What to import.
#[derive(Clone, Debug, Default)]
pub struct ImportRequest {
    /// The name that the image gets, if it gets one.
    pub name: Option<Reference>,
    /// What for.
    pub message: String,
    /// How to run it.
    pub changes: Changes,
    /// What it runs on; the host's platform if none is given.
    pub platform: Option<Platform>,
}

/// An import that somebody waits for. Dropping it stops it.
#[derive(Debug)]
pub struct Import(JoinHandle<Result<ImageId, LoadError>>);

impl Import {
    /// The image, once the whole body has been taken.
    ///
    /// # Errors
    ///
    /// When the tar can't be read or kept; there is no image then.
    pub async fn done(mut self) -> Result<ImageId, LoadError> {
        match (&mut self.0).await {
            Ok(result) => result,
            Err(error) => Err(LoadError { cause: Box::new(LoadCause::Task(io::Error::other(error))) }),
        }
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        // The thread finds the body broken off, and clears what it has made.
        self.0.abort();
    }
}

/// Imports what a client sends.
pub(crate) fn start<E: Send + 'static>(
    inner: Arc<Inner>,
    request: ImportRequest,
    body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
) -> Import {
    let (to_thread, reader) = body::channel();
    begin(inner, request, reader, to_thread.send(body))
}

/// Imports what this side fetches.
pub(crate) fn start_fetched(
    inner: Arc<Inner>,
    request: ImportRequest,
    body: impl Stream<Item = Result<Bytes, RegistryError>> + Send + 'static,
) -> Import {
    let (to_thread, reader) = body::channel();
    begin(inner, request, reader, to_thread.send_fetched(body))
}

fn begin(
    inner: Arc<Inner>,
    request: ImportRequest,
    reader: BodyReader,
    sending: impl Future<Output = ()> + Send + 'static,
) -> Import {
    let task = async move {
        let span = tracing::Span::current();
        let thread = tokio::task::spawn_blocking(move || span.in_scope(|| run(&inner, request, reader)));
        let (result, ()) = tokio::join!(thread, sending);
        let result = result.unwrap_or_else(|error| Err(LoadCause::Task(io::Error::other(error))));
        result.map_err(|cause| LoadError { cause: Box::new(cause) })
    };
    Import(tokio::spawn(task.instrument(tracing::info_span!("import"))))
}

fn run(inner: &Arc<Inner>, request: ImportRequest, body: BodyReader) -> Result<ImageId, LoadCause> {
    let store = &inner.store;
    let mut body = Packed::new(body)?;
    let failed = |error| LoadCause::taking(error, LoadCause::Import);
    let (layer, blob) =
        match content::take(store, inner.flights.writers(), &mut body.source, None, &mut |_| {}).map_err(failed)? {
            Content::Layer(layer, blob) => (layer, blob),
            Content::Blob(_, why) => return Err(LoadCause::Import(why)),
        };
    let media_type = format!("{OCI_LAYER}{}", body.suffix);
    let part = json!({"mediaType": media_type, "digest": blob.id(), "size": blob.size()});
    let created = Timestamp::now();
    let config = config(&request, &layer.id().to_string(), created);
    let config = serde_json::to_vec(&config).map_err(|error| LoadCause::Task(error.into()))?;
    let config_id = Digest::sha256(&config);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": config_id, "size": config.len()},
        "layers": [part],
    });
    let manifest = serde_json::to_vec(&manifest).map_err(|error| LoadCause::Task(error.into()))?;
    let target = Descriptor::new(OCI_MANIFEST, Digest::sha256(&manifest), manifest.len() as u64);

    let mut lease = store.lease();
    let diff = layer.id();
    lease.hold_layer(diff);
    for id in [blob.id(), BlobId(config_id), BlobId(target.digest)] {
        lease.hold_blob(id);
    }
    store.publish(vec![blob], vec![layer])?;
    check_stack(store, &[diff])?;
    store.put_blob(BlobId(config_id), &config)?;
    store.put_blob(BlobId(target.digest), &manifest)?;
    give_names(store, &target, request.name.as_slice())?;
    let image = ImageId(target.digest);
    store.touch(image);
    inner.done(Done::Imported(image, request.name.as_ref()));
    tracing::info!(%image, "imported");
    Ok(image)
}

/// The body as the blob that is kept: as it comes where layers may be packed so, or else unpacked.
struct Packed {
    source: Box<dyn io::BufRead>,
    suffix: &'static str,
}

impl Packed {
    fn new(mut body: BodyReader) -> Result<Self, LoadCause> {
        use std::io::Read as _;
        let mut head = Vec::with_capacity(Compression::SNIFF_LEN);
        body.by_ref().take(Compression::SNIFF_LEN as u64).read_to_end(&mut head).map_err(LoadCause::reading)?;
        let compression = Compression::sniff_archive(&head);
        let whole = io::Cursor::new(head).chain(body);
        Ok(match compression {
            Compression::None => Self { source: Box::new(whole), suffix: "" },
            Compression::Gzip => Self { source: Box::new(whole), suffix: "+gzip" },
            Compression::Zstd => Self { source: Box::new(whole), suffix: "+zstd" },
            Compression::Xz | Compression::Bzip2 => {
                let decoder = Decoder::of_archive(whole);
                Self { source: Box::new(BufReader::with_capacity(BUFFER, decoder)), suffix: "" }
            }
        })
    }
}

fn config(request: &ImportRequest, diff: &str, created: Timestamp) -> serde_json::Value {
    let platform = request.platform.clone().unwrap_or_else(Platform::host).normalize();
    let mut history = json!({"created": created});
    let mut config = json!({
        "architecture": platform.architecture,
        "os": platform.os,
        "created": created,
        "config": request.changes,
        "rootfs": {"type": "layers", "diff_ids": [diff]},
    });
    if let Some(variant) = &platform.variant {
        config["variant"] = variant.as_str().into();
    }
    if !request.message.is_empty() {
        config["comment"] = request.message.as_str().into();
        history["comment"] = request.message.as_str().into();
    }
    config["history"] = json!([history]);
    config
}
