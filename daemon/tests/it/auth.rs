//! Logins that are tried out.

use layer_testkit::image::ImageBuilder;
use layer_testkit::layer::LayerBuilder;
use layer_testkit::registry::{Auth, Fault, Registry, Target, TokenAuth};
use serde_json::{Value, json};

use crate::daemon::{Daemon, Place, pull_target};
use crate::http::Answer;

const PASSWORD: &str = "op3n-sesame";

async fn log_in(daemon: &Daemon, login: &Value) -> Answer {
    daemon.send("POST", "/v1.51/auth", &[("Content-Type", "application/json")], login.to_string().into_bytes()).await
}

/// A login as the header lends it.
fn encode(login: &Value) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE.encode(login.to_string())
}

#[tokio::test]
async fn a_login_is_accepted_or_refused_with_a_sentence() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    for auth in [
        Auth::Basic { user: "bob".to_owned(), password: PASSWORD.to_owned() },
        Auth::Token(TokenAuth::account("bob", PASSWORD)),
    ] {
        registry.set_auth(auth);
        for server in [registry.host(), format!("http://{}/v2/", registry.host())] {
            let login = |password: &str| json!({"username": "bob", "password": password, "serveraddress": server});
            let answer = log_in(&daemon, &login(PASSWORD)).await;
            assert_eq!(answer.text(), "{\"IdentityToken\":\"\",\"Status\":\"Login Succeeded\"}\n");
            assert_eq!(answer.status, 200);
            let answer = log_in(&daemon, &login("wrong-guess")).await;
            assert_eq!(answer.status, 401);
            let message = answer.message();
            assert!(message.contains("refused user `bob` for `/v2/` (401"), "{message}");
            assert!(answer.json()["hint"].as_str().unwrap().starts_with("check the name and the password"));
        }
        let nobody = log_in(&daemon, &json!({"serveraddress": registry.host()})).await;
        assert_eq!(nobody.status, 401);
    }
    registry.set_auth(Auth::Open);
    let open = log_in(&daemon, &json!({"username": "bob", "password": "x", "serveraddress": registry.host()})).await;
    let status = "Login Succeeded (the registry asked for no login, so that nothing is proven)";
    assert_eq!((open.status, open.json()), (200, json!({"IdentityToken": "", "Status": status})));
    for word in [PASSWORD, "wrong-guess"] {
        assert!(!daemon.log().contains(word), "the log knows no passwords");
    }
}

#[tokio::test]
async fn a_login_that_can_not_be_tried_has_a_status() {
    let place = Place::new();
    let daemon = place.start();
    let dead = log_in(&daemon, &json!({"username": "bob", "password": "x", "serveraddress": "127.0.0.1:1"})).await;
    assert_eq!(dead.status, 502);
    assert_eq!(dead.message(), "cannot get `/v2/` from registry `127.0.0.1:1`: connection refused");
    let none = log_in(&daemon, &json!({"username": "bob", "password": "x", "serveraddress": "https://b:pw@h/"})).await;
    assert_eq!((none.status, none.message()), (400, "`****@h/` is no name of a registry".to_owned()));
    for body in ["", "{", "[]", "\"x\""] {
        assert_eq!(daemon.send("POST", "/auth", &[], body.into()).await.status, 400, "{body}");
    }
    assert_eq!(daemon.get("/auth").await.status, 404);
}

#[tokio::test]
async fn a_refusal_in_the_middle_of_a_pull_names_the_registry_at_which_a_login_may_help() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let login = json!({"username": "bob", "password": PASSWORD, "serveraddress": registry.host()});
    let lent = encode(&login);
    for (number, status, is_known, may_help) in [
        (1, 401, false, true),
        (2, 403, false, true),
        (3, 401, true, true),
        (4, 403, true, false),
        (5, 404, false, false),
    ] {
        let layer = LayerBuilder::new().file("number", number.to_string()).gzip();
        let image = ImageBuilder::new().layer(layer).build();
        let name = registry.put_image("lab/app", &number.to_string(), &image);
        registry.fault(Target::Blob(image.layers[0].blob.digest.clone()), Fault::status(status));
        registry.set_auth(match is_known {
            true => Auth::Basic { user: "bob".to_owned(), password: PASSWORD.to_owned() },
            false => Auth::Open,
        });
        let headers: &[_] = if is_known { &[("X-Registry-Auth", &*lent)] } else { &[] };
        let answer = daemon.send("POST", &pull_target(&name), headers, Vec::new()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let last = answer.lines().pop().unwrap();
        let want = if may_help { json!(registry.host()) } else { Value::Null };
        assert_eq!(last["errorDetail"]["login"], want, "{status} {is_known}: {last}");
        assert!(last["error"].as_str().unwrap().contains(&status.to_string()), "{last}");
    }
}

#[tokio::test]
async fn nothing_secret_is_logged_even_when_everything_is() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start_with(&mut place.command_that_logs("trace"));
    let image = ImageBuilder::new().layer(LayerBuilder::new().file("a", "1").gzip()).build();
    let name = registry.put_image("private/app", "1", &image);
    let token = TokenAuth { identity_token: Some("k3ep-this".to_owned()), ..TokenAuth::account("bob", PASSWORD) };
    let by_password = json!({"username": "bob", "password": PASSWORD, "serveraddress": registry.host()});
    let by_token = json!({"username": "<token>", "identitytoken": "k3ep-this", "serveraddress": registry.host()});
    let wrong = json!({"username": "bob", "password": "wr0ng-guess", "serveraddress": registry.host()});
    let mut headers = Vec::new();
    for (auth, logins) in [
        (Auth::Token(token), [&by_password, &by_token, &wrong].as_slice()),
        (Auth::Basic { user: "bob".to_owned(), password: PASSWORD.to_owned() }, &[&by_password, &wrong]),
    ] {
        registry.set_auth(auth);
        for login in logins {
            let is_right = **login != wrong;
            assert_eq!(log_in(&daemon, login).await.status == 200, is_right, "{login}");
            let header = encode(login);
            let pulled = daemon.send("POST", &pull_target(&name), &[("X-Registry-Auth", &header)], Vec::new()).await;
            assert_eq!(pulled.status == 200, is_right, "{login}");
            headers.push(header);
        }
    }
    let log = daemon.log();
    assert!(log.contains("TRACE") && log.contains("tried a login"), "everything is logged");
    let basic = "Ym9iOm9wM24tc2VzYW1l".to_owned();
    let issued = "opaque-token-".to_owned();
    let secrets = [PASSWORD.to_owned(), "k3ep-this".to_owned(), "wr0ng-guess".to_owned(), basic, issued];
    for secret in secrets.into_iter().chain(headers) {
        assert!(!log.contains(&secret), "`{secret}` is in the log");
    }
    assert!(registry.requests().iter().any(|request| request.authorized()), "the secrets were used");
}
