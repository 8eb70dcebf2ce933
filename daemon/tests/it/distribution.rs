//! What a registry has under a name, without pulling it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use layer_testkit::image::{ImageBuilder, IndexBuilder};
use layer_testkit::layer::LayerBuilder;
use layer_testkit::registry::{Auth, Registry};
use serde_json::{Value, json};

use crate::daemon::Place;

#[tokio::test]
async fn a_registry_is_asked_and_nothing_is_kept() {
    let (registry, place) = (Registry::start().unwrap(), Place::new());
    let daemon = place.start();
    let of = |platform: &str| {
        ImageBuilder::new().platform(platform).layer(LayerBuilder::new().file("p", platform).gzip()).build()
    };
    let (amd, arm) = (of("linux/amd64"), of("linux/arm64"));
    let index = IndexBuilder::new().image(&amd).image(&arm).build();
    let names = [registry.put_image("lab/multi", "1", &index), registry.put_image("lab/alone", "latest", &arm)];
    let target = |name: &str| format!("/v1.51/distribution/{name}/json");
    let platform = |architecture: &str| json!({"architecture": architecture, "os": "linux"});
    let told = daemon.get(&target(&names[0])).await.json();
    let descriptor = |digest: &str, size: usize, kind: &str| json!({"mediaType": format!("application/vnd.oci.image.{kind}.v1+json"), "digest": digest, "size": size});
    assert_eq!(
        told,
        json!({
            "Descriptor": descriptor(index.digest(), index.top.bytes.len(), "index"),
            "Platforms": [platform("amd64"), platform("arm64")],
        })
    );
    // Without a tag, `latest` is meant; and an image that is alone has a platform, too.
    let told = daemon.get(&target(names[1].strip_suffix(":latest").unwrap())).await.json();
    assert_eq!(told["Descriptor"], descriptor(arm.digest(), arm.top.bytes.len(), "manifest"));
    assert_eq!(told["Platforms"], json!([platform("arm64")]));
    let by_digest = format!("{}@{}", names[0].strip_suffix(":1").unwrap(), index.digest());
    assert_eq!(daemon.get(&target(&by_digest)).await.json()["Descriptor"]["digest"], index.digest());
    assert_eq!(std::fs::read_dir(place.root().join("blobs/sha256")).unwrap().count(), 0);
    assert_eq!(daemon.get("/images/json").await.json(), json!([]));

    let missing = daemon.get(&target(&format!("{}/lab/multi:9", registry.host()))).await;
    assert_eq!((missing.status, &*missing.message()), (404, "manifest unknown: manifest unknown"));
    assert_eq!(daemon.get(&target("UPPER")).await.status, 400);
    assert_eq!(daemon.get("/v1.51/distribution/alpine").await.status, 404);
    assert_eq!(daemon.ask("POST", &target(&names[0])).await.status, 404);
}

#[tokio::test]
async fn a_login_is_shown_to_the_registry() {
    let (registry, place) = (Registry::start().unwrap(), Place::new());
    let daemon = place.start();
    let image = ImageBuilder::new().layer(LayerBuilder::new().file("p", "1").gzip()).build();
    let name = registry.put_image("private/app", "1", &image);
    registry.set_auth(Auth::Basic { user: "lab".to_owned(), password: "sesame".to_owned() });
    let target = format!("/distribution/{name}/json");
    let refused = daemon.get(&target).await;
    assert_eq!(refused.status, 401);
    assert!(refused.message().contains("pull access denied"), "{}", refused.message());
    let login = URL_SAFE.encode(json!({"username": "lab", "password": "sesame"}).to_string());
    let told: Value = daemon.send("GET", &target, &[("X-Registry-Auth", &login)], Vec::new()).await.json();
    assert_eq!(told["Descriptor"]["digest"], image.digest());
}
