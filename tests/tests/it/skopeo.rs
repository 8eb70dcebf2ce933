//! The store is an OCI layout: skopeo reads it as it lies, without the daemon.

use std::fs;

use layer_testkit::debian::DebianRegistry;
use layer_testkit::debian_images;
use layer_testkit::sha256;
use serde_json::Value;

use crate::service::Daemon;

#[test]
fn root_skopeo_reads_the_store() {
    let mut daemon = Daemon::start();
    let registry = DebianRegistry::start().unwrap();
    let image = debian_images::packages(&[&["coreutils"]]).unwrap();
    let name = registry.put_image("lab/tools", "1", &image).unwrap();
    daemon.layer(&["pull", "--quiet", &name]).ok();
    daemon.layer(&["tag", &name, "mine:v1"]).ok();

    let place = format!("oci:{}:{name}", daemon.root().display());
    let found: Value = serde_json::from_str(&daemon.skopeo(&["inspect", &place]).ok()).unwrap();
    assert_eq!(found["Digest"], image.digest());
    let layers: Vec<&str> = image.layers.iter().map(|layer| layer.blob.digest.as_str()).collect();
    assert_eq!(found["Layers"], serde_json::json!(layers));

    // A store without a daemon is read just so.
    assert!(daemon.stop().success());
    let copy = daemon.path("copy");
    let target = format!("dir:{}", copy.display());
    daemon.skopeo(&["copy", "--quiet", "--preserve-digests", &place, &target]).ok();
    assert_eq!(sha256(&fs::read(copy.join("manifest.json")).unwrap()), image.digest());
    for blob in &image.blobs {
        let file = copy.join(&blob.digest["sha256:".len()..]);
        assert_eq!(sha256(&fs::read(file).unwrap()), blob.digest);
    }
    let layout: Value = serde_json::from_slice(&fs::read(daemon.root().join("oci-layout")).unwrap()).unwrap();
    assert_eq!(layout["imageLayoutVersion"], "1.0.0");
}

#[test]
fn root_what_was_removed_is_gone_for_skopeo_too() {
    let daemon = Daemon::start();
    let registry = DebianRegistry::start().unwrap();
    let name = registry.put_image("lab/busybox", "1", &debian_images::busybox().unwrap()).unwrap();
    daemon.layer(&["pull", "--quiet", &name]).ok();
    let place = format!("oci:{}:{name}", daemon.root().display());
    daemon.skopeo(&["inspect", &place]).ok();
    daemon.layer(&["rmi", &name]).ok();
    daemon.skopeo(&["inspect", &place]).fails(1);
}
