//! What a pull does with a manifest before it has the config, and before it fetches anything.

use std::collections::HashSet;

use layer_testkit::image::{ImageBuilder, IndexBuilder};
use layer_testkit::registry::{Auth, Fault, Gate, Request, Rule, Target, TokenAuth};
use layer_transfer::{Kind, PullCause};

use crate::setup::{Setup, chain, finish, image, layer};

#[tokio::test(flavor = "multi_thread")]
async fn root_layers_are_asked_for_while_the_config_is_on_its_way() {
    let setup = Setup::new();
    let image = image([layer(1, 60_000), layer(2, 900_000)]);
    let name = setup.registry.put_image("team/app", "1", &image);
    let config = image.config.clone().unwrap();
    let gate = Gate::new();
    setup.registry.rule(Rule::new(Target::Blob(config.clone()), Fault::Hold(gate.clone())));
    let pull = setup.start(&name);
    gate.until(1).await;
    // Both layers come before the config has, as far as there is room between network and threads.
    setup
        .registry
        .until(2, |request| request.is_blob_get() && !request.path.ends_with(&config) && request.sent > 0)
        .await;
    assert_eq!(setup.count("staging"), 0, "nothing is unpacked before it is known what it must be");
    gate.open();
    finish(pull).await.1.unwrap();
    assert!(setup.registry.blob_gets_by_digest().values().all(|count| *count == 1));
    setup.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_pull_takes_few_round_trips() {
    let setup = Setup::new();
    let image = image([layer(1, 40_000), layer(2, 40_000), layer(3, 40_000)]);
    let index = IndexBuilder::new().image(&image).build();
    let name = setup.registry.put_image("team/app", "1", &index);
    setup.registry.set_auth(Auth::Token(TokenAuth::anonymous()));
    setup.pull(&name).await.unwrap();
    let asked = |request: &Request| match (request.path.as_str(), request.status) {
        ("/token", _) => "token".to_owned(),
        (_, 401) => "refused".to_owned(),
        (path, _) if path.contains("/manifests/") => "manifest".to_owned(),
        _ => "blob".to_owned(),
    };
    let cold: Vec<_> = setup.registry.requests().iter().map(asked).collect();
    // The registry is on this machine, so that it is first asked by https, which it answers by hanging up: that is no request.
    let expected = ["refused", "token", "manifest", "manifest", "blob", "blob", "blob", "blob"];
    assert_eq!(cold, expected);
    let connections: HashSet<_> = setup.registry.requests().iter().map(|request| request.connection).collect();
    assert!(connections.len() <= 5, "{connections:?}: no more than blobs at once, and the one before");

    setup.pull(&name).await.unwrap();
    let warm: Vec<_> = setup.registry.requests().split_off(cold.len());
    let warm: Vec<_> = warm.iter().map(|request| (request.method.as_str(), request.status)).collect();
    assert_eq!(warm, [("HEAD", 200)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_pull_that_leaves_before_its_config_came_strands_nobody() {
    let setup = Setup::new();
    let shared = layer(1, 900_000);
    let first = image([shared.clone()]);
    let second = ImageBuilder::new().layer(shared).cmd(&["other"]).build();
    let names = [("team/first", &first), ("team/second", &second)];
    let names = names.map(|(repository, image)| setup.registry.put_image(repository, "1", image));
    let gate = Gate::new();
    setup.registry.rule(Rule::new(Target::Blob(first.config.clone().unwrap()), Fault::Hold(gate.clone())));
    let leaving = setup.start(&names[0]);
    gate.until(1).await;
    setup
        .registry
        .until(1, |request| request.is_blob_get() && request.sent > 0 && request.path.contains("first"))
        .await;
    let staying = setup.start(&names[1]);
    let staying = tokio::spawn(finish(staying));
    // The second knows its config and with it what the blob must be; the first never will.
    setup
        .registry
        .until(1, |request| request.is_blob_get() && request.path.ends_with(second.config.as_ref().unwrap()))
        .await;
    drop(leaving);
    staying.await.unwrap().1.unwrap();
    gate.open();
    setup.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_config_that_lies_about_a_layer_spoils_no_other_pull_of_it() {
    let setup = Setup::new();
    let shared = layer(1, 300_000);
    let other = layer(2, 10);
    let honest = image([shared.clone()]);
    let wrong = serde_json::Value::from(other.diff_id.clone());
    let liar =
        ImageBuilder::new().layer(shared).change_config(move |config| config["rootfs"]["diff_ids"][0] = wrong).build();
    let names = [("team/honest", &honest), ("team/liar", &liar)];
    let [honest, liar] = names.map(|(repository, image)| setup.registry.put_image(repository, "1", image));
    for _ in 0..4 {
        let ((_, good), (_, bad)) = tokio::join!(finish(setup.start(&honest)), finish(setup.start(&liar)));
        good.unwrap();
        let error = bad.unwrap_err();
        assert!(matches!(&*error.cause, PullCause::Layer { .. }), "{}", chain(&*error));
        assert_eq!(error.kind(), Kind::Corrupt);
    }
    setup.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn root_an_image_that_can_not_fit_is_refused_before_its_first_byte() {
    let setup = Setup::new();
    let huge = ImageBuilder::new()
        .layers([layer(1, 100), layer(2, 100)])
        .change_manifest(|manifest| manifest["layers"][1]["size"] = (1_u64 << 60).into())
        .build();
    let name = setup.registry.put_image("team/huge", "1", &huge);
    let error = setup.pull(&name).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NoSpace);
    let text = chain(&*error);
    assert!(text.contains(": it needs 2.1 EiB at least, and "), "{text}");
    assert!(text.contains("iB are free on `/"), "{text}");
    assert!(error.hint().is_some());
    assert!(setup.registry.blob_gets_by_digest().is_empty());
    assert!(setup.store.names().is_empty());
    setup.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_preview_tells_what_would_come_and_writes_nothing() {
    let setup = Setup::new();
    let base = layer(1, 50_000);
    let old = image([base.clone(), layer(2, 20_000)]);
    let name = setup.registry.put_image("team/app", "1", &old);

    let before = setup.preview(&name).await.unwrap();
    assert!(before.is_news());
    assert_eq!((before.image.to_string(), before.current), (old.digest().to_owned(), None));
    let sizes: Vec<_> = old.layers.iter().map(|layer| layer.blob.size()).collect();
    assert_eq!(before.fetch_bytes, sizes.iter().sum::<u64>());
    assert_eq!(before.disk_bytes, 4 * before.fetch_bytes);
    assert!(before.layers.iter().all(|layer| layer.here == 0 && !layer.is_unpacked));
    assert_eq!(setup.count("blobs/sha256"), 0);
    assert!(setup.registry.blob_gets_by_digest().is_empty());

    setup.pull(&name).await.unwrap();
    let same = setup.preview(&name).await.unwrap();
    assert!(!same.is_news());
    assert_eq!((same.fetch_bytes, same.disk_bytes, same.current), (0, 0, Some(same.image)));

    let new = image([base, layer(3, 30_000)]);
    setup.registry.put_image("team/app", "1", &new);
    let update = setup.preview(&name).await.unwrap();
    assert!(update.is_news());
    assert_eq!(update.fetch_bytes, new.layers[1].blob.size());
    assert_eq!(update.layers.iter().map(|layer| layer.is_unpacked).collect::<Vec<_>>(), [true, false]);
    assert_eq!(setup.store.names()[0].target.digest.to_string(), old.digest());

    let error = setup.preview(&format!("{}/team/none:1", setup.registry.host())).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}
