//! Many clients at once.

use std::fs;

use layer_testkit::debian_images::stacked;
use layer_testkit::registry::{Fault, Gate, Registry, Target};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

use crate::api::get;
use crate::service::{Daemon, Running, Stalled, eventually};

/// How many connections to the daemon there are.
fn connections(daemon: &Daemon) -> usize {
    let end = format!(" {}", daemon.socket().display());
    let table = fs::read_to_string("/proc/net/unix").unwrap();
    // The sixth column is the state, and 03 means connected.
    table.lines().filter(|line| line.ends_with(&end) && line.split_whitespace().nth(5) == Some("03")).count()
}

#[test]
fn root_32_pulls_of_one_image_fetch_it_once() {
    let (daemon, registry) = (Daemon::start(), Registry::start().unwrap());
    let image = stacked(12, 5);
    let name = registry.put_image("lab/shared", "1", &image);
    let gate = Gate::new();
    registry.fault(Target::AnyBlob, Fault::Hold(gate.clone()));
    let pull = |_| Running::start(&mut daemon.layer_command(&["pull", "--quiet", &name]));
    let clients: Vec<Running> = (0..32).map(pull).collect();
    // Nothing is fetched before all are there.
    eventually("all clients are connected", || connections(&daemon) >= clients.len());
    gate.open();
    for client in clients {
        assert_eq!(client.end().ok(), name);
    }
    // Its config as well.
    for blob in &image.blobs {
        assert_eq!(registry.blob_gets(&blob.digest), 1, "{}", blob.digest);
    }
    assert_eq!(daemon.list("staging"), [""; 0]);
    let folder = daemon.layer(&["mount", &name]).ok();
    assert_eq!(fs::read_to_string(format!("{folder}/changed")).unwrap(), "11");
}

#[test]
fn root_a_client_that_is_killed_takes_nothing_from_the_others() {
    let (daemon, stalled) = (Daemon::start(), Stalled::new());
    let pull = |_| Running::start(&mut daemon.layer_command(&["pull", &stalled.name]));
    // The first one starts the download that the others wait for.
    let first = pull(0);
    stalled.wait(&daemon);
    let others: Vec<Running> = (1..4).map(pull).collect();
    for client in &others {
        eventually("it sees the layer that is here already", || client.stderr().contains(": "));
    }
    first.signal(Signal::KILL);
    assert_eq!(first.end().code, None);
    eventually("the daemon has seen it go", || connections(&daemon) == others.len());
    stalled.gate.open();
    for client in others {
        let text = client.end().ok();
        assert!(text.contains(&stalled.name), "{text}");
    }
    assert_eq!(stalled.registry.blob_gets(stalled.digest()), 1);
}

#[test]
fn root_images_that_share_layers_are_pulled_at_once() {
    let (daemon, registry) = (Daemon::start(), Registry::start().unwrap());
    let names: Vec<String> =
        [4, 8, 12, 16].map(|count| registry.put_image(&format!("lab/stack{count}"), "1", &stacked(count, 6))).into();
    let clients: Vec<Running> =
        names.iter().map(|name| Running::start(&mut daemon.layer_command(&["pull", "--quiet", name]))).collect();
    for (client, name) in clients.into_iter().zip(&names) {
        assert_eq!(client.end().ok(), *name);
    }
    for layer in &stacked(16, 6).layers {
        assert_eq!(registry.blob_gets(&layer.blob.digest), 1, "{}", layer.blob.digest);
    }
}

#[test]
fn root_pulls_and_removals_do_not_get_in_each_other_s_way() {
    let (daemon, registry) = (Daemon::start(), Registry::start().unwrap());
    let name = registry.put_image("lab/contested", "1", &stacked(6, 7));
    for _ in 0..6 {
        let pull = |_| Running::start(&mut daemon.layer_command(&["pull", "--quiet", &name]));
        let pulls: Vec<Running> = (0..3).map(pull).collect();
        let removal = Running::start(&mut daemon.layer_command(&["rmi", &name]));
        for client in pulls {
            client.end().ok();
        }
        // It came too early, or in time.
        assert!(matches!(removal.end().code, Some(0 | 1)));
    }
    daemon.layer(&["pull", "--quiet", &name]).ok();
    let folder = daemon.layer(&["mount", &name]).ok();
    assert_eq!(fs::read_to_string(format!("{folder}/changed")).unwrap(), "5");
}

/// How many ask for the list at once, and how many pulls run meanwhile.
const LISTING: usize = 1000;
const PULLING: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn root_a_thousand_clients_list_images_while_eight_pulls_run() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let (daemon, registry) = (Daemon::start(), Registry::start().unwrap());
    let gate = Gate::new();
    let names: Vec<String> = (0..PULLING)
        .map(|number| registry.put_image(&format!("lab/app{number}"), "1", &stacked(3, number as u64 + 50)))
        .collect();
    daemon.layer(&["pull", "--quiet", &names[0]]).ok();
    daemon.layer(&["tag", &names[0], "lab/kept:1"]).ok();
    daemon.layer(&["rmi", &names[0]]).ok();
    registry.fault(Target::AnyBlob, Fault::Hold(gate.clone()));
    let pulls: Vec<Running> =
        names[1..].iter().map(|name| Running::start(&mut daemon.layer_command(&["pull", "--quiet", name]))).collect();
    let more = Running::start(&mut daemon.layer_command(&["pull", "--quiet", &names[0]]));
    eventually("all pulls run", || daemon.layer(&["pulls", "-q"]).ok().lines().count() >= PULLING - 1);
    let daemon = std::sync::Arc::new(daemon);
    let clients: Vec<_> = (0..LISTING)
        .map(|_| {
            let daemon = std::sync::Arc::clone(&daemon);
            tokio::spawn(async move { get(&daemon, "/images/json").await.json() })
        })
        .collect();
    gate.open();
    for client in clients {
        assert!(client.await.unwrap().as_array().is_some_and(|images| !images.is_empty()));
    }
    for (pull, name) in pulls.into_iter().zip(&names[1..]) {
        assert_eq!(pull.end().ok(), *name);
    }
    assert_eq!(more.end().ok(), names[0]);
}
