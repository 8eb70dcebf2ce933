//! What holds for all requests: versions, headers, and what is not there.

use serde_json::json;

use crate::daemon::Place;

#[tokio::test]
async fn a_ping_tells_clients_what_is_spoken() {
    let place = Place::new();
    let daemon = place.start();
    for target in ["/_ping", "/v1.51/_ping", "/v1.24/_ping"] {
        let answer = daemon.get(target).await;
        assert_eq!((answer.status, answer.text()), (200, "OK"), "{target}");
        for (name, value) in [
            ("Api-Version", "1.51"),
            ("Ostype", "linux"),
            ("Docker-Experimental", "false"),
            ("Builder-Version", "2"),
            ("Swarm", "inactive"),
            ("Cache-Control", "no-cache, no-store, must-revalidate"),
            ("Pragma", "no-cache"),
            ("Content-Type", "text/plain; charset=utf-8"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{target} {name}");
        }
        assert!(answer.header("Server").unwrap().starts_with("layerd/"));
    }
    let head = daemon.ask("HEAD", "/_ping").await;
    assert_eq!((head.status, head.text(), head.header("Content-Length")), (200, "", Some("0")));
    assert_eq!(head.header("Api-Version"), Some("1.51"));
}

#[tokio::test]
async fn versions_are_spoken_from_1_24_to_1_55() {
    let place = Place::new();
    let daemon = place.start();
    for version in ["1.24", "1.43", "1.51", "1.55"] {
        let answer = daemon.get(&format!("/v{version}/images/json")).await;
        assert_eq!((answer.status, answer.text()), (200, "[]\n"), "{version}");
        assert_eq!(answer.header("Api-Version"), Some("1.51"));
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
    }
    let old = daemon.get("/v1.10/version").await;
    assert_eq!(old.status, 400);
    assert_eq!(old.header("Content-Type"), Some("text/plain; charset=utf-8"));
    assert_eq!(
        old.text(),
        "client version 1.10 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version\n"
    );
    let new = daemon.get("/v9.99/version").await;
    assert_eq!(new.status, 400);
    assert_eq!(new.text(), "{\"message\":\"client version 9.99 is too new. Maximum supported API version is 1.51\"}\n");
}

#[tokio::test]
async fn other_paths_and_methods_are_not_found() {
    let place = Place::new();
    let daemon = place.start();
    for (method, target) in [
        ("GET", "/v1.51/nothere"),
        ("GET", "/"),
        ("GET", "/v1.51"),
        ("PUT", "/v1.51/images/json"),
        ("POST", "/version"),
        ("HEAD", "/version"),
        ("GET", "/images/alpine"),
        ("POST", "/images/alpine/json"),
        ("PATCH", "/layerd/v1/mounts"),
        ("TRACE", "/networks"),
        ("OPTIONS", "/build"),
    ] {
        let answer = daemon.ask(method, target).await;
        assert_eq!(answer.status, 404, "{method} {target}");
        assert_eq!(answer.header("Api-Version"), None, "{method} {target}");
        if method != "HEAD" {
            assert_eq!(answer.text(), "{\"message\":\"page not found\"}\n", "{method} {target}");
        }
    }
}

#[tokio::test]
async fn what_is_not_supported_is_said_and_what_looks_for_containers_goes_on() {
    let place = Place::new();
    let daemon = place.start();
    for (method, target) in [
        ("POST", "/v1.51/containers/create"),
        ("POST", "/v1.51/containers/x/start"),
        ("POST", "/build"),
        ("GET", "/v1.51/services"),
        ("POST", "/networks"),
        ("GET", "/volumes/x"),
    ] {
        let answer = daemon.ask(method, target).await;
        assert_eq!(answer.status, 501, "{method} {target}");
        assert!(answer.message().contains("not supported"), "{}", answer.message());
        assert_eq!(answer.header("Api-Version"), Some("1.51"));
    }
    let container = daemon.get("/v1.51/containers/alpine:3.18/json").await;
    assert_eq!((container.status, container.message()), (404, "No such container: alpine:3.18".to_owned()));
    assert_eq!(daemon.get("/containers/json").await.json(), json!([]));
    assert_eq!(daemon.get("/networks").await.json(), json!([]));
    assert_eq!(daemon.get("/volumes").await.json(), json!({"Volumes": [], "Warnings": null}));
    let cache = daemon.ask("POST", "/build/prune").await.json();
    assert_eq!(cache, json!({"CachesDeleted": null, "SpaceReclaimed": 0}));
}

#[tokio::test]
async fn the_daemon_tells_about_itself() {
    let place = Place::new();
    let daemon = place.start();
    let version = daemon.get("/version").await.json();
    assert_eq!(version["Version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&version["ApiVersion"], &version["MinAPIVersion"]), (&json!("1.51"), &json!("1.24")));
    assert_eq!(version["Components"][0]["Name"], "Engine");
    let info = daemon.get("/info").await.json();
    assert_eq!(info["DockerRootDir"], place.root().canonicalize().unwrap().to_str().unwrap());
    assert_eq!(info["ServerVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(info["Images"], 0);
    assert_eq!(info["ID"], daemon.get("/info").await.json()["ID"]);
}

#[tokio::test]
async fn every_answer_has_an_id_that_the_log_knows() {
    let place = Place::new();
    let daemon = place.start();
    let missing = daemon.get("/images/nosuch/json").await;
    let other = daemon.get("/images/nosuch/json").await;
    let id = missing.header("X-Request-Id").unwrap();
    assert_ne!(Some(id), other.header("X-Request-Id"));
    // Whoever asked is named, too: here that is this process.
    let me = format!("uid={} pid={}", rustix::process::getuid().as_raw(), std::process::id());
    assert!(daemon.log().contains(&format!("request{{id=\"{id}\" method=GET path=\"/images/nosuch/json\" {me}}}")));
}

#[tokio::test]
async fn a_body_may_not_be_larger_than_it_needs() {
    let place = Place::new();
    let daemon = place.start();
    let answer = daemon.send("POST", "/layerd/v1/mounts", &[], vec![b' '; 2 << 20]).await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.message(), "read the request: it has more than 1048576 bytes");
}
