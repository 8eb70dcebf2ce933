//! Pulls that run: listed, followed and ended by others than who began them.

use layer_testkit::image::{Image, ImageBuilder};
use layer_testkit::layer::{LayerBuilder, noise};
use layer_testkit::registry::{Fault, Gate, Registry, Target};
use serde_json::json;

use crate::daemon::{Place, pull_target};
use crate::http::Stream;

const PULLS: &str = "/layerd/v1/pulls";

fn image() -> Image {
    ImageBuilder::new()
        .layer(LayerBuilder::new().file("base", "1").gzip())
        .layer(LayerBuilder::new().file("large", noise(7, 2 << 20)).gzip())
        .build()
}

/// The status of a line, if it has one.
fn status(line: &serde_json::Value) -> &str {
    line["status"].as_str().unwrap_or_default()
}

/// Reads a pull's progress until so many bytes of a layer have come.
async fn until_fetched(pull: &mut Stream, bytes: u64) {
    while let Some(line) = pull.line().await {
        if status(&line) == "Downloading" && line["progressDetail"]["current"].as_u64() >= Some(bytes) {
            return;
        }
    }
    panic!("the pull has ended");
}

#[tokio::test]
async fn root_a_pull_can_be_followed_by_who_comes_later() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let image = image();
    let name = registry.put_image("lab/app", "1", &image);
    let large = image.layers[1].blob.digest.clone();
    let gate = Gate::new();
    registry.fault(Target::Blob(large.clone()), Fault::Stall { after: 1 << 20, gate: gate.clone() });
    assert_eq!(daemon.get(PULLS).await.json(), json!([]));
    let mut pull = daemon.open("POST", &pull_target(&name)).await;
    until_fetched(&mut pull, 1 << 20).await;

    let listed = daemon.get(PULLS).await.json();
    let [one] = &listed.as_array().unwrap()[..] else { panic!("{listed}") };
    assert_eq!((&one["reference"], &one["platform"]), (&json!(name), &json!(null)));
    let digests: Vec<_> = one["layers"].as_array().unwrap().iter().map(|layer| layer["digest"].clone()).collect();
    assert_eq!(digests, image.layers.iter().map(|layer| json!(layer.blob.digest)).collect::<Vec<_>>());

    let mut by_name = daemon.open("GET", &format!("{PULLS}/progress?what={name}")).await;
    let first = by_name.line().await.unwrap();
    assert_eq!((status(&first), first["id"].as_str()), ("Pulling from lab/app", Some("1")));
    let by_number = daemon.open("GET", &format!("{PULLS}/progress?what={}", one["id"])).await;
    // Whoever follows can go.
    drop(by_number);
    gate.open();
    let mut last = first;
    while let Some(line) = by_name.line().await {
        last = line;
    }
    assert_eq!(last["aux"]["ID"], image.digest());
    while let Some(line) = pull.line().await {
        assert!(line.get("error").is_none(), "{line}");
    }
    assert_eq!(daemon.get(PULLS).await.json(), json!([]));
    let gone = daemon.get(&format!("{PULLS}/progress?what={}", one["id"])).await;
    assert_eq!((gone.status, gone.message()), (404, format!("no pull runs that is `{}`", one["id"])));
}

#[tokio::test]
async fn root_a_pull_that_another_one_ends_says_so_and_goes_on_when_it_is_pulled_again() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let image = image();
    let name = registry.put_image("lab/app", "1", &image);
    let large = image.layers[1].blob.digest.clone();
    let gate = Gate::new();
    registry.fault(Target::Blob(large.clone()), Fault::Stall { after: 1 << 20, gate: gate.clone() });
    let mut pull = daemon.open("POST", &pull_target(&name)).await;
    until_fetched(&mut pull, 1 << 20).await;
    let ended = daemon.ask("DELETE", &format!("{PULLS}?what={name}")).await.json();
    assert_eq!(ended[0]["reference"], json!(name));
    let mut last = json!(null);
    while let Some(line) = pull.line().await {
        last = line;
    }
    assert!(last["error"].as_str().unwrap().ends_with("the pull was cancelled; what has come is kept"), "{last}");
    assert_eq!(daemon.get(PULLS).await.json(), json!([]));
    registry.heal();
    daemon.pull(&name).await;
    let again = registry.requests().into_iter().rfind(|one| one.is_blob_get() && one.path.ends_with(&large)).unwrap();
    assert!(again.range.is_some(), "it is fetched from the byte that was reached");

    for (method, target, status) in [
        ("DELETE", format!("{PULLS}?what=77"), 404),
        ("DELETE", PULLS.to_owned(), 400),
        ("GET", format!("{PULLS}/progress"), 400),
    ] {
        assert_eq!(daemon.ask(method, &target).await.status, status, "{method} {target}");
    }
}
