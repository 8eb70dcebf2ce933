//! Registries that keep their blobs elsewhere.

use layer_digest::Digest;
use layer_registry::{Credentials, Kind, Retry, Role};

use crate::server::{Server, answer, chain, options, unexpected};

fn blob() -> Digest {
    Digest::sha256(b"0123456789")
}

#[tokio::test]
async fn credentials_stay_behind_and_the_range_goes_along() {
    let storage = Server::start(|seen, _| {
        assert_eq!(seen.header("range"), Some("bytes=4-"));
        answer(206, &[("content-range", "bytes 4-9/10")], "456789")
    })
    .await;
    let away = storage.url("/deep/data?sig=secret-signature");
    let server = Server::start(move |seen, _| match (seen.authorization(), seen.path.as_str()) {
        (None, _) => answer(401, &[("www-authenticate", "Basic realm=x")], ""),
        (Some(_), "/moved") => answer(302, &[("location", &away)], "<a>moved</a>"),
        // A move on the same host keeps the credentials.
        (Some(_), _) => answer(307, &[("location", "/moved")], ""),
    })
    .await;
    let client = server.client_with(options(), Some(Credentials::basic("bob", "pw")));
    let mut body = client.blob(&blob(), 4).await.unwrap();
    assert_eq!((body.start, body.total), (4, Some(10)));
    assert_eq!(body.chunk().await.unwrap().unwrap(), "456789");
    assert_eq!(body.chunk().await.unwrap(), None);
    let seen = storage.seen();
    assert_eq!(seen.len(), 1);
    for name in ["authorization", "referer", "cookie"] {
        assert_eq!(seen[0].header(name), None, "{name}");
    }
    assert_eq!(seen[0].header("accept-encoding"), Some("identity"));
}

#[tokio::test]
async fn credentials_do_not_come_back_after_a_detour() {
    let server = Server::start(|seen, _| match (seen.path.as_str(), seen.authorization()) {
        ("/back", shown) => answer(200, &[("x-shown", if shown.is_some() { "yes" } else { "no" })], "0123456789"),
        (_, None) => answer(401, &[("www-authenticate", "Basic realm=x")], ""),
        (_, Some(_)) => {
            // The same server by another name is another origin.
            let port = seen.header("host").unwrap().rsplit(':').next().unwrap().to_owned();
            answer(307, &[("location", &format!("http://localhost:{port}/back"))], "")
        }
    })
    .await;
    let client = server.client_with(options(), Some(Credentials::basic("bob", "pw")));
    client.blob(&blob(), 0).await.unwrap();
    assert_eq!(server.seen().last().unwrap().authorization(), None);
}

#[tokio::test]
async fn an_address_whose_signature_is_too_old_is_asked_for_anew() {
    for (refusals, works) in [(1, true), (2, false)] {
        let storage = Server::start(move |seen, _| match seen.query.as_str() {
            query if query > format!("sig={refusals}").as_str() => answer(200, &[], "0123456789"),
            _ => answer(403, &[("content-type", "text/plain")], "expired"),
        })
        .await;
        let away = storage.url("/data");
        let server =
            Server::start(move |_, before| answer(307, &[("location", &format!("{away}?sig={}", before + 1))], ""))
                .await;
        let outcome = server.client().blob(&blob(), 0).await;
        assert_eq!(outcome.is_ok(), works);
        assert_eq!(storage.seen().len(), 2);
        if let Err(error) = outcome {
            // The caller may ask once more, for the registry signs a new address each time.
            assert_eq!((error.kind(), error.retry()), (Kind::Unavailable, Retry::After(None)));
            assert_eq!(error.context().unwrap().peer.role, Role::Storage(storage.address.to_string()));
            assert!(
                error.to_string().contains("(403 Forbidden: expired)") && !error.to_string().contains("sig="),
                "{error}"
            );
        }
    }
}

#[tokio::test]
async fn circles_end() {
    let server = Server::start(|seen, _| answer(302, &[("location", &seen.path)], "")).await;
    let error = server.client().blob(&blob(), 0).await.unwrap_err();
    assert!(chain(&error).ends_with("more than 10 redirects"), "{}", chain(&error));
    assert_eq!(server.seen().len(), 11);
}

#[tokio::test]
async fn places_that_are_not_on_the_web_are_refused() {
    for location in ["file:///etc/passwd", "unix:///run/x.sock", "http://u:p@127.0.0.1:1/"] {
        let server = Server::start(move |seen, _| match seen.path.contains("/blobs/") {
            true => answer(302, &[("location", location)], ""),
            false => unexpected(seen),
        })
        .await;
        let error = server.client().blob(&blob(), 0).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (Kind::Invalid, Retry::Never), "{location}");
        assert_eq!(server.seen().len(), 1);
    }
}
