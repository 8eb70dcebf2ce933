//! Once each: whoever asks, a blob is fetched and a layer unpacked one time.

use futures_util::future::join_all;
use layer_digest::Digest;
use layer_testkit::layer::{Compression, Layer};
use layer_testkit::registry::{Fault, Gate, Rule, Target};
use layer_transfer::{Event, Phase};

use crate::setup::{Setup, finish, image, layer, phases};

#[tokio::test(flavor = "multi_thread")]
async fn root_32_clients_fetch_every_blob_once_and_all_see_progress() {
    let setup = Setup::new();
    let image = image([layer(1, 200_000), layer(2, 300_000), layer(3, 100_000)]);
    let name = setup.registry.put_image("team/app", "1", &image);
    // The blobs are held until all 32 have joined, so that none comes too late to share.
    let gate = Gate::new();
    for blob in &image.layers {
        setup.registry.rule(Rule::new(Target::Blob(blob.blob.digest.clone()), Fault::Hold(gate.clone())));
    }
    let mut pulls: Vec<_> = (0..32).map(|_| setup.start(&name)).collect();
    for pull in &mut pulls {
        loop {
            if let Some(Event::Layer { phase: Phase::Queued, .. }) = pull.next().await {
                break;
            }
        }
    }
    gate.until(3).await;
    gate.open();
    let ends = join_all(pulls.into_iter().map(finish)).await;
    for (events, end) in ends {
        let phases = phases(&events);
        assert_eq!(phases.iter().filter(|phase| **phase == Phase::Complete).count(), 3);
        assert_eq!(phases.iter().filter(|phase| **phase == Phase::Fetched).count(), 3);
        assert_eq!(end.unwrap().image.to_string(), image.digest());
    }
    let gets = setup.registry.blob_gets_by_digest();
    // Three layers and the config.
    assert_eq!(gets.len(), 4);
    assert!(gets.values().all(|count| *count == 1), "{gets:?}");
    assert_eq!(setup.count("layers/sha256"), 3);
    setup.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn root_16_images_that_share_8_of_10_layers_fetch_every_layer_once() {
    let setup = Setup::new();
    let shared: Vec<Layer> = (0..8).map(|seed| layer(seed, 50_000)).collect();
    let names: Vec<_> = (0..16u64)
        .map(|n| {
            let own = [layer(100 + n, 20_000), layer(200 + n, 20_000)];
            setup.registry.put_image(&format!("team/app{n}"), "1", &image(shared.iter().cloned().chain(own)))
        })
        .collect();
    for (_, end) in join_all(names.iter().map(|name| finish(setup.start(name)))).await {
        assert!(end.unwrap().updated);
    }
    let gets = setup.registry.blob_gets_by_digest();
    // 8 shared layers, 2 of each image's own, and a config each.
    assert_eq!(gets.len(), 8 + 16 * 2 + 16);
    assert!(gets.values().all(|count| *count == 1), "{gets:?}");
    assert_eq!(setup.count("layers/sha256"), 8 + 16 * 2);
    assert_eq!(setup.store.names().len(), 16);
    setup.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn root_one_layer_in_two_packings_is_unpacked_once() {
    let setup = Setup::new();
    let gz = layer(7, 400_000);
    let tar = gz.tar.to_vec().unwrap();
    let zst = Layer::pack(tar, Compression::Zstd);
    assert_eq!(gz.diff_id, zst.diff_id);
    let one = setup.registry.put_image("a/gz", "1", &image([gz.clone()]));
    let two = setup.registry.put_image("a/zst", "1", &image([zst.clone()]));
    let (first, second) = tokio::join!(finish(setup.start(&one)), finish(setup.start(&two)));
    first.1.unwrap();
    second.1.unwrap();
    assert_eq!(setup.count("layers/sha256"), 1);
    for layer in [&gz, &zst] {
        assert_eq!(setup.registry.blob_gets(&layer.blob.digest), 1);
        let blob = layer_digest::BlobId(layer.blob.digest.parse::<Digest>().unwrap());
        assert!(setup.store.blob_size(blob).unwrap().is_some());
    }
    setup.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn root_what_is_stored_is_not_fetched_again() {
    let setup = Setup::new();
    let (base, top, other) = (layer(1, 10_000), layer(2, 10_000), layer(3, 10_000));
    let one = setup.registry.put_image("a/one", "1", &image([base.clone(), top]));
    let two = setup.registry.put_image("a/two", "1", &image([base.clone(), other]));
    setup.pull(&one).await.unwrap();
    let (events, end) = finish(setup.start(&two)).await;
    assert!(end.unwrap().updated);
    assert!(phases(&events).starts_with(&[Phase::Exists, Phase::Queued]));
    assert_eq!(setup.registry.blob_gets(&base.blob.digest), 1);

    // Up to date: one HEAD, and nothing is said of layers.
    let before = setup.registry.requests().len();
    let (events, end) = finish(setup.start(&two)).await;
    assert!(!end.unwrap().updated);
    assert!(phases(&events).is_empty());
    let requests = setup.registry.requests().split_off(before);
    let seen: Vec<_> = requests.iter().map(|request| request.method.as_str()).collect();
    assert_eq!(seen, ["HEAD"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_silent_registry_starves_nobody_elses_pull() {
    let patient = std::time::Duration::from_secs(60);
    let setup = Setup::with(layer_registry::Options { stall_timeout: patient, ..crate::setup::quick() });
    let silent = layer_testkit::registry::Registry::start().unwrap();
    let stuck: Vec<_> = (10..20).map(|seed| layer(seed, 50_000)).collect();
    let gate = Gate::new();
    for layer in &stuck {
        silent.fault(Target::Blob(layer.blob.digest.clone()), Fault::Stall { after: 100, gate: gate.clone() });
    }
    let stuck = silent.put_image("a/stuck", "1", &image(stuck));
    let mut waiting = setup.start(&stuck);
    // All places at that registry are taken.
    gate.until(4).await;
    let name = setup.registry.put_image("a/app", "1", &image([layer(1, 50_000), layer(2, 50_000)]));
    setup.pull(&name).await.unwrap();
    // The other is still where it was.
    assert!(waiting.next().await.is_some());
    gate.open();
}
