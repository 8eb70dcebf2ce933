//! Pulls as clients see them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use layer_testkit::image::{Image, ImageBuilder};
use layer_testkit::layer::{LayerBuilder, noise};
use layer_testkit::registry::{Auth, Fault, Gate, Outcome, Registry, Rule, Target, TokenAuth};
use serde_json::{Value, json};

use crate::daemon::{Place, pull_target};

/// No pull of these takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

fn app() -> Image {
    ImageBuilder::new()
        .layer(LayerBuilder::new().file("base", "1").gzip())
        .layer(LayerBuilder::new().file("top", "2").gzip())
        .build()
}

/// An image of one layer of some size, and the digest of its layer.
fn large(seed: u64) -> (Image, String) {
    let image = ImageBuilder::new().layer(LayerBuilder::new().file("large", noise(seed, 2 << 20)).gzip()).build();
    let digest = image.layers[0].blob.digest.clone();
    (image, digest)
}

/// What a layer's lines begin with.
fn short(digest: &str) -> &str {
    &digest["sha256:".len()..][..12]
}

#[tokio::test]
async fn a_pull_tells_its_story_in_dockers_words() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let image = app();
    let name = registry.put_image("lab/app", "1", &image);
    let answer = daemon.pull(&name).await;
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    assert_eq!(answer.header("Transfer-Encoding"), Some("chunked"));
    assert_eq!(answer.header("Api-Version"), Some("1.51"));
    let told = answer.told();
    let ids: Vec<_> = image.layers.iter().map(|layer| short(&layer.blob.digest)).collect();
    let queued = ids.iter().map(|id| format!("{id}: Pulling fs layer")).collect::<Vec<_>>();
    assert_eq!(told[0], "1: Pulling from lab/app");
    assert_eq!(told[1..3], queued[..]);
    for id in ids {
        let steps: Vec<_> = told
            .iter()
            .filter_map(|line| line.strip_prefix(&format!("{id}: ")))
            .filter(|words| !matches!(*words, "Waiting" | "Downloading" | "Extracting"))
            .collect();
        assert_eq!(steps, ["Pulling fs layer", "Download complete", "Pull complete"]);
    }
    let end = [format!("Digest: {}", image.digest()), format!("Status: Downloaded newer image for {name}")];
    assert_eq!(told[told.len() - 2..], end);
    let last = answer.lines().pop().unwrap();
    assert_eq!(last, json!({"progressDetail": {}, "aux": {"ID": image.digest(), "Reference": name}}));

    let again = daemon.pull(&name).await.told();
    let end = [format!("Digest: {}", image.digest()), format!("Status: Image is up to date for {name}")];
    assert_eq!(again, [vec!["1: Pulling from lab/app".to_owned()], end.to_vec()].concat());
}

#[tokio::test]
async fn a_pull_by_digest_shows_the_whole_reference() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let image = app();
    let name = registry.put_image("lab/app", "1", &image);
    let repository = name.strip_suffix(":1").unwrap();
    let query = format!("/images/create?fromImage={repository}&tag={}", image.digest());
    let told = daemon.ask("POST", &query).await.told();
    assert_eq!(told[0], format!("{repository}@{}: Pulling from lab/app", image.digest()));
    assert_eq!(told.last().unwrap(), &format!("Status: Downloaded newer image for {repository}@{}", image.digest()));
}

#[tokio::test]
async fn what_fails_before_the_first_line_has_a_status() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let name = registry.put_image("lab/app", "1", &app());
    let repository = name.strip_suffix(":1").unwrap();
    let refused = async |query: &str| {
        let answer = daemon.ask("POST", &format!("/v1.51/images/create?{query}")).await;
        (answer.status, answer.message())
    };
    assert_eq!(
        refused(&format!("fromImage={repository}&tag=nosuch")).await,
        (404, format!("failed to resolve reference \"{repository}:nosuch\": {repository}:nosuch: not found"))
    );
    assert_eq!(refused("fromImage=scratch&tag=latest").await, (403, "'scratch' is a reserved name".to_owned()));
    assert_eq!(
        refused("fromImage=UPPER%2FCase&tag=1").await,
        (400, "invalid reference format: repository name (Case) must be lowercase".to_owned())
    );
    assert_eq!(
        refused("fromImage=a&tag=1&platform=foobar").await,
        (400, "\"foobar\": unknown operating system or architecture: invalid argument".to_owned())
    );
    assert_eq!(refused("fromSrc=-&repo=UPPER").await.0, 400);
    let (status, message) = refused("fromImage=127.0.0.1%3A1%2Fx&tag=1").await;
    assert_eq!(status, 502);
    assert_eq!(
        message,
        "pull `127.0.0.1:1/x:1`: cannot get manifest `x:1` from registry `127.0.0.1:1`: connection refused"
    );
    registry.rule(Rule::new(Target::Manifest("limited".to_owned()), Fault::retry_after(429, "3600")));
    registry.put_tag("lab/app", "limited", app().digest());
    let (status, message) = refused(&format!("fromImage={repository}&tag=limited")).await;
    assert_eq!(status, 429);
    assert!(message.contains("you have reached your pull rate limit"), "{message}");
    // docker's client shows no hints: how long to wait is part of the message.
    assert!(message.ends_with("; it asks to wait 3600 seconds"), "{message}");
    for wrong in ["retries=101", "retries=-1", "retries=x", "stallTimeout=0", "stallTimeout=1e9"] {
        let (status, message) = refused(&format!("fromImage={repository}&tag=1&{wrong}")).await;
        let name = wrong.split_once('=').unwrap().0;
        assert!(status == 400 && message.contains(&format!("`{name}`")), "{status} {message}");
    }
}

#[tokio::test]
async fn a_registry_that_fails_for_a_moment_does_not_begin_the_answer() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let name = registry.put_image("lab/app", "1", &app());
    let rule = registry.rule(Rule::new(Target::AnyManifest, Fault::status(503)).times(1));
    let told = daemon.pull(&name).await.told();
    assert_eq!((told[0].as_str(), rule.struck()), ("1: Pulling from lab/app", 1));
    // One that fails for good still has a status.
    registry.fault(Target::AnyManifest, Fault::status(503));
    let answer = daemon.ask("POST", &format!("{}&retries=1", pull_target(&name))).await;
    assert_eq!(answer.status, 502, "{}", answer.text());
}

#[tokio::test]
async fn a_long_wait_for_the_manifest_is_told_before_the_first_line() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let name = registry.put_image("lab/app", "1", &app());
    // Whoever wants to hear of every retry does; others once they would have to wait for long.
    for (fault, headers, first) in [
        (
            Fault::retry_after(429, "1"),
            &[("Layerd-Tell-Retries", "1")][..],
            "Retrying in 2 seconds (429 from the registry)",
        ),
        (Fault::retry_after(503, "1"), &[], "Pulling from lab/app"),
        (Fault::retry_after(503, "60"), &[], "Retrying in 61 seconds (503 from the registry)"),
    ] {
        let before = registry.requests().len();
        let rule = registry.rule(Rule::new(Target::AnyManifest, fault).times(1));
        let mut stream = daemon.stream("POST", &pull_target(&name), headers).await;
        assert_eq!(stream.line().await.unwrap(), json!({"status": first, "id": "1"}));
        assert_eq!(rule.struck(), 1);
        if first.contains("61") {
            continue;
        }
        assert!(stream.whole().await.text().contains("Status: "));
        let asked = registry.requests().split_off(before);
        assert!(asked[1].started - asked[0].started >= Duration::from_secs(1), "the wait is kept");
    }
}

#[tokio::test]
async fn a_pull_may_be_less_patient_than_the_daemon() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let (image, layer) = large(5);
    let name = registry.put_image("lab/silent", "1", &image);
    let stall = Fault::Stall { after: 1 << 20, gate: Gate::new() };
    registry.rule(Rule::new(Target::Blob(layer.clone()), stall).times(1));
    // The daemon would wait for 30 seconds.
    let told = daemon.ask("POST", &format!("{}&stallTimeout=1", pull_target(&name))).await.told();
    let retry = format!("{}: Retrying in 1 second (the registry is silent)", short(&layer));
    assert!(told.contains(&retry), "{told:?}");
    assert!(told.last().unwrap().starts_with("Status: Downloaded newer image"), "{told:?}");
    // And it would ask five times.
    let (other, digest) = large(6);
    let name = registry.put_image("lab/failing", "1", &other);
    registry.fault(Target::Blob(digest.clone()), Fault::status(503));
    let answer = daemon.ask("POST", &format!("{}&retries=0", pull_target(&name))).await;
    assert!(answer.text().contains("after 1 try: "), "{}", answer.text());
    assert_eq!(registry.blob_gets(&digest), 1);
}

#[tokio::test]
async fn a_missing_platform_is_said_as_docker_does() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let index = layer_testkit::image::IndexBuilder::new().image(&app()).build();
    let name = registry.put_image("lab/multi", "1", &index);
    let answer = daemon.ask("POST", &format!("{}&platform=linux%2Fs390x", pull_target(&name))).await;
    assert_eq!(answer.status, 404);
    assert_eq!(
        answer.message(),
        "no matching manifest for linux/s390x in the manifest list entries: no match for platform in manifest: not found"
    );
    assert_eq!(answer.json()["hint"], "the image is made for linux/amd64");
}

#[tokio::test]
async fn what_fails_later_ends_the_stream_with_an_error() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let (image, layer) = large(1);
    let name = registry.put_image("lab/lost", "1", &image);
    registry.remove("lab/lost", &layer);
    let answer = daemon.ask("POST", &pull_target(&name)).await;
    assert_eq!(answer.status, 200);
    let last = answer.lines().pop().unwrap();
    let message = last["errorDetail"]["message"].as_str().unwrap();
    assert!(message.starts_with(&format!("pull `{name}`: layer `{layer}`: fetch, at byte 0 of ")), "{message}");
    assert_eq!(last["error"], message);
    assert_eq!(daemon.get("/images/json").await.json(), json!([]), "nothing half-done is listed");
}

#[tokio::test]
async fn a_login_is_lent_to_the_registry() {
    let registry = Registry::start().unwrap();
    registry.set_auth(Auth::Token(TokenAuth::account("bob", "secret")));
    let place = Place::new();
    let daemon = place.start();
    let name = registry.put_image("private/app", "1", &app());
    let pull = async |header: Option<String>| {
        let headers: Vec<_> = header.iter().map(|value| ("X-Registry-Auth", value.as_str())).collect();
        daemon.send("POST", &pull_target(&name), &headers, Vec::new()).await
    };
    let login = |password: &str| {
        let login = json!({"username": "bob", "password": password, "serveraddress": registry.host()});
        Some(URL_SAFE.encode(login.to_string()))
    };
    let repository = name.strip_suffix(":1").unwrap();
    let denied =
        format!("pull access denied for {repository}, repository does not exist or may require 'docker login'");
    for header in [None, Some("e30=".to_owned()), Some("garbage".to_owned())] {
        let stranger = pull(header).await;
        assert_eq!((stranger.status, stranger.message()), (404, denied.clone()));
        assert!(stranger.json()["hint"].as_str().unwrap().contains(&format!("layer login {}", registry.host())));
        assert_eq!(stranger.json()["login"], registry.host());
    }
    let wrong = pull(login("wrong")).await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.message().contains("`bob`"), "{}", wrong.message());
    let right = pull(login("secret")).await;
    assert_eq!(right.status, 200);
    assert_eq!(right.told().last().unwrap(), &format!("Status: Downloaded newer image for {name}"));
    assert!(!daemon.log().contains("secret"), "the log knows no passwords");
}

#[tokio::test]
async fn the_first_line_does_not_wait_for_the_layers() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let (image, layer) = large(2);
    let name = registry.put_image("lab/slow", "1", &image);
    let gate = Gate::new();
    registry.fault(Target::Blob(layer.clone()), Fault::Stall { after: 1 << 20, gate: gate.clone() });
    let mut stream = daemon.open("POST", &pull_target(&name)).await;
    assert_eq!(stream.status, 200);
    assert_eq!(stream.line().await.unwrap()["status"], "Pulling from lab/slow");
    assert_eq!(stream.line().await.unwrap()["status"], "Pulling fs layer");
    // The layer stands still in the middle, and its line says so.
    let half = loop {
        let line = stream.line().await.unwrap();
        if line["progressDetail"]["current"].as_u64().is_some_and(|current| current >= 1 << 20) {
            break line;
        }
    };
    assert_eq!(half["status"], "Downloading");
    assert_eq!(half["progressDetail"]["total"], image.layers[0].blob.size());
    assert!(half["progress"].as_str().unwrap().starts_with("[===="));
    gate.open();
    let rest = stream.whole().await;
    assert!(rest.text().contains("Status: Downloaded newer image"));
}

#[tokio::test]
async fn a_reader_who_leaves_stops_the_pull_and_its_bytes_are_kept() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let (image, layer) = large(3);
    let name = registry.put_image("lab/left", "1", &image);
    let gate = Gate::new();
    let stall = registry.fault(Target::Blob(layer.clone()), Fault::Stall { after: 1 << 20, gate: gate.clone() });
    let mut stream = daemon.open("POST", &pull_target(&name)).await;
    while stream.line().await.unwrap()["progressDetail"]["current"].as_u64().unwrap_or(0) < 1 << 20 {}
    drop(stream);
    let is_left = |request: &layer_testkit::registry::Request| {
        request.is_blob_get() && request.path.ends_with(&layer) && request.outcome == Outcome::Left
    };
    registry.until(1, is_left).await;
    stall.lift();
    daemon.pull(&name).await;
    let resumed = |request: &layer_testkit::registry::Request| {
        request.path.ends_with(&layer) && request.range.as_deref().is_some_and(|range| range != "bytes=0-")
    };
    assert_eq!(registry.count(resumed), 1);
}

#[tokio::test]
async fn a_reader_who_leaves_before_the_first_line_stops_the_pull_too() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let name = registry.put_image("lab/app", "1", &app());
    let gate = Gate::new();
    registry.fault(Target::AnyManifest, Fault::Hold(gate.clone()));
    let target = pull_target(&name);
    let asking = daemon.open("POST", &target);
    tokio::select! {
        _ = asking => panic!("there is nothing to answer yet"),
        () = gate.until(1) => {}
    }
    registry.until(1, |request| request.is_manifest() && request.outcome == Outcome::Left).await;
}

#[tokio::test]
async fn a_reader_who_does_not_read_holds_nobody_up() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    // Each layer has several lines: together more than a socket holds.
    let layers = (0..250).map(|number| LayerBuilder::new().file(format!("f{number}"), "x").gzip());
    let image = ImageBuilder::new().layers(layers).build();
    let name = registry.put_image("lab/lines", "1", &image);
    let sleeper = daemon.open("POST", &pull_target(&name)).await;
    let listed = async { while daemon.get("/images/json").await.json() == json!([]) {} };
    tokio::time::timeout(PATIENCE, listed).await.expect("the pull ends without its reader");
    let told = sleeper.whole().await.told();
    assert_eq!(told.last().unwrap(), &format!("Status: Downloaded newer image for {name}"));
    assert_eq!(told.iter().filter(|line| line.ends_with(": Pull complete")).count(), 250);
}

#[tokio::test]
async fn many_clients_are_told_of_one_pull() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let (image, layer) = large(4);
    let name = registry.put_image("lab/shared", "1", &image);
    let gate = Gate::new();
    registry.fault(Target::Blob(layer.clone()), Fault::Stall { after: 1000, gate: gate.clone() });
    let target = pull_target(&name);
    let mut streams = Vec::new();
    for _ in 0..16 {
        let mut stream = daemon.open("POST", &target).await;
        let mut line = Value::Null;
        while line["status"] != "Downloading" {
            line = stream.line().await.unwrap();
        }
        streams.push(stream);
    }
    gate.open();
    for stream in streams {
        let rest = stream.whole().await;
        assert!(rest.text().contains("Status: Downloaded newer image"), "{}", rest.text());
    }
    assert_eq!(registry.blob_gets(&layer), 1);
}

#[tokio::test]
async fn without_a_tag_all_of_them_are_pulled_until_one_fails() {
    let (registry, place) = (Registry::start().unwrap(), Place::new());
    let daemon = place.start();
    let of = |text: &str| ImageBuilder::new().layer(LayerBuilder::new().file("f", text).gzip()).build();
    let names: Vec<_> = ["1", "2", "3"].map(|tag| registry.put_image("lab/many", tag, &of(tag))).into();
    let create = format!("/v1.51/images/create?fromImage={}%2Flab%2Fmany", registry.host().replace(':', "%3A"));
    let pulled = daemon.ask("POST", &create).await;
    let text = pulled.text();
    for name in &names {
        assert!(text.contains(&format!("Status: Downloaded newer image for {name}")), "{text}");
    }
    assert_eq!(daemon.get("/images/json").await.json().as_array().unwrap().len(), 3);
    for name in &names {
        assert_eq!(daemon.ask("DELETE", &format!("/images/{name}")).await.status, 200);
    }
    // The second of them fails, and the third is not asked for.
    let damaged = of("2");
    registry.fault(Target::Blob(damaged.layers[0].blob.digest.clone()), Fault::Flip { at: 1 });
    let lines = daemon.ask("POST", &create).await.lines();
    assert!(lines.last().unwrap()["errorDetail"]["message"].as_str().unwrap().contains("digest mismatch"), "{lines:?}");
    let listed = daemon.get("/images/json").await.json();
    assert_eq!(listed[0]["RepoTags"], json!([names[0]]));
    assert_eq!(listed.as_array().unwrap().len(), 1);

    let missing = format!("/v1.51/images/create?fromImage={}%2Flab%2Fnone", registry.host().replace(':', "%3A"));
    let answer = daemon.ask("POST", &missing).await;
    assert_eq!(answer.status, 404, "{}", answer.text());
}
