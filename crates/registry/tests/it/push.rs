//! Pushes that go well, and where they go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::http::Method;
use bytes::Bytes;
use layer_digest::Digest;
use layer_registry::{Chunks, Client, ManifestAt, ManifestToPush, PushedBlob};

use crate::server::{Server, answer, options, refusal};
use crate::uploads::{Fake, Memory, SIZE, UPLOADS, serve};

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
async fn a_registry_without_chunks_gets_all_in_one() {
    for status in [400, 405, 413, 416, 501] {
        let fake = Fake::start(move |seen, _, _| {
            (seen.method == Method::PATCH).then(|| refusal(status, "UNSUPPORTED", "no chunks"))
        })
        .await;
        let blob = Memory::new(SIZE);
        blob.push(&fake.in_chunks()).await.unwrap();
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
