//! Pushes, by our own client and by docker's, to Debian's own registries; what arrives is looked at with skopeo.

use layer_testkit::debian::DebianRegistry;
use layer_testkit::debian_images;
use layer_testkit::front::Front;
use layer_testkit::image::{Image, ImageBuilder, IndexBuilder};
use layer_testkit::layer::LayerBuilder;
use serde_json::Value;

use crate::service::Daemon;

/// The manifest or index at a registry, to the byte.
fn raw(daemon: &Daemon, name: &str) -> String {
    daemon.skopeo(&["inspect", "--tls-verify=false", "--raw", &format!("docker://{name}")]).ok()
}

/// The bytes of an image's top document, without the line end that a terminal would not show.
fn top(image: &Image) -> String {
    String::from_utf8(image.top.bytes.clone()).unwrap().trim_end_matches('\n').to_owned()
}

/// The requests in which bytes of blobs were sent.
fn sends(front: &Front) -> usize {
    front.count(|request| request.target.contains("/blobs/uploads/") && request.body > 0)
}

#[test]
fn root_an_image_goes_from_one_registry_to_another_and_stays_the_same() {
    let daemon = Daemon::start();
    let (from, to) = (DebianRegistry::start().unwrap(), DebianRegistry::start().unwrap());
    let (near, far) = (Front::start(from.address()).unwrap(), Front::start(to.address()).unwrap());
    let image = debian_images::packages(&[&["coreutils"], &["tar", "gzip"]]).unwrap();
    from.put_image("lab/tools", "1", &image).unwrap();
    let pulled = format!("{}/lab/tools:1", near.host());
    daemon.layer(&["pull", "--quiet", &pulled]).ok();

    // To another repository of the same registry: it takes all from itself.
    let copy = format!("{}/lab/copy:v1", near.host());
    daemon.layer(&["tag", &pulled, &copy]).ok();
    let ran = daemon.layer(&["push", &copy]);
    assert_eq!(ran.stderr.matches(": Mounted from lab/tools\n").count(), image.layers.len(), "{}", ran.stderr);
    let size = image.top.bytes.len();
    assert_eq!(ran.ok(), format!("v1: digest: {} size: {size}\n{copy}", image.digest()));
    assert_eq!(sends(&near), 0);
    assert_eq!(raw(&daemon, &copy), top(&image));

    // To another registry: it is sent, and is the same.
    let there = format!("{}/lab/tools:v1", far.host());
    daemon.layer(&["tag", &pulled, &there]).ok();
    assert_eq!(daemon.layer(&["push", "--quiet", &there]).ok(), there);
    assert_eq!(sends(&far), image.blobs.len());
    assert_eq!(raw(&daemon, &there), top(&image));
    let place = format!("docker://{there}");
    let found: Value = serde_json::from_str(&daemon.skopeo(&["inspect", "--tls-verify=false", &place]).ok()).unwrap();
    assert_eq!(found["Digest"], image.digest());

    // And what went there comes back from there.
    let mut second = Daemon::start();
    second.layer(&["pull", "--quiet", &there]).ok();
    assert_eq!(second.inspect(&there)["Id"], image.digest());
    assert!(second.stop().success());
}

#[test]
fn root_docker_pushes_through_the_daemon() {
    let daemon = Daemon::start();
    let (from, to) = (DebianRegistry::start().unwrap(), DebianRegistry::start().unwrap());
    let image = debian_images::busybox().unwrap();
    let pulled = from.put_image("lab/busybox", "1", &image).unwrap();
    daemon.docker(&["pull", "--quiet", &pulled]).ok();
    let name = format!("{}/own/box", to.host());
    daemon.docker(&["tag", &pulled, &format!("{name}:a")]).ok();
    daemon.docker(&["tag", &pulled, &format!("{name}:b")]).ok();
    let text = daemon.docker(&["push", &format!("{name}:a")]).ok();
    assert!(text.starts_with(&format!("The push refers to repository [{name}]\n")), "{text}");
    let id = &image.layers[0].blob.digest["sha256:".len()..][..12];
    assert!(text.contains(&format!("{id}: Pushed\n")), "{text}");
    assert!(text.ends_with(&format!("a: digest: {} size: {}", image.digest(), image.top.bytes.len())), "{text}");
    assert_eq!(raw(&daemon, &format!("{name}:a")), top(&image));

    let text = daemon.docker(&["push", "--all-tags", &name]).ok();
    assert!(text.contains(&format!("{id}: Layer already exists\n")) && text.contains("\nb: digest: "), "{text}");
    assert_eq!(raw(&daemon, &format!("{name}:b")), top(&image));

    let said = daemon.docker(&["push", &format!("{name}:nosuch")]).fails(1);
    assert!(said.contains(&format!("tag does not exist: {name}:nosuch")), "{said}");
}

#[test]
fn root_platforms_go_as_they_are_here() {
    let daemon = Daemon::start();
    let (from, to) = (DebianRegistry::start().unwrap(), DebianRegistry::start().unwrap());
    let one = |platform, text: &str| {
        ImageBuilder::new().platform(platform).layer(LayerBuilder::new().file("f", text).gzip()).build()
    };
    let (amd, arm) = (one("linux/amd64", "1"), one("linux/arm64", "2"));
    let index = IndexBuilder::new().image(&amd).image(&arm).build();
    let pulled = from.put_image("lab/many", "1", &index).unwrap();
    let name = format!("{}/lab/many:1", to.host());

    // One platform of two: docker is told, and says so.
    daemon.layer(&["pull", "--quiet", "--platform", "linux/arm64", &pulled]).ok();
    daemon.layer(&["tag", &pulled, &name]).ok();
    let ran = daemon.docker(&["push", &name]);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(said.contains("Not all multiplatform-content is present"), "{said}");
    ran.ok();
    assert_eq!(raw(&daemon, &name), top(&arm));

    // Both: the index goes as it is.
    daemon.layer(&["pull", "--quiet", "--platform", "linux/amd64", &pulled]).ok();
    daemon.layer(&["push", "--quiet", &name]).ok();
    assert_eq!(raw(&daemon, &name), top(&index));
    for image in [&amd, &arm] {
        let part = format!("{}/lab/many@{}", to.host(), image.digest());
        assert_eq!(raw(&daemon, &part), top(image));
    }
}
