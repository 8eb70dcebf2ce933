//! Prune, disk use, pins and collections over the socket.

use layer_testkit::image::{Image, ImageBuilder};
use layer_testkit::layer::LayerBuilder;
use layer_testkit::registry::Registry;
use serde_json::{Value, json};

use crate::daemon::{Daemon, Place};

fn image(content: &str) -> Image {
    ImageBuilder::new()
        .layer(LayerBuilder::new().file("base", vec![b'x'; 50_000]).gzip())
        .layer(LayerBuilder::new().file("top", content).gzip())
        .container("Labels", json!({"lab.content": content}))
        .build()
}

fn filters(path: &str, filters: &Value) -> String {
    let encoded: String = filters.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("/v1.51/{path}?filters={encoded}")
}

async fn prune(daemon: &Daemon, conditions: Value) -> Value {
    let answer = daemon.ask("POST", &filters("images/prune", &conditions)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn an_image_whose_tag_moves_is_listed_without_a_name_until_it_is_pruned() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let (old, new) = (image("old"), image("new"));
    let name = registry.put_image("lab/app", "1", &old);
    daemon.pull(&name).await;
    registry.put_image("lab/app", "1", &new);
    daemon.pull(&name).await;
    let listed = daemon.get(&filters("images/json", &json!({"dangling": ["true"]}))).await.json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let row = &listed[0];
    assert_eq!((&row["Id"], &row["RepoTags"], &row["RepoDigests"]), (&json!(old.digest()), &json!([]), &json!([])));
    assert_eq!(daemon.get("/v1.51/images/json").await.json().as_array().unwrap().len(), 2);
    let before = daemon.get("/v1.42/images/json").await.json();
    assert!(before.to_string().contains("<none>:<none>"));
    // By its ID it can be looked at as any other.
    assert_eq!(daemon.get(&format!("/images/{}/json", old.digest())).await.json()["RepoTags"], json!([]));

    let kept = prune(&daemon, json!({"until": ["2021-06-01"]})).await;
    assert_eq!(kept, json!({"ImagesDeleted": null, "SpaceReclaimed": 0}));
    let pruned = prune(&daemon, json!({})).await;
    assert_eq!(pruned["ImagesDeleted"], json!([{"Untagged": old.digest()}, {"Deleted": old.digest()}]));
    assert!(pruned["SpaceReclaimed"].as_u64().unwrap() > 0);
    assert_eq!(prune(&daemon, json!({})).await, json!({"ImagesDeleted": null, "SpaceReclaimed": 0}));
    let events = daemon.get("/v1.51/events?since=1&until=0s&filters=%7B%22event%22%3A%5B%22prune%22%5D%7D").await;
    let first: Value = serde_json::from_str(events.text().lines().next().unwrap()).unwrap();
    assert_eq!((&first["status"], first.get("id")), (&json!("prune"), None));
    assert_eq!(daemon.get("/v1.51/images/json").await.json().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_prune_is_narrowed_by_filters() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let (one, two) = (image("one"), image("two"));
    let names = [registry.put_image("lab/one", "1", &one), registry.put_image("lab/two", "1", &two)];
    for name in &names {
        daemon.pull(name).await;
    }
    let nothing = json!({"ImagesDeleted": null, "SpaceReclaimed": 0});
    assert_eq!(prune(&daemon, json!({})).await, nothing);
    assert_eq!(prune(&daemon, json!({"dangling": ["false"], "until": ["1h"]})).await, nothing);
    assert_eq!(prune(&daemon, json!({"dangling": ["false"], "label": ["lab.content=other"]})).await, nothing);
    let pruned = prune(&daemon, json!({"dangling": {"false": true}, "label!": ["lab.content=two"]})).await;
    assert_eq!(pruned["ImagesDeleted"], json!([{"Untagged": names[0]}, {"Deleted": one.digest()}]));
    let pruned = prune(&daemon, json!({"dangling": ["false"]})).await;
    assert_eq!(pruned["ImagesDeleted"], json!([{"Untagged": names[1]}, {"Deleted": two.digest()}]));
    assert_eq!(daemon.get("/v1.51/images/json").await.json(), json!([]));
    for (target, message) in [
        (filters("images/prune", &json!({"nonsense": ["1"]})), "invalid filter 'nonsense'"),
        ("/v1.51/images/prune?filters=garb1age%7D".to_owned(), "invalid filter"),
    ] {
        let answer = daemon.ask("POST", &target).await;
        assert_eq!((answer.status, &*answer.message()), (400, message));
    }
}

#[tokio::test]
async fn what_is_pinned_stays_over_restarts_and_without_the_database() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let mut daemon = place.start();
    let (old, new) = (image("old"), image("new"));
    let name = registry.put_image("lab/app", "1", &old);
    daemon.pull(&name).await;
    let pin = async |daemon: &Daemon, image: &str| {
        let body = json!({"image": image}).to_string();
        daemon.send("POST", "/layerd/v1/pins", &[], body.into()).await
    };
    let pinned = pin(&daemon, &name).await;
    assert_eq!((pinned.status, pinned.json()), (201, json!({"image": old.digest(), "reference": name})));
    assert_eq!(pin(&daemon, &name).await.status, 201, "once more is no error");
    daemon.stop();
    std::fs::remove_dir_all(place.root().join("db")).unwrap();
    let daemon = place.start();
    assert_eq!(prune(&daemon, json!({"dangling": ["false"]})).await["ImagesDeleted"], Value::Null);

    // The pin is the name's: it goes with it to another image.
    registry.put_image("lab/app", "1", &new);
    daemon.pull(&name).await;
    let pruned = prune(&daemon, json!({"dangling": ["false"]})).await;
    assert_eq!(pruned["ImagesDeleted"], json!([{"Untagged": old.digest()}, {"Deleted": old.digest()}]));
    assert_eq!(daemon.get("/layerd/v1/pins").await.json(), json!([{"image": new.digest(), "reference": name}]));

    let refused = daemon.ask("DELETE", &format!("/images/{name}")).await;
    assert_eq!(refused.status, 409);
    assert!(refused.message().ends_with("(must be forced) - image is pinned"), "{}", refused.message());
    let off = daemon.ask("DELETE", &format!("/layerd/v1/pins?image={name}")).await;
    assert_eq!((off.status, off.json()), (200, json!([{"image": new.digest(), "reference": name}])));
    let again = daemon.ask("DELETE", &format!("/layerd/v1/pins?image={name}")).await;
    assert_eq!((again.status, again.message()), (404, format!("`{name}` is not pinned")));
    assert_eq!(daemon.ask("DELETE", "/layerd/v1/pins").await.status, 400);
    assert_eq!(pin(&daemon, "").await.message(), "`image` is missing: it names the image to pin");
    assert_eq!(pin(&daemon, "nosuch").await.status, 404);
    // By its ID an image is pinned itself, and a forced removal takes it all the same.
    let by_id = pin(&daemon, new.digest()).await;
    assert_eq!(by_id.json(), json!({"image": new.digest(), "reference": null}));
    assert_eq!(prune(&daemon, json!({"dangling": ["false"]})).await["ImagesDeleted"], Value::Null);
    let forced = daemon.ask("DELETE", &format!("/images/{name}?force=1&noprune=1")).await;
    assert_eq!(forced.json(), json!([{"Untagged": name}, {"Deleted": new.digest()}]));
    assert_eq!(daemon.get("/layerd/v1/pins").await.json(), json!([]));
}

#[tokio::test]
async fn sizes_say_what_is_shared_and_what_is_one_images_own() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let empty = daemon.get("/v1.51/system/df?type=image").await.json();
    assert_eq!((&empty["Images"], &empty["Containers"]), (&json!([]), &Value::Null));
    for content in ["one", "two"] {
        daemon.pull(&registry.put_image(&format!("lab/{content}"), "1", &image(content))).await;
    }
    let df = daemon.get("/v1.51/system/df").await.json();
    let [one, two] = [&df["Images"][0], &df["Images"][1]]
        .map(|row| (row["Size"].as_i64().unwrap(), row["SharedSize"].as_i64().unwrap()));
    assert!(one.1 > 50_000 && one.1 == two.1 && one.0 > one.1, "{df}");
    assert_eq!((&df["Containers"], &df["Volumes"], &df["BuildCache"]), (&json!([]), &json!([]), &json!([])));
    let store = daemon.get("/layerd/v1/df").await.json();
    assert_eq!(store["total"], df["LayersSize"]);
    assert_eq!(store["images"][0]["unique"].as_i64().unwrap(), one.0 - one.1);
    assert_eq!(store["images"][0]["mounts"], 0);
    assert!(store["images"][0]["lastUsed"].as_i64().unwrap() > 1_700_000_000);
    assert_eq!((&store["partials"], &store["leftovers"]), (&json!(0), &json!(0)));
    assert_eq!(
        store["reclaimable"].as_i64().unwrap(),
        store["blobs"].as_i64().unwrap() + store["layers"].as_i64().unwrap()
    );

    // A list counts content, not blocks, and says what is shared when it is asked.
    let list = daemon.get("/v1.51/images/json?shared-size=1").await.json();
    let shared = list[0]["SharedSize"].as_i64().unwrap();
    assert!(shared > 50_000 && shared < list[0]["Size"].as_i64().unwrap(), "{list}");
    assert_eq!(daemon.get("/v1.51/images/json").await.json()[0]["SharedSize"], -1);
    let some = daemon.get("/v1.51/system/df?type=container&type=volume").await.json();
    assert_eq!((&some["Images"], &some["Containers"], &some["BuildCache"]), (&Value::Null, &json!([]), &Value::Null));
    let unknown = daemon.get("/v1.51/system/df?type=x").await;
    assert_eq!((unknown.status, unknown.message()), (400, "unknown object type: x".to_owned()));
}

#[tokio::test]
async fn a_collection_can_be_asked_for_and_tried_first() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let mut names = Vec::new();
    for content in ["one", "two"] {
        names.push(registry.put_image(&format!("lab/{content}"), "1", &image(content)));
        daemon.pull(names.last().unwrap()).await;
    }
    let collect = async |body: Value| {
        let answer = daemon.send("POST", "/layerd/v1/gc", &[], body.to_string().into()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    // As the daemon is set up, nothing has to go.
    let nothing = daemon.ask("POST", "/layerd/v1/gc").await.json();
    assert_eq!((&nothing["images"], &nothing["bytes"], &nothing["dryRun"]), (&json!([]), &json!(0), &json!(false)));
    let tried = collect(json!({"all": true, "keepStorage": 0, "dryRun": true})).await;
    let order = |taken: &Value| -> Vec<Value> {
        taken["images"].as_array().unwrap().iter().map(|image| image["names"][0].clone()).collect()
    };
    assert_eq!(order(&tried), names, "the one that was not used for longer goes first");
    assert_eq!(daemon.get("/images/json").await.json().as_array().unwrap().len(), 2);
    assert_eq!(collect(json!({"keepStorage": 0})).await["images"], json!([]), "both have names");
    let done = collect(json!({"all": true, "keepStorage": 0})).await;
    assert_eq!((order(&done), &done["bytes"]), (order(&tried), &tried["bytes"]));
    assert_eq!(daemon.get("/images/json").await.json(), json!([]));
    let bad = daemon.send("POST", "/layerd/v1/gc", &[], b"{\"keepStorage\":\"x\"}".to_vec()).await;
    assert_eq!(bad.status, 400);
}

#[tokio::test]
async fn the_daemon_collects_by_itself() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let config = place.path().join("config.toml");
    std::fs::write(&config, "[gc]\nevery = '1s'\nunused-for = '1s'\n").unwrap();
    let daemon = place.start_with(place.command().arg("--config").arg(&config));
    daemon.pull(&registry.put_image("lab/app", "1", &image("x"))).await;
    while !daemon.log().contains("evicted") {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(daemon.get("/images/json").await.json(), json!([]));
    assert_eq!(daemon.get("/layerd/v1/df").await.json()["blobs"], 0);
}

#[tokio::test]
async fn an_image_is_removed_by_digest_and_by_the_beginning_of_its_id() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let image = image("x");
    let name = registry.put_image("lab/app", "1", &image);
    let repository = name.strip_suffix(":1").unwrap();
    let by_digest = format!("{repository}@{}", image.digest());
    let pull = format!(
        "/v1.51/images/create?fromImage={}&tag={}",
        repository.replace(':', "%3A").replace('/', "%2F"),
        image.digest().replace(':', "%3A")
    );
    assert_eq!(daemon.ask("POST", &pull).await.status, 200);
    let removed = daemon.ask("DELETE", &format!("/v1.51/images/{by_digest}")).await.json();
    assert_eq!(removed, json!([{"Untagged": by_digest}, {"Deleted": image.digest()}]));
    // A tag and a digest of one repository are two names.
    assert_eq!(daemon.ask("POST", &pull).await.status, 200);
    daemon.pull(&name).await;
    let prefix = &image.digest()["sha256:".len()..][..8];
    let refused = daemon.ask("DELETE", &format!("/v1.51/images/{prefix}")).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert_eq!(daemon.ask("DELETE", &format!("/v1.51/images/{name}")).await.json(), json!([{"Untagged": name}]));
    let removed = daemon.ask("DELETE", &format!("/v1.51/images/{prefix}")).await.json();
    assert_eq!(removed, json!([{"Untagged": by_digest}, {"Deleted": image.digest()}]));
    assert_eq!(daemon.get("/images/json").await.json(), json!([]));
}

#[tokio::test]
async fn an_image_that_can_not_be_read_is_listed_and_named() {
    let (registry, place) = (Registry::start().unwrap(), Place::new());
    let image = image("app");
    let name = registry.put_image("lab/app", "1", &image);
    let daemon = place.start();
    daemon.pull(&name).await;
    drop(daemon);
    let config = image.config.clone().unwrap().replacen(':', "/", 1);
    std::fs::remove_file(place.root().join("blobs").join(config)).unwrap();
    let daemon = place.start();
    let listed = daemon.get("/v1.51/images/json").await.json();
    assert_eq!((&listed[0]["RepoTags"], &listed[0]["Size"]), (&json!([name]), &json!(0)));
    let refused = daemon.ask("POST", "/images/prune").await;
    assert_eq!(refused.status, 500);
    assert!(refused.message().starts_with(&format!("`{name}` can't be read: ")), "{}", refused.message());
    assert!(refused.json()["hint"].as_str().unwrap().contains(&format!("layer verify --repair {name}")));
    assert_eq!(std::fs::read_dir(place.root().join("layers/sha256")).unwrap().count(), image.layers.len());
    // Whoever wants it gone can have that.
    assert_eq!(daemon.ask("DELETE", &format!("/images/{name}")).await.status, 200);
    assert_eq!(daemon.ask("POST", "/images/prune").await.status, 200);
}

#[tokio::test]
async fn disk_use_counts_mounts_for_clients_of_every_version() {
    let (registry, place) = (Registry::start().unwrap(), Place::new());
    let daemon = place.start();
    daemon.pull(&registry.put_image("lab/app", "1", &image("app"))).await;
    for version in ["v1.43", "v1.50", "v1.51"] {
        let usage = daemon.get(&format!("/{version}/system/df")).await.json();
        assert_eq!(usage["Images"][0]["Containers"], 0, "{version}");
    }
}

#[tokio::test]
async fn what_is_misspelled_removes_nothing() {
    let (registry, place) = (Registry::start().unwrap(), Place::new());
    let daemon = place.start();
    daemon.pull(&registry.put_image("lab/app", "1", &image("app"))).await;
    let body = json!({"all": true, "keepStorage": 0, "dryrun": true}).to_string().into_bytes();
    let answer = daemon.send("POST", "/layerd/v1/gc", &[("Content-Type", "application/json")], body).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.message().contains("dryrun"), "{}", answer.message());
    assert_eq!(daemon.get("/images/json").await.json().as_array().unwrap().len(), 1);
}
