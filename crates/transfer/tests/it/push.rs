//! Pushes to Debian's own registry.

use layer_digest::Digest;
use layer_reference::Reference;
use layer_registry::Credentials;
use layer_testkit::debian::DebianRegistry;
use layer_testkit::front::Front;
use layer_testkit::http::get;
use layer_testkit::image::{Image, ImageBuilder, IndexBuilder};
use layer_transfer::{Kind, PushCause, PushError, PushEvent, PushPhase, PushRequest};
use std::sync::Arc;

use crate::setup::{Setup, finish, image, layer};

const SIZE: usize = 300_000;

/// A setup that pushes, besides, and a registry to push to, behind a front that counts.
pub(crate) struct PushSetup {
    pub(crate) setup: Setup,
    pub(crate) debian: DebianRegistry,
    pub(crate) front: Front,
}

/// What came of a push.
pub(crate) struct Told {
    pub(crate) events: Vec<PushEvent>,
    pub(crate) end: Result<(), Arc<PushError>>,
}

impl Told {
    /// How each layer got where it is, sorted.
    pub(crate) fn ends(&self) -> Vec<String> {
        let end = |event: &PushEvent| match event {
            PushEvent::Layer { phase: PushPhase::Exists, .. } => Some("exists".to_owned()),
            PushEvent::Layer { phase: PushPhase::Pushed, .. } => Some("pushed".to_owned()),
            PushEvent::Layer { phase: PushPhase::Mounted { from }, .. } => Some(format!("from {from}")),
            _ => None,
        };
        let mut ends: Vec<_> = self.events.iter().filter_map(end).collect();
        ends.sort();
        ends
    }

    /// The tags that were pushed, each with what it leads to.
    pub(crate) fn tagged(&self) -> Vec<(String, String)> {
        let tagged = |event: &PushEvent| match event {
            PushEvent::Tagged { reference, digest, .. } => {
                Some((reference.tag().unwrap().to_owned(), digest.to_string()))
            }
            _ => None,
        };
        self.events.iter().filter_map(tagged).collect()
    }

    pub(crate) fn failure(&self) -> &PushError {
        self.end.as_ref().unwrap_err()
    }
}

impl PushSetup {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    pub(crate) fn with(sections: &str) -> Self {
        let debian = DebianRegistry::start_with(sections).unwrap();
        let front = Front::start(debian.address()).unwrap();
        Self { setup: Setup::new(), debian, front }
    }

    /// Pulls an image from the registry in the process, and gives it a name at the other.
    pub(crate) async fn named(&self, image: &Image, name: &str) -> Reference {
        let source = self.setup.registry.put_image("lib/source", "1", image);
        self.setup.pull(&source).await.unwrap();
        self.name(&source, name)
    }

    /// Gives an image of the store a name at the registry to push to.
    pub(crate) fn name(&self, from: &str, name: &str) -> Reference {
        let named = self.setup.store.name(&Reference::parse(from).unwrap()).unwrap();
        let reference = Reference::parse(&format!("{}/{name}", self.front.host())).unwrap();
        self.setup.store.set_name(&reference, &named.target).unwrap();
        reference
    }

    pub(crate) fn request(reference: &Reference) -> PushRequest {
        PushRequest {
            repository: reference.repository().clone(),
            tag: reference.tag().map(str::to_owned),
            platform: None,
            credentials: None,
        }
    }

    pub(crate) async fn push(&self, reference: &Reference) -> Told {
        self.push_by(Self::request(reference)).await
    }

    pub(crate) async fn push_by(&self, request: PushRequest) -> Told {
        let mut push = self.setup.transfer.push(request);
        let mut events = Vec::new();
        while let Some(event) = push.next().await {
            match event {
                PushEvent::Done => return Told { events, end: Ok(()) },
                PushEvent::Failed(error) => return Told { events, end: Err(error) },
                event => events.push(event),
            }
        }
        panic!("the push ended without an end: {events:?}");
    }

    /// The bytes of a manifest at the registry.
    pub(crate) fn manifest(&self, repository: &str, at: &str, media_type: &str) -> Vec<u8> {
        let path = format!("/v2/{repository}/manifests/{at}");
        let answer = get(self.debian.address(), &path, &[("Accept", media_type)]).unwrap();
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), Some(media_type));
        answer.body
    }

    /// How often bytes of blobs were sent.
    pub(crate) fn sends(&self) -> usize {
        self.front.count(|request| request.target.contains("/blobs/uploads/") && request.body > 0)
    }

    /// Asserts that the registry has all of an image, to the byte.
    pub(crate) fn assert_has(&self, repository: &str, tag: &str, image: &Image) {
        assert_eq!(self.manifest(repository, tag, &image.top.media_type), image.top.bytes);
        for document in &image.documents {
            assert_eq!(self.manifest(repository, &document.digest, &document.media_type), document.bytes);
        }
        for blob in &image.blobs {
            let answer = get(self.debian.address(), &format!("/v2/{repository}/blobs/{}", blob.digest), &[]).unwrap();
            assert_eq!(answer.status, 200);
            assert!(answer.body == blob.content.to_vec().unwrap(), "{}", blob.digest);
        }
    }
}

fn two_layers() -> Image {
    image([layer(1, SIZE), layer(2, SIZE)])
}

#[tokio::test(flavor = "multi_thread")]
async fn root_an_image_arrives_as_it_was_pulled() {
    let setup = PushSetup::new();
    let image = two_layers();
    let name = setup.named(&image, "lab/app:v1").await;
    let told = setup.push(&name).await;
    told.end.as_ref().unwrap();
    assert!(matches!(&told.events[0], PushEvent::Pushing(repository) if repository == name.repository()));
    assert_eq!(told.ends(), ["pushed", "pushed"]);
    assert_eq!(told.tagged(), [("v1".to_owned(), image.digest().to_owned())]);
    setup.assert_has("lab/app", "v1", &image);
    assert_eq!(setup.sends(), 3);

    // A second time there is nothing to send.
    let told = setup.push(&name).await;
    assert_eq!((told.ends(), setup.sends()), (vec!["exists".to_owned(); 2], 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn root_what_the_registry_has_elsewhere_is_mounted() {
    let setup = PushSetup::new();
    let image = two_layers();
    // Once it is known from a pull, once from a push.
    let pulled = format!("{}/lab/pulled:1", setup.front.host());
    setup.debian.put_image("lab/pulled", "1", &image).unwrap();
    setup.setup.pull(&pulled).await.unwrap();
    let name = setup.name(&pulled, "lab/copy:v1");
    let told = setup.push(&name).await;
    told.end.as_ref().unwrap();
    assert_eq!((told.ends(), setup.sends()), (vec!["from lab/pulled".to_owned(); 2], 0));
    setup.assert_has("lab/copy", "v1", &image);

    let told = setup.push(&setup.name(&pulled, "lab/another:v1")).await;
    assert_eq!(told.ends().len(), 2);
    assert!(told.ends().iter().all(|end| end.starts_with("from lab/")), "{:?}", told.ends());
    assert_eq!(setup.sends(), 0);
    setup.assert_has("lab/another", "v1", &image);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_mount_that_can_not_be_had_becomes_an_upload_and_is_forgotten() {
    let setup = PushSetup::new();
    let image = two_layers();
    let name = setup.named(&image, "lab/app:v1").await;
    let blobs = image.blobs.iter().map(|blob| layer_digest::BlobId(blob.digest.parse::<Digest>().unwrap()));
    let blobs: Vec<_> = blobs.collect();
    setup.setup.store.learn_sources(&setup.front.host(), "lab/gone", blobs.clone());
    let told = setup.push(&name).await;
    told.end.as_ref().unwrap();
    assert_eq!((told.ends(), setup.sends()), (vec!["pushed".to_owned(); 2], 3));
    assert_eq!(setup.front.count(|request| request.target.ends_with("&from=lab/gone")), 3);
    for blob in blobs {
        assert_eq!(setup.setup.store.sources(&setup.front.host(), blob), ["lab/app"]);
    }
}

/// Two platforms, one of which is this machine's.
fn two_platforms() -> (Image, Image, Image) {
    let amd = ImageBuilder::new().layer(layer(1, SIZE)).build();
    let arm = ImageBuilder::new().platform("linux/arm64/v8").layer(layer(2, SIZE)).build();
    let index = IndexBuilder::new().image(&amd).image(&arm).build();
    (index, amd, arm)
}

#[tokio::test(flavor = "multi_thread")]
async fn root_an_index_goes_with_all_its_platforms() {
    let setup = PushSetup::new();
    let (index, ..) = two_platforms();
    let source = setup.setup.registry.put_image("lib/source", "1", &index);
    for platform in ["linux/amd64", "linux/arm64"] {
        finish(setup.setup.start_for(&source, Some(platform))).await.1.unwrap();
    }
    let told = setup.push(&setup.name(&source, "lab/app:v1")).await;
    told.end.as_ref().unwrap();
    assert_eq!(told.tagged(), [("v1".to_owned(), index.digest().to_owned())]);
    assert_eq!(told.ends(), ["pushed", "pushed"]);
    setup.assert_has("lab/app", "v1", &index);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_of_an_index_in_part_the_manifest_that_is_here_goes() {
    let setup = PushSetup::new();
    let (index, amd, arm) = two_platforms();
    let source = setup.setup.registry.put_image("lib/source", "1", &index);
    let only = if std::env::consts::ARCH == "aarch64" { arm } else { amd };
    setup.setup.pull(&source).await.unwrap();
    let name = setup.name(&source, "lab/app:v1");
    let told = setup.push(&name).await;
    told.end.as_ref().unwrap();
    assert_eq!(told.tagged(), [("v1".to_owned(), only.digest().to_owned())]);
    let replaced = told.events.iter().find_map(|event| match event {
        PushEvent::ManifestInsteadOfIndex { index, manifest } => Some((index.clone(), manifest.clone())),
        _ => None,
    });
    let (original, manifest) = replaced.unwrap();
    assert_eq!(
        (original.digest.to_string(), manifest.digest.to_string()),
        (index.digest().into(), only.digest().into())
    );
    assert!(manifest.platform.is_some());
    setup.assert_has("lab/app", "v1", &only);

    // Once the repository has the other platform, the index can go as it is.
    setup.debian.put_image("lab/app", "whole", &index).unwrap();
    let told = setup.push(&name).await;
    assert_eq!(told.tagged(), [("v1".to_owned(), index.digest().to_owned())]);
    assert_eq!(setup.manifest("lab/app", "v1", &index.top.media_type), index.top.bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_one_platform_can_be_asked_for() {
    let setup = PushSetup::new();
    let (index, _, arm) = two_platforms();
    let source = setup.setup.registry.put_image("lib/source", "1", &index);
    finish(setup.setup.start_for(&source, Some("linux/arm64"))).await.1.unwrap();
    let name = setup.name(&source, "lab/app:v1");
    let push = |platform: &str| PushRequest { platform: Some(platform.parse().unwrap()), ..PushSetup::request(&name) };
    let told = setup.push_by(push("linux/arm64")).await;
    told.end.as_ref().unwrap();
    assert_eq!(told.tagged(), [("v1".to_owned(), arm.digest().to_owned())]);
    assert!(!told.events.iter().any(|event| matches!(event, PushEvent::ManifestInsteadOfIndex { .. })));
    setup.assert_has("lab/app", "v1", &arm);
    let told = setup.push_by(push("linux/s390x")).await;
    assert!(matches!(&*told.failure().cause, PushCause::NoPlatform { platform } if platform.architecture == "s390x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn root_of_two_foreign_platforms_none_can_stand_for_the_index() {
    let setup = PushSetup::new();
    let platforms = ["linux/s390x", "linux/ppc64le", "linux/riscv64"];
    let images: Vec<_> = platforms
        .iter()
        .zip(1..)
        .map(|(platform, seed)| ImageBuilder::new().platform(platform).layer(layer(seed, SIZE)).build())
        .collect();
    let index = images.iter().fold(IndexBuilder::new(), |index, image| index.image(image)).build();
    let source = setup.setup.registry.put_image("lib/source", "1", &index);
    for platform in &platforms[..2] {
        finish(setup.setup.start_for(&source, Some(platform))).await.1.unwrap();
    }
    let told = setup.push(&setup.name(&source, "lab/app:v1")).await;
    assert!(matches!(*told.failure().cause, PushCause::Missing { missing: 1 }));
    assert_eq!(told.failure().kind(), Kind::NotFound);
    assert!(
        matches!(told.events.last(), Some(PushEvent::ContentMissing(target)) if target.digest.to_string() == index.digest())
    );
    assert_eq!(setup.sends(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_all_tags_of_a_repository_go_at_once() {
    let setup = PushSetup::new();
    let (first, second) = (two_layers(), image([layer(1, SIZE), layer(3, SIZE)]));
    let one = setup.named(&first, "lab/app:v1").await;
    setup.named(&second, "lab/app:v2").await;
    setup.named(&first, "lab/other:v1").await;
    let told = setup.push_by(PushRequest { tag: None, ..PushSetup::request(&one) }).await;
    told.end.as_ref().unwrap();
    let tagged = [("v1".to_owned(), first.digest().to_owned()), ("v2".to_owned(), second.digest().to_owned())];
    assert_eq!(told.tagged(), tagged);
    assert_eq!(told.ends(), ["exists", "pushed", "pushed", "pushed"]);
    setup.assert_has("lab/app", "v2", &second);
    let tags = get(setup.debian.address(), "/v2/lab/app/tags/list", &[]).unwrap();
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&tags.body).unwrap()["tags"],
        serde_json::json!(["v1", "v2"])
    );
    let other = get(setup.debian.address(), "/v2/lab/other/tags/list", &[]).unwrap();
    assert_eq!(other.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_here_is_said_before_the_registry_is_asked() {
    let setup = PushSetup::new();
    let name = Reference::parse(&format!("{}/lab/nosuch:v1", setup.front.host())).unwrap();
    let told = setup.push(&name).await;
    assert!(matches!(*told.failure().cause, PushCause::NoTag));
    let told = setup.push_by(PushRequest { tag: None, ..PushSetup::request(&name) }).await;
    assert!(matches!(*told.failure().cause, PushCause::NoTags));
    assert_eq!(told.failure().kind(), Kind::NotFound);
    assert!(setup.front.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_registry_with_a_login_gets_it_and_says_no_without() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("htpasswd");
    std::fs::write(&users, "lab:$2b$04$nyFrvMEbf2/xQqPKszteFuaM3A133/8MyMmAtlXtIJxA4o16H1/sa\n").unwrap();
    let setup = PushSetup::with(&format!("auth:\n  htpasswd:\n    realm: lab\n    path: {}\n", users.display()));
    let image = two_layers();
    let name = setup.named(&image, "lab/app:v1").await;
    let push = |credentials| PushRequest { credentials, ..PushSetup::request(&name) };
    let told = setup.push_by(push(None)).await;
    assert_eq!(told.failure().kind(), Kind::Unauthorized);
    let told = setup.push_by(push(Some(Credentials::basic("lab", "wrong")))).await;
    assert_eq!(told.failure().kind(), Kind::Unauthorized);
    assert!(told.failure().hint().unwrap().starts_with("log in again"), "{:?}", told.failure().hint());
    assert_eq!(setup.sends(), 0);
    let told = setup.push_by(push(Some(Credentials::basic("lab", "sesame")))).await;
    told.end.as_ref().unwrap();
    assert_eq!(told.ends(), ["pushed", "pushed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_blob_is_sent_once_however_many_pushes_want_it_there() {
    let setup = PushSetup::new();
    let (first, second) = (two_layers(), image([layer(1, SIZE), layer(2, SIZE), layer(3, SIZE)]));
    let mut names = Vec::new();
    for (number, image) in [&first, &second, &first, &second].into_iter().enumerate() {
        names.push(setup.named(image, &format!("lab/app:{number}")).await);
    }
    let pushes = names.iter().map(|name| setup.push(name));
    for told in futures_util::future::join_all(pushes).await {
        told.end.as_ref().unwrap();
    }
    // Three layers, and two configs.
    assert_eq!(setup.sends(), 5);
    setup.assert_has("lab/app", "1", &second);
    setup.assert_has("lab/app", "2", &first);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_what_is_being_pushed_is_not_removed() {
    let push = PushSetup::new();
    let image = image([layer(1, 3_000_000), layer(2, 3_000_000)]);
    let name = push.named(&image, "lab/app:1").await;
    let mut running = push.setup.transfer.push(PushSetup::request(&name));
    let first = running.next().await.unwrap();
    assert!(!matches!(first, PushEvent::Failed(_) | PushEvent::Done));
    let store = &push.setup.store;
    while !store.is_leased(image.layers[1].blob.digest.parse().unwrap()) {
        running.next().await.unwrap();
    }
    let target = store.name(&name).unwrap().target;
    let naming = store.naming();
    let names: Vec<_> = store.names().into_iter().map(|named| named.reference).collect();
    naming.remove_names(&names).unwrap();
    drop(naming.sweep(std::slice::from_ref(&target)).unwrap());
    drop(naming);
    drop(store.sweep_leftovers(jiff::Timestamp::MAX).unwrap());
    let mut end = None;
    while let Some(event) = running.next().await {
        end = Some(event);
    }
    assert!(matches!(end, Some(PushEvent::Done)), "{end:?}");
    push.assert_has("lab/app", "1", &image);
    // Nothing holds it any more.
    drop(running);
    drop(store.sweep_leftovers(jiff::Timestamp::MAX).unwrap());
    assert_eq!(push.setup.count("blobs/sha256"), 0);
}
