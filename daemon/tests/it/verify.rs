//! Verifying over the socket.

use serde_json::json;

use layer_testkit::image::ImageBuilder;
use layer_testkit::layer::LayerBuilder;
use layer_testkit::registry::Registry;

use crate::daemon::{Daemon, Place};
use crate::http::Answer;

async fn verify(daemon: &Daemon, body: serde_json::Value) -> Answer {
    daemon.send("POST", "/layerd/v1/verify", &[], body.to_string().into()).await
}

#[tokio::test]
async fn root_damage_is_told_line_by_line_and_repaired() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let image = ImageBuilder::new().layer(LayerBuilder::new().file("etc/motd", "welcome").gzip()).build();
    let name = registry.put_image("lab/app", "1", &image);
    daemon.pull(&name).await;
    let whole = verify(&daemon, json!({"images": [name]})).await;
    assert_eq!(whole.status, 200, "{}", whole.text());
    let totals = whole.lines().last().unwrap()["aux"]["Verified"].clone();
    assert_eq!((&totals["images"], &totals["problems"], &totals["damaged"]), (&json!(1), &json!(0), &json!(0)));

    let diff = &image.layers[0].diff_id;
    let file = place.root().join("layers").join(diff.replace(':', "/")).join("fs/etc/motd");
    std::fs::write(&file, "whale's").unwrap();
    let damaged = verify(&daemon, json!({})).await;
    let problems: Vec<_> = damaged.lines().iter().filter_map(|line| line["aux"].get("Problem").cloned()).collect();
    // It was written to a moment ago, and has the time of that.
    let words: Vec<_> = problems.iter().map(|problem| &problem["what"]).collect();
    assert_eq!(words, ["time", "content"]);
    for problem in &problems {
        assert_eq!((&problem["part"], &problem["digest"]), (&json!("layer"), &json!(diff)));
        assert_eq!((&problem["path"], &problem["image"]), (&json!("/etc/motd"), &json!(name)));
    }
    let repaired = verify(&daemon, json!({"repair": true})).await;
    assert!(
        repaired.lines().iter().any(|line| line["aux"]["Repaired"]["digest"] == json!(diff)),
        "{}",
        repaired.text()
    );
    assert_eq!(std::fs::read_to_string(file).unwrap(), "welcome");
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_refused() {
    let place = Place::new();
    let daemon = place.start();
    let missing = verify(&daemon, json!({"images": ["nosuch"]})).await;
    assert_eq!((missing.status, &*missing.message()), (404, "No such image: nosuch:latest"));
    let broken = verify(&daemon, json!({"images": 5})).await;
    assert_eq!(broken.status, 400);
    let empty = verify(&daemon, json!({})).await;
    assert_eq!((empty.status, empty.lines().len()), (200, 1), "nothing is all well");
}
