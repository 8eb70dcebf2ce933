//! A registry that keeps what it gets, and goes wrong as told; and blobs to push to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::http::Method;
use axum::response::Response;
use bytes::Bytes;
use layer_digest::Digest;
use layer_registry::{
    BlobSource, BlobToPush, Chunks, Client, Options, PushClient, PushedBlob, UploadError, UploadProgress,
};
use tokio::sync::mpsc;

use crate::server::{Seen, Server, answer, options, refusal};

pub(crate) const UPLOADS: &str = "/v2/lib/app/blobs/uploads/";
pub(crate) const SIZE: usize = 100_000;

/// A blob in memory. It remembers which parts were read.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) bytes: Vec<u8>,
    pub(crate) reads: Mutex<Vec<(u64, u64)>>,
    pub(crate) fails: bool,
}

impl Memory {
    pub(crate) fn new(size: usize) -> Self {
        let bytes = (0..size).map(|at| (at * 7 + at / 251).to_le_bytes()[0]).collect();
        Self { bytes, ..Self::default() }
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::sha256(&self.bytes)
    }

    pub(crate) fn reads(&self) -> Vec<(u64, u64)> {
        self.reads.lock().unwrap().clone()
    }

    pub(crate) async fn push(&self, client: &PushClient) -> Result<PushedBlob, UploadError> {
        self.push_from(client, None).await
    }

    pub(crate) async fn push_from(
        &self,
        client: &PushClient,
        elsewhere: Option<&str>,
    ) -> Result<PushedBlob, UploadError> {
        let progress = Arc::new(UploadProgress::default());
        let (digest, size) = (self.digest(), self.bytes.len() as u64);
        let pushed = client.push_blob(&BlobToPush { digest, size, source: self, elsewhere, progress: &progress }).await;
        if matches!(pushed, Ok(PushedBlob::Uploaded)) {
            assert_eq!((progress.sent(), progress.retrying()), (size, None));
        }
        pushed
    }
}

impl BlobSource for Memory {
    fn read(&self, offset: u64, length: u64) -> mpsc::Receiver<std::io::Result<Bytes>> {
        self.reads.lock().unwrap().push((offset, length));
        let range = usize::try_from(offset).unwrap()..usize::try_from(offset + length).unwrap();
        let mut chunks: Vec<_> =
            self.bytes[range].chunks(1000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        if self.fails {
            chunks.truncate(3);
            chunks.push(Err(std::io::Error::other("bad sector")));
        }
        let (sender, receiver) = mpsc::channel(chunks.len().max(1));
        for chunk in chunks {
            sender.try_send(chunk).unwrap();
        }
        receiver
    }
}

/// What a registry keeps.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) blobs: HashMap<String, Bytes>,
    pub(crate) uploads: HashMap<String, Vec<u8>>,
}

/// A registry as the specification has it. `first` may answer in its place; it is told how many requests of that method came before.
pub(crate) struct Fake {
    pub(crate) server: Server,
    pub(crate) kept: Arc<Mutex<Kept>>,
}

pub(crate) type First = dyn Fn(&Seen, usize, &mut Kept) -> Option<Response> + Send + Sync;

impl Fake {
    pub(crate) async fn start(
        first: impl Fn(&Seen, usize, &mut Kept) -> Option<Response> + Send + Sync + 'static,
    ) -> Self {
        let (kept, first): (_, Box<First>) = (Arc::new(Mutex::new(Kept::default())), Box::new(first));
        let (counts, shared) = (Mutex::new(HashMap::<Method, usize>::new()), Arc::clone(&kept));
        let server = Server::start(move |seen, _| {
            let before = {
                let mut counts = counts.lock().unwrap();
                let count = counts.entry(seen.method.clone()).or_default();
                *count += 1;
                *count - 1
            };
            let mut kept = shared.lock().unwrap();
            first(seen, before, &mut kept).unwrap_or_else(|| serve(seen, &mut kept))
        })
        .await;
        Self { server, kept }
    }

    pub(crate) fn client_with(&self, options: Options) -> PushClient {
        Client::new(options).unwrap().pushing(&self.server.repository(), None)
    }

    pub(crate) fn client(&self) -> PushClient {
        self.client_with(options())
    }

    /// A client that sends chunks of 30 000 bytes.
    pub(crate) fn in_chunks(&self) -> PushClient {
        self.client().with_chunks(Chunks { above: 0, size: 30_000 })
    }

    pub(crate) fn has(&self, blob: &Memory) -> bool {
        self.kept.lock().unwrap().blobs.get(&blob.digest().to_string()).is_some_and(|kept| *kept == blob.bytes)
    }

    /// The requests after the probe for TLS, in short.
    pub(crate) fn story(&self) -> Vec<String> {
        let requests = self.server.seen();
        let requests = requests.iter().filter(|seen| seen.path != "/v2/");
        let short = |seen: &Seen| match seen.header("content-range") {
            Some(range) => format!("{} {range}", seen.method),
            None => format!("{} {}", seen.method, seen.body.len()),
        };
        requests.map(short).collect()
    }
}

/// Answers as a registry that does all right.
pub(crate) fn serve(seen: &Seen, kept: &mut Kept) -> Response {
    let id = seen.path.strip_prefix(UPLOADS).unwrap_or_default().to_owned();
    let location = |id: &str| format!("{UPLOADS}{id}?_state=a%2Fb");
    match seen.method {
        Method::HEAD => {
            let digest = seen.path.rsplit('/').next().unwrap();
            answer(if kept.blobs.contains_key(digest) { 200 } else { 404 }, &[], "")
        }
        Method::POST => {
            let id = kept.uploads.len().to_string();
            kept.uploads.insert(id.clone(), Vec::new());
            answer(202, &[("location", &location(&id)), ("range", "0-0")], "")
        }
        _ if !kept.uploads.contains_key(&id) || !seen.query.starts_with("_state=a%2Fb") => {
            refusal(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        }
        Method::GET => {
            let last = kept.uploads[&id].len().saturating_sub(1);
            answer(204, &[("location", &location(&id)), ("range", &format!("0-{last}"))], "")
        }
        Method::PATCH => {
            let held = kept.uploads.get_mut(&id).unwrap();
            let first = seen.header("content-range").unwrap().split_once('-').unwrap().0;
            if first != held.len().to_string() {
                return refusal(416, "RANGE_INVALID", "not the next chunk");
            }
            held.extend_from_slice(&seen.body);
            let last = held.len() - 1;
            answer(202, &[("location", &location(&id)), ("range", &format!("0-{last}"))], "")
        }
        Method::PUT => {
            let mut held = kept.uploads.remove(&id).unwrap();
            held.extend_from_slice(&seen.body);
            let digest = Digest::sha256(&held).to_string();
            if !seen.query.ends_with(&digest.replace(':', "%3A")) {
                return refusal(400, "DIGEST_INVALID", "provided digest did not match uploaded content");
            }
            kept.blobs.insert(digest.clone(), held.into());
            answer(201, &[("docker-content-digest", &digest)], "")
        }
        _ => answer(405, &[], ""),
    }
}
