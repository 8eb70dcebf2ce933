//! The images that the exchanges speak of.

use layer_testkit::image::{Image, ImageBuilder, IndexBuilder};
use layer_testkit::layer::{Compression, Layer, LayerBuilder, noise};
use serde_json::json;

use super::names::Names;

/// A layer of so many bytes that can't be packed.
fn layer(seed: u64, bytes: usize) -> Layer {
    LayerBuilder::new().file(format!("file-{seed}"), noise(seed, bytes)).gzip()
}

/// Large enough that it takes a while at the slow registry.
fn base() -> Layer {
    layer(1, 2 << 20)
}

/// An image whose config says something of everything.
fn app(builder: ImageBuilder, version: &str) -> ImageBuilder {
    builder
        .created("2024-01-01T00:00:00Z")
        .cmd(&["sh", "-c", "echo ok"])
        .container("Env", json!(["PATH=/bin", "LAB=1"]))
        .container("ExposedPorts", json!({"80/tcp": {}, "53/udp": {}}))
        .container("Labels", json!({"lab.name": "app", "lab.version": version}))
        .container("StopSignal", "SIGUSR1")
        .container("User", "1000:1000")
        .container("Volumes", json!({"/data": {}}))
        .container("WorkingDir", "/opt")
}

pub(super) fn app1() -> Image {
    app(ImageBuilder::new(), "1").layers([base(), layer(2, 1000), layer(3, 1000)]).build()
}

/// Shares two of its layers with the first.
pub(super) fn app2() -> Image {
    app(ImageBuilder::new(), "2").layers([base(), layer(3, 1000), layer(4, 1000)]).build()
}

/// Has nothing that the others haven't.
pub(super) fn small() -> Image {
    app(ImageBuilder::new(), "1").created("2024-02-01T00:00:00Z").layer(base()).build()
}

pub(super) fn docker() -> Image {
    app(ImageBuilder::docker(), "1").layers([base(), layer(2, 1000), layer(3, 1000)]).build()
}

/// The same layer twice, one that another image has, too.
pub(super) fn twice() -> Image {
    app(ImageBuilder::new(), "1").layers([layer(4, 1000), layer(4, 1000)]).build()
}

pub(super) fn empty() -> Image {
    app(ImageBuilder::new(), "1").layers([base(), LayerBuilder::new().gzip()]).build()
}

pub(super) fn zstd() -> Image {
    let layer = LayerBuilder::new().file("zstd", "1").pack(Compression::Zstd);
    app(ImageBuilder::new(), "1").layer(layer).build()
}

pub(super) fn unpacked() -> Image {
    let layer = LayerBuilder::new().file("plain", noise(5, 16 << 10)).pack(Compression::Plain);
    app(ImageBuilder::new(), "1").layer(layer).build()
}

pub(super) fn one_of_many(tag: &str) -> Image {
    let layer = LayerBuilder::new().file("tag", tag).gzip();
    ImageBuilder::new().container("Labels", json!({"lab.tag": tag})).layer(layer).build()
}

pub(super) fn arm() -> Image {
    ImageBuilder::new().platform("linux/arm64/v8").cmd(&["sh"]).layer(layer(6, 1000)).build()
}

pub(super) fn arm_index() -> Image {
    IndexBuilder::new().image(&arm()).build()
}

pub(super) fn wrong_diff_id() -> Image {
    let wrong = json!([format!("sha256:{}", "1".repeat(64))]);
    ImageBuilder::new().layer(layer(7, 1000)).change_config(|config| config["rootfs"]["diff_ids"] = wrong).build()
}

/// Something that is no image: one blob, and a config that knows of no layers.
pub(super) fn artifact() -> Image {
    ImageBuilder::new()
        .layer(layer(8, 300).with_media_type("application/vnd.lab.thing"))
        .change_config(|config| config["rootfs"]["diff_ids"] = json!([]))
        .change_manifest(|manifest| manifest["config"]["mediaType"] = "application/vnd.lab.config.v1+json".into())
        .build()
}

pub(super) fn of_noise(seed: u64) -> Image {
    ImageBuilder::new().layer(layer(seed, 300_000)).build()
}

pub(super) fn big1() -> Image {
    let layers = [30, 31, 32, 33].map(|seed| layer(seed, 200_000));
    ImageBuilder::new().layers(layers).layer(layer(34, 100_000)).build()
}

pub(super) fn big2() -> Image {
    let layers = [30, 31, 32, 33].map(|seed| layer(seed, 200_000));
    ImageBuilder::new().layers(layers).layer(layer(35, 3 << 20)).build()
}

/// An image of one platform.
fn of(platform: &str, what: &str, created: &str) -> ImageBuilder {
    let layer = LayerBuilder::new().file("what", format!("{what} for {platform}")).gzip();
    let path = json!(["PATH=/bin"]);
    ImageBuilder::new().platform(platform).created(created).cmd(&["sh"]).container("Env", path).layer(layer)
}

/// An index of several platforms.
pub(super) fn multi(what: &str) -> Image {
    let created = "2026-05-13T02:21:49Z";
    let platforms = ["linux/amd64", "linux/arm64/v8", "linux/arm/v7"];
    let images = platforms.map(|platform| of(platform, what, created).build());
    images.iter().fold(IndexBuilder::new(), IndexBuilder::image).build()
}

/// The one whose manifest for amd64 has a name of its own.
pub(super) fn busybox(names: &mut Names) -> Image {
    names.add_image("busybox-amd64", &of("linux/amd64", "busybox", "2026-05-13T02:21:49Z").build());
    multi("busybox")
}

/// An index with a statement about its image, as builders make it.
pub(super) fn attested() -> Image {
    let image = of("linux/amd64", "hello", "2025-08-08T19:05:17Z").build();
    IndexBuilder::new().image(&image).attestation(&image).build()
}

/// What `alpine` has for amd64.
pub(super) fn of_one(tag: &str) -> Image {
    let layer = LayerBuilder::new().file("what", format!("alpine {tag}")).gzip();
    let created = "2024-09-06T20:20:07Z";
    let history = json!([
        {"created": created, "created_by": "/bin/sh -c #(nop) ADD file:1 in / "},
        {"created": created, "created_by": "/bin/sh -c #(nop)  CMD [\"/bin/sh\"]", "empty_layer": true},
    ]);
    ImageBuilder::docker().created(created).cmd(&["/bin/sh"]).layer(layer).history(history).build()
}

/// A manifest list, as Docker's older tools made it.
pub(super) fn alpine(tag: &str) -> Image {
    let arm = ImageBuilder::docker().platform("linux/arm64/v8").layer(layer(9, 100)).build();
    IndexBuilder::docker().image(&of_one(tag)).image(&arm).build()
}
