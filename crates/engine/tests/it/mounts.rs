//! Mounting and unmounting.

use layer_engine::{Engine, Kind, MountRequest};
use layer_testkit::image::ImageBuilder;
use layer_testkit::layer::LayerBuilder;

use crate::setup::{Mounted, Setup, open, options};

fn request(image: &str, target: Option<&std::path::Path>, writable: bool) -> MountRequest {
    MountRequest { image: image.to_owned(), platform: None, target: target.map(Into::into), writable }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_mount_keeps_its_image_and_outlives_the_engine() {
    let setup = Setup::new().await;
    let image = ImageBuilder::new().layer(LayerBuilder::new().file("f", "content").gzip()).build();
    let name = setup.bring("team/app", &image).await;
    let target = tempfile::tempdir().unwrap();
    let mounted = Mounted::new(setup.engine.mount(request(&name, Some(target.path()), false)).await.unwrap());
    assert_eq!(std::fs::read_to_string(target.path().join("f")).unwrap(), "content");
    assert!(std::fs::write(target.path().join("g"), "").is_err(), "it is read-only");
    let error = setup.engine.remove(&name, true).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.to_string().contains(&target.path().display().to_string()), "{error}");

    let Setup { engine, registry: _registry, folder } = setup;
    engine.shutdown().await;
    drop(engine);
    let engine = reopened(folder.path()).await;
    assert_eq!(engine.mounts().await, std::slice::from_ref(&mounted.0));
    assert_eq!(engine.remove(&name, true).await.unwrap_err().kind(), Kind::Conflict);
    // By image, and then there is nothing left of it.
    assert_eq!(engine.unmount(&name).await.unwrap().len(), 1);
    assert!(!target.path().join("f").exists());
    assert_eq!(std::fs::read_dir(folder.path().join("mounts")).unwrap().count(), 0);
    engine.remove(&name, false).await.unwrap();
    assert_eq!(engine.unmount(&name).await.unwrap_err().kind(), Kind::NotFound);
}

/// The store, once whoever had it has let go.
async fn reopened(root: &std::path::Path) -> Engine {
    loop {
        let options = options(root);
        match Engine::open(options).await {
            Ok(engine) => return engine,
            Err(error) => assert!(error.to_string().contains("in use"), "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_changes_go_to_the_mount_and_not_to_the_image() {
    let setup = Setup::new().await;
    let image = ImageBuilder::new().layer(LayerBuilder::new().dir("d").file("d/f", "old").gzip()).build();
    let name = setup.bring("team/app", &image).await;
    let (one, other) = (setup.mount(&name, true).await, setup.mount(&name, true).await);
    std::fs::write(one.path().join("d/f"), "new").unwrap();
    std::fs::remove_file(other.path().join("d/f")).unwrap();
    assert_eq!(std::fs::read_to_string(one.path().join("d/f")).unwrap(), "new");
    assert_eq!(setup.engine.unmount(&name).await.unwrap().len(), 2);
    let again = setup.mount(&name, false).await;
    assert_eq!(std::fs::read_to_string(again.path().join("d/f")).unwrap(), "old");
}

#[tokio::test(flavor = "multi_thread")]
async fn root_bad_targets_are_refused_in_words() {
    let setup = Setup::new().await;
    let name = setup.bring("team/app", &ImageBuilder::new().build()).await;
    let missing = setup.folder.path().join("nowhere");
    let inside = setup.store().join("blobs");
    for (target, words) in [
        (missing.as_path(), "no such folder"),
        (inside.as_path(), "in the store"),
        (std::path::Path::new("relative"), "absolute"),
    ] {
        let error = setup.engine.mount(request(&name, Some(target), false)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.to_string().contains(words), "{error}");
    }
    let error = setup.engine.mount(request("nothing", None, false)).await.unwrap_err();
    assert_eq!(error.to_string(), "No such image: nothing:latest");
    assert_eq!(std::fs::read_dir(setup.store().join("mounts")).unwrap().count(), 0);
    // An image without layers is an empty folder.
    let mounted = setup.mount(&name, false).await;
    assert_eq!(std::fs::read_dir(mounted.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_the_second_engine_on_a_store_is_told_who_has_it() {
    let setup = Setup::new().await;
    let options = options(&setup.store());
    let error = Engine::open(options).await.unwrap_err();
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    assert!(error.hint().is_some());
    let elsewhere = tempfile::tempdir().unwrap();
    open(elsewhere.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_name_means_the_mounts_that_were_made_by_it() {
    let setup = Setup::new().await;
    let image = |content: &str| ImageBuilder::new().layer(LayerBuilder::new().file("f", content).gzip()).build();
    let one = setup.bring("team/one", &image("one")).await;
    let two = setup.bring("team/two", &image("two")).await;
    let moved = layer_reference::Reference::parse("moved:1").unwrap();
    setup.engine.tag(&one, moved.clone()).await.unwrap();
    let by_name = setup.mount("moved:1", true).await;
    setup.engine.tag(&two, moved).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let other = Mounted::new(setup.engine.mount(request(&two, Some(folder.path()), false)).await.unwrap());
    let down = setup.engine.unmount("moved:1").await.unwrap();
    assert_eq!(down, std::slice::from_ref(&by_name.0));
    assert!(other.path().join("f").exists());
    // Nothing is mounted on what is a mount already, and nothing on a file.
    let again = setup.engine.mount(request(&one, Some(other.path()), false)).await.unwrap_err();
    assert_eq!(again.kind(), Kind::Invalid);
    assert!(again.to_string().contains("mounted there already"), "{again}");
    let file = tempfile::NamedTempFile::new().unwrap();
    let refused = setup.engine.mount(request(&one, Some(file.path()), false)).await.unwrap_err();
    assert!(refused.kind() == Kind::Invalid && refused.to_string().ends_with("it is no folder"), "{refused}");
}
