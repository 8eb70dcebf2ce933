//! Mounts, which need root.

use serde_json::json;

use layer_testkit::image::ImageBuilder;
use layer_testkit::layer::LayerBuilder;
use layer_testkit::registry::Registry;

use crate::daemon::Place;

#[tokio::test]
async fn root_an_image_is_mounted_kept_and_unmounted() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let image = ImageBuilder::new()
        .layer(LayerBuilder::new().file("a", "below").file("b", "below").gzip())
        .layer(LayerBuilder::new().file("b", "above").gzip())
        .build();
    let name = registry.put_image("lab/app", "1", &image);
    daemon.pull(&name).await;
    let target = place.path().join("mnt");
    std::fs::create_dir(&target).unwrap();
    let body = json!({"image": name, "target": target, "writable": false, "platform": null}).to_string();
    let mounted = daemon.send("POST", "/layerd/v1/mounts", &[], body.clone().into()).await;
    assert_eq!(mounted.status, 201, "{}", mounted.text());
    let mount = mounted.json();
    assert_eq!(mount["image"], image.digest());
    assert_eq!((&mount["reference"], &mount["writable"]), (&json!(name), &json!(false)));
    assert_eq!(std::fs::read_to_string(target.join("b")).unwrap(), "above");
    assert_eq!(daemon.get("/layerd/v1/mounts").await.json(), json!([mount]));

    let kept = daemon.ask("DELETE", &format!("/images/{name}?force=1")).await;
    assert_eq!(kept.status, 409);
    assert!(kept.message().contains("(cannot be forced) - image is mounted on"), "{}", kept.message());

    let unmounted = daemon.ask("DELETE", &format!("/layerd/v1/mounts?what={}", target.display())).await;
    assert_eq!((unmounted.status, unmounted.json()), (200, json!([mount])));
    assert!(!target.join("b").exists());
    let again = daemon.ask("DELETE", &format!("/layerd/v1/mounts?what={}", target.display())).await;
    assert_eq!(again.status, 404);
    assert_eq!(daemon.get("/layerd/v1/mounts").await.json(), json!([]));
}

#[tokio::test]
async fn a_mount_that_can_not_be_is_refused_in_words() {
    let place = Place::new();
    let daemon = place.start();
    for (body, status, message) in [
        ("{}", 400, "`image` is missing: it names the image to mount"),
        (r#"{"image":"nosuch"}"#, 404, "No such image: nosuch:latest"),
        (
            r#"{"image":"x","platform":"a/b/c/d"}"#,
            400,
            "\"a/b/c/d\": cannot parse platform specifier: invalid argument",
        ),
    ] {
        let refused = daemon.send("POST", "/layerd/v1/mounts", &[], body.into()).await;
        assert_eq!((refused.status, &*refused.message()), (status, message), "{body}");
    }
    let nothing = daemon.ask("DELETE", "/layerd/v1/mounts").await;
    assert_eq!(nothing.status, 400);
    assert!(nothing.message().starts_with("`what` is missing"));
}
