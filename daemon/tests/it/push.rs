//! Pushes as clients see them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use layer_testkit::debian::DebianRegistry;
use layer_testkit::front::{BodyFault, Front};
use layer_testkit::image::{Image, ImageBuilder, IndexBuilder};
use layer_testkit::layer::{LayerBuilder, noise};
use layer_testkit::registry::Registry;
use serde_json::{Value, json};

use crate::daemon::{Daemon, Place};

/// No push of these takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// `sesame`, as `htpasswd -B` writes it.
const HTPASSWD: &str = "lab:$2b$04$nyFrvMEbf2/xQqPKszteFuaM3A133/8MyMmAtlXtIJxA4o16H1/sa\n";

fn app() -> Image {
    ImageBuilder::new().layer(LayerBuilder::new().file("large", noise(1, 1 << 20)).gzip()).build()
}

/// What a layer's lines begin with.
fn short(digest: &str) -> &str {
    &digest["sha256:".len()..][..12]
}

/// Pulls an image, and gives it a name at the registry behind `host`.
async fn named(daemon: &Daemon, registry: &Registry, image: &Image, host: &str, name: &str, tag: &str) -> String {
    let source = registry.put_image("lib/source", tag, image);
    daemon.pull(&source).await;
    let repository = format!("{host}/{name}");
    let answer = daemon.ask("POST", &format!("/images/{source}/tag?repo={repository}&tag={tag}")).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    repository
}

/// The words that a stream of progress ends with, and whether that is a failure.
fn failure(lines: &[Value]) -> &str {
    let last = lines.last().unwrap();
    assert_eq!(last["error"], last["errorDetail"]["message"], "{last}");
    last["error"].as_str().expect("a failure")
}

#[tokio::test]
async fn a_push_tells_its_story_in_dockers_words() {
    let (registry, target, place) = (Registry::start().unwrap(), DebianRegistry::start().unwrap(), Place::new());
    let daemon = place.start();
    let image = app();
    let repository = named(&daemon, &registry, &image, &target.host(), "lab/app", "p1").await;
    let push = format!("/v1.51/images/{repository}/push?tag=p1");
    let answer = daemon.send("POST", &push, &[("X-Registry-Auth", "e30=")], Vec::new()).await;
    assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("application/json")));
    let id = short(&image.layers[0].blob.digest);
    let size = image.layers[0].blob.content.len();
    let end = format!("p1: digest: {} size: {}", image.digest(), image.top.bytes.len());
    let lines = answer.lines();
    assert_eq!(lines[0], json!({"status": format!("The push refers to repository [{repository}]")}));
    let last_bar = lines.iter().rfind(|line| line["status"] == "Pushing").unwrap();
    assert_eq!(last_bar["progressDetail"], json!({"current": size, "total": size}));
    let told: Vec<_> = answer.told().into_iter().filter(|line| !line.ends_with(": Pushing")).collect();
    let first = format!("The push refers to repository [{repository}]");
    assert_eq!(told, [first.clone(), format!("{id}: Waiting"), format!("{id}: Pushed"), end.clone()]);
    let aux = json!({"Tag": "p1", "Digest": image.digest(), "Size": image.top.bytes.len()});
    assert_eq!(lines.last().unwrap(), &json!({"progressDetail": {}, "aux": aux}));

    let told = daemon.ask("POST", &push).await.told();
    assert_eq!(told, [first, format!("{id}: Waiting"), format!("{id}: Layer already exists"), end]);
}

#[tokio::test]
async fn what_the_registry_has_elsewhere_is_said_to_be_mounted() {
    let (target, place) = (DebianRegistry::start().unwrap(), Place::new());
    let daemon = place.start();
    let image = app();
    let source = target.put_image("lab/app", "1", &image).unwrap();
    daemon.pull(&source).await;
    let copy = format!("{}/lab/copy", target.host());
    daemon.ask("POST", &format!("/images/{source}/tag?repo={copy}&tag=m")).await;
    let told = daemon.ask("POST", &format!("/images/{copy}/push?tag=m")).await.told();
    let mounted = format!("{}: Mounted from lab/app", short(&image.layers[0].blob.digest));
    assert!(told.contains(&mounted), "{told:?}");
}

#[tokio::test]
async fn without_a_tag_all_of_them_are_pushed() {
    let (registry, target, place) = (Registry::start().unwrap(), DebianRegistry::start().unwrap(), Place::new());
    let daemon = place.start();
    let other = ImageBuilder::new().layer(LayerBuilder::new().file("f", "2").gzip()).build();
    let repository = named(&daemon, &registry, &app(), &target.host(), "lab/app", "a").await;
    named(&daemon, &registry, &other, &target.host(), "lab/app", "b").await;
    let told = daemon.ask("POST", &format!("/images/{repository}/push")).await.told();
    let ends: Vec<_> = told.iter().filter(|line| line.contains(": digest: ")).map(|line| &line[..1]).collect();
    assert_eq!(ends, ["a", "b"]);
}

#[tokio::test]
async fn an_index_in_part_goes_as_the_manifest_that_is_here() {
    let (registry, target, place) = (Registry::start().unwrap(), DebianRegistry::start().unwrap(), Place::new());
    let daemon = place.start();
    let one = |platform, text: &str| {
        ImageBuilder::new().platform(platform).layer(LayerBuilder::new().file("f", text).gzip()).build()
    };
    let (amd, arm) = (one("linux/amd64", "1"), one("linux/arm64", "2"));
    let index = IndexBuilder::new().image(&amd).image(&arm).build();
    let here = if cfg!(target_arch = "aarch64") { &arm } else { &amd };
    let repository = named(&daemon, &registry, &index, &target.host(), "lab/app", "1").await;
    let lines = daemon.ask("POST", &format!("/images/{repository}/push?tag=1")).await.lines();
    let aux = lines.iter().find(|line| line["aux"]["manifestPushedInsteadOfIndex"] == true).unwrap();
    assert_eq!(aux["aux"]["originalIndex"]["digest"], index.digest());
    assert_eq!(aux["aux"]["selectedManifest"]["digest"], here.digest());
    assert_eq!(aux["aux"]["selectedManifest"]["platform"]["os"], "linux");

    let platform = "%7B%22os%22%3A%22linux%22%2C%22architecture%22%3A%22s390x%22%7D";
    let lines = daemon.ask("POST", &format!("/images/{repository}/push?tag=1&platform={platform}")).await.lines();
    let words = format!(
        "image with reference {repository}:1 was found but does not provide the specified platform (linux/s390x)"
    );
    assert_eq!(failure(&lines), words);
}

#[tokio::test]
async fn what_is_not_here_is_said_in_the_stream_and_nonsense_before_it() {
    let place = Place::new();
    let daemon = place.start();
    let lines = daemon.ask("POST", "/images/lab.test/nosuch/push?tag=p1").await.lines();
    assert_eq!(lines[0], json!({"status": "The push refers to repository [lab.test/nosuch]"}));
    assert_eq!(failure(&lines), "tag does not exist: lab.test/nosuch:p1");
    let lines = daemon.ask("POST", "/images/lab.test/nosuch/push").await.lines();
    assert_eq!(failure(&lines), "An image does not exist locally with the tag: lab.test/nosuch");
    for (target, words) in [
        (
            "/images/lab.test/UPPER/push?tag=1".to_owned(),
            "invalid reference format: repository name (UPPER) must be lowercase",
        ),
        (format!("/images/lab.test/a@sha256:{}/push", "0".repeat(64)), "cannot push a digest reference"),
        (
            "/images/lab.test/a/push?tag=1&platform=%7B".to_owned(),
            "failed to parse platform: EOF while parsing an object at line 1 column 1",
        ),
    ] {
        let answer = daemon.ask("POST", &target).await;
        assert_eq!((answer.status, answer.message()), (400, words.to_owned()), "{target}");
    }
}

#[tokio::test]
async fn a_login_is_shown_to_the_registry_and_its_lack_is_told() {
    let (registry, place) = (Registry::start().unwrap(), Place::new());
    let daemon = place.start();
    let users = place.path().join("htpasswd");
    std::fs::write(&users, HTPASSWD).unwrap();
    let sections = format!("auth:\n  htpasswd:\n    realm: lab\n    path: {}\n", users.display());
    let target = DebianRegistry::start_with(&sections).unwrap();
    let repository = named(&daemon, &registry, &app(), &target.host(), "private/app", "1").await;
    let push = format!("/images/{repository}/push?tag=1");
    let lines = daemon.ask("POST", &push).await.lines();
    let words = failure(&lines);
    let docker = "push access denied, repository does not exist or may require authorization: ";
    assert!(words.starts_with(docker) && words.contains("wants a login"), "{words}");
    let hint = lines.last().unwrap()["errorDetail"]["hint"].as_str().unwrap();
    assert!(hint.contains(&format!("layer login {}", target.host())), "{hint}");
    let login = |password: &str| URL_SAFE.encode(json!({"username": "lab", "password": password}).to_string());
    let wrong = daemon.send("POST", &push, &[("X-Registry-Auth", &login("wrong"))], Vec::new()).await.lines();
    assert!(failure(&wrong).contains("refused user `lab`"), "{}", failure(&wrong));
    let right = daemon.send("POST", &push, &[("X-Registry-Auth", &login("sesame"))], Vec::new()).await.told();
    assert!(right.last().unwrap().starts_with("1: digest: sha256:"), "{right:?}");
    assert!(!daemon.log().contains("sesame"));
}

#[tokio::test]
async fn a_push_stops_when_its_client_goes() {
    let (registry, target, place) = (Registry::start().unwrap(), DebianRegistry::start().unwrap(), Place::new());
    let front = Front::start(target.address()).unwrap();
    let daemon = place.start();
    let repository = named(&daemon, &registry, &app(), &front.host(), "lab/app", "1").await;
    front.fault(BodyFault::Swallow { after: 1000 });
    let mut stream = daemon.open("POST", &format!("/images/{repository}/push?tag=1")).await;
    assert_eq!(stream.status, 200);
    while stream.line().await.expect("it goes on")["status"] != "Pushing" {}
    tokio::time::timeout(PATIENCE, front.until_struck(1)).await.unwrap();
    drop(stream);
    tokio::task::spawn_blocking(move || front.wait_for_left(1).unwrap()).await.unwrap();
}
