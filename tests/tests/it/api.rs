//! The API as bytes on the socket: statuses, headers, and the lines of a pull.

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyperlocal::{UnixClientExt as _, UnixConnector, Uri};
use layer_testkit::image::{Image, ImageBuilder};
use layer_testkit::layer::LayerBuilder;
use layer_testkit::registry::{Fault, Registry, Target};
use serde_json::{Value, json};

use crate::service::Daemon;

/// The daemon's version of the API, and the range that it takes.
const CURRENT: &str = "1.51";
const TAKEN: std::ops::RangeInclusive<u16> = 24..=55;

pub(crate) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The status and the message of a failure, which must have docker's form.
    #[track_caller]
    fn failure(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/json", "{}", self.body);
        let body: Value = serde_json::from_str(&self.body).unwrap();
        (self.status.as_u16(), body["message"].as_str().unwrap().to_owned())
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        assert_eq!(self.header("content-type"), "application/json");
        serde_json::from_str(&self.body).unwrap()
    }
}

async fn ask(daemon: &Daemon, method: Method, path: &str) -> Answer {
    let client: Client<UnixConnector, Empty<Bytes>> = Client::unix();
    let uri: hyper::Uri = Uri::new(daemon.socket(), path).into();
    let request = Request::builder().method(method).uri(uri).body(Empty::new()).unwrap();
    let (parts, body) = client.request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Answer { status: parts.status, headers: parts.headers, body: String::from_utf8(body).unwrap() }
}

pub(crate) async fn get(daemon: &Daemon, path: &str) -> Answer {
    ask(daemon, Method::GET, path).await
}

/// Asks for a pull. `name` is all in front of the tag.
async fn pull(daemon: &Daemon, name: &str, tag: &str) -> Answer {
    let name = name.replace('/', "%2F").replace(':', "%3A");
    ask(daemon, Method::POST, &format!("/v{CURRENT}/images/create?fromImage={name}&tag={tag}")).await
}

fn image() -> Image {
    ImageBuilder::new().layer(LayerBuilder::new().file("file", "1").gzip()).build()
}

#[tokio::test]
async fn root_a_ping_tells_what_clients_go_by() {
    let daemon = Daemon::start();
    for (method, path, body) in [
        (Method::GET, "/_ping", "OK"),
        (Method::HEAD, "/_ping", ""),
        (Method::GET, "/v1.24/_ping", "OK"),
        (Method::HEAD, "/v1.51/_ping", ""),
    ] {
        let answer = ask(&daemon, method, path).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, body), "{path}");
        for (name, value) in [
            ("api-version", CURRENT),
            ("ostype", "linux"),
            ("docker-experimental", "false"),
            ("builder-version", "2"),
            ("swarm", "inactive"),
            ("content-type", "text/plain; charset=utf-8"),
            ("cache-control", "no-cache, no-store, must-revalidate"),
            ("pragma", "no-cache"),
        ] {
            assert_eq!(answer.header(name), value, "{path}: {name}");
        }
        assert!(answer.header("server").starts_with("layerd/"));
    }
}

#[tokio::test]
async fn root_every_version_that_clients_may_speak_is_taken() {
    let daemon = Daemon::start();
    for minor in TAKEN {
        for path in ["version", "images/json", "info"] {
            let answer = get(&daemon, &format!("/v1.{minor}/{path}")).await;
            assert_eq!(answer.status, 200, "{path} of 1.{minor}: {}", answer.body);
            assert_eq!(answer.header("api-version"), CURRENT);
        }
    }
    let version = get(&daemon, "/version").await.json();
    assert_eq!(version["ApiVersion"], CURRENT);
    assert_eq!(version["MinAPIVersion"], "1.24");
    assert_eq!(version["Version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn root_versions_beyond_are_refused_in_docker_s_words() {
    let daemon = Daemon::start();
    let old = get(&daemon, "/v1.23/version").await;
    assert_eq!(old.status, 400);
    assert_eq!(old.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(
        old.body,
        "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version\n"
    );
    let new = get(&daemon, "/v1.56/version").await.failure();
    let words = format!("client version 1.56 is too new. Maximum supported API version is {CURRENT}");
    assert_eq!(new, (400, words));
    assert_eq!(get(&daemon, "/v1.2.3/version").await.failure().0, 400);
}

#[tokio::test]
async fn root_paths_that_there_are_none_of() {
    let daemon = Daemon::start();
    for (method, path) in [
        (Method::GET, "/"),
        (Method::GET, "/nothing"),
        (Method::GET, "/v1.51/nothing/here"),
        (Method::POST, "/v1.51/version"),
        (Method::DELETE, "/_ping"),
        (Method::GET, "/images/one/nothing"),
        (Method::GET, "/v1.51"),
    ] {
        let answer = ask(&daemon, method, path).await;
        assert_eq!(answer.status, 404, "{path}");
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(body, json!({"message": "page not found"}), "{path}");
    }
}

#[tokio::test]
async fn root_failures_have_one_form() {
    let daemon = Daemon::start();
    let failure = async |method, path: &str| ask(&daemon, method, path).await.failure();
    assert_eq!(failure(Method::GET, "/images/nothing/json").await, (404, "No such image: nothing:latest".to_owned()));
    assert_eq!(failure(Method::GET, "/images/nothing/history").await.0, 404);
    assert_eq!(failure(Method::DELETE, "/images/nothing").await.0, 404);
    assert_eq!(failure(Method::POST, "/images/nothing/tag?repo=a&tag=b").await.0, 404);
    let container = (404, "No such container: nothing".to_owned());
    assert_eq!(failure(Method::GET, "/containers/nothing/json").await, container);
    assert_eq!(failure(Method::GET, "/images/json?filters=nonsense").await.0, 400);
    for path in ["/containers/create", "/build"] {
        let (status, message) = failure(Method::POST, path).await;
        assert_eq!(status, 501, "{path}");
        assert!(message.contains("not supported"), "{path}: {message}");
    }
}

#[tokio::test]
async fn root_a_pull_that_can_not_begin_has_a_status_of_its_own() {
    let (daemon, registry) = (Daemon::start(), Registry::start().unwrap());
    registry.put_image("lab/one", "1", &image());
    let host = registry.host();
    let failure = async |name: &str, tag: &str| pull(&daemon, name, tag).await.failure();
    let missing = format!("{host}/lab/one:2");
    let words = format!("failed to resolve reference \"{missing}\": {missing}: not found");
    assert_eq!(failure(&format!("{host}/lab/one"), "2").await, (404, words));
    let words = "invalid reference format: repository name (lab/BAD) must be lowercase";
    assert_eq!(failure(&format!("{host}/lab/BAD"), "1").await, (400, words.to_owned()));
    assert_eq!(failure(&format!("{host}/lab/one"), "-").await, (400, "invalid tag format".to_owned()));
    assert_eq!(failure("scratch", "latest").await, (403, "'scratch' is a reserved name".to_owned()));
    let rule = registry.fault(Target::AnyManifest, Fault::retry_after(429, "3600"));
    assert_eq!(failure(&format!("{host}/lab/one"), "1").await.0, 429);
    rule.lift();
    assert_eq!(pull(&daemon, &format!("{host}/lab/one"), "1").await.status, 200);
}

#[tokio::test]
async fn root_a_registry_that_is_down_is_no_fault_of_the_client() {
    let (daemon, registry) = (Daemon::start(), Registry::start().unwrap());
    let host = registry.host();
    drop(registry);
    let (status, message) = pull(&daemon, &format!("{host}/lab/one"), "1").await.failure();
    assert_eq!(status, 502, "{message}");
    assert!(message.contains(&host), "{message}");
}

#[tokio::test]
async fn root_a_pull_is_told_line_by_line() {
    let (daemon, registry, image) = (Daemon::start(), Registry::start().unwrap(), image());
    let name = registry.put_image("lab/one", "1", &image);
    let answer = pull(&daemon, name.strip_suffix(":1").unwrap(), "1").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    assert!(answer.body.ends_with("\r\n"), "{:?}", answer.body);
    let lines: Vec<Value> = answer
        .body
        .split_terminator("\r\n")
        .map(|line| {
            assert!(!line.contains('\n'), "{line:?}");
            serde_json::from_str(line).unwrap()
        })
        .collect();
    assert_eq!(lines[0], json!({"status": "Pulling from lab/one", "id": "1"}));
    let id = &image.layers[0].blob.digest["sha256:".len()..][..12];
    let of_layer: Vec<&str> =
        lines.iter().filter(|line| line["id"] == id).map(|line| line["status"].as_str().unwrap()).collect();
    assert_eq!(of_layer.first(), Some(&"Pulling fs layer"), "{}", answer.body);
    assert_eq!(of_layer.last(), Some(&"Pull complete"), "{}", answer.body);
    let without_id: Vec<&str> =
        lines.iter().filter(|line| line["id"].is_null()).filter_map(|line| line["status"].as_str()).collect();
    let digest = format!("Digest: {}", image.digest());
    assert_eq!(without_id, [digest, format!("Status: Downloaded newer image for {name}")]);
    assert!(lines.iter().all(|line| line["error"].is_null()));
}

#[tokio::test]
async fn root_a_pull_that_fails_on_the_way_says_so_in_its_last_line() {
    let (daemon, registry, image) = (Daemon::start(), Registry::start().unwrap(), image());
    let name = registry.put_image("lab/one", "1", &image);
    let last = image.layers[0].blob.size() - 1;
    registry.fault(Target::Blob(image.layers[0].blob.digest.clone()), Fault::Flip { at: last });
    let answer = pull(&daemon, name.strip_suffix(":1").unwrap(), "1").await;
    assert_eq!(answer.status, 200, "the answer had begun");
    let last: Value = serde_json::from_str(answer.body.lines().last().unwrap()).unwrap();
    let message = last["error"].as_str().unwrap();
    assert_eq!(last["errorDetail"]["message"], message);
    assert!(message.contains(&image.layers[0].blob.digest), "{message}");
    assert_eq!(get(&daemon, "/images/json").await.json(), json!([]));
    assert_eq!(daemon.list("layers/sha256"), [""; 0]);
}

#[tokio::test]
async fn root_mounts_are_made_and_listed() {
    let (daemon, registry, image) = (Daemon::start(), Registry::start().unwrap(), image());
    let name = registry.put_image("lab/one", "1", &image);
    assert_eq!(pull(&daemon, name.strip_suffix(":1").unwrap(), "1").await.status, 200);
    let folder = daemon.layer(&["mount", &name]).ok();
    let info = get(&daemon, "/info").await.json();
    assert_eq!(info["Images"], 1);
    let removal = ask(&daemon, Method::DELETE, &format!("/images/{}", name.replace('/', "%2F"))).await.failure();
    assert_eq!(removal.0, 409, "{}", removal.1);
    assert!(removal.1.contains(&folder), "{}", removal.1);
}
