//! Manifests: proven, bounded, and tried again where that makes sense.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use layer_digest::{Algorithm, Digest};
use layer_registry::{Kind, ManifestAt, Options, RegistryError, Retry};

use crate::server::{Server, answer, chain, options, refusal, then_silence};

const CONTENT: &str = r#"{"schemaVersion":2}"#;
const KIND: &str = "application/vnd.oci.image.manifest.v1+json";

fn tag() -> ManifestAt {
    ManifestAt::Tag("1".to_owned())
}

fn digest() -> Digest {
    Digest::sha256(CONTENT.as_bytes())
}

#[tokio::test]
async fn comes_whole_with_its_digest() {
    let announced = digest().to_string();
    let server = Server::start(move |seen, _| {
        assert!(seen.header("accept").unwrap().contains("application/vnd.oci.image.index.v1+json, "));
        let kind = format!("{KIND}; charset=utf-8");
        answer(200, &[("content-type", &kind), ("docker-content-digest", &announced)], CONTENT)
    })
    .await;
    let client = server.client();
    assert_eq!(client.host_key(), server.address.to_string());
    let long = Digest::of(Algorithm::Sha512, CONTENT.as_bytes());
    for (at, want) in [(tag(), digest()), (ManifestAt::Digest(digest()), digest()), (ManifestAt::Digest(long), long)] {
        let manifest = client.manifest(&at).await.unwrap();
        assert_eq!(
            (manifest.digest, manifest.media_type.as_deref(), &manifest.bytes[..]),
            (want, Some(KIND), CONTENT.as_bytes())
        );
    }
    let head = client.head(&tag()).await.unwrap().unwrap();
    assert_eq!(
        (head.digest, head.media_type.as_deref(), head.size),
        (digest(), Some(KIND), Some(CONTENT.len() as u64))
    );
    let paths: Vec<_> = server.seen().into_iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect();
    assert_eq!(
        paths,
        [
            "GET /v2/lib/app/manifests/1".to_owned(),
            format!("GET /v2/lib/app/manifests/{}", digest()),
            format!("GET /v2/lib/app/manifests/{long}"),
            "HEAD /v2/lib/app/manifests/1".to_owned(),
        ]
    );
}

#[tokio::test]
async fn a_registry_that_lies_is_told_so() {
    let other = Digest::sha256(b"other").to_string();
    let announced = other.clone();
    let server = Server::start(move |_, _| answer(200, &[("docker-content-digest", &announced)], CONTENT)).await;
    let client = server.client();
    let error = client.manifest(&tag()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(
        error.to_string().contains(&format!("announces manifest `lib/app:1` as `{other}`, but sent `{}`", digest())),
        "{error}"
    );
    // Once more, in case a proxy was to blame, and not oftener.
    assert_eq!(server.seen().len(), 2);

    let error = client.manifest(&ManifestAt::Digest(other.parse().unwrap())).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(chain(&error).contains(&format!("want `{other}`, got `{}`", digest())), "{}", chain(&error));
}

#[tokio::test]
async fn what_a_registry_announces_in_an_unknown_way_is_not_held_against_it() {
    let server = Server::start(|_, _| answer(200, &[("docker-content-digest", "blake3:abc")], CONTENT)).await;
    let client = server.client();
    assert_eq!(client.manifest(&tag()).await.unwrap().digest, digest());
    assert_eq!(client.head(&tag()).await.unwrap(), None);
}

#[tokio::test]
async fn a_registry_that_does_not_tell_by_head_is_asked_otherwise() {
    for status in [400, 401, 403, 404, 405, 501] {
        let server = Server::start(move |_, _| answer(status, &[], "")).await;
        assert_eq!(server.client().head(&tag()).await.unwrap(), None);
        assert_eq!(server.seen().len(), 1);
    }
    let server = Server::start(|_, _| answer(503, &[], "")).await;
    assert_eq!(server.client().head(&tag()).await.unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(server.seen().len(), 5);
}

#[tokio::test]
async fn a_document_without_end_is_left_at_the_limit() {
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
    let error = server.client().manifest(&tag()).await.unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { limit: 4_194_304, .. }), "{error}");
    assert_eq!(error.retry(), Retry::Never);
    let sent = sent.load(Ordering::Relaxed);
    assert!((4 << 20..64 << 20).contains(&sent), "{sent}");
}

#[tokio::test]
async fn a_document_that_is_announced_too_long_is_not_read() {
    let server = Server::start(|_, _| answer(200, &[], vec![b'x'; (4 << 20) + 1])).await;
    let error = server.client().manifest(&tag()).await.unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { .. }), "{error}");
    let server = Server::start(|_, _| answer(200, &[], vec![b'x'; 4 << 20])).await;
    assert_eq!(server.client().manifest(&tag()).await.unwrap().bytes.len(), 4 << 20);
}

#[tokio::test]
async fn a_document_that_drips_is_left_in_time() {
    let server = Server::start(|_, _| {
        let drip = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Ok::<_, std::convert::Infallible>(Bytes::from_static(b"x")), ()))
        });
        answer(200, &[], Body::from_stream(drip))
    })
    .await;
    let mut options = Options { document_timeout: Duration::from_millis(300), ..options() };
    options.retry.tries = 1;
    let error = server.client_with(options, None).manifest(&tag()).await.unwrap_err();
    assert!(matches!(error, RegistryError::TooSlow { .. }), "{error}");
}

#[tokio::test]
async fn silence_is_tried_again() {
    let server = Server::start(|_, before| match before {
        0 => answer(200, &[], then_silence(vec![Bytes::from_static(b"{")])),
        _ => answer(200, &[], CONTENT),
    })
    .await;
    assert_eq!(server.client().manifest(&tag()).await.unwrap().bytes, CONTENT);
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn troubles_of_the_registry_are_tried_again() {
    for status in [408, 429, 500, 502, 503, 504] {
        let server = Server::start(move |_, before| match before {
            0..4 => refusal(status, "UNKNOWN", "later"),
            _ => answer(200, &[], CONTENT),
        })
        .await;
        assert_eq!(server.client().manifest(&tag()).await.unwrap().bytes, CONTENT);
        assert_eq!(server.seen().len(), 5, "{status}");
    }
    let server = Server::start(|_, _| answer(503, &[("content-type", "text/html")], "<h1>sorry</h1>")).await;
    let error = server.client().manifest(&tag()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("registry `{}` did not send manifest `lib/app:1` (503 Service Unavailable)", server.address)
    );
    assert_eq!(server.seen().len(), 5);
}

#[tokio::test]
async fn a_final_answer_is_final() {
    for (status, kind) in [(400, Kind::Invalid), (403, Kind::Denied), (404, Kind::NotFound), (410, Kind::Invalid)] {
        let server = Server::start(move |_, _| refusal(status, "SOME_CODE", "in\\u001b words")).await;
        let error = server.client().manifest(&tag()).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (kind, Retry::Never));
        assert!(error.to_string().contains(&format!("({status} SOME_CODE: in words)")), "{error}");
        assert_eq!(error.refusal().unwrap().status.as_u16(), status);
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn the_wait_that_a_registry_asks_for_is_kept() {
    let server = Server::start(|_, before| match before {
        0 => answer(429, &[("retry-after", "1")], ""),
        _ => answer(200, &[], CONTENT),
    })
    .await;
    let before = Instant::now();
    server.client().manifest(&tag()).await.unwrap();
    assert!(before.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_told_to_the_user() {
    let server = Server::start(|_, _| {
        answer(
            429,
            &[("retry-after", "3600")],
            r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"pull rate limit"}]}"#,
        )
    })
    .await;
    let error = server.client().manifest(&tag()).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (Kind::RateLimited, Retry::After(Some(Duration::from_secs(3600)))));
    assert_eq!(error.hint().as_deref(), Some("the registry asks to wait 3600 seconds: try again then"));
    assert!(error.to_string().ends_with("; it asks to wait 3600 seconds"), "{error}");
    assert_eq!(error.refusal().unwrap().reply.words().as_deref(), Some("toomanyrequests: pull rate limit"));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_long_refusal_is_cut_short() {
    let server = Server::start(|_, _| {
        let endless =
            futures_util::stream::repeat_with(|| Ok::<_, std::convert::Infallible>(Bytes::from_static(&[b'x'; 8192])));
        answer(404, &[("content-type", "text/plain")], Body::from_stream(endless))
    })
    .await;
    let error = server.client().manifest(&tag()).await.unwrap_err();
    assert!(error.to_string().chars().count() < 600, "{error}");
}

#[tokio::test]
async fn what_is_no_tag_is_not_asked_for() {
    let server = Server::start(|_, _| answer(200, &[], CONTENT)).await;
    for text in ["", "../../x", "a/b", "a?b", "a b", "-a", "a\nb"] {
        let error = server.client().manifest(&ManifestAt::Tag(text.to_owned())).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(!error.to_string().contains('\n'));
    }
    assert!(server.seen().is_empty());
}
