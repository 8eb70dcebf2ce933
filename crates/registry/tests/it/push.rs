//! Pushes to a registry that keeps what it gets, and goes wrong as told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::http::Method;
use axum::response::Response;
use bytes::Bytes;
use layer_digest::Digest;
use layer_reference::Repository;
use layer_registry::{
    BlobSource, BlobToPush, Chunks, Client, Kind, ManifestAt, ManifestToPush, Options, PushClient, PushedBlob,
    UploadError, UploadProgress,
};
use tokio::sync::mpsc;

use crate::server::{Seen, Server, answer, options, refusal};

const UPLOADS: &str = "/v2/lib/app/blobs/uploads/";
const SIZE: usize = 100_000;

/// A blob in memory. It remembers which parts were read.
#[derive(Default)]
struct Memory {
    bytes: Vec<u8>,
    reads: Mutex<Vec<(u64, u64)>>,
    fails: bool,
}

impl Memory {
    fn new(size: usize) -> Self {
        let bytes = (0..size).map(|at| (at * 7 + at / 251).to_le_bytes()[0]).collect();
        Self { bytes, ..Self::default() }
    }

    fn digest(&self) -> Digest {
        Digest::sha256(&self.bytes)
    }

    fn reads(&self) -> Vec<(u64, u64)> {
        self.reads.lock().unwrap().clone()
    }

    async fn push(&self, client: &PushClient) -> Result<PushedBlob, UploadError> {
        self.push_from(client, None).await
    }

    async fn push_from(&self, client: &PushClient, elsewhere: Option<&str>) -> Result<PushedBlob, UploadError> {
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
struct Kept {
    blobs: HashMap<String, Bytes>,
    uploads: HashMap<String, Vec<u8>>,
}

/// A registry as the specification has it. `first` may answer in its place; it is told how many requests of that method came before.
struct Fake {
    server: Server,
    kept: Arc<Mutex<Kept>>,
}

type First = dyn Fn(&Seen, usize, &mut Kept) -> Option<Response> + Send + Sync;

impl Fake {
    async fn start(first: impl Fn(&Seen, usize, &mut Kept) -> Option<Response> + Send + Sync + 'static) -> Self {
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

    fn client_with(&self, options: Options) -> PushClient {
        Client::new(options).unwrap().pushing(&self.server.repository(), None)
    }

    fn client(&self) -> PushClient {
        self.client_with(options())
    }

    /// A client that sends chunks of 30 000 bytes.
    fn in_chunks(&self) -> PushClient {
        self.client().with_chunks(Chunks { above: 0, size: 30_000 })
    }

    fn has(&self, blob: &Memory) -> bool {
        self.kept.lock().unwrap().blobs.get(&blob.digest().to_string()).is_some_and(|kept| *kept == blob.bytes)
    }

    /// The requests after the probe for TLS, in short.
    fn story(&self) -> Vec<String> {
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
fn serve(seen: &Seen, kept: &mut Kept) -> Response {
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

#[tokio::test]
async fn a_blob_is_sent_in_one_piece_to_where_the_registry_says() {
    let fake = Fake::start(|_, _, _| None).await;
    let blob = Memory::new(SIZE);
    assert_eq!(blob.push(&fake.client()).await.unwrap(), PushedBlob::Uploaded);
    assert!(fake.has(&blob));
    assert_eq!(fake.story(), ["HEAD 0", "POST 0", "PUT 100000"]);
    let seen = fake.server.seen();
    let put = seen.last().unwrap();
    assert_eq!(put.path, format!("{UPLOADS}0"));
    assert_eq!(put.query, format!("_state=a%2Fb&digest={}", blob.digest().to_string().replace(':', "%3A")));
    assert_eq!((put.header("content-length"), put.header("transfer-encoding")), (Some("100000"), None));
    assert_eq!(put.header("content-type"), Some("application/octet-stream"));
    // The second time there is nothing to do, and nothing is read.
    assert_eq!(blob.push(&fake.client()).await.unwrap(), PushedBlob::Existed);
    assert_eq!(fake.story().len(), 4);
    assert_eq!(blob.reads(), [(0, SIZE as u64)]);
    let empty = Memory::new(0);
    assert_eq!(empty.push(&fake.client()).await.unwrap(), PushedBlob::Uploaded);
    assert!(fake.has(&empty));
}

#[tokio::test]
async fn a_blob_of_another_repository_is_mounted() {
    let fake = Fake::start(|seen, _, _| seen.query.contains("mount=").then(|| answer(201, &[], ""))).await;
    let blob = Memory::new(SIZE);
    let pushed = blob.push_from(&fake.client(), Some("lib/base")).await.unwrap();
    assert_eq!(pushed, PushedBlob::Mounted("lib/base".to_owned()));
    assert_eq!(fake.story(), ["HEAD 0", "POST 0"]);
    assert_eq!(fake.server.seen().last().unwrap().query, format!("mount={}&from=lib/base", blob.digest()));
    assert!(blob.reads().is_empty());
}

#[tokio::test]
async fn a_mount_that_can_not_be_had_becomes_an_upload() {
    // A registry that wants the bytes opens an upload for them at once; one that forbids the mount has to be asked anew.
    for (status, story) in [(None, 3), (Some(401), 4), (Some(403), 4), (Some(404), 4)] {
        let fake = Fake::start(move |seen, _, _| {
            status.filter(|_| seen.query.contains("mount=")).map(|status| refusal(status, "DENIED", "no"))
        })
        .await;
        let blob = Memory::new(SIZE);
        assert_eq!(blob.push_from(&fake.client(), Some("lib/base")).await.unwrap(), PushedBlob::Uploaded);
        assert!(fake.has(&blob));
        assert_eq!(fake.story().len(), story, "{status:?}");
    }
}

#[tokio::test]
async fn a_large_blob_is_sent_in_chunks() {
    let fake = Fake::start(|_, _, _| None).await;
    let blob = Memory::new(SIZE);
    blob.push(&fake.in_chunks()).await.unwrap();
    assert!(fake.has(&blob));
    let chunks = ["PATCH 0-29999", "PATCH 30000-59999", "PATCH 60000-89999", "PATCH 90000-99999"];
    assert_eq!(fake.story()[2..6], chunks);
    assert_eq!(fake.story()[6..], ["PUT 0"]);
}

#[tokio::test]
async fn a_registry_gets_the_chunks_that_it_wants() {
    let fake = Fake::start(|seen, _, kept| {
        let wants = |kept| {
            let mut answer = serve(seen, kept);
            answer.headers_mut().insert("oci-chunk-min-length", "40000".parse().unwrap());
            answer
        };
        (seen.method == Method::POST).then(|| wants(kept))
    })
    .await;
    let blob = Memory::new(SIZE);
    let client = fake.client().with_chunks(Chunks { above: u64::MAX, size: 10 });
    blob.push(&client).await.unwrap();
    assert_eq!(fake.story()[2..], ["PATCH 0-39999", "PATCH 40000-79999", "PATCH 80000-99999", "PUT 0"]);
}

#[tokio::test]
async fn what_the_registry_has_kept_is_not_sent_again() {
    // The second chunk is kept in part, and the answer is a failure.
    let fake = Fake::start(|seen, before, kept| {
        (seen.method == Method::PATCH && before == 1).then(|| {
            kept.uploads.get_mut("0").unwrap().extend_from_slice(&seen.body[..12_345]);
            answer(503, &[], "")
        })
    })
    .await;
    let blob = Memory::new(SIZE);
    blob.push(&fake.in_chunks()).await.unwrap();
    assert!(fake.has(&blob));
    let story = fake.story();
    assert_eq!(story[3..7], ["PATCH 30000-59999", "GET 0", "PATCH 42345-72344", "PATCH 72345-99999"]);
    assert_eq!(fake.server.count(UPLOADS), 1);
}

#[tokio::test]
async fn a_piece_that_broke_off_is_gone_on_with() {
    // Sent in one piece, kept in part.
    let fake = Fake::start(|seen, before, kept| {
        (seen.method == Method::PUT && before == 0).then(|| {
            kept.uploads.get_mut("0").unwrap().extend_from_slice(&seen.body[..70_000]);
            answer(500, &[], "")
        })
    })
    .await;
    let blob = Memory::new(SIZE);
    blob.push(&fake.client()).await.unwrap();
    assert!(fake.has(&blob));
    assert_eq!(fake.story()[3..], ["GET 0", "PATCH 70000-99999", "PUT 0"]);
}

#[tokio::test]
async fn an_answer_that_was_lost_does_not_send_the_blob_twice() {
    let fake = Fake::start(|seen, before, kept| {
        (seen.method == Method::PUT && before == 0).then(|| {
            serve(seen, kept);
            answer(502, &[], "")
        })
    })
    .await;
    let blob = Memory::new(SIZE);
    blob.push(&fake.client()).await.unwrap();
    assert_eq!(fake.story(), ["HEAD 0", "POST 0", "PUT 100000", "GET 0", "HEAD 0"]);
}

#[tokio::test]
async fn a_registry_that_is_out_of_step_is_asked_where_it_is() {
    // It has dropped the half of the first chunk without saying so.
    let fake = Fake::start(|seen, before, kept| {
        (seen.method == Method::PATCH && before == 1).then(|| {
            kept.uploads.get_mut("0").unwrap().truncate(15_000);
            serve(seen, kept)
        })
    })
    .await;
    let blob = Memory::new(SIZE);
    blob.push(&fake.in_chunks()).await.unwrap();
    assert!(fake.has(&blob));
    assert_eq!(fake.story()[3..6], ["PATCH 30000-59999", "GET 0", "PATCH 15000-44999"]);
}

#[tokio::test]
async fn an_upload_that_the_registry_forgot_begins_anew() {
    let fake = Fake::start(|seen, before, kept| {
        (seen.method == Method::PATCH && before == 2).then(|| {
            kept.uploads.remove("0");
            kept.uploads.insert("other".to_owned(), Vec::new());
            serve(seen, kept)
        })
    })
    .await;
    let blob = Memory::new(SIZE);
    blob.push(&fake.in_chunks()).await.unwrap();
    assert!(fake.has(&blob));
    assert_eq!(fake.server.count(UPLOADS), 2);
}

#[tokio::test]
async fn a_registry_without_chunks_gets_all_in_one() {
    for status in [400, 405, 413, 416, 501] {
        let fake = Fake::start(move |seen, _, _| {
            (seen.method == Method::PATCH).then(|| refusal(status, "UNSUPPORTED", "no chunks"))
        })
        .await;
        let blob = Memory::new(SIZE);
        let pushed = blob.push(&fake.in_chunks()).await;
        if status == 416 {
            // It might have been out of step, and never is in step again.
            assert!(matches!(pushed, Err(UploadError::GivenUp { at: 0, .. })), "{pushed:?}");
            continue;
        }
        pushed.unwrap();
        assert!(fake.has(&blob));
        assert_eq!(fake.story()[2..], ["PATCH 0-29999", "POST 0", "PUT 100000"], "{status}");
    }
}

#[tokio::test]
async fn the_token_is_for_pushing_and_renewed_in_the_middle() {
    let (tokens, good) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (issued, valid, ran_out) = (Arc::clone(&tokens), Arc::clone(&good), AtomicBool::new(false));
    let fake = Fake::start(move |seen, _, _| {
        if seen.path == "/token" {
            let number = issued.fetch_add(1, Ordering::SeqCst) + 1;
            valid.store(number, Ordering::SeqCst);
            return Some(answer(200, &[], format!(r#"{{"token":"t{number}"}}"#)));
        }
        if seen.path == "/v2/" {
            return None;
        }
        // The second chunk finds that the token has run out.
        let second = seen.header("content-range").is_some_and(|range| range.starts_with("30000-"));
        if second && !ran_out.swap(true, Ordering::SeqCst) {
            valid.store(0, Ordering::SeqCst);
        }
        let host = seen.header("host").unwrap();
        let good = format!("Bearer t{}", valid.load(Ordering::SeqCst));
        (seen.authorization() != Some(&good)).then(|| {
            let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"s\",scope=\"repository:x:*\"");
            answer(401, &[("www-authenticate", &challenge)], "")
        })
    })
    .await;
    let blob = Memory::new(SIZE);
    blob.push_from(&fake.in_chunks(), Some("lib/base")).await.unwrap();
    assert!(fake.has(&blob));
    let asked: Vec<_> =
        fake.server.seen().iter().filter(|seen| seen.path == "/token").map(|seen| seen.query.clone()).collect();
    let (push, pull) = ("scope=repository%3Alib%2Fapp%3Apull%2Cpush", "scope=repository%3Alib%2Fbase%3Apull");
    assert_eq!(asked[0], format!("{push}&service=s"));
    assert_eq!(asked[1], format!("{push}&{pull}&service=s"));
    assert!(asked[2..].iter().all(|query| *query == asked[0]) && asked.len() >= 3, "{asked:?}");
    // No byte was taken twice.
    assert_eq!(fake.story().iter().filter(|line| line.starts_with("PATCH 30000-")).count(), 2);
}

#[tokio::test]
async fn another_host_gets_the_bytes_and_no_login() {
    let storage = Server::start(|seen, _| match seen.method {
        Method::PUT => answer(201, &[], ""),
        _ => answer(405, &[], ""),
    })
    .await;
    let elsewhere = storage.url("/bucket/1?signature=abc%2Bd");
    let fake = Fake::start(move |seen, _, _| {
        if seen.path == "/v2/" {
            return None;
        }
        if seen.authorization().is_none() {
            return Some(answer(401, &[("www-authenticate", "Basic realm=\"x\"")], ""));
        }
        (seen.method == Method::POST).then(|| answer(202, &[("location", &elsewhere)], ""))
    })
    .await;
    let credentials = layer_registry::Credentials::basic("bob", "secret");
    let client = Client::new(options()).unwrap().pushing(&fake.server.repository(), Some(credentials));
    let blob = Memory::new(SIZE);
    blob.push(&client).await.unwrap();
    let seen = storage.seen();
    let put = seen.last().unwrap();
    assert_eq!((put.authorization(), put.body.len()), (None, SIZE));
    assert!(put.query.starts_with("signature=abc%2Bd&digest=sha256%3A"), "{}", put.query);
    assert!(seen.iter().all(|seen| seen.authorization().is_none()));
    assert!(fake.server.seen().iter().any(|seen| seen.authorization().is_some()));
}

#[tokio::test]
async fn a_redirect_takes_the_body_along() {
    let storage = Server::start(|_, _| answer(201, &[], "")).await;
    let elsewhere = storage.url("/there");
    let fake = Fake::start(move |seen, _, _| {
        (seen.method == Method::PUT).then(|| answer(307, &[("location", &elsewhere)], ""))
    })
    .await;
    let blob = Memory::new(SIZE);
    blob.push(&fake.client()).await.unwrap();
    assert_eq!(storage.seen().last().unwrap().body, blob.bytes);
}

#[tokio::test]
async fn troubles_pass_and_refusals_stay() {
    for (status, passes) in
        [(429, true), (500, true), (503, true), (401, false), (403, false), (413, false), (507, false)]
    {
        let fake = Fake::start(move |seen, before, _| {
            (seen.method == Method::POST && (before < 2 || !passes))
                .then(|| answer(status, &[("retry-after", "0")], ""))
        })
        .await;
        let blob = Memory::new(SIZE);
        let pushed = blob.push(&fake.client()).await;
        assert_eq!(pushed.is_ok(), passes, "{status}");
        assert_eq!(fake.server.count(UPLOADS), if passes { 3 } else { 1 }, "{status}");
        if let Err(error) = pushed {
            let refusal = error.registry().and_then(|error| error.refusal()).unwrap();
            assert_eq!(refusal.status.as_u16(), status);
        }
    }
}

#[tokio::test]
async fn a_registry_that_keeps_failing_is_given_up() {
    let fake =
        Fake::start(|seen, before, _| (seen.method == Method::PATCH && before > 0).then(|| answer(500, &[], ""))).await;
    let blob = Memory::new(SIZE);
    let error = blob.push(&fake.in_chunks()).await.unwrap_err();
    assert_eq!(error.to_string(), "at byte 30000 of 100000, after 5 tries");
    assert_eq!(error.registry().unwrap().kind(), Kind::Unavailable);
}

#[tokio::test]
async fn bytes_that_are_not_the_blob_s_are_refused_after_a_second_try() {
    let fake = Fake::start(|seen, _, kept| {
        if seen.method == Method::PUT {
            // As if a proxy had changed a byte.
            kept.uploads.values_mut().for_each(|held| held.push(1));
        }
        None
    })
    .await;
    let blob = Memory::new(SIZE);
    let error = blob.push(&fake.client()).await.unwrap_err();
    assert!(matches!(error, UploadError::Rejected(_)), "{error}");
    assert_eq!(blob.reads().len(), 2);
}

#[tokio::test]
async fn a_source_that_fails_is_not_the_registry_s_fault() {
    let fake = Fake::start(|_, _, _| None).await;
    let blob = Memory { fails: true, ..Memory::new(SIZE) };
    let error = blob.push(&fake.client()).await.unwrap_err();
    assert!(matches!(&error, UploadError::Source(source) if source.to_string() == "bad sector"), "{error:?}");
    assert_eq!(blob.reads().len(), 1);
}

/// A registry that opens uploads and takes nothing that is sent to them: it answers 413 before it has read it, or never. Tells how many it was sent.
async fn deaf(refuses: bool) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let puts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&puts);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        // TLS, or the end.
                        Ok(byte) if !head.is_empty() || byte.is_ascii_uppercase() => head.push(byte),
                        _ => return,
                    }
                }
                let answer = match &head[..4] {
                    b"POST" => "202 Accepted\r\nLocation: /upload",
                    b"PUT " => {
                        counted.fetch_add(1, Ordering::SeqCst);
                        if !refuses {
                            return std::future::pending().await;
                        }
                        "413 Payload Too Large"
                    }
                    _ => "404 Not Found",
                };
                let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
                // What is still on its way is let in, or the answer would be lost with the connection.
                stream.shutdown().await.unwrap();
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            });
        }
    });
    (address, puts)
}

#[tokio::test]
async fn a_registry_that_stops_reading_counts_as_broken() {
    let (address, puts) = deaf(false).await;
    let mut options = options();
    options.retry.tries = 2;
    let repository = Repository::parse(&format!("{address}/lib/app")).unwrap();
    let client = Client::new(options).unwrap().pushing(&repository, None);
    // More than all the buffers on the way hold.
    let blob = Memory { bytes: vec![7; 24 << 20], ..Memory::default() };
    let error = blob.push(&client).await.unwrap_err();
    assert_eq!(error.to_string(), format!("at byte 0 of {}, after 2 tries", 24 << 20));
    assert_eq!((error.registry().unwrap().kind(), puts.load(Ordering::SeqCst)), (Kind::Timeout, 2));
}

#[tokio::test]
async fn a_refusal_is_heard_while_the_body_is_still_on_its_way() {
    let (address, puts) = deaf(true).await;
    let repository = Repository::parse(&format!("{address}/lib/app")).unwrap();
    let client = Client::new(options()).unwrap().pushing(&repository, None);
    let blob = Memory { bytes: vec![7; 24 << 20], ..Memory::default() };
    let error = blob.push(&client).await.unwrap_err();
    let refusal = error.registry().and_then(|error| error.refusal()).unwrap();
    assert_eq!((refusal.status.as_u16(), puts.load(Ordering::SeqCst)), (413, 1));
}

#[tokio::test]
async fn a_token_server_that_gives_no_right_to_the_other_repository_does_not_stop_the_push() {
    let fake = Fake::start(|seen, _, _| {
        if seen.path == "/token" {
            let for_both = seen.query.contains("lib%2Fbase");
            return Some(if for_both { refusal(403, "DENIED", "no") } else { answer(200, &[], r#"{"token":"t"}"#) });
        }
        (seen.path != "/v2/" && seen.authorization().is_none()).then(|| {
            let challenge = format!("Bearer realm=\"http://{}/token\",service=\"s\"", seen.header("host").unwrap());
            answer(401, &[("www-authenticate", &challenge)], "")
        })
    })
    .await;
    let blob = Memory::new(SIZE);
    assert_eq!(blob.push_from(&fake.client(), Some("lib/base")).await.unwrap(), PushedBlob::Uploaded);
    assert!(fake.has(&blob));
}

fn manifest(at: ManifestAt) -> ManifestToPush {
    let bytes = Bytes::from_static(b"{ \"schemaVersion\":2 }\n");
    let digest = Digest::sha256(&bytes);
    ManifestToPush { at, media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(), digest, bytes }
}

#[tokio::test]
async fn a_manifest_is_sent_to_the_byte() {
    let server = Server::start(|_, before| answer(if before == 0 { 503 } else { 201 }, &[], "")).await;
    let client = Client::new(options()).unwrap().pushing(&server.repository(), None);
    let manifest = manifest(ManifestAt::Tag("v1".to_owned()));
    client.put_manifest(&manifest).await.unwrap();
    let seen = server.seen();
    let put = seen.last().unwrap();
    assert_eq!((&put.method, &*put.path), (&Method::PUT, "/v2/lib/app/manifests/v1"));
    assert_eq!(put.body, manifest.bytes);
    assert_eq!(put.header("content-type"), Some(&*manifest.media_type));
    assert_eq!(server.count("/v2/lib/app/manifests/v1"), 2);
}

#[tokio::test]
async fn a_manifest_that_the_registry_knows_by_another_digest_is_an_error() {
    let other = Digest::sha256(b"other").to_string();
    let announced = other.clone();
    let server = Server::start(move |_, _| answer(201, &[("docker-content-digest", &announced)], "")).await;
    let client = Client::new(options()).unwrap().pushing(&server.repository(), None);
    let manifest = manifest(ManifestAt::Tag("v1".to_owned()));
    let error = client.put_manifest(&manifest).await.unwrap_err();
    assert!(error.to_string().contains(&format!("manifest `lib/app:v1` is `{other}`")), "{error}");
    let bad = ManifestToPush { at: ManifestAt::Tag("../x".to_owned()), ..manifest };
    assert_eq!(client.put_manifest(&bad).await.unwrap_err().to_string(), "`../x` is no tag");
}

#[tokio::test]
async fn a_refused_manifest_is_told_in_the_registry_s_words() {
    let server = Server::start(|_, _| refusal(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry")).await;
    let client = Client::new(options()).unwrap().pushing(&server.repository(), None);
    let error = client.put_manifest(&manifest(ManifestAt::Tag("v1".to_owned()))).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "registry `{}` did not take manifest `lib/app:v1` (400 MANIFEST_BLOB_UNKNOWN: blob unknown to registry)",
            server.address
        )
    );
}
