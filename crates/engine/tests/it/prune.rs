//! Pruning, collecting, pinning, and what none of them may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use layer_engine::{
    Collection, Event, Kind, MountRequest, Patience, Phase, PruneRequest, Pruned, PullRequest, Removed,
};
use layer_reference::Reference;
use layer_testkit::image::{Image, ImageBuilder};
use layer_testkit::layer::{Compression, Layer, LayerBuilder, noise};
use layer_testkit::registry::{Fault, Gate, Target};

use crate::setup::{Mounted, Setup};

fn layer(seed: u64) -> Layer {
    layer_of(seed, 20_000)
}

fn layer_of(seed: u64, size: usize) -> Layer {
    LayerBuilder::new().file(format!("f{seed}"), noise(seed, size)).pack(Compression::Gzip)
}

fn image(layers: impl IntoIterator<Item = Layer>) -> Image {
    ImageBuilder::new().layers(layers).build()
}

fn all() -> PruneRequest {
    PruneRequest { all: true, ..PruneRequest::default() }
}

fn keep(bytes: u64) -> Collection {
    Collection {
        all: true,
        unused_for: None,
        keep_storage: Some(bytes),
        marks: None,
        leftovers_for: Duration::ZERO,
        dry_run: false,
    }
}

fn count(setup: &Setup, folder: &str) -> usize {
    std::fs::read_dir(setup.store().join(folder)).unwrap().count()
}

/// What is pulled now must be there whole, which a mount proves.
async fn assert_whole(setup: &Setup, name: &str) {
    let mounted = setup.mount(name, false).await;
    assert!(std::fs::read_dir(mounted.path()).unwrap().count() > 0, "{name}");
    setup.engine.unmount(&mounted.0.id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn root_an_image_that_loses_its_name_to_a_newer_one_waits_for_a_prune() {
    let setup = Setup::new().await;
    let (old, new) = (image([layer(1), layer(2)]), image([layer(1), layer(3)]));
    let name = setup.bring("team/app", &old).await;
    setup.bring("team/app", &new).await;
    let list = setup.engine.images().await.unwrap();
    let dangling = list.iter().find(|image| image.id.to_string() == old.digest()).unwrap();
    assert!(dangling.repo_tags.is_empty() && dangling.repo_digests.is_empty());
    // It can be looked at, mounted and named by its ID.
    assert!(setup.engine.image(old.digest(), None).await.is_ok());
    assert_whole(&setup, old.digest()).await;

    let pruned = setup.engine.prune(PruneRequest::default()).await.unwrap();
    let id = setup.engine.images().await.unwrap();
    assert_eq!(id.len(), 1);
    assert_eq!(pruned.removed[0], Removed::Untagged(old.digest().to_owned()));
    assert!(matches!(pruned.removed[1], Removed::Deleted(id) if id.to_string() == old.digest()));
    assert!(pruned.bytes > 40_000, "a layer twice, packed and unpacked: {}", pruned.bytes);
    assert_eq!((count(&setup, "layers/sha256"), count(&setup, "blobs/sha256")), (2, 4));
    assert_whole(&setup, &name).await;
    assert_eq!(setup.engine.prune(PruneRequest::default()).await.unwrap(), Pruned::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn root_an_image_without_a_name_is_removed_by_its_id() {
    let setup = Setup::new().await;
    let (one, two) = (image([layer(1)]), image([layer(2)]));
    setup.bring("team/one", &one).await;
    let second = setup.bring("team/two", &two).await;
    let first = setup.engine.images().await.unwrap();
    let first = first.iter().find(|image| image.id.to_string() == one.digest()).unwrap();
    // `tag` takes the name from it, too.
    let name = Reference::parse(&first.repo_tags[0]).unwrap();
    setup.engine.tag(&second, name).await.unwrap();
    let prefix = &one.digest()[7..15];
    assert_eq!(setup.engine.remove(prefix, false).await.unwrap(), [Removed::Deleted(first.id)]);
    assert_eq!(setup.engine.remove(one.digest(), true).await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(count(&setup, "layers/sha256"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_what_is_mounted_or_pinned_stays() {
    let setup = Setup::new().await;
    let mounted_name = setup.bring("team/mounted", &image([layer(1)])).await;
    let pinned_name = setup.bring("team/pinned", &image([layer(2)])).await;
    let by_id = image([layer(3)]);
    let id_name = setup.bring("team/by-id", &by_id).await;
    let free = setup.bring("team/free", &image([layer(4)])).await;
    let mounted = setup.mount(&mounted_name, false).await;
    setup.engine.pin(&pinned_name).await.unwrap();
    setup.engine.pin(by_id.digest()).await.unwrap();
    // Even when its name goes to another image.
    setup.bring("team/by-id", &image([layer(5)])).await;

    let usage = setup.engine.disk_usage().await.unwrap();
    let tried = setup.engine.collect(Collection { dry_run: true, ..keep(0) }).await.unwrap();
    assert_eq!(usage.reclaimable, tried.bytes);
    let pruned = setup.engine.prune(all()).await.unwrap();
    assert_eq!(pruned.bytes, usage.reclaimable);
    let names: Vec<_> = pruned
        .removed
        .iter()
        .filter_map(|removed| if let Removed::Untagged(name) = removed { Some(name) } else { None })
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names.contains(&&free) && names.contains(&&id_name));
    assert!(setup.engine.collect(keep(0)).await.unwrap().images.is_empty());
    assert_eq!(std::fs::read_dir(mounted.path()).unwrap().count(), 1);

    // Without their pins they go, and with its mount the last.
    setup.engine.unpin(&pinned_name).await.unwrap();
    setup.engine.unpin(by_id.digest()).await.unwrap();
    assert_eq!(setup.engine.unpin(&pinned_name).await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(setup.engine.prune(all()).await.unwrap().removed.len(), 4);
    setup.engine.unmount(&mounted_name).await.unwrap();
    setup.engine.prune(all()).await.unwrap();
    for folder in ["blobs/sha256", "layers/sha256", "ingest", "staging"] {
        assert_eq!(count(&setup, folder), 0, "{folder}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_mounted_image_whose_name_moved_can_not_be_removed() {
    let setup = Setup::new().await;
    let old = image([layer(1)]);
    let name = setup.bring("team/app", &old).await;
    let mounted = setup.mount(&name, false).await;
    setup.bring("team/app", &image([layer(2)])).await;
    let error = setup.engine.remove(old.digest(), true).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.to_string().contains("(cannot be forced) - image is mounted on"), "{error}");
    setup.engine.unmount(&mounted.0.id).await.unwrap();
    setup.engine.remove(old.digest(), false).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn root_the_image_that_was_not_used_for_the_longest_time_goes_first() {
    let setup = Setup::new().await;
    let base = layer_of(9, 200_000);
    let mut names = Vec::new();
    for seed in 1..=4 {
        names.push(setup.bring(&format!("team/app{seed}"), &image([base.clone(), layer(seed)])).await);
    }
    // The first is used again; the second has the most names, which doesn't matter.
    let mounted = setup.mount(&names[0], false).await;
    setup.engine.unmount(&mounted.0.id).await.unwrap();
    setup.engine.tag(&names[1], Reference::parse("mine:1").unwrap()).await.unwrap();

    let total = setup.engine.disk_usage().await.unwrap().total;
    assert!(setup.engine.collect(keep(total)).await.unwrap().images.is_empty());
    let evicted = |images: &[layer_engine::Evicted]| -> Vec<Vec<String>> {
        images.iter().map(|image| image.names.clone()).collect()
    };
    let taken = setup.engine.collect(keep(total - 1)).await.unwrap();
    assert_eq!(evicted(&taken.images), [vec![names[1].clone(), "mine:1".to_owned()]]);
    assert_eq!(setup.engine.disk_usage().await.unwrap().total, total - taken.bytes);
    let taken = setup.engine.collect(keep(total - taken.bytes - 40_000)).await.unwrap();
    assert_eq!(evicted(&taken.images), [vec![names[2].clone()]]);
    // By how full the disk is: never fuller than it can be, and always fuller than not at all.
    let marks = |high, low| Some(layer_engine::Marks { high, low });
    let full = |marks| Collection { marks, keep_storage: None, dry_run: true, ..keep(0) };
    assert!(setup.engine.collect(full(marks(100, 90))).await.unwrap().images.is_empty());
    assert_eq!(setup.engine.collect(full(marks(0, 0))).await.unwrap().images.len(), 2);
    // By age alone: all that nobody has used since.
    let unused = Collection { unused_for: Some(Duration::from_secs(3600)), keep_storage: None, ..keep(0) };
    assert!(setup.engine.collect(unused.clone()).await.unwrap().images.is_empty());
    let taken = setup.engine.collect(Collection { unused_for: Some(Duration::ZERO), ..unused }).await.unwrap();
    assert_eq!(evicted(&taken.images), [vec![names[3].clone()], vec![names[0].clone()]]);
    assert!(taken.images[1].bytes > 400_000, "with the last goes the base");
}

/// A pull of an image that has stalled in its second layer; its first is complete.
async fn stalled(setup: &Setup) -> (layer_engine::Pull, Image, String, Gate) {
    let large = layer_of(7, 3_000_000);
    let gate = Gate::new();
    let stall = Fault::Stall { after: 1_000_000, gate: gate.clone() };
    setup.registry.fault(Target::Blob(large.blob.digest.clone()), stall);
    let image = image([layer(1), large]);
    let name = setup.registry.put_image("team/large", "1", &image);
    let reference = Reference::parse(&name).unwrap();
    let mut pull =
        setup.engine.pull(PullRequest { reference, platform: None, credentials: None, patience: Patience::default() });
    let (mut complete, mut far) = (false, false);
    while !(complete && far) {
        match pull.next().await.unwrap() {
            Event::Layer { phase: Phase::Complete, .. } => complete = true,
            Event::Layer { phase: Phase::Fetching { done, .. }, .. } => far |= done >= 1_000_000,
            Event::Done(_) | Event::Failed(_) => panic!("the pull has ended"),
            _ => {}
        }
    }
    (pull, image, name, gate)
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_prune_takes_nothing_that_a_running_pull_has_brought() {
    let setup = Setup::new().await;
    let (mut pull, image, name, gate) = stalled(&setup).await;
    assert_eq!((count(&setup, "layers/sha256"), count(&setup, "ingest")), (1, 1));
    // The config is fetched before there is a lease; the pull brings it along again.
    setup.engine.prune(all()).await.unwrap();
    setup.engine.collect(keep(0)).await.unwrap();
    assert_eq!((count(&setup, "layers/sha256"), count(&setup, "ingest")), (1, 1));
    assert_eq!(setup.engine.disk_usage().await.unwrap().reclaimable, 0);
    gate.open();
    loop {
        match pull.next().await.unwrap() {
            Event::Done(_) => break,
            Event::Failed(error) => panic!("{error}"),
            _ => {}
        }
    }
    for layer in &image.layers {
        assert_eq!(setup.registry.blob_gets(&layer.blob.digest), 1, "nothing was fetched twice");
    }
    assert_whole(&setup, &name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_what_a_pull_has_left_behind_goes_with_a_prune_and_with_age() {
    let setup = Setup::new().await;
    let (pull, ..) = stalled(&setup).await;
    drop(pull);
    // Its threads let go a moment later; until then what they write is held.
    let week = Collection { leftovers_for: Duration::from_secs(7 * 86_400), ..keep(u64::MAX) };
    while setup.engine.disk_usage().await.unwrap().reclaimable == 0
        || setup.engine.collect(Collection { dry_run: true, ..keep(u64::MAX) }).await.unwrap().partials == 0
    {
        tokio::task::yield_now().await;
    }
    assert_eq!(setup.engine.collect(week).await.unwrap(), layer_engine::Collected::default());
    // A file may get blocks more when it is written.
    layer_fs::Dir::open(setup.engine.root()).unwrap().sync_filesystem().unwrap();
    let usage = setup.engine.disk_usage().await.unwrap();
    assert!(usage.partials >= 1_000_000 && usage.leftovers > usage.partials, "{usage:?}");
    assert_eq!(usage.reclaimable, usage.leftovers);
    // Who asks for images with a label doesn't ask for these.
    let label = layer_engine::LabelCondition::parse("a", false);
    let labelled = PruneRequest { labels: vec![label], ..all() };
    assert_eq!(setup.engine.prune(labelled).await.unwrap(), Pruned::default());
    let long_ago = Some("2021-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(setup.engine.prune(PruneRequest { until: long_ago, ..all() }).await.unwrap(), Pruned::default());
    let pruned = setup.engine.prune(PruneRequest::default()).await.unwrap();
    assert_eq!((pruned.removed, pruned.bytes), (Vec::new(), usage.leftovers));
    for folder in ["blobs/sha256", "layers/sha256", "ingest", "staging"] {
        assert_eq!(count(&setup, folder), 0, "{folder}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn root_pulls_and_prunes_at_once_harm_nobody() {
    let setup = Arc::new(Setup::new().await);
    let images: Vec<_> = (0..6).map(|n| image([layer(100), layer(n), layer(n + 1)])).collect();
    let names: Vec<_> = images
        .iter()
        .enumerate()
        .map(|(n, image)| setup.registry.put_image(&format!("team/app{n}"), "1", image))
        .collect();
    let done = Arc::new(AtomicBool::new(false));
    let pruner = {
        let (setup, done) = (Arc::clone(&setup), Arc::clone(&done));
        tokio::spawn(async move {
            let mut prunes = 0;
            while !done.load(Ordering::Acquire) {
                let engine = &setup.engine;
                let (pruned, tidied, used) =
                    tokio::join!(engine.prune(all()), engine.tidy(keep(0)), engine.disk_usage());
                drop((pruned.unwrap(), tidied.unwrap(), used.unwrap()));
                prunes += 1;
            }
            prunes
        })
    };
    let pullers = names.iter().map(|name| {
        let (setup, name) = (Arc::clone(&setup), name.clone());
        tokio::spawn(async move {
            for _ in 0..6 {
                setup.pull(&name).await.unwrap();
                // Gone again already, or mounted whole.
                let request = MountRequest { image: name.clone(), platform: None, target: None, writable: false };
                match setup.engine.mount(request).await {
                    Ok(info) => {
                        let mounted = Mounted::new(info);
                        assert_eq!(std::fs::read_dir(mounted.path()).unwrap().count(), 3);
                        setup.engine.unmount(&mounted.0.id).await.unwrap();
                    }
                    Err(error) => assert_eq!(error.kind(), Kind::NotFound, "{error}"),
                }
            }
        })
    });
    for puller in pullers.collect::<Vec<_>>() {
        puller.await.unwrap();
    }
    done.store(true, Ordering::Release);
    assert!(pruner.await.unwrap() > 0);
    for name in &names {
        setup.pull(name).await.unwrap();
        assert_whole(&setup, name).await;
    }
    setup.engine.prune(all()).await.unwrap();
    for folder in ["blobs/sha256", "layers/sha256", "ingest", "staging"] {
        assert_eq!(count(&setup, folder), 0, "{folder}");
    }
}
