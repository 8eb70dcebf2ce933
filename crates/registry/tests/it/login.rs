//! Logins that are tried out.

use layer_registry::{Client, Credentials, Kind, Login, Secret};

use crate::server::{Seen, Server, answer, chain, options, refusal, unexpected};

const SECRET: &str = "s3cret";

/// The root of the API behind Basic access for `bob`.
fn basic(seen: &Seen, _before: usize) -> axum::response::Response {
    match seen.authorization() {
        // bob:s3cret
        Some("Basic Ym9iOnMzY3JldA==") => answer(200, &[], "{}"),
        _ => answer(401, &[("www-authenticate", "Basic realm=\"x\"")], ""),
    }
}

/// The root of the API behind a token server that gives `answer_to` for a password.
async fn tokens(answer_to: &'static str) -> Server {
    Server::start(move |seen, _| match (seen.path.as_str(), seen.authorization()) {
        ("/token", Some("Basic Ym9iOnMzY3JldA==")) => answer(200, &[], answer_to),
        ("/token", None) if seen.body.starts_with(b"grant_type=refresh_token&refresh_token=keep") => {
            answer(200, &[], answer_to)
        }
        ("/token", _) => refusal(401, "UNAUTHORIZED", "incorrect username or password"),
        ("/v2/", Some("Bearer t")) => answer(200, &[], "{}"),
        ("/v2/", _) => {
            let realm = format!("Bearer realm=\"http://{}/token\",service=\"here\"", seen.header("host").unwrap());
            answer(401, &[("www-authenticate", &realm)], "")
        }
        _ => unexpected(seen),
    })
    .await
}

async fn login(server: &Server, credentials: &Credentials) -> Result<Login, layer_registry::RegistryError> {
    Client::new(options()).unwrap().login(&server.address.to_string(), credentials).await
}

#[tokio::test]
async fn a_password_is_proven_by_basic_access() {
    let server = Server::start(basic).await;
    let accepted = login(&server, &Credentials::basic("bob", SECRET)).await.unwrap();
    assert_eq!(accepted, Login::Accepted { identity_token: None });
    let wrong = login(&server, &Credentials::basic("bob", "no")).await.unwrap_err();
    assert_eq!(wrong.kind(), Kind::Unauthorized);
    let want = format!("registry `{}` refused user `bob` for `/v2/` (401 Unauthorized)", server.address);
    assert_eq!(wrong.to_string(), want);
    assert!(wrong.hint().unwrap().starts_with("check the name and the password"));
    let nobody = login(&server, &Credentials::default()).await.unwrap_err();
    assert_eq!(nobody.kind(), Kind::Unauthorized);
    // Nothing is shown before it was asked for.
    let shown: Vec<_> = server.seen().iter().map(|seen| seen.authorization().is_some()).collect();
    assert_eq!(shown, [false, true, false, true, false]);
}

#[tokio::test]
async fn a_token_server_may_give_a_token_to_keep() {
    let server = tokens(r#"{"token":"t","refresh_token":"keep"}"#).await;
    let accepted = login(&server, &Credentials::basic("bob", SECRET)).await.unwrap();
    assert_eq!(accepted, Login::Accepted { identity_token: Some(Secret::new("keep")) });
    let asked = server.seen().into_iter().find(|seen| seen.path == "/token").unwrap();
    assert_eq!(asked.query, "account=bob&service=here&client_id=layerd&offline_token=true");

    let kept = Credentials { identity_token: Some(Secret::new("keep")), ..Credentials::basic("<token>", "") };
    assert!(matches!(login(&server, &kept).await.unwrap(), Login::Accepted { .. }));
    let wrong = login(&server, &Credentials::basic("bob", "hidden")).await.unwrap_err();
    assert_eq!(wrong.kind(), Kind::Unauthorized);
    assert!(wrong.to_string().starts_with("token server `127.0.0.1:"), "{wrong}");
    assert!(wrong.to_string().ends_with("incorrect username or password)"), "{wrong}");
    assert!(!format!("{}{wrong:?}", chain(&wrong)).contains("hidden"));
}

#[tokio::test]
async fn a_token_alone_is_no_proof() {
    // The token server gives a token to anybody, and the registry wants another one.
    let server = tokens(r#"{"token":"for-strangers"}"#).await;
    let error = login(&server, &Credentials::basic("bob", SECRET)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
}

#[tokio::test]
async fn an_open_registry_is_shown_nothing() {
    let server = Server::start(|_, _| answer(200, &[], "{}")).await;
    let open = login(&server, &Credentials::basic("bob", SECRET)).await.unwrap();
    assert_eq!(open, Login::NotAsked);
    assert!(server.seen().iter().all(|seen| seen.authorization().is_none()));
}

#[tokio::test]
async fn what_is_no_registry_or_is_not_there_is_told() {
    let server = Server::start(|_, _| answer(404, &[], "")).await;
    let error = login(&server, &Credentials::basic("bob", SECRET)).await.unwrap_err();
    assert_eq!(error.to_string(), format!("registry `{}` has no `/v2/` (404 Not Found)", server.address));
    let client = Client::new(options()).unwrap();
    let error = client.login("127.0.0.1:1", &Credentials::basic("bob", SECRET)).await.unwrap_err();
    assert_eq!(chain(&error), "cannot get `/v2/` from registry `127.0.0.1:1`: connection refused");
}
