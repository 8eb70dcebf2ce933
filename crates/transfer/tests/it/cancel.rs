//! Leaving a pull, and coming back.

use layer_digest::BlobId;
use layer_testkit::registry::{Fault, Gate, Rule, Target};
use layer_transfer::{Event, Phase};

use crate::setup::{Setup, finish, image, layer, phases};

const SIZE: usize = 3_000_000;

/// A pull of a one-layer image that has stalled after `after` bytes of its layer.
async fn stalled(setup: &Setup, after: u64) -> (String, String, Gate) {
    let layer = layer(1, SIZE);
    let digest = layer.blob.digest.clone();
    let name = setup.registry.put_image("team/app", "1", &image([layer]));
    let gate = Gate::new();
    let stall = Fault::Stall { after, gate: gate.clone() };
    setup.registry.rule(Rule::new(Target::Blob(digest.clone()), stall).times(1));
    (name, digest, gate)
}

fn partial(setup: &Setup, digest: &str) -> u64 {
    setup.store.partial_size(digest.parse::<BlobId>().unwrap()).unwrap()
}

/// Waits until a pull says that so much has come.
async fn until_fetched(pull: &mut layer_transfer::Pull, at_least: u64) {
    loop {
        match pull.next().await.unwrap() {
            Event::Layer { phase: Phase::Fetching { done, .. }, .. } if done >= at_least => return,
            Event::Done(_) | Event::Failed(_) => panic!("the pull has ended"),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_the_last_one_leaving_keeps_the_partial_and_the_next_goes_on_from_it() {
    let setup = Setup::with(layer_registry::Options {
        stall_timeout: std::time::Duration::from_secs(60),
        ..crate::setup::quick()
    });
    let (name, digest, _gate) = stalled(&setup, 1_000_000).await;
    let mut pull = setup.start(&name);
    until_fetched(&mut pull, 1_000_000).await;
    drop(pull);
    // The threads let go of the file when the flight is gone, which a restart waits for.
    let setup = setup.restart().await;
    let kept = partial(&setup, &digest);
    assert!(kept > 0, "nothing was kept");
    assert_eq!(setup.count("staging"), 0);
    assert!(setup.store.names().is_empty());

    setup.registry.fault(Target::Blob(digest.clone()), Fault::Throttle { bytes_per_second: 4_000_000 });
    let (events, end) = finish(setup.start(&name)).await;
    end.unwrap();
    let phases = phases(&events);
    assert!(phases.contains(&Phase::Complete));
    // What was kept counts as done from the first word on.
    let done: Vec<_> = phases
        .iter()
        .filter_map(|phase| if let Phase::Fetching { done, .. } = phase { Some(*done) } else { None })
        .collect();
    assert!(!done.is_empty() && done.iter().all(|done| *done >= kept), "{kept} were kept: {done:?}");
    let requests = setup.registry.requests();
    let last = requests.iter().rfind(|request| request.is_blob_get() && request.path.ends_with(&digest)).unwrap();
    assert_eq!(last.range.as_deref(), Some(format!("bytes={kept}-").as_str()));
    setup.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn root_one_leaving_disturbs_nobody() {
    let setup = Setup::with(layer_registry::Options {
        stall_timeout: std::time::Duration::from_secs(60),
        ..crate::setup::quick()
    });
    let (name, digest, gate) = stalled(&setup, 500_000).await;
    let mut leader = setup.start(&name);
    until_fetched(&mut leader, 500_000).await;
    let mut other = setup.start(&name);
    // A late joiner sees at once how far it is.
    until_fetched(&mut other, 500_000).await;
    drop(leader);
    gate.open();
    finish(other).await.1.unwrap();
    assert_eq!(setup.registry.blob_gets(&digest), 1);
    setup.assert_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn root_damaged_partials_are_thrown_away() {
    let setup = Setup::with(layer_registry::Options {
        stall_timeout: std::time::Duration::from_secs(60),
        ..crate::setup::quick()
    });
    let (name, digest, _gate) = stalled(&setup, 1_000_000).await;
    let mut pull = setup.start(&name);
    until_fetched(&mut pull, 1_000_000).await;
    drop(pull);
    let setup = setup.restart().await;
    let part = setup.store.path().join("ingest").join(format!("{}.part", digest.replace(':', "-")));
    let mut bytes = std::fs::read(&part).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&part, bytes).unwrap();

    setup.pull(&name).await.unwrap();
    setup.assert_clean();
    // And one that is longer than the blob.
    let longer = layer(2, 1000);
    let name = setup.registry.put_image("team/longer", "1", &image([longer.clone()]));
    let part = setup.store.path().join("ingest").join(format!("{}.part", longer.blob.digest.replace(':', "-")));
    std::fs::write(&part, vec![0; 5000]).unwrap();
    setup.pull(&name).await.unwrap();
    setup.assert_clean();
}
