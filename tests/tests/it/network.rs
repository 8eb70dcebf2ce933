//! Networks that fail, with real processes on both ends of the socket.

use std::fs;
use std::path::Path;

use layer_testkit::image::ImageBuilder;
use layer_testkit::layer::{Compression, Layer, LayerBuilder, noise};
use layer_testkit::registry::{Fault, Registry, Request, Rule, Target, peak};
use rustix::process::Signal;

use crate::service::{Daemon, Running, Stalled, eventually};

/// The requests for a blob.
fn gets(registry: &Registry, digest: &str) -> Vec<Request> {
    let is_it = |request: &Request| request.is_blob_get() && request.path.ends_with(digest);
    registry.requests().into_iter().filter(is_it).collect()
}

/// The file with what has come of a blob.
fn part(daemon: &Daemon, digest: &str) -> Vec<u8> {
    fs::read(daemon.root().join("ingest").join(format!("{}.part", digest.replace(':', "-")))).unwrap()
}

/// A registry with an image of one layer, which is sent as it is.
fn one_layer(size: usize) -> (Registry, String, Layer) {
    let registry = Registry::start().unwrap();
    let layer = LayerBuilder::new().file("large", noise(1, size)).pack(Compression::Plain);
    let name = registry.put_image("lab/large", "1", &ImageBuilder::new().layer(layer.clone()).build());
    (registry, name, layer)
}

#[test]
fn root_no_byte_that_is_on_disk_is_fetched_again() {
    let kill = |daemon: &mut Daemon, client: Running| {
        daemon.kill();
        client.end().fails(1);
        daemon.again();
    };
    let interrupt = |daemon: &mut Daemon, client: Running| {
        client.signal(Signal::INT);
        client.end().fails(130);
        // The daemon lets go of the file a moment after its client has gone; a stop waits for that.
        assert!(daemon.stop().success());
        daemon.again();
    };
    for break_off in [&kill as &dyn Fn(&mut Daemon, Running), &interrupt] {
        let (mut daemon, stalled) = (Daemon::start(), Stalled::new());
        let client = Running::start(&mut daemon.layer_command(&["pull", &stalled.name]));
        stalled.wait(&daemon);
        break_off(&mut daemon, client);
        let kept = part(&daemon, stalled.digest()).len() as u64;
        assert!(kept > 1 << 20, "{kept}");
        stalled.registry.heal();
        daemon.layer(&["pull", "--quiet", &stalled.name]).ok();
        let gets = gets(&stalled.registry, stalled.digest());
        assert_eq!(gets.len(), 2);
        assert_eq!(gets[1].range.as_deref(), Some(format!("bytes={kept}-").as_str()));
        assert_eq!(gets[1].sent, stalled.image.layers[1].blob.size() - kept);
    }
}

#[test]
fn root_a_daemon_that_is_killed_while_a_layer_comes_over_several_connections_goes_on() {
    let (mut daemon, (registry, name, layer)) = (Daemon::start(), one_layer(40_000_000));
    let throttle = Fault::Throttle { bytes_per_second: 4_000_000 };
    registry.fault(Target::Blob(layer.blob.digest.clone()), throttle);
    let client = Running::start(&mut daemon.layer_command(&["pull", &name]));
    eventually("several connections are at work", || {
        peak(&gets(&registry, &layer.blob.digest)) > 2 && daemon.partial_bytes() > 4 << 20
    });
    daemon.kill();
    client.end().fails(1);
    let kept = part(&daemon, &layer.blob.digest);
    assert!(layer.blob.content.to_vec().unwrap().starts_with(&kept), "there are holes in what is kept");
    daemon.again();
    registry.heal();
    let before = gets(&registry, &layer.blob.digest).len();
    daemon.layer(&["pull", "--quiet", &name]).ok();
    let gets = gets(&registry, &layer.blob.digest);
    assert_eq!(gets[before].range, Some(format!("bytes={}-", kept.len())));
    let folder = daemon.layer(&["mount", &name]).ok();
    assert!(fs::read(Path::new(&folder).join("large")).unwrap() == noise(1, 40_000_000));
}

#[test]
fn root_one_connection_is_all_that_is_used_where_that_is_asked_for() {
    let (mut daemon, (registry, name, layer)) = (Daemon::prepare(), one_layer(14_000_000));
    fs::write(daemon.path("config.toml"), "connections = 1\n").unwrap();
    let mut command = daemon.command();
    daemon.launch(&mut command);
    let throttle = Fault::Throttle { bytes_per_second: 8_000_000 };
    registry.fault(Target::Blob(layer.blob.digest.clone()), throttle);
    daemon.layer(&["pull", "--quiet", &name]).ok();
    assert_eq!(gets(&registry, &layer.blob.digest).len(), 1);
}

#[test]
fn root_a_registry_that_only_drips_is_asked_again_and_the_user_is_told_why() {
    let (mut daemon, (registry, name, layer)) = (Daemon::prepare(), one_layer(300_000));
    let mut command = daemon.command();
    daemon.launch(command.args(["--minimum-speed", "100000", "--minimum-speed-time", "1"]));
    let drip = Fault::Throttle { bytes_per_second: 20_000 };
    registry.rule(Rule::new(Target::Blob(layer.blob.digest.clone()), drip).times(1));
    let ran = daemon.layer(&["pull", &name]);
    assert!(ran.stderr.contains(": Retrying in 1 second (the registry is too slow)\n"), "{}", ran.stderr);
    ran.ok();
    let gets = gets(&registry, &layer.blob.digest);
    assert_eq!(gets.len(), 2);
    assert!(gets[1].range.as_deref().is_some_and(|range| range != "bytes=0-"), "{:?}", gets[1].range);
}

#[test]
fn root_a_wait_that_the_registry_asks_for_is_kept_and_told() {
    let (daemon, (registry, name, layer)) = (Daemon::start(), one_layer(1000));
    registry.rule(Rule::new(Target::AnyManifest, Fault::retry_after(503, "1")).times(1));
    registry.rule(Rule::new(Target::Blob(layer.blob.digest.clone()), Fault::retry_after(429, "1")).times(1));
    let ran = daemon.layer(&["pull", &name]);
    let told: Vec<_> = ran.stderr.lines().filter(|line| line.contains("Retrying")).collect();
    let id = &layer.blob.digest["sha256:".len()..][..12];
    assert_eq!(told[0], "1: Retrying in 2 seconds (503 from the registry)");
    assert_eq!(told[1], format!("{id}: Retrying in 2 seconds (429 from the registry)"));
    assert_eq!(told.len(), 2);
    ran.ok();
    // One that nobody can be asked to sit through ends the pull, and says how long it is.
    registry.fault(Target::AnyManifest, Fault::retry_after(429, "3600"));
    let said = daemon.layer(&["pull", &name]).fails(1);
    assert!(said.contains("it asks to wait 3600 seconds"), "{said}");
}
