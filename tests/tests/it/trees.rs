//! What a mounted image looks like, next to what GNU tar makes of its layers.

use std::path::Path;

use layer_testkit::debian_images::{busybox, busybox_layer, package_layer, packages, stacked};
use layer_testkit::image::{Image, ImageBuilder, IndexBuilder};
use layer_testkit::layer::Compression;
use layer_testkit::registry::Registry;
use layer_testkit::tree::{Tree, assert_same, gnu_tar_reference};

use crate::service::Daemon;

/// Pulls and mounts an image, and compares every file of it.
#[track_caller]
fn compare(image: &Image) {
    let (daemon, registry) = (Daemon::start(), Registry::start().unwrap());
    let name = registry.put_image("lab/tree", "1", image);
    compare_pulled(&daemon, &name, image);
}

#[track_caller]
fn compare_pulled(daemon: &Daemon, name: &str, image: &Image) {
    daemon.layer(&["pull", "--quiet", name]).ok();
    let folder = daemon.layer(&["mount", name]).ok();
    let expected = tempfile::tempdir().unwrap();
    gnu_tar_reference(&image.tars().unwrap(), expected.path()).unwrap();
    let mounted = Tree::read(Path::new(&folder)).unwrap();
    assert_same(&mounted, &Tree::read(expected.path()).unwrap());
}

#[test]
fn root_busybox() {
    compare(&busybox().unwrap());
}

#[test]
fn root_installed_packages() {
    compare(&packages(&[&["coreutils"], &["tar", "gzip"], &["grep", "sed"]]).unwrap());
}

#[test]
fn root_120_layers() {
    compare(&stacked(120, 1));
}

#[test]
fn root_every_packing_in_oci_s_and_in_docker_s_form() {
    let packed = |package, packing| package_layer(&[package], packing).unwrap();
    let layers = [
        busybox_layer().unwrap(),
        packed("coreutils", Compression::Gzip),
        packed("grep", Compression::Zstd),
        packed("sed", Compression::Plain),
        packed("tar", Compression::GzipMembers(3)),
        packed("gzip", Compression::ZstdFrames(3)),
    ];
    compare(&ImageBuilder::new().layers(layers.clone()).build());
    // Docker's form knows gzip and plain alone.
    let [base, gzip, _, plain, members, _] = layers;
    compare(&ImageBuilder::docker().layers([base, gzip, plain, members]).build());
}

#[test]
fn root_the_same_tree_however_it_is_packed() {
    for packing in [Compression::Plain, Compression::Gzip, Compression::Zstd] {
        compare(&ImageBuilder::new().layer(package_layer(&["coreutils"], packing).unwrap()).build());
    }
}

#[test]
fn root_an_index_gives_the_image_of_this_machine_or_of_the_one_that_is_named() {
    let (daemon, registry) = (Daemon::start(), Registry::start().unwrap());
    let own = busybox().unwrap();
    let other = ImageBuilder::new().platform("linux/s390x").layer(package_layer(&["sed"], Compression::Gzip).unwrap());
    let other = other.build();
    let name = registry.put_image("lab/both", "1", &IndexBuilder::new().image(&other).image(&own).build());
    compare_pulled(&daemon, &name, &own);
    assert_eq!(registry.blob_gets(&other.layers[0].blob.digest), 0);
    daemon.layer(&["pull", "--quiet", "--platform", "linux/s390x", &name]).ok();
    assert_eq!(registry.blob_gets(&other.layers[0].blob.digest), 1);
    let folder = daemon.layer(&["mount", "--platform", "linux/s390x", &name]).ok();
    assert!(Path::new(&folder).join("bin/sed").exists() || Path::new(&folder).join("usr/bin/sed").exists());
}

#[test]
fn root_a_stack_is_what_it_was_after_its_layers_were_shared_and_removed() {
    let (daemon, registry) = (Daemon::start(), Registry::start().unwrap());
    let (low, high) = (stacked(10, 3), stacked(25, 3));
    let names = [("lab/low", &low), ("lab/high", &high)].map(|(name, image)| registry.put_image(name, "1", image));
    daemon.layer(&["pull", "--quiet", &names[0], &names[1]]).ok();
    daemon.layer(&["rmi", &names[0]]).ok();
    compare_pulled(&daemon, &names[1], &high);
    assert!(registry.blob_gets_by_digest().values().all(|count| *count == 1));
}
