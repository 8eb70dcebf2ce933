//! Proving images, and bringing anew what is damaged.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use layer_engine::{Kind, MountRequest, Part, Totals, VerifyEvent, VerifyRequest};
use layer_testkit::image::{Image, ImageBuilder};
use layer_testkit::layer::LayerBuilder;

use crate::setup::{Mounted, Setup};

/// What a verification told.
#[derive(Debug, Default)]
struct Told {
    /// `part path: word`.
    problems: Vec<String>,
    repaired: Vec<Part>,
    not_repaired: Vec<String>,
    totals: Totals,
}

impl Setup {
    async fn verify(&self, repair: bool) -> Told {
        let request = VerifyRequest { repair, ..VerifyRequest::default() };
        let (mut verify, mut told) = (self.engine.verify(request), Told::default());
        while let Some(event) = verify.next().await {
            match event {
                VerifyEvent::Problem(problem) => {
                    let path = problem.path.map(|path| String::from_utf8(path).unwrap()).unwrap_or_default();
                    told.problems.push(format!("{:?} {path}: {}", problem.part, problem.what));
                }
                VerifyEvent::Repaired { part, .. } => told.repaired.push(part),
                VerifyEvent::NotRepaired { reason, .. } => told.not_repaired.push(reason),
                VerifyEvent::Done(totals) => told.totals = totals,
                VerifyEvent::Failed(error) => panic!("{error}"),
                VerifyEvent::Image { .. } | VerifyEvent::Checking { .. } => {}
            }
        }
        assert_eq!(told.totals.problems, told.problems.len() as u64);
        told
    }

    fn blob(&self, digest: &str) -> PathBuf {
        self.store().join("blobs").join(digest.replace(':', "/"))
    }

    /// The folder of the image's only layer.
    fn layer(&self) -> PathBuf {
        fs::read_dir(self.store().join("layers/sha256")).unwrap().next().unwrap().unwrap().path()
    }

    fn fetched(&self, image: &Image) -> usize {
        self.registry.blob_gets(&layer_of(image))
    }
}

fn image() -> Image {
    ImageBuilder::new().layer(LayerBuilder::new().dir("d").file("d/f", "content").file("g", "more").gzip()).build()
}

fn layer_of(image: &Image) -> String {
    image.layers[0].blob.digest.clone()
}

/// Changes one byte, and nothing else that a `stat` shows.
fn flip(path: &std::path::Path, at: usize) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
    file.set_modified(modified).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn root_what_was_pulled_is_whole() {
    let setup = Setup::new().await;
    let image = image();
    let name = setup.bring("team/app", &image).await;
    setup.engine.tag(&name, layer_reference::Reference::parse("other").unwrap()).await.unwrap();
    let told = setup.verify(false).await;
    assert_eq!(told.problems, [""; 0]);
    let Totals { images, documents, blobs, layers, files, damaged, .. } = told.totals;
    assert_eq!((images, documents, blobs, layers, files, damaged), (1, 2, 1, 1, 3, 0));
    // One that isn't there fails the whole.
    let mut verify = setup.engine.verify(VerifyRequest { images: vec!["nothing".to_owned()], ..Default::default() });
    match verify.next().await {
        Some(VerifyEvent::Failed(error)) => assert_eq!(error.kind(), Kind::NotFound),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_damaged_file_is_named_and_unpacked_again_from_the_blob() {
    let setup = Setup::new().await;
    let image = image();
    setup.bring("team/app", &image).await;
    flip(&setup.layer().join("fs/d/f"), 3);
    fs::set_permissions(setup.layer().join("fs/g"), fs::Permissions::from_mode(0o600)).unwrap();
    let told = setup.verify(false).await;
    assert_eq!(told.problems, ["Layer d/f: content", "Layer g: mode"]);
    assert_eq!((told.totals.damaged, told.totals.repaired), (1, 0));

    let before = setup.fetched(&image);
    let told = setup.verify(true).await;
    assert_eq!((told.repaired, told.totals.damaged), (vec![Part::Layer], 0));
    assert_eq!(setup.fetched(&image), before, "the blob was there");
    assert_eq!(fs::read_to_string(setup.layer().join("fs/d/f")).unwrap(), "content");
    assert_eq!(setup.verify(false).await.problems, [""; 0]);
    assert_eq!(fs::read_dir(setup.store().join("staging")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_what_verify_found_is_healed_by_the_next_pull() {
    let setup = Setup::new().await;
    let image = image();
    let name = setup.bring("team/app", &image).await;
    let blob = setup.blob(&layer_of(&image));
    flip(&setup.layer().join("fs/d/f"), 0);
    flip(&blob, 20);
    // Nobody has looked so far.
    setup.pull(&name).await.unwrap();
    assert_eq!(setup.verify(false).await.problems, ["Blob : content", "Layer d/f: content"]);
    let before = setup.fetched(&image);
    setup.pull(&name).await.unwrap();
    assert_eq!(setup.fetched(&image), before + 1);
    assert_eq!(setup.verify(false).await.problems, [""; 0]);
    assert_eq!(fs::read_to_string(setup.layer().join("fs/d/f")).unwrap(), "content");
}

#[tokio::test(flavor = "multi_thread")]
async fn root_blobs_and_documents_are_fetched_again_from_where_the_image_came() {
    let setup = Setup::new().await;
    let image = image();
    setup.bring("team/app", &image).await;
    let (config, manifest) = (image.config.clone().unwrap(), image.digest().to_owned());
    flip(&setup.blob(&layer_of(&image)), 5);
    flip(&setup.blob(&config), 5);
    let told = setup.verify(false).await;
    // Without the config nobody knows which layer is in the blob.
    assert_eq!(told.problems, ["Document : content", "Blob : content"]);
    assert_eq!(told.totals.damaged, 2);
    let told = setup.verify(true).await;
    assert_eq!(told.repaired, [Part::Document, Part::Blob]);

    fs::remove_file(setup.blob(&layer_of(&image))).unwrap();
    fs::remove_file(setup.blob(&config)).unwrap();
    flip(&setup.blob(&manifest), 5);
    fs::remove_dir_all(setup.layer()).unwrap();
    assert_eq!(setup.verify(false).await.problems, ["Document : content"]);
    let told = setup.verify(true).await;
    assert_eq!(told.problems, ["Document : content", "Document : missing", "Blob : missing", "Layer : missing"]);
    assert_eq!(told.repaired, [Part::Document, Part::Document, Part::Blob, Part::Layer]);
    assert_eq!(setup.verify(false).await.problems, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_what_no_registry_has_any_more_stays_damaged_and_says_why() {
    let setup = Setup::new().await;
    let image = image();
    let name = setup.bring("team/app", &image).await;
    flip(&setup.blob(&layer_of(&image)), 5);
    assert!(setup.registry.remove("team/app", &layer_of(&image)));
    let told = setup.verify(true).await;
    assert_eq!((told.problems.as_slice(), told.totals.damaged), (["Blob : content".to_owned()].as_slice(), 1));
    assert!(told.not_repaired[0].contains("fetch"), "{:?}", told.not_repaired);
    // The layer itself was whole, and is usable.
    let mounted = setup.mount(&name, false).await;
    assert_eq!(fs::read_to_string(mounted.path().join("g")).unwrap(), "more");
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_layer_without_a_list_is_proven_by_its_blob() {
    let setup = Setup::new().await;
    setup.bring("team/app", &image()).await;
    let unlisted = || {
        fs::remove_file(setup.layer().join("tree")).unwrap();
        fs::remove_file(setup.layer().join("SHA256SUMS")).unwrap();
    };
    let list = fs::read(setup.layer().join("tree")).unwrap();
    unlisted();
    assert_eq!(setup.verify(false).await.problems, [""; 0]);
    assert_eq!(fs::read(setup.layer().join("tree")).unwrap(), list, "it has one now");
    assert_eq!(setup.verify(false).await.problems, [""; 0]);
    unlisted();
    flip(&setup.layer().join("fs/d/f"), 0);
    assert_eq!(setup.verify(false).await.problems, ["Layer d/f: content"]);
    assert!(!setup.layer().join("tree").exists());
    assert_eq!(setup.verify(true).await.repaired, [Part::Layer]);
    assert_eq!(setup.verify(false).await.problems, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_damage_to_the_list_or_the_record_is_damage_to_the_layer() {
    for file in ["tree", "layer.json", "SHA256SUMS"] {
        let setup = Setup::new().await;
        let name = setup.bring("team/app", &image()).await;
        flip(&setup.layer().join(file), 30);
        assert_eq!(setup.verify(false).await.problems, ["Layer : record"], "{file}");
        setup.pull(&name).await.unwrap();
        assert_eq!(setup.verify(false).await.problems, [""; 0], "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_mounted_layer_is_not_replaced() {
    let setup = Setup::new().await;
    let name = setup.bring("team/app", &image()).await;
    let target = tempfile::tempdir().unwrap();
    let request =
        MountRequest { image: name.clone(), platform: None, target: Some(target.path().to_owned()), writable: false };
    let _mounted = Mounted::new(setup.engine.mount(request).await.unwrap());
    flip(&setup.layer().join("fs/d/f"), 0);
    let told = setup.verify(true).await;
    assert_eq!((told.problems.len(), told.totals.damaged), (1, 1));
    assert!(told.not_repaired[0].contains(&target.path().display().to_string()), "{:?}", told.not_repaired);
    let refused = setup.pull(&name).await.unwrap_err();
    assert!(refused.starts_with("Conflict"), "{refused}");
    assert_eq!(fs::read_to_string(target.path().join("g")).unwrap(), "more");
    setup.engine.unmount(&name).await.unwrap();
    assert_eq!(setup.verify(true).await.repaired, [Part::Layer]);
    setup.pull(&name).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn root_whoever_stops_watching_stops_it() {
    let setup = Setup::new().await;
    let name = setup.bring("team/app", &image()).await;
    let mut verify = setup.engine.verify(VerifyRequest::default());
    assert!(matches!(verify.next().await, Some(VerifyEvent::Image { .. })));
    drop(verify);
    setup.engine.remove(&name, false).await.unwrap();
    // What was leased a moment ago is free again: the same image comes and goes as a whole.
    let name = setup.bring("team/app", &image()).await;
    assert_eq!(setup.verify(false).await.problems, [""; 0]);
    setup.engine.remove(&name, false).await.unwrap();
}
