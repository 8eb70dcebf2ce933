//! Registries and networks that fail.

use layer_testkit::image::ImageBuilder;
use layer_testkit::layer::{Compression, Entry, Layer, LayerBuilder};
use layer_testkit::registry::{Fault, Gate, Rule, Target};
use layer_transfer::Kind;

use crate::setup::{Setup, chain, finish, image, layer, phases};

const SIZE: usize = 2_000_000;

/// A registry with one image of one layer.
fn one_layer() -> (Setup, String, Layer) {
    let setup = Setup::new();
    let layer = layer(1, SIZE);
    let name = setup.registry.put_image("team/app", "1", &image([layer.clone()]));
    (setup, name, layer)
}

/// The blob of one layer, said to hold another.
fn disguised(blob: &Layer, tar: &Layer) -> Layer {
    let bytes = |content: &layer_testkit::Content| content.to_vec().unwrap();
    Layer::from_parts(bytes(&blob.blob.content), bytes(&tar.tar), blob.packing)
}

#[tokio::test(flavor = "multi_thread")]
async fn root_what_fails_for_a_while_is_gone_on_with() {
    for (what, fault, times) in [
        ("cut", Fault::Cut { after: 700_000 }, 1),
        ("cut each time, with progress", Fault::Cut { after: 150_000 }, 30),
        ("reset", Fault::Reset { after: 300_000 }, 2),
        ("hang-up", Fault::HangUp, 3),
        ("500", Fault::status(500), 3),
        ("503", Fault::status(503), 3),
        ("429", Fault::retry_after(429, "0"), 3),
        ("stall", Fault::Stall { after: 600_000, gate: Gate::new() }, 1),
        ("shorter", Fault::Shorter(1000), 1),
        ("longer", Fault::Longer(1000), 1),
        ("endless", Fault::Endless, 1),
        ("no length", Fault::NoLength, 1),
        ("a byte flipped", Fault::Flip { at: 1000 }, 1),
    ] {
        let (setup, name, layer) = one_layer();
        setup.registry.rule(Rule::new(Target::Blob(layer.blob.digest.clone()), fault).times(times));
        let end = setup.pull(&name).await;
        assert!(end.is_ok(), "{what}: {}", chain(&*end.unwrap_err()));
        setup.assert_clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_servers_that_are_bad_at_ranges_are_coped_with() {
    for (what, fault) in [
        ("ignored", Fault::IgnoreRange),
        ("another range", Fault::OtherRange { start: 3 }),
        ("a wrong header", Fault::WrongContentRange { start: 3 }),
        ("416", Fault::RangeRefused),
    ] {
        let (setup, name, layer) = one_layer();
        let target = Target::Blob(layer.blob.digest.clone());
        setup.registry.rule(Rule::new(target.clone(), Fault::Cut { after: 500_000 }).times(1));
        setup.registry.rule(Rule::new(target, fault));
        let end = setup.pull(&name).await;
        assert!(end.is_ok(), "{what}: {}", chain(&*end.unwrap_err()));
        setup.assert_clean();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_blob_that_stays_wrong_fails_with_both_digests_and_leaves_nothing() {
    let (setup, name, layer) = one_layer();
    setup.registry.fault(Target::Blob(layer.blob.digest.clone()), Fault::Flip { at: 5 });
    let error = setup.pull(&name).await.unwrap_err();
    let text = chain(&*error);
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(text.contains("digest mismatch") && text.contains(&layer.blob.digest), "{text}");
    assert_eq!(setup.registry.blob_gets(&layer.blob.digest), 2);
    assert_eq!(setup.count("layers/sha256"), 0);
    assert!(setup.store.names().is_empty());
    setup.assert_clean();
    // It is the blob's fault alone: once it is right, everything is.
    setup.registry.heal();
    setup.pull(&name).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn root_what_fails_for_good_says_so() {
    for (what, fault, kind, words) in [
        ("missing", Fault::status(404), Kind::NotFound, "404"),
        ("cut at once, always", Fault::Cut { after: 0 }, Kind::Unavailable, "4 tries"),
        ("unavailable, always", Fault::status(503), Kind::Unavailable, "503"),
    ] {
        let (setup, name, layer) = one_layer();
        setup.registry.fault(Target::Blob(layer.blob.digest.clone()), fault);
        let error = setup.pull(&name).await.unwrap_err();
        let text = chain(&*error);
        assert_eq!(error.kind(), kind, "{what}: {text}");
        assert!(text.contains(words) && text.contains(&layer.blob.digest), "{what}: {text}");
        assert_eq!(setup.count("staging"), 0, "{what}");
        assert!(setup.store.names().is_empty(), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_images_that_lie_about_their_layers_are_refused() {
    let setup = Setup::new();
    let good = layer(1, 10_000);
    let other = layer(2, 10_000);
    // The config names another layer than the manifest brings.
    let lie = disguised(&good, &other);
    let name = setup.registry.put_image("a/lie", "1", &image([lie]));
    let error = setup.pull(&name).await.unwrap_err();
    let text = chain(&*error);
    assert_eq!(error.kind(), Kind::Corrupt, "{text}");
    assert!(text.contains(&good.diff_id) && text.contains(&other.diff_id), "{text}");
    // The layer is known by now to be another, whoever asks; under its own name it is welcome.
    setup.assert_clean();
    let name = setup.registry.put_image("a/truth", "1", &image([good.clone(), other]));
    setup.pull(&name).await.unwrap();
    // Even a blob that is stored and proven doesn't become another layer by being called so.
    let lie = disguised(&good, &layer(3, 10));
    let name = setup.registry.put_image("a/lie", "2", &image([lie]));
    assert_eq!(setup.pull(&name).await.unwrap_err().kind(), Kind::Corrupt);
    assert_eq!(setup.store.names().len(), 1);
    setup.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn root_layers_that_are_no_tar_or_a_hostile_one_are_refused_by_name() {
    let setup = Setup::new();
    let rubbish = Layer::pack(
        b"this is not a tar, though it is as long as a header block should be".repeat(20),
        Compression::Gzip,
    );
    let escape = LayerBuilder::new().entry(Entry::file("x", "1").exact_name("../../etc/passwd")).gzip();
    let device = LayerBuilder::new().entry(Entry::char_device("dev/null0", 0, 0)).gzip();
    let dangling = LayerBuilder::new().hard_link("a", "not/there").gzip();
    let cut = {
        let whole = layer(9, 50_000);
        let bytes = whole.blob.content.to_vec().unwrap();
        Layer::from_parts(bytes[..bytes.len() / 2].to_vec(), whole.tar.to_vec().unwrap(), whole.packing)
    };
    for (what, layer, words) in [
        ("rubbish", rubbish, "header"),
        ("escape", escape, "../../etc/passwd"),
        ("device", device, "dev/null0"),
        ("dangling", dangling, "not/there"),
        ("cut", cut, "decompress"),
    ] {
        let name = setup.registry.put_image(&format!("a/{what}"), "1", &image([layer]));
        let error = setup.pull(&name).await.unwrap_err();
        let text = chain(&*error);
        assert_eq!(error.kind(), Kind::Corrupt, "{what}: {text}");
        assert!(text.contains(words), "{what}: {text}");
        setup.assert_clean();
    }
    assert!(setup.store.names().is_empty());
    // The daemon goes on.
    let name = setup.registry.put_image("a/good", "1", &image([layer(1, 10)]));
    setup.pull(&name).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn root_files_damaged_on_disk_are_healed_by_a_pull() {
    let (setup, name, layer) = one_layer();
    setup.pull(&name).await.unwrap();
    let blob = setup.store.path().join("blobs").join(layer.blob.digest.replace(':', "/"));
    let tree = setup.store.path().join("layers").join(layer.diff_id.replace(':', "/"));
    // A blob that is cut short is noticed and fetched again.
    let whole = std::fs::read(&blob).unwrap();
    std::fs::write(&blob, &whole[..1000]).unwrap();
    setup.pull(&name).await.unwrap();
    assert_eq!(std::fs::read(&blob).unwrap(), whole);
    // A layer whose folder is gone is unpacked from the blob, without the network; if the blob is bad, too, with it.
    let gets = setup.registry.blob_gets(&layer.blob.digest);
    let setup = setup.restart().await;
    std::fs::remove_dir_all(&tree).unwrap();
    setup.pull(&name).await.unwrap();
    assert!(tree.join("fs/data/1").exists());
    assert_eq!(setup.registry.blob_gets(&layer.blob.digest), gets);
    let setup = setup.restart().await;
    std::fs::remove_dir_all(&tree).unwrap();
    let mut bad = whole.clone();
    bad[1000] ^= 1;
    std::fs::write(&blob, bad).unwrap();
    let (events, end) = finish(setup.start(&name)).await;
    assert!(end.is_ok(), "{:?} {}", phases(&events), chain(&*end.unwrap_err()));
    assert_eq!(std::fs::read(&blob).unwrap(), whole);
    setup.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn root_an_image_without_layers_and_one_with_a_layer_twice() {
    let setup = Setup::new();
    let name = setup.registry.put_image("a/empty", "1", &ImageBuilder::new().build());
    setup.pull(&name).await.unwrap();
    let twice = layer(1, 1000);
    let empty = LayerBuilder::new().gzip();
    let name = setup.registry.put_image("a/twice", "1", &image([twice.clone(), empty, twice.clone()]));
    setup.pull(&name).await.unwrap();
    assert_eq!(setup.registry.blob_gets(&twice.blob.digest), 1);
    setup.assert_clean();
}
