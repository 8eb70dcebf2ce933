//! From names to images.

use layer_testkit::image::{Document, Image, ImageBuilder, IndexBuilder};
use layer_transfer::{Event, Kind};

use crate::setup::{Setup, chain, finish, layer};

fn for_platform(platform: &str, seed: u64) -> Image {
    ImageBuilder::new().platform(platform).layer(layer(seed, 1000)).build()
}

#[tokio::test(flavor = "multi_thread")]
async fn root_an_index_gives_the_platform_asked_for_and_keeps_its_own_digest() {
    let setup = Setup::new();
    let v6 = for_platform("linux/arm/v6", 1);
    let index = IndexBuilder::new()
        .image(&for_platform("linux/amd64", 2))
        .image(&v6)
        .image(&for_platform("linux/arm64", 3))
        .attestation(&v6)
        .build();
    let name = setup.registry.put_image("team/multi", "1", &index);
    let (_, end) = finish(setup.start_for(&name, Some("linux/arm/v7"))).await;
    let outcome = end.unwrap();
    assert_eq!(outcome.image.to_string(), index.digest());
    assert_eq!(outcome.platform.to_string(), "linux/arm/v6");
    // A second platform joins the first under the same name.
    let (_, end) = finish(setup.start_for(&name, Some("linux/arm64"))).await;
    assert!(end.unwrap().updated);
    assert_eq!(setup.store.names().len(), 1);
    assert_eq!(setup.count("layers/sha256"), 2);

    let (_, end) = finish(setup.start_for(&name, Some("linux/s390x"))).await;
    let error = end.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(chain(&*error).contains("no matching manifest for linux/s390x in the manifest list entries"));
}

#[tokio::test(flavor = "multi_thread")]
async fn root_indexes_in_indexes_are_followed_so_far_and_no_further() {
    let setup = Setup::new();
    let mut image = for_platform("linux/amd64", 1);
    for depth in 1..=6 {
        image = IndexBuilder::new().image(&image).build();
        let name = setup.registry.put_image("team/nested", &depth.to_string(), &image);
        let (_, end) = finish(setup.start_for(&name, Some("linux/amd64"))).await;
        match end {
            Ok(_) => assert!(depth <= 4, "{depth} deep was followed"),
            Err(error) => {
                assert!(depth > 4, "{depth} deep: {}", chain(&*error));
                assert!(chain(&*error).contains("deep"));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_docker_schema_2_and_digests_and_foreign_platforms() {
    let setup = Setup::new();
    let docker = ImageBuilder::docker().layer(layer(1, 1000)).build();
    let name = setup.registry.put_image("team/docker", "1", &docker);
    assert_eq!(setup.pull(&name).await.unwrap().image.to_string(), docker.digest());

    // By digest the bytes are checked; known ones need no registry.
    let by_digest = format!("{}/team/docker@{}", setup.registry.host(), docker.digest());
    let before = setup.registry.requests().len();
    let outcome = setup.pull(&by_digest).await.unwrap();
    assert!(!outcome.updated, "the repository has it here");
    assert_eq!(setup.registry.requests().len(), before);
    let other = format!("{}/team/docker@sha256:{}", setup.registry.host(), "0".repeat(64));
    assert_eq!(setup.pull(&other).await.unwrap_err().kind(), Kind::NotFound);

    // An image for one platform is taken whatever it is for, and the user is told.
    let name = setup.registry.put_image("team/s390x", "1", &for_platform("linux/s390x", 2));
    let (events, end) = finish(setup.start(&name)).await;
    assert_eq!(end.unwrap().platform.to_string(), "linux/s390x");
    let warned = events.iter().any(|event| matches!(event, Event::Warning(text) if text.contains("linux/s390x")));
    assert!(warned, "{events:?}");

    let name = setup.registry.put_image("team/windows", "1", &for_platform("windows/amd64", 3));
    let error = setup.pull(&name).await.unwrap_err();
    assert!(chain(&*error).contains("the image is for windows"));
}

#[tokio::test(flavor = "multi_thread")]
async fn root_documents_that_are_no_images_are_refused_by_name() {
    let setup = Setup::new();
    let schema1 = br#"{"schemaVersion":1,"name":"x","tag":"1","fsLayers":[],"history":[]}"#.to_vec();
    for (what, media_type, bytes, words) in [
        ("schema1", "application/vnd.docker.distribution.manifest.v1+json", schema1, "schema"),
        ("null", "application/vnd.oci.image.manifest.v1+json", b"null".to_vec(), "object"),
        ("html", "text/html", b"<html>captive portal</html>".to_vec(), ""),
        (
            "both",
            "application/vnd.oci.image.index.v1+json",
            br#"{"schemaVersion":2,"manifests":[],"layers":[]}"#.to_vec(),
            "",
        ),
    ] {
        let document = Document::new(media_type, bytes);
        let digest = document.digest.clone();
        setup.registry.put_document("team/odd", document);
        setup.registry.put_tag("team/odd", what, &digest);
        let error = setup.pull(&format!("{}/team/odd:{what}", setup.registry.host())).await.unwrap_err();
        let text = chain(&*error);
        assert_eq!(error.kind(), Kind::Corrupt, "{what}: {text}");
        assert!(text.to_lowercase().contains(words), "{what}: {text}");
    }
    assert!(setup.store.names().is_empty());
}
