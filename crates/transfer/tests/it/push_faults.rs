//! Pushes to Debian's own registry over a network that fails.

use std::sync::Arc;
use std::time::Duration;

use layer_digest::{BlobId, Digest};
use layer_reference::Repository;
use layer_registry::{BlobSource, BlobToPush, Chunks, Client, UploadProgress};
use layer_store::StoreError;
use layer_testkit::front::BodyFault;
use layer_testkit::http::get;
use layer_transfer::{Kind, PushCause, PushEvent, PushPhase};
use tokio::sync::mpsc;

use crate::push::PushSetup;
use crate::setup::{Setup, image, layer, quick};

const SIZE: usize = 4_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn root_a_push_that_is_cut_gets_there_all_the_same() {
    let setup = PushSetup::new();
    let image = image([layer(1, SIZE)]);
    let name = setup.named(&image, "lab/app:v1").await;
    for after in [3_000_000, 500_000] {
        setup.front.fault(BodyFault::Cut { after });
    }
    let told = setup.push(&name).await;
    told.end.as_ref().unwrap();
    assert_eq!((told.ends(), setup.front.struck()), (vec!["pushed".to_owned()], 2));
    setup.assert_has("lab/app", "v1", &image);
    // This registry was asked for what it had, and had thrown it away; so each time it was sent anew, and no oftener.
    assert_eq!(setup.front.count(|request| request.method == "GET" && request.target.contains("/uploads/")), 2);
    let all: u64 = image.blobs.iter().map(|blob| blob.content.len()).sum();
    assert_eq!(setup.front.body_bytes(), all + image.top.bytes.len() as u64 + 3_500_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_wait_is_told_with_its_reason() {
    let mut options = quick();
    options.retry.first_wait = Duration::from_millis(600);
    options.retry.longest_wait = Duration::from_millis(600);
    let setup = PushSetup { setup: Setup::with(options), ..PushSetup::new() };
    let name = setup.named(&image([layer(1, SIZE)]), "lab/app:v1").await;
    setup.front.fault(BodyFault::Refuse { after: 100_000, status: 503 });
    let told = setup.push(&name).await;
    told.end.as_ref().unwrap();
    let reasons = told.events.iter().filter_map(|event| match event {
        PushEvent::Layer { phase: PushPhase::Retrying { seconds, reason }, .. } => Some((*seconds, reason.clone())),
        _ => None,
    });
    assert_eq!(reasons.collect::<Vec<_>>(), [(1, "503 Service Unavailable".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_registry_that_fails_for_a_while_is_asked_again() {
    for status in [429, 500, 502, 503] {
        let setup = PushSetup::new();
        let image = image([layer(1, SIZE)]);
        let name = setup.named(&image, "lab/app:v1").await;
        for _ in 0..2 {
            setup.front.fault(BodyFault::Refuse { after: 100_000, status });
        }
        let told = setup.push(&name).await;
        told.end.as_ref().unwrap();
        assert_eq!((told.ends(), setup.front.struck()), (vec!["pushed".to_owned()], 2), "{status}");
        setup.assert_has("lab/app", "v1", &image);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_registry_that_says_no_is_asked_once() {
    for (status, kind, words) in [
        (403, Kind::Denied, "denies strangers to push blob"),
        (413, Kind::Corrupt, "413"),
        (507, Kind::Unavailable, "507"),
    ] {
        let setup = PushSetup::new();
        let name = setup.named(&image([layer(1, SIZE)]), "lab/app:v1").await;
        setup.front.fault(BodyFault::Refuse { after: 100_000, status });
        let told = setup.push(&name).await;
        let error = told.failure();
        assert_eq!((error.kind(), setup.front.struck()), (kind, 1), "{status}");
        let text = crate::setup::chain(error);
        assert!(text.contains(words), "{text}");
        assert!(error.hint().is_some(), "{status}");
        assert!(told.tagged().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_push_that_nobody_watches_stops_and_lets_go() {
    let setup = PushSetup::new();
    let image = image([layer(1, SIZE)]);
    let name = setup.named(&image, "lab/app:v1").await;
    setup.front.fault(BodyFault::Swallow { after: 1_000_000 });
    let mut push = setup.setup.transfer.push(PushSetup::request(&name));
    let store = Arc::clone(&setup.setup.store);
    while let Some(event) = push.next().await {
        if matches!(event, PushEvent::Layer { phase: PushPhase::Pushing { .. }, .. }) {
            break;
        }
    }
    setup.front.until_struck(1).await;
    // While it runs nothing of it can be removed.
    let target = store.name(&name).unwrap().target;
    let names: Vec<_> = store.names().into_iter().map(|named| named.reference).collect();
    let sweep = || drop(store.naming().sweep(std::slice::from_ref(&target)).unwrap());
    store.remove_names(&names).unwrap();
    sweep();
    let blob = BlobId(image.layers[0].blob.digest.parse::<Digest>().unwrap());
    assert!(store.blob_size(blob).unwrap().is_some());
    drop(push);
    tokio::task::block_in_place(|| setup.front.wait_for_left(1)).unwrap();
    // The task lets go of its lease when it is next looked at.
    while store.blob_size(blob).unwrap().is_some() {
        sweep();
        tokio::task::yield_now().await;
    }
    let tags = get(setup.debian.address(), "/v2/lab/app/tags/list", &[]).unwrap();
    assert_eq!(tags.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_blob_that_is_damaged_here_is_found_out() {
    let setup = PushSetup::new();
    let image = image([layer(1, 100_000)]);
    let name = setup.named(&image, "lab/app:v1").await;
    let digest: Digest = image.layers[0].blob.digest.parse().unwrap();
    let file = setup.setup.store.path().join("blobs/sha256").join(digest.hex().as_str());
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let told = setup.push(&name).await;
    let error = told.failure();
    assert!(matches!(&*error.cause, PushCause::Store(StoreError::Damaged(damaged)) if *damaged == digest), "{error:?}");
    assert!(error.hint().unwrap().starts_with("pull the image again"));
}

/// A blob in memory.
struct Memory(Vec<u8>);

impl BlobSource for Memory {
    fn read(&self, offset: u64, length: u64) -> mpsc::Receiver<std::io::Result<bytes::Bytes>> {
        let range = usize::try_from(offset).unwrap()..usize::try_from(offset + length).unwrap();
        let chunks: Vec<_> = self.0[range].chunks(50_000).map(bytes::Bytes::copy_from_slice).collect();
        let (sender, receiver) = mpsc::channel(chunks.len().max(1));
        for chunk in chunks {
            sender.try_send(Ok(chunk)).unwrap();
        }
        receiver
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_in_chunks_goes_on_behind_the_last_that_was_kept() {
    let setup = PushSetup::new();
    let source = Memory(layer_testkit::layer::noise(1, SIZE));
    let (digest, size) = (Digest::sha256(&source.0), source.0.len() as u64);
    let repository = Repository::parse(&format!("{}/lab/chunks", setup.front.host())).unwrap();
    let client = Client::new(quick()).unwrap().pushing(&repository, None);
    let client = client.with_chunks(Chunks { above: 0, size: 1_000_000 });
    setup.front.skip(2);
    setup.front.fault(BodyFault::Refuse { after: 0, status: 502 });
    setup.front.fault(BodyFault::Cut { after: 0 });
    let progress = Arc::new(UploadProgress::default());
    let blob = BlobToPush { digest, size, source: &source, elsewhere: None, progress: &progress };
    client.push_blob(&blob).await.unwrap();
    assert_eq!((setup.front.struck(), progress.sent()), (2, size));
    // One upload, of which no byte was sent twice.
    assert_eq!(setup.front.count(|request| request.method == "POST"), 1);
    assert_eq!(setup.front.body_bytes(), size);
    let answer = get(setup.debian.address(), &format!("/v2/lab/chunks/blobs/{digest}"), &[]).unwrap();
    assert!(answer.body == source.0);
}
