//! Several platforms under one name: some of them removed, and what is stated about them.

use layer_testkit::image::{Image, ImageBuilder, IndexBuilder};
use layer_testkit::layer::LayerBuilder;
use layer_testkit::registry::Registry;
use serde_json::{Value, json};

use crate::daemon::{Daemon, Place};

const AMD64: &str = "%7B%22os%22%3A%22linux%22%2C%22architecture%22%3A%22amd64%22%7D";
const ARM64: &str = "%7B%22os%22%3A%22linux%22%2C%22architecture%22%3A%22arm64%22%7D";

fn of(platform: &str) -> Image {
    ImageBuilder::new()
        .layer(LayerBuilder::new().file("base", "shared by both").gzip())
        .layer(LayerBuilder::new().file("arch", platform).gzip())
        .platform(platform)
        .build()
}

fn blobs(place: &Place) -> usize {
    std::fs::read_dir(place.root().join("blobs/sha256")).unwrap().count()
}

fn layers(place: &Place) -> usize {
    std::fs::read_dir(place.root().join("layers/sha256")).unwrap().count()
}

/// Pulls an image for both platforms.
async fn pull_both(daemon: &Daemon, name: &str) {
    let (image, tag) = name.rsplit_once(':').unwrap();
    let image = image.replace(':', "%3A").replace('/', "%2F");
    for platform in ["linux/amd64", "linux/arm64"] {
        let target = format!("/images/create?fromImage={image}&tag={tag}&platform={platform}");
        assert_eq!(daemon.ask("POST", &target).await.status, 200);
    }
}

/// The platforms of an image that are here.
async fn available(daemon: &Daemon, name: &str) -> Vec<String> {
    let image = daemon.get(&format!("/images/{name}/json?manifests=1")).await.json();
    let manifests = image["Manifests"].as_array().unwrap();
    let here = manifests.iter().filter(|one| one["Available"] == true && one["Kind"] == "image");
    here.map(|one| one["ImageData"]["Platform"]["architecture"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn root_one_platform_goes_and_the_other_stays() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let (amd, arm) = (of("linux/amd64"), of("linux/arm64"));
    let index = IndexBuilder::new().image(&amd).image(&arm).build();
    let name = registry.put_image("lab/app", "1", &index);
    pull_both(&daemon, &name).await;
    assert_eq!(available(&daemon, &name).await, ["amd64", "arm64"]);
    assert_eq!((blobs(&place), layers(&place)), (8, 3));

    let unforced = daemon.ask("DELETE", &format!("/images/{name}?platforms={ARM64}")).await;
    assert_eq!(unforced.status, 400);
    assert!(unforced.message().starts_with("Content will be removed from all images"), "{}", unforced.message());
    let missing = "%7B%22os%22%3A%22linux%22%2C%22architecture%22%3A%22s390x%22%7D";
    let missing = daemon.ask("DELETE", &format!("/images/{name}?force=1&platforms={ARM64}&platforms={missing}")).await;
    assert_eq!(missing.status, 404, "{}", missing.text());
    assert_eq!(daemon.ask("DELETE", &format!("/images/{name}?force=1&platforms=arm64%7B")).await.status, 400);
    assert_eq!(available(&daemon, &name).await, ["amd64", "arm64"]);

    let removed = daemon.ask("DELETE", &format!("/images/{name}?force=1&platforms={ARM64}")).await;
    assert_eq!(removed.json(), json!([{"Deleted": arm.digest()}]));
    assert_eq!(available(&daemon, &name).await, ["amd64"]);
    // What both have stays: index, manifest, config, two layers.
    assert_eq!((blobs(&place), layers(&place)), (5, 2));
    let inspected = daemon.get(&format!("/images/{name}/json?platform={ARM64}")).await;
    assert_eq!(inspected.status, 404);

    // It comes back, and only what is missing is fetched.
    let before = registry.requests().len();
    pull_both(&daemon, &name).await;
    let gets = registry.requests()[before..].iter().filter(|one| one.is_blob_get()).count();
    assert_eq!((gets, available(&daemon, &name).await.len()), (2, 2));

    // With its last platform goes the image.
    let both = format!("/images/{name}?force=1&platforms={ARM64}&platforms={AMD64}");
    let removed = daemon.ask("DELETE", &both).await.json();
    assert_eq!(removed, json!([{"Untagged": name}, {"Deleted": index.digest()}]));
    assert_eq!((blobs(&place), layers(&place)), (0, 0));
}

#[tokio::test]
async fn root_a_platform_that_is_mounted_or_all_that_another_image_has_stays() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let (amd, arm) = (of("linux/amd64"), of("linux/arm64"));
    let name = registry.put_image("lab/both", "1", &IndexBuilder::new().image(&amd).image(&arm).build());
    let single = registry.put_image("lab/arm", "1", &arm);
    pull_both(&daemon, &name).await;
    let mount = json!({"image": name, "platform": "linux/amd64"}).to_string().into_bytes();
    let mount = daemon.send("POST", "/layerd/v1/mounts", &[], mount).await;
    assert_eq!(mount.status, 201, "{}", mount.text());
    let remove =
        async |platform: &str| daemon.ask("DELETE", &format!("/images/{name}?force=1&platforms={platform}")).await;
    let mounted = remove(AMD64).await;
    assert_eq!(mounted.status, 409, "{}", mounted.text());
    assert!(mounted.message().contains("mounted on"), "{}", mounted.message());
    daemon.pull(&single).await;
    let other = remove(ARM64).await;
    assert_eq!(other.status, 409, "{}", other.text());
    assert!(other.message().ends_with(&format!("it is all that `{single}` has")), "{}", other.message());
    assert_eq!(available(&daemon, &name).await, ["amd64", "arm64"]);
    daemon.ask("DELETE", &format!("/images/{single}")).await;
    assert_eq!(remove(ARM64).await.json(), json!([{"Deleted": arm.digest()}]));
    let id = mount.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(daemon.ask("DELETE", &format!("/layerd/v1/mounts?what={id}")).await.status, 200);
}

/// An archive with an image and what is stated about it.
fn archive(index: &Image, name: &str) -> Vec<u8> {
    let place = |digest: &str| format!("blobs/{}", digest.replacen(':', "/", 1));
    let mut tar = LayerBuilder::new();
    let documents = index.documents.iter().chain([&index.top]);
    for (digest, bytes) in documents.map(|document| (&document.digest, document.bytes.clone())) {
        tar = tar.file(place(digest), bytes);
    }
    for blob in &index.blobs {
        tar = tar.file(place(&blob.digest), blob.content.to_vec().unwrap());
    }
    let mut entry = index.top.descriptor();
    entry["annotations"] = json!({"io.containerd.image.name": name});
    tar.file("index.json", json!({"schemaVersion": 2, "manifests": [entry]}).to_string())
        .file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#)
        .tar()
}

#[tokio::test]
async fn root_what_is_stated_about_an_image_can_be_read() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let amd = of("linux/amd64");
    let index = IndexBuilder::new().image(&amd).attestation(&amd).build();
    let loaded = daemon.send("POST", "/images/load", &[], archive(&index, "docker.io/lab/loaded:1")).await;
    assert!(loaded.text().contains("Loaded image: lab/loaded:1"), "{}", loaded.text());
    let kind = "https://slsa.dev/provenance/v0.2";
    let asked = async |query: &str| daemon.get(&format!("/v1.55/images/lab/loaded:1/attestations{query}")).await;

    let told = asked("").await.json();
    let [statement] = &told.as_array().unwrap()[..] else { panic!("{told}") };
    assert_eq!(statement["PredicateType"], kind);
    assert_eq!(statement["Descriptor"]["mediaType"], "application/vnd.in-toto+json");
    assert_eq!(statement["Descriptor"]["annotations"]["in-toto.io/predicate-type"], kind);
    assert!(statement.get("Statement").is_none());
    let whole = asked(&format!("?statement=true&type={kind}&type=other&platform={AMD64}")).await.json();
    assert_eq!(whole[0]["Statement"]["predicateType"], kind);
    let subject = whole[0]["Statement"]["subject"][0]["digest"]["sha256"].as_str().unwrap();
    assert_eq!(format!("sha256:{subject}"), amd.digest());
    assert_eq!(asked("?type=other").await.json(), json!([]));
    assert_eq!(asked(&format!("?platform={ARM64}")).await.status, 404);
    assert_eq!(asked(&format!("?platform={ARM64}&platform={AMD64}")).await.status, 400);
    assert_eq!(daemon.get("/images/nosuch/attestations").await.status, 404);

    // A pull leaves it out, as docker's does, and says what is missing.
    let pulled = registry.put_image("lab/pulled", "1", &index);
    daemon.ask("DELETE", "/images/lab/loaded:1").await;
    daemon.pull(&pulled).await;
    let missing = daemon.get(&format!("/images/{pulled}/attestations")).await;
    assert_eq!(missing.status, 404, "{}", missing.text());
    assert!(missing.message().contains("not available locally"), "{}", missing.message());
    let plain = registry.put_image("lab/plain", "1", &amd);
    daemon.pull(&plain).await;
    assert_eq!(daemon.get(&format!("/images/{plain}/attestations")).await.json(), json!([]));
}

#[tokio::test]
async fn root_with_a_platform_goes_what_is_stated_about_it() {
    let place = Place::new();
    let daemon = place.start();
    let (amd, arm) = (of("linux/amd64"), of("linux/arm64"));
    let index = IndexBuilder::new().image(&amd).attestation(&amd).image(&arm).attestation(&arm).build();
    daemon.send("POST", "/images/load", &[], archive(&index, "docker.io/lab/app:1")).await;
    let removed = daemon.ask("DELETE", &format!("/images/lab/app:1?force=1&platforms={ARM64}")).await.json();
    let removed: Vec<&Value> = removed.as_array().unwrap().iter().map(|one| &one["Deleted"]).collect();
    assert_eq!(removed.len(), 2);
    assert_eq!(removed[0], &json!(arm.digest()));
    let image = daemon.get("/images/lab/app:1/json?manifests=1").await.json();
    let told: Vec<_> = image["Manifests"].as_array().unwrap().iter().map(|one| one["Available"] == true).collect();
    assert_eq!(told, [true, true, false, false]);
}
