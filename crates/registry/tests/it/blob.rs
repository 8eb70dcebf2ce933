//! Parts of blobs, whole blobs, and blobs that are something else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use layer_digest::Digest;
use layer_registry::{BlobBody, Kind, RegistryError, Retry};

use crate::server::{Server, answer, chain, options, then_break, then_silence};

const CONTENT: &str = "0123456789";

fn blob() -> Digest {
    Digest::sha256(CONTENT.as_bytes())
}

async fn rest(mut body: BlobBody) -> Result<Vec<u8>, (Vec<u8>, RegistryError)> {
    let mut all = Vec::new();
    loop {
        match body.chunk().await {
            Ok(Some(chunk)) => all.extend_from_slice(&chunk),
            Ok(None) => return Ok(all),
            Err(error) => return Err((all, error)),
        }
    }
}

#[tokio::test]
async fn a_part_is_taken_as_what_it_is() {
    for (status, range, content, start, total) in [
        (206, Some("bytes 4-9/10"), "456789", 4, Some(10)),
        (206, Some("bytes 4-9/*"), "456789", 4, None),
        // Less than was asked for, which a server may do.
        (206, Some("bytes 4-5/10"), "45", 4, Some(10)),
        // All of it: the server knows no ranges, or said so in its own way.
        (200, None, CONTENT, 0, Some(10)),
        (206, Some("bytes 0-9/10"), CONTENT, 0, Some(10)),
    ] {
        let server = Server::start(move |seen, _| {
            assert_eq!(seen.header("range"), Some("bytes=4-"));
            let headers: Vec<_> = range.map(|range| ("content-range", range)).into_iter().collect();
            answer(status, &headers, content)
        })
        .await;
        let body = server.client().blob(&blob(), 4).await.unwrap();
        assert_eq!((body.start, body.total), (start, total), "{status} {range:?}");
        assert_eq!(rest(body).await.unwrap(), content.as_bytes());
    }
}

#[tokio::test]
async fn another_part_than_the_one_asked_for_is_refused() {
    for range in [Some("bytes 5-9/10"), Some("bytes 3-9/10"), Some("bytes */10"), Some("bytes 9-4/10"), Some("x"), None]
    {
        let server = Server::start(move |_, _| {
            let headers: Vec<_> = range.map(|range| ("content-range", range)).into_iter().collect();
            answer(206, &headers, "456789")
        })
        .await;
        let error = server.client().blob(&blob(), 4).await.unwrap_err();
        assert!(matches!(error, RegistryError::WrongRange { offset: 4, .. }), "{range:?}: {error}");
        assert_eq!((error.kind(), error.retry()), (Kind::Range, Retry::Never));
    }
}

#[tokio::test]
async fn nothing_at_that_place_is_told_with_the_true_size() {
    let server = Server::start(|_, _| answer(416, &[("content-range", "bytes */10")], "")).await;
    let error = server.client().blob(&blob(), 400).await.unwrap_err();
    assert!(matches!(error, RegistryError::RangeNotSatisfiable { offset: 400, total: Some(10), .. }), "{error}");
    assert_eq!((error.kind(), error.retry()), (Kind::Range, Retry::Never));
}

#[tokio::test]
async fn a_silent_body_ends_with_what_had_come() {
    let server =
        Server::start(|_, _| answer(200, &[("content-length", "10")], then_silence(vec![Bytes::from_static(b"0123")])))
            .await;
    let before = Instant::now();
    let (come, error) = rest(server.client().blob(&blob(), 0).await.unwrap()).await.unwrap_err();
    assert!(before.elapsed() >= Duration::from_millis(200));
    assert_eq!(come, b"0123");
    assert!(matches!(error, RegistryError::Stalled { at: 4, .. }), "{error}");
    assert_eq!((error.kind(), error.retry()), (Kind::Timeout, Retry::After(None)));
    assert!(error.to_string().contains("not a byte of blob `sha256:"), "{error}");
}

#[tokio::test]
async fn a_broken_body_ends_with_what_had_come() {
    let server = Server::start(|_, _| {
        answer(
            206,
            &[("content-length", "6"), ("content-range", "bytes 4-9/10")],
            then_break(vec![Bytes::from_static(b"45")]),
        )
    })
    .await;
    let (come, error) = rest(server.client().blob(&blob(), 4).await.unwrap()).await.unwrap_err();
    assert!(b"45".starts_with(&come[..]));
    assert_eq!((error.kind(), error.retry()), (Kind::Network, Retry::After(None)), "{}", chain(&error));
}

#[tokio::test]
async fn bytes_are_not_unpacked_on_the_way() {
    let server = Server::start(|seen, _| {
        assert_eq!(seen.header("accept-encoding"), Some("identity"));
        answer(200, &[("content-encoding", "gzip")], CONTENT)
    })
    .await;
    let body = server.client().blob(&blob(), 0).await.unwrap();
    assert_eq!(rest(body).await.unwrap(), CONTENT.as_bytes());
}

#[tokio::test]
async fn blobs_are_one_request_and_short_ones_are_tried_again() {
    let server =
        Server::start(|_, before| if before < 3 { answer(503, &[], "") } else { answer(200, &[], CONTENT) }).await;
    let client = server.client();
    let error = client.blob(&blob(), 0).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (Kind::Unavailable, Retry::After(None)));
    assert_eq!(server.seen().len(), 1);
    assert_eq!(client.small_blob(&blob(), 10, 100).await.unwrap(), CONTENT);
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_short_blob_that_breaks_off_is_fetched_anew() {
    let server = Server::start(|_, before| match before {
        0 => answer(200, &[("content-length", "10")], then_break(vec![Bytes::from_static(b"0123")])),
        1 => answer(200, &[("content-length", "10")], then_silence(vec![Bytes::from_static(b"0123")])),
        // Shorter than its descriptor says, and whole by its header.
        2 => answer(200, &[], "0123"),
        _ => answer(200, &[], CONTENT),
    })
    .await;
    assert_eq!(server.client().small_blob(&blob(), 10, 100).await.unwrap(), CONTENT);
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn wrong_bytes_get_one_more_chance() {
    for (wrong, works) in [(1, true), (2, false)] {
        let server =
            Server::start(move |_, before| answer(200, &[], if before < wrong { "012345678X" } else { CONTENT })).await;
        let outcome = server.client().small_blob(&blob(), 10, 100).await;
        assert_eq!(outcome.is_ok(), works);
        assert_eq!(server.seen().len(), 2);
        if let Err(error) = outcome {
            assert_eq!(error.kind(), Kind::Corrupt);
            let text = chain(&error);
            assert!(text.contains(&format!("want `{}`, got `{}`", blob(), Digest::sha256(b"012345678X"))), "{text}");
        }
    }
}

#[tokio::test]
async fn a_short_blob_without_end_is_left_after_its_size() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let server = Server::start(move |_, _| {
        let counter = Arc::clone(&counter);
        let endless = futures_util::stream::repeat_with(move || {
            counter.fetch_add(64 * 1024, Ordering::Relaxed);
            Ok::<_, std::convert::Infallible>(Bytes::from_static(&[b'x'; 64 * 1024]))
        });
        answer(200, &[], Body::from_stream(endless))
    })
    .await;
    let error = server.client_with(options(), None).small_blob(&blob(), 10, 100).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(chain(&error).contains("is longer than the 10 bytes"), "{}", chain(&error));
    assert_eq!(server.seen().len(), 2);
    // What the system buffers on the way is not ours to bound.
    assert!(sent.load(Ordering::Relaxed) < 64 << 20);
}

#[tokio::test]
async fn a_short_blob_that_is_too_long_is_not_asked_for() {
    let server = Server::start(|_, _| answer(200, &[], CONTENT)).await;
    let error = server.client().small_blob(&blob(), 101, 100).await.unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { limit: 100, .. }), "{error}");
    assert!(server.seen().is_empty());
}
