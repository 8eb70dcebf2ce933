//! Large layers over lines that are slow for each connection.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use layer_digest::BlobId;
use layer_registry::Options;
use layer_testkit::layer::{Compression, Layer, LayerBuilder, noise};
use layer_testkit::link::{Link, Shape};
use layer_testkit::registry::{Fault, Registry, Request, Rule, Target, peak};
use layer_transfer::{Event, Limits, Phase};

use crate::setup::{Setup, chain, image, quick};

/// What one connection brings, in bytes a second: so little that a machine which is busy has time for it.
const SLOW: u64 = 4_000_000;

/// A layer that is sent as it is, so that a test takes as long as its line and no longer.
fn plain(seed: u64, size: usize) -> Layer {
    LayerBuilder::new().file(format!("{seed}"), noise(seed, size)).pack(Compression::Plain)
}

/// Options by which a line that is slow, or a machine that has no time, is never taken for one that is silent.
fn patient() -> Options {
    Options { stall_timeout: Duration::from_secs(60), ..quick() }
}

/// A registry that is slow for each connection, with an image of one layer.
fn slow(options: Options, size: usize, limits: Limits) -> (Setup, String, Layer) {
    let setup = Setup::limited(options, limits);
    let layer = plain(1, size);
    let name = setup.registry.put_image("team/app", "1", &image([layer.clone()]));
    setup.registry.fault(Target::Blob(layer.blob.digest.clone()), Fault::Throttle { bytes_per_second: SLOW });
    (setup, name, layer)
}

/// The requests for a blob.
fn gets(setup: &Setup, layer: &Layer) -> Vec<Request> {
    let is_it = |request: &Request| request.is_blob_get() && request.path.ends_with(&layer.blob.digest);
    setup.registry.requests().into_iter().filter(is_it).collect()
}

fn ranged(requests: &[Request]) -> usize {
    requests.iter().filter(|request| request.range.is_some()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_large_layer_over_a_slow_line_comes_over_several_connections() {
    let shape = Shape { bytes_per_second: 5_000_000, round_trip: Duration::from_millis(40) };
    let layer = plain(1, 24_000_000);
    let pull = async |limits| {
        let setup = Setup::in_memory(patient(), limits);
        let name = setup.registry.put_image("team/app", "1", &image([layer.clone()]));
        let link = Link::start(setup.registry.address(), shape).unwrap();
        let begun = Instant::now();
        setup.pull(&link.name(&name)).await.unwrap();
        let took = begun.elapsed();
        setup.assert_clean();
        (took, link.peak(), link.bytes(), gets(&setup, &layer))
    };
    let one = Limits { connections_per_registry: 1, ..Limits::default() };
    let mut ratios = Vec::new();
    // A machine that has no time may spoil one comparison; not all of them.
    while ratios.len() < 3 && !ratios.iter().any(|ratio| *ratio < 0.6) {
        let (single, several) = tokio::join!(pull(one), pull(Limits::default()));
        assert_eq!(ranged(&single.3), 0);
        println!("{:?} over one connection, {:?} and {} bytes over {}", single.0, several.0, several.2, several.1);
        // What was on the line when the first connection was cut short is all that came twice.
        if ranged(&several.3) > 0 && several.1 >= 4 && several.2 < single.2 + 2_000_000 {
            ratios.push(several.0.as_secs_f64() / single.0.as_secs_f64());
        } else {
            ratios.push(f64::INFINITY);
        }
    }
    assert!(ratios.last().is_some_and(|ratio| *ratio < 0.6), "{ratios:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn root_a_fast_line_gets_one_connection() {
    let setup = Setup::in_memory(patient(), Limits::default());
    let mut counts = Vec::new();
    // A machine that has no time makes even this line slow, now and then.
    while counts.len() < 5 && !counts.contains(&1) {
        let layer = plain(counts.len() as u64, 60_000_000);
        let name = setup.registry.put_image("team/app", "1", &image([layer.clone()]));
        setup.pull(&name).await.unwrap();
        counts.push(gets(&setup, &layer).len());
    }
    assert_eq!(counts.last(), Some(&1), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn root_servers_that_give_no_parts_are_read_over_one_connection() {
    let cases = [
        ("ignored", Fault::IgnoreRange),
        ("416", Fault::RangeRefused),
        ("another range", Fault::OtherRange { start: 3 }),
        ("too many requests", Fault::status(429)),
        ("unavailable", Fault::status(503)),
        ("hung up", Fault::HangUp),
    ];
    // At once, since each waits for its line most of the time.
    let pulls = cases.map(async |(what, fault)| {
        let (setup, name, layer) = slow(patient(), 14_000_000, Limits::default());
        setup.registry.rule(Rule::new(Target::Blob(layer.blob.digest.clone()), fault).ranged());
        let end = setup.pull(&name).await;
        assert!(end.is_ok(), "{what}: {}", chain(&*end.unwrap_err()));
        let gets = gets(&setup, &layer);
        assert_eq!((gets.len(), ranged(&gets)), (2, 1), "{what}");
        assert_eq!(gets[0].sent, layer.blob.size(), "{what}: the first connection goes on");
        setup.assert_clean();
    });
    join_all(pulls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_connections_that_fail_cost_no_byte_that_has_come() {
    let cases = [
        ("cut again and again", Fault::Cut { after: 1_000_000 }, 0, 8),
        ("refused after a while", Fault::status(503), 1, 7),
        ("too many connections", Fault::retry_after(429, "3600"), 1, 2),
        ("reset", Fault::Reset { after: 500_000 }, 1, 4),
        ("silent", Fault::Stall { after: 500_000, gate: layer_testkit::registry::Gate::new() }, 1, 1),
        ("ranges that end", Fault::IgnoreRange, 1, u64::MAX),
        ("a byte flipped", Fault::Flip { at: 9_000_000 }, 0, 1),
    ];
    let pulls = cases.map(async |(what, fault, skip, times)| {
        let (setup, name, layer) = slow(quick(), 20_000_000, Limits::default());
        let target = Target::Blob(layer.blob.digest.clone());
        let rule = setup.registry.rule(Rule::new(target, fault).ranged().skip(skip).times(times));
        let end = setup.pull(&name).await;
        assert!(end.is_ok(), "{what}: {}", chain(&*end.unwrap_err()));
        assert!(rule.struck() > 0, "{what}");
        setup.assert_clean();
    });
    join_all(pulls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn root_what_is_kept_of_a_split_layer_is_its_beginning() {
    let (setup, name, layer) = slow(patient(), 28_000_000, Limits::default());
    let mut pull = setup.start(&name);
    // Over one connection it would take longer to come so far than it takes for others to be there.
    let enough = 10_000_000;
    loop {
        match pull.next().await.unwrap() {
            Event::Layer { phase: Phase::Fetching { done, .. }, .. } if done >= enough => break,
            Event::Done(_) | Event::Failed(_) => panic!("the pull has ended"),
            _ => {}
        }
    }
    drop(pull);
    assert!(peak(&gets(&setup, &layer)) > 2);
    let setup = setup.restart().await;
    let part = setup.store.path().join("ingest").join(format!("{}.part", layer.blob.digest.replace(':', "-")));
    let kept = std::fs::read(part).unwrap();
    assert!(kept.len() > 2_000_000, "{}", kept.len());
    assert!(layer.blob.content.to_vec().unwrap().starts_with(&kept), "there are holes in what is kept");
    setup.registry.heal();
    let before = gets(&setup, &layer).len();
    setup.pull(&name).await.unwrap();
    assert_eq!(gets(&setup, &layer)[before].range, Some(format!("bytes={}-", kept.len())));
    setup.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn root_layers_of_one_registry_share_its_connections() {
    let limits = Limits { connections_per_registry: 3, ..Limits::default() };
    let setup = Setup::limited(quick(), limits);
    let layers = [plain(1, 14_000_000), plain(2, 14_000_000)];
    let name = setup.registry.put_image("team/app", "1", &image(layers.clone()));
    setup.registry.fault(Target::AnyBlob, Fault::Throttle { bytes_per_second: SLOW });
    setup.pull(&name).await.unwrap();
    let requests = setup.registry.requests();
    let blobs: Vec<_> = requests.into_iter().filter(|request| request.is_blob_get() && request.sent > 1000).collect();
    assert!(ranged(&blobs) > 0);
    // A connection that was cut short is still open for the server when its successor comes.
    assert!(peak(&blobs) <= 5, "{}", peak(&blobs));
    for layer in &layers {
        let blob = layer.blob.digest.parse::<BlobId>().unwrap();
        assert_eq!(setup.store.blob_size(blob).unwrap(), Some(layer.blob.size()));
    }
    setup.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn root_parts_come_from_storage_behind_the_registry_too() {
    let setup = Setup::new();
    let storage = Registry::start().unwrap();
    let layer = plain(1, 14_000_000);
    let name = setup.registry.put_image("team/app", "1", &image([layer.clone()]));
    storage.put_blob("team/app", &layer.blob);
    let target = Target::Blob(layer.blob.digest.clone());
    setup.registry.fault(target.clone(), Fault::Redirect { to: storage.url() });
    storage.fault(target, Fault::Throttle { bytes_per_second: SLOW });
    setup.pull(&name).await.unwrap();
    let sent = storage.requests();
    assert!(ranged(&sent) > 1 && sent.iter().all(|request| matches!(request.status, 200 | 206)), "{sent:?}");
    // Each part has an address of its own.
    assert_eq!(gets(&setup, &layer).len(), sent.len());
    setup.assert_clean();
}
