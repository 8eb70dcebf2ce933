//! What happened to images, told while it happens and afterwards.

use layer_testkit::image::{Image, ImageBuilder};
use layer_testkit::layer::LayerBuilder;
use layer_testkit::registry::Registry;
use serde_json::{Value, json};

use crate::daemon::{Daemon, Place};
use crate::http::Stream;

fn app() -> Image {
    ImageBuilder::new()
        .layer(LayerBuilder::new().file("base", "1").gzip())
        .container("Labels", json!({"stage": "beta"}))
        .build()
}

/// Everything between two moments, as `Action ID attributes`.
async fn history(daemon: &Daemon, query: &str) -> Vec<String> {
    let answer = daemon.get(&format!("/v1.51/events?since=1&until=0s{query}")).await;
    assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("application/json")));
    answer.text().lines().map(|line| short(&serde_json::from_str(line).unwrap())).collect()
}

fn short(event: &Value) -> String {
    let actor = &event["Actor"];
    assert_eq!((&event["Type"], &event["scope"]), (&json!("image"), &json!("local")));
    assert_eq!((&event["status"], &event["id"]), (&event["Action"], &actor["ID"]));
    assert_eq!(event["time"].as_i64().unwrap(), event["timeNano"].as_i64().unwrap() / 1_000_000_000);
    format!("{} {} {}", event["Action"].as_str().unwrap(), actor["ID"].as_str().unwrap(), actor["Attributes"])
}

async fn next(stream: &mut Stream) -> String {
    short(&stream.line().await.expect("an event"))
}

#[tokio::test]
async fn what_happens_is_told_live_and_again_later() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let mut daemon = place.start();
    let image = app();
    let id = image.digest();
    let name = registry.put_image("lab/app", "1", &image);
    let repository = name.strip_suffix(":1").unwrap();
    let mut live = daemon.open("GET", "/events").await;
    let mut pulls = daemon.open("GET", "/events?filters=%7B%22event%22%3A%5B%22pull%22%5D%7D").await;

    let pulled = format!(r#"pull {name} {{"name":"{repository}","stage":"beta"}}"#);
    let tagged = format!(r#"tag {id} {{"name":"other:2","stage":"beta"}}"#);
    let untagged = |name: &str| format!(r#"untag {id} {{"name":"{name}","stage":"beta"}}"#);
    let deleted = format!(r#"delete {id} {{"name":"{id}","stage":"beta"}}"#);
    daemon.pull(&name).await;
    assert_eq!(next(&mut live).await, pulled);
    assert_eq!(daemon.ask("POST", &format!("/images/{name}/tag?repo=other&tag=2")).await.status, 201);
    assert_eq!(next(&mut live).await, tagged);
    assert_eq!(daemon.ask("DELETE", "/images/other:2").await.status, 200);
    assert_eq!(next(&mut live).await, untagged("other:2"));
    daemon.pull(&name).await;
    assert_eq!(next(&mut live).await, pulled, "a pull that finds nothing new is told, too");
    assert_eq!(daemon.ask("DELETE", &format!("/images/{name}")).await.status, 200);
    assert_eq!(next(&mut live).await, untagged(&name));
    assert_eq!(next(&mut live).await, deleted);
    assert_eq!((next(&mut pulls).await, next(&mut pulls).await), (pulled.clone(), pulled.clone()));

    let all = [&pulled, &tagged, &untagged("other:2"), &pulled, &untagged(&name), &deleted].map(Clone::clone);
    assert_eq!(history(&daemon, "").await, all);
    let filters = |json: &str| format!("&filters={}", json.replace('"', "%22").replace('{', "%7B").replace('}', "%7D"));
    assert_eq!(history(&daemon, &filters(&format!(r#"{{"image":["{repository}"]}}"#))).await.len(), 3);
    assert_eq!(history(&daemon, &filters(r#"{"label":["stage=beta"]}"#)).await.len(), 6);
    assert_eq!(history(&daemon, &filters(r#"{"type":["container"]}"#)).await, [""; 0]);

    // Whoever follows doesn't keep the daemon from ending, and hears that it does.
    assert!(daemon.stop().success());
    assert_eq!(live.line().await, None);
    assert!(!daemon.log().contains("requests still run"), "{}", daemon.log());
    let daemon = place.start();
    assert_eq!(history(&daemon, "").await, all, "the history outlives the daemon");
}

#[tokio::test]
async fn a_moment_that_is_none_is_refused() {
    let place = Place::new();
    let daemon = place.start();
    let answer = daemon.get("/events?since=nonsense&until=1").await;
    assert_eq!(answer.status, 400);
    assert!(answer.message().starts_with("`since=nonsense` is no moment"), "{}", answer.message());
    assert_eq!(daemon.get("/events?filters=nonsense").await.status, 400);
}
