//! Who is told which secret, and how often tokens are asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::Response;
use layer_digest::Digest;
use layer_registry::{Client, Credentials, Kind, ManifestAt, RepositoryClient, Secret};

use crate::server::{Seen, Server, answer, chain, options, refusal, unexpected};

const MANIFEST: &str = "/v2/lib/app/manifests/1";
const SECRET: &str = "hidden-password";

fn tag() -> ManifestAt {
    ManifestAt::Tag("1".to_owned())
}

fn challenge(seen: &Seen) -> Response {
    let host = seen.header("host").unwrap();
    let bearer = format!(
        "Basic realm=\"unused\", Bearer realm=\"http://{host}/token?kept=1\",service=\"here\",\
         scope=\"repository:lib/app:pull,push,delete\""
    );
    answer(401, &[("www-authenticate", &bearer)], r#"{"errors":[{"code":"UNAUTHORIZED","message":"who?"}]}"#)
}

/// A registry that takes the newest token only. Its tokens are numbered from 1, and `spoil` makes the newest invalid.
struct TokenRegistry {
    server: Server,
    valid: Arc<AtomicUsize>,
}

impl TokenRegistry {
    async fn start() -> Self {
        let valid = Arc::new(AtomicUsize::new(1));
        let newest = Arc::clone(&valid);
        let server = Server::start(move |seen, before| match seen.path.as_str() {
            "/token" => answer(200, &[], format!(r#"{{"token":"t{}","expires_in":3600}}"#, before + 1)),
            _ if seen.authorization() != Some(&format!("Bearer t{}", newest.load(Ordering::SeqCst))) => challenge(seen),
            _ => answer(200, &[], "content"),
        })
        .await;
        Self { server, valid }
    }

    fn spoil(&self) {
        self.valid.fetch_add(1, Ordering::SeqCst);
    }
}

async fn read(client: &RepositoryClient) -> Vec<u8> {
    let mut body = client.blob(&Digest::sha256(b"content"), 0).await.unwrap();
    let mut whole = Vec::new();
    while let Some(chunk) = body.chunk().await.unwrap() {
        whole.extend_from_slice(&chunk);
    }
    whole
}

#[tokio::test]
async fn one_token_serves_a_whole_pull() {
    let registry = TokenRegistry::start().await;
    let client = registry.server.client();
    client.manifest(&tag()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(read(&client).await, b"content");
    }
    let seen = registry.server.seen();
    let paths: Vec<_> = seen.iter().map(|seen| seen.path.rsplit('/').nth(1).unwrap()).collect();
    assert_eq!(paths, ["manifests", "", "manifests", "blobs", "blobs", "blobs"]);
    assert_eq!(seen[0].authorization(), None);
    // The scope is ours, not what the registry would like us to have.
    assert_eq!(seen[1].query, "kept=1&scope=repository%3Alib%2Fapp%3Apull&service=here");
    assert_eq!(seen[1].authorization(), None);
    assert!(seen[2..].iter().all(|seen| seen.authorization() == Some("Bearer t1")));
}

#[tokio::test]
async fn workers_share_the_renewal_of_a_token_that_died_in_mid_pull() {
    let registry = TokenRegistry::start().await;
    let client = registry.server.client();
    client.manifest(&tag()).await.unwrap();
    for round in 2..5 {
        registry.spoil();
        let workers: Vec<_> = (0..16)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { read(&client).await })
            })
            .collect();
        for worker in workers {
            assert_eq!(worker.await.unwrap(), b"content");
        }
        assert_eq!(registry.server.count("/token"), round);
    }
}

#[tokio::test]
async fn a_token_that_is_never_enough_is_renewed_once() {
    let registry = TokenRegistry::start().await;
    registry.valid.store(usize::MAX, Ordering::SeqCst);
    let client = registry.server.client();
    let error = client.manifest(&tag()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    assert_eq!(error.refusal().unwrap().reply.words().as_deref(), Some("unauthorized: who?"));
    assert!(error.hint().unwrap().contains("layer login 127.0.0.1:"));
    assert_eq!((registry.server.count(MANIFEST), registry.server.count("/token")), (2, 1));
}

#[tokio::test]
async fn a_token_that_runs_out_is_replaced_before_it_is_shown() {
    let server = Server::start(|seen, before| match seen.path.as_str() {
        "/token" => answer(200, &[], format!(r#"{{"token":"t{before}","expires_in":1e-9}}"#)),
        _ if seen.authorization().is_none() => challenge(seen),
        _ => answer(200, &[], "content"),
    })
    .await;
    let client = server.client();
    client.manifest(&tag()).await.unwrap();
    client.manifest(&tag()).await.unwrap();
    let shown: Vec<_> = server.seen().iter().map(|seen| seen.authorization().map(str::to_owned)).collect();
    assert_eq!(shown, [None, None, Some("Bearer t0".to_owned()), None, Some("Bearer t1".to_owned())]);
}

#[tokio::test]
async fn a_password_goes_to_the_token_server_alone() {
    let registry = TokenRegistry::start().await;
    let client = registry.server.client_with(options(), Some(Credentials::basic("bob", SECRET)));
    client.manifest(&tag()).await.unwrap();
    let seen = registry.server.seen();
    let basic: Vec<_> =
        seen.iter().filter(|seen| seen.authorization().is_some_and(|a| a.starts_with("Basic"))).collect();
    assert_eq!(basic.len(), 1);
    assert_eq!(basic[0].path, "/token");
    assert!(basic[0].query.contains("account=bob"));
}

#[tokio::test]
async fn a_wrong_password_is_named_by_its_user_and_never_shown() {
    let server = Server::start(|seen, _| match seen.path.as_str() {
        "/token" => answer(401, &[], r#"{"details":"incorrect username or password"}"#),
        _ => challenge(seen),
    })
    .await;
    let client = server.client_with(options(), Some(Credentials::basic("bob", SECRET)));
    let error = client.manifest(&tag()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    let text = chain(&error);
    assert!(text.contains("token server `127.0.0.1:") && text.contains("refused user `bob`"), "{text}");
    assert!(text.contains("(401 Unauthorized: incorrect username or password)"), "{text}");
    assert!(!format!("{text}{error:?}{client:?}{:?}", error.hint()).contains(SECRET));
    // Wrong is wrong: nobody asks again.
    assert_eq!(server.count("/token"), 1);
}

#[tokio::test]
async fn a_token_server_in_trouble_is_asked_again() {
    let server = Server::start(|seen, before| match (seen.path.as_str(), before) {
        ("/token", 0 | 1) => answer(503, &[], ""),
        ("/token", _) => answer(200, &[], r#"{"access_token":"t"}"#),
        _ if seen.authorization() == Some("Bearer t") => answer(200, &[], "content"),
        _ => challenge(seen),
    })
    .await;
    assert_eq!(server.client().manifest(&tag()).await.unwrap().bytes, "content");
    assert_eq!(server.count("/token"), 3);
}

#[tokio::test]
async fn basic_is_shown_after_it_was_asked_for_and_then_at_once() {
    let server = Server::start(|seen, _| match seen.authorization() {
        Some("Basic Ym9iOnB3") => answer(200, &[], "content"),
        _ => answer(401, &[("www-authenticate", "Basic realm=\"x\"")], ""),
    })
    .await;
    let client = server.client_with(options(), Some(Credentials::basic("bob", "pw")));
    client.manifest(&tag()).await.unwrap();
    client.manifest(&tag()).await.unwrap();
    let shown: Vec<_> = server.seen().iter().map(|seen| seen.authorization().is_some()).collect();
    assert_eq!(shown, [false, true, true]);

    let wrong = server.client_with(options(), Some(Credentials::basic("bob", "no")));
    let error = wrong.manifest(&tag()).await.unwrap_err();
    assert!(error.to_string().contains("refused user `bob` for manifest `lib/app:1` (401 Unauthorized)"), "{error}");
    // What was refused before is shown once more, since it may be right by now, but not twice.
    wrong.manifest(&tag()).await.unwrap_err();
    let stranger = server.client().manifest(&tag()).await.unwrap_err();
    assert!(stranger.to_string().contains("wants a login for manifest `lib/app:1`"), "{stranger}");
    assert_eq!(server.seen().len(), 3 + 2 + 1 + 1);
}

#[tokio::test]
async fn who_has_another_password_does_not_share_the_token() {
    let server = Server::start(|seen, _| match seen.path.as_str() {
        "/token" if seen.authorization() == Some("Basic Ym9iOnB3") => answer(200, &[], r#"{"token":"t"}"#),
        "/token" => refusal(401, "UNAUTHORIZED", "no"),
        _ if seen.authorization() == Some("Bearer t") => answer(200, &[], "content"),
        _ => challenge(seen),
    })
    .await;
    let client = Client::new(options()).unwrap();
    let of = |password: &str| client.repository(&server.repository(), Some(Credentials::basic("bob", password)));
    of("pw").manifest(&tag()).await.unwrap();
    assert_eq!(of("guess").manifest(&tag()).await.unwrap_err().kind(), Kind::Unauthorized);
    let before = server.count("/token");
    of("pw").manifest(&tag()).await.unwrap();
    assert_eq!(server.count("/token"), before);
}

#[tokio::test]
async fn a_refresh_token_is_traded_by_a_form() {
    let server = Server::start(|seen, _| match seen.path.as_str() {
        "/token" => answer(200, &[], r#"{"access_token":"t","expires_in":300}"#),
        _ if seen.authorization() == Some("Bearer t") => answer(200, &[], "content"),
        _ => challenge(seen),
    })
    .await;
    let credentials = Credentials {
        username: "<token>".to_owned(),
        identity_token: Some(Secret::new("r+1")),
        ..Credentials::default()
    };
    server.client_with(options(), Some(credentials)).manifest(&tag()).await.unwrap();
    let trade = server.seen().into_iter().find(|seen| seen.path == "/token").unwrap();
    assert_eq!((trade.method.as_str(), trade.authorization()), ("POST", None));
    assert_eq!(
        std::str::from_utf8(&trade.body).unwrap(),
        "grant_type=refresh_token&refresh_token=r%2B1&client_id=layerd&scope=repository%3Alib%2Fapp%3Apull&service=here"
    );
}

#[tokio::test]
async fn a_refresh_token_is_not_sent_on_by_a_redirect() {
    let elsewhere = Server::start(|_, _| answer(200, &[], r#"{"token":"t"}"#)).await;
    let away = elsewhere.url("/token");
    let server = Server::start(move |seen, _| match seen.path.as_str() {
        "/token" => answer(307, &[("location", &away)], ""),
        _ => challenge(seen),
    })
    .await;
    let credentials = Credentials { identity_token: Some(Secret::new("r")), ..Credentials::default() };
    server.client_with(options(), Some(credentials)).manifest(&tag()).await.unwrap_err();
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn a_registry_token_is_shown_as_it_is() {
    let server = Server::start(|seen, _| match seen.authorization() {
        Some("Bearer given") => answer(200, &[], "content"),
        _ => challenge(seen),
    })
    .await;
    let credentials = Credentials { registry_token: Some(Secret::new("given")), ..Credentials::basic("bob", SECRET) };
    server.client_with(options(), Some(credentials)).manifest(&tag()).await.unwrap();
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_token_server_without_sense_is_an_error() {
    for (body, what) in [
        (r#"{"token":""}"#.to_owned(), "there is no token in it"),
        ("<html>".to_owned(), "it is no JSON object of the right kind"),
        (format!("{{\"token\":\"{}\"}}", "a".repeat(2 << 20)), "larger than the 1048576 bytes"),
    ] {
        let server = Server::start(move |seen, _| match seen.path.as_str() {
            "/token" => answer(200, &[], body.clone()),
            "/v2/lib/app/manifests/1" => challenge(seen),
            _ => unexpected(seen),
        })
        .await;
        let error = server.client().manifest(&tag()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(chain(&error).contains(what), "{}", chain(&error));
    }
}

#[tokio::test]
async fn a_token_server_must_be_on_the_web() {
    let server =
        Server::start(|_, _| answer(401, &[("www-authenticate", "Bearer realm=\"file:///etc/passwd\"")], "")).await;
    let error = server.client().manifest(&tag()).await.unwrap_err();
    assert!(
        chain(&error).ends_with("its realm begins with `file:`, and is neither http nor https"),
        "{}",
        chain(&error)
    );
}
