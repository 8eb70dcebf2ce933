//! Looking at images, naming and removing them.

use layer_engine::{Kind, Removed};
use layer_reference::Reference;
use layer_testkit::image::{Image, ImageBuilder, IndexBuilder};
use layer_testkit::layer::{Layer, LayerBuilder};

use crate::setup::Setup;

fn layer(content: &str) -> Layer {
    LayerBuilder::new().file("f", content).gzip()
}

fn image(layers: impl IntoIterator<Item = Layer>) -> Image {
    ImageBuilder::new().layers(layers).cmd(&["/f"]).build()
}

#[tokio::test(flavor = "multi_thread")]
async fn root_an_image_is_found_by_all_that_names_it() {
    let setup = Setup::new().await;
    let manifest =
        ImageBuilder::new().platform(&layer_testkit::debian_images::host_platform()).layer(layer("1")).build();
    let index = IndexBuilder::new().image(&manifest).build();
    let name = setup.bring("team/app", &index).await;
    let id = index.digest().to_owned();
    let hex = id.strip_prefix("sha256:").unwrap();
    let repository = name.rsplit_once(':').unwrap().0;
    let config = manifest.config.clone().unwrap();
    for text in [
        name.as_str(),
        id.as_str(),
        hex,
        &hex[..4],
        &id[..19],
        manifest.digest(),
        config.as_str(),
        &format!("{repository}@{id}"),
    ] {
        let found = setup.engine.image(text, None).await;
        assert_eq!(found.unwrap_or_else(|error| panic!("{text}: {error}")).id.to_string(), id, "{text}");
    }
    for text in [&hex[..3], "team/app", "nothing", &"0".repeat(64)] {
        let error = setup.engine.image(text, None).await.unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound, "{text}: {error}");
    }
    let platform = "linux/s390x".parse().unwrap();
    let error = setup.engine.image(&name, Some(&platform)).await.unwrap_err();
    assert!(error.to_string().contains("does not provide the specified platform (linux/s390x)"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn root_lists_and_details_agree_with_what_was_pulled() {
    let setup = Setup::new().await;
    let image = ImageBuilder::new()
        .layer(layer("12345"))
        .created("2024-01-02T03:04:05Z")
        .container("Labels", serde_json::json!({"a": "b"}))
        .history(serde_json::json!([
            {"created": "2024-01-01T00:00:00Z", "created_by": "first"},
            {"created_by": "second", "empty_layer": true},
        ]))
        .build();
    let name = setup.bring("team/app", &image).await;
    let list = setup.engine.images().await.unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(list[0].repo_tags, std::slice::from_ref(&name));
    assert_eq!(list[0].repo_digests, [format!("{}@{}", name.rsplit_once(':').unwrap().0, image.digest())]);
    assert_eq!(list[0].created.unwrap().to_string(), "2024-01-02T03:04:05Z");
    assert_eq!(list[0].labels.as_ref().unwrap()["a"], "b");
    let blobs: u64 = image.blobs.iter().map(|blob| blob.size()).sum();
    let packed = blobs + image.top.bytes.len() as u64;
    assert_eq!(list[0].size, packed + 5);
    let detail = setup.engine.image(&name, None).await.unwrap();
    assert_eq!(detail.size, packed);
    assert_eq!(detail.config.diff_ids[0].to_string(), image.layers[0].diff_id);
    let history = setup.engine.history(&name, None).await.unwrap();
    assert_eq!(history.len(), 2);
    assert_eq!((history[0].created_by.as_str(), history[0].size, history[0].id), ("second", 0, Some(detail.id)));
    assert_eq!((history[1].created_by.as_str(), history[1].size, history[1].id), ("first", 5, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn root_removing_takes_what_nobody_else_needs() {
    let setup = Setup::new().await;
    let (base, one, two) = (layer("base"), layer("one"), layer("two"));
    let first = setup.bring("team/one", &image([base.clone(), one.clone()])).await;
    let second = setup.bring("team/two", &image([base.clone(), two.clone()])).await;
    setup.engine.tag(&first, Reference::parse("mine:v1").unwrap()).await.unwrap();
    let exists = |layer: &Layer| {
        let store = setup.store();
        let blob = store.join("blobs").join(layer.blob.digest.replace(':', "/")).exists();
        let tree = store.join("layers").join(layer.diff_id.replace(':', "/")).exists();
        assert_eq!(blob, tree);
        blob
    };
    let id = setup.engine.image("mine:v1", None).await.unwrap().id;

    // By ID an image with several names is safe, unless forced.
    let error = setup.engine.remove(&id.to_string(), false).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.to_string().contains("must be forced"), "{error}");
    assert_eq!(setup.engine.remove(&first, false).await.unwrap(), [Removed::Untagged(first)]);
    assert!(exists(&one));
    let removed = setup.engine.remove("mine:v1", false).await.unwrap();
    assert_eq!(removed, [Removed::Untagged("mine:v1".to_owned()), Removed::Deleted(id)]);
    assert!(!exists(&one) && exists(&base) && exists(&two));
    setup.engine.remove(&second, false).await.unwrap();
    assert!(!exists(&base) && !exists(&two));
    for folder in ["blobs/sha256", "layers/sha256", "ingest", "staging"] {
        assert_eq!(std::fs::read_dir(setup.store().join(folder)).unwrap().count(), 0, "{folder}");
    }
    assert_eq!(setup.engine.remove(&second, true).await.unwrap_err().kind(), Kind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_names_that_cannot_be_given_are_refused() {
    let setup = Setup::new().await;
    let name = setup.bring("team/app", &image([])).await;
    let digest = setup.engine.image(&name, None).await.unwrap().id.0;
    let by_digest = Reference::parse("mine").unwrap().with_digest(digest);
    let error = setup.engine.tag(&name, by_digest).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot import digest reference");
    let error = setup.engine.tag(&name, Reference::parse("scratch").unwrap()).await.unwrap_err();
    assert_eq!(error.to_string(), "'scratch' is a reserved name");
    let error = setup.engine.tag("nothing", Reference::parse("mine").unwrap()).await.unwrap_err();
    assert_eq!(error.to_string(), "No such image: nothing:latest");
}
