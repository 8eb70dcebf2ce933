//! How long the client bears with a registry, and whom it tells.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use layer_digest::Digest;
use layer_registry::{Kind, ManifestAt, Options, RegistryError, Retry, Sources};

use crate::server::{Server, answer, options, refusal, then_silence};

const CONTENT: &[u8] = b"0123456789";

fn tag() -> ManifestAt {
    ManifestAt::Tag("1".to_owned())
}

#[tokio::test]
async fn a_body_that_only_looks_alive_counts_as_silent() {
    let server = Server::start(|_, _| {
        let drip = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Ok::<_, Infallible>(Bytes::from_static(b"x")), ()))
        });
        answer(200, &[], Body::from_stream(drip))
    })
    .await;
    let slow = |minimum_speed| Options {
        minimum_speed,
        minimum_speed_time: Duration::from_millis(200),
        // Silence is none of this.
        stall_timeout: Duration::from_secs(60),
        ..options()
    };
    let mut body = server.client_with(slow(1000), None).blob(&Digest::sha256(CONTENT), 0).await.unwrap();
    let mut come = 0;
    let error = loop {
        match body.chunk().await {
            Ok(chunk) => come += chunk.unwrap().len() as u64,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, RegistryError::Crawled { least: 1000, at, .. } if at == come && come > 0), "{error}");
    assert_eq!((error.kind(), error.retry()), (Kind::Timeout, Retry::After(None)));
    assert_eq!(error.brief(), "the registry is too slow");
    // Who takes any speed gets it.
    let mut body = server.client_with(slow(0), None).blob(&Digest::sha256(CONTENT), 0).await.unwrap();
    for _ in 0..2 * come {
        assert_eq!(body.chunk().await.unwrap().unwrap(), "x");
    }
}

#[tokio::test]
async fn one_pull_may_have_a_patience_of_its_own() {
    let server = Server::start(|seen, _| match seen.path.contains("/manifests/") {
        true => refusal(503, "UNAVAILABLE", "later"),
        false => answer(200, &[("content-length", "10")], then_silence(vec![Bytes::from_static(b"0123")])),
    })
    .await;
    let client = server.client_with(Options { stall_timeout: Duration::from_secs(600), ..options() }, None);
    let hasty = client.with_tries(2).with_stall_timeout(Duration::from_millis(50));
    hasty.manifest(&tag()).await.unwrap_err();
    assert_eq!(server.seen().len(), 2);
    let mut body = hasty.blob(&Digest::sha256(CONTENT), 0).await.unwrap();
    assert_eq!(body.chunk().await.unwrap().unwrap(), "0123");
    let error = body.chunk().await.unwrap_err();
    assert!(matches!(error, RegistryError::Stalled { at: 4, .. }), "{error}");
}

#[tokio::test]
async fn whoever_waits_is_told_for_how_long_and_why() {
    let server = Server::start(|_, before| match before {
        0 => refusal(503, "UNAVAILABLE", "later"),
        1 => answer(429, &[("retry-after", "1")], ""),
        _ => answer(200, &[], CONTENT),
    })
    .await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    let client = server.client().with_listener(move |wait, error| {
        telling.lock().unwrap().push((wait, error.brief()));
    });
    client.manifest(&tag()).await.unwrap();
    let told = told.lock().unwrap();
    let reasons: Vec<_> = told.iter().map(|(_, reason)| reason.as_str()).collect();
    assert_eq!(reasons, ["503 from the registry", "429 from the registry"]);
    assert!(told[1].0 >= Duration::from_secs(1), "{told:?}");
}

#[tokio::test]
async fn a_part_is_that_part_and_nothing_else() {
    let blob = Digest::sha256(CONTENT);
    for (status, range, content, taken) in [
        (206, Some("bytes 2-5/10"), "2345", true),
        (206, Some("bytes 2-5/*"), "2345", true),
        // Less is no other part.
        (206, Some("bytes 2-3/10"), "23", true),
        (206, Some("bytes 2-9/10"), "23456789", false),
        (206, Some("bytes 0-9/10"), "0123456789", false),
        (206, Some("bytes 3-5/10"), "345", false),
        (206, None, "2345", false),
        (200, None, "0123456789", false),
        (416, Some("bytes */10"), "", false),
    ] {
        let server = Server::start(move |seen, _| {
            assert_eq!(seen.header("range"), Some("bytes=2-5"));
            let headers: Vec<_> = range.map(|range| ("content-range", range)).into_iter().collect();
            answer(status, &headers, content)
        })
        .await;
        match server.client().apart().blob_part(&blob, 2..6, &Sources::default()).await {
            Ok(mut body) => {
                assert!(taken, "{status} {range:?}");
                assert_eq!(body.start, 2);
                assert_eq!(body.chunk().await.unwrap().unwrap(), content);
            }
            Err(error) => assert!(!taken && error.kind() == Kind::Range, "{status} {range:?}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_token_server_that_fails_is_asked_again_and_named() {
    let server = Server::start(|seen, before| match (seen.path.as_str(), seen.authorization()) {
        ("/token", _) if before < 2 => refusal(503, "UNAVAILABLE", "later"),
        ("/token", _) => answer(200, &[], r#"{"token":"t"}"#),
        (_, Some("Bearer t")) => answer(200, &[], CONTENT),
        _ => {
            let challenge = format!("Bearer realm=\"http://{}/token\"", seen.header("host").unwrap());
            answer(401, &[("www-authenticate", &challenge)], "")
        }
    })
    .await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    let client = server.client().with_listener(move |_, error| telling.lock().unwrap().push(error.brief()));
    client.manifest(&tag()).await.unwrap();
    assert_eq!(*told.lock().unwrap(), ["503 from the token server"; 2]);
    assert_eq!(server.count("/token"), 3);
}
