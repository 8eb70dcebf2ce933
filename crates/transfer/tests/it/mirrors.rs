//! Layers that a mirror has, and has wrong.

use layer_registry::Options;
use layer_testkit::registry::{Fault, Registry, Target};
use layer_transfer::Kind;

use crate::setup::{Setup, chain, layer, quick};
use layer_testkit::image::ImageBuilder;

/// A registry with an image of one layer, mirrors of it, and what its layer is called.
fn mirrored(count: usize) -> (Setup, Vec<Registry>, String, String) {
    let layer = layer(1, 300_000);
    let digest = layer.blob.digest.clone();
    let image = ImageBuilder::new().layer(layer).build();
    let mirrors: Vec<_> = (0..count).map(|_| Registry::start().unwrap()).collect();
    let urls = mirrors.iter().map(|mirror| mirror.url().parse().unwrap()).collect();
    let setup = Setup::with(Options { mirrors: [("*".to_owned(), urls)].into(), ..quick() });
    for registry in mirrors.iter().chain([&setup.registry]) {
        registry.put_image("lab/app", "1", &image);
    }
    let name = format!("{}/lab/app:1", setup.registry.host());
    (setup, mirrors, name, digest)
}

#[tokio::test(flavor = "multi_thread")]
async fn root_what_mirrors_have_the_registry_is_not_asked_for() {
    let (setup, mirrors, name, layer) = mirrored(2);
    setup.pull(&name).await.unwrap();
    assert_eq!(mirrors[0].blob_gets(&layer), 1);
    assert!(mirrors[1].requests().is_empty() && setup.registry.requests().is_empty());
    setup.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_layer_that_mirrors_have_wrong_comes_from_the_registry() {
    let (setup, mirrors, name, layer) = mirrored(3);
    for mirror in &mirrors {
        mirror.fault(Target::Blob(layer.clone()), Fault::Flip { at: 1000 });
    }
    setup.pull(&name).await.unwrap();
    for registry in mirrors.iter().chain([&setup.registry]) {
        assert_eq!(registry.blob_gets(&layer), 1);
    }
    setup.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_layer_that_nobody_has_right_names_digests_and_sender() {
    let (setup, mirrors, name, layer) = mirrored(1);
    for registry in mirrors.iter().chain([&setup.registry]) {
        registry.fault(Target::Blob(layer.clone()), Fault::Flip { at: 1000 });
    }
    let error = setup.pull(&name).await.unwrap_err();
    let text = chain(&*error);
    assert_eq!(error.kind(), Kind::Corrupt);
    let sender = format!("verify what registry `{}` sent: digest mismatch", setup.registry.host());
    assert!(text.contains(&sender) && text.contains(&format!("want `{layer}`, got `sha256:")), "{text}");
    assert_eq!((mirrors[0].blob_gets(&layer), setup.registry.blob_gets(&layer)), (1, 2));
    setup.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_mirror_that_breaks_off_is_left_and_the_rest_comes_from_the_registry() {
    let (setup, mirrors, name, layer) = mirrored(1);
    mirrors[0].fault(Target::Blob(layer.clone()), Fault::Cut { after: 100_000 });
    setup.pull(&name).await.unwrap();
    assert_eq!((mirrors[0].blob_gets(&layer), setup.registry.blob_gets(&layer)), (1, 1));
    let is_rest =
        |request: &layer_testkit::registry::Request| request.range.is_some() && request.path.ends_with(&layer);
    assert_eq!(setup.registry.count(is_rest), 1);
    setup.assert_clean();
}
