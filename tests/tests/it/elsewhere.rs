//! What is not in the store: searches, tars at an address, pulls of others.

use layer_testkit::image::ImageBuilder;
use layer_testkit::layer::{LayerBuilder, noise};
use layer_testkit::registry::{Fault, Gate, Registry, Target};
use layer_testkit::{Blob, sha256};
use serde_json::json;

use crate::service::{Daemon, Running, eventually};

#[test]
fn root_docker_and_layer_search_alike() {
    let registry = Registry::start().unwrap();
    let results = json!([
        {"name": "busybox", "description": "small", "star_count": 70, "is_official": true, "is_automated": false},
        {"name": "lab/busy", "description": "", "star_count": 3, "is_official": false, "is_automated": false},
    ]);
    let body = json!({"num_results": 2, "query": "busy", "results": results}).to_string().into_bytes();
    let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    registry.fault(Target::Path("/v1/search".to_owned()), Fault::Status { code: 200, headers, body });
    let mut daemon = Daemon::prepare();
    std::fs::write(daemon.path("config.toml"), format!("search-registry = '{}'\n", registry.host())).unwrap();
    daemon.again();
    let both = [daemon.docker(&["search", "busy"]).ok(), daemon.layer(&["search", "busy"]).ok()];
    for text in &both {
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"], "{text}");
        assert_eq!(lines[1], ["busybox", "small", "70", "[OK]"], "{text}");
        assert_eq!(lines[2][..2], ["lab/busy", "3"], "{text}");
    }
    for filter in ["is-official=true", "stars=4"] {
        let text = daemon.docker(&["search", "--filter", filter, "--limit", "5", "busy"]).ok();
        assert!(text.contains("busybox") && !text.contains("lab/busy"), "{filter}: {text}");
    }
}

#[test]
fn root_docker_and_layer_import_what_lies_at_an_address() {
    let daemon = Daemon::start();
    let registry = Registry::start().unwrap();
    let tar = LayerBuilder::new().dir("etc").file("etc/motd", "hello\n").tar();
    let digest = sha256(&tar);
    registry.put_blob("files/root", &Blob { digest: digest.clone(), content: tar.into() });
    let address = format!("{}/v2/files/root/blobs/{digest}", registry.url());
    let text = daemon.docker(&["import", &address, "lab/by-docker:1"]).ok();
    assert!(text.starts_with("Downloading from http://127.0.0.1:") && text.contains("sha256:"), "{text}");
    let id = daemon.layer(&["import", &address, "lab/by-layer:1"]).ok();
    assert_eq!(daemon.inspect("lab/by-layer:1")["Id"], json!(id));
    let folder = daemon.layer(&["mount", "lab/by-docker:1"]).ok();
    assert_eq!(std::fs::read_to_string(std::path::Path::new(&folder).join("etc/motd")).unwrap(), "hello\n");
    daemon.layer(&["umount", &folder]).ok();
}

#[test]
fn root_a_pull_of_docker_s_is_watched_and_ended_by_layer() {
    let daemon = Daemon::start();
    let registry = Registry::start().unwrap();
    let image = ImageBuilder::new().layer(LayerBuilder::new().file("large", noise(3, 2 << 20)).gzip()).build();
    let name = registry.put_image("lab/app", "1", &image);
    let digest = image.layers[0].blob.digest.clone();
    let stall = |gate: &Gate| Fault::Stall { after: 1 << 20, gate: gate.clone() };
    let gate = Gate::new();
    registry.fault(Target::Blob(digest.clone()), stall(&gate));
    let first = Running::start(&mut daemon.docker_command(&["pull", &name]));
    gate.wait_for(1).unwrap();
    let listed = daemon.layer(&["pulls"]).ok();
    assert!(listed.contains(&name), "{listed}");
    assert_eq!(daemon.layer(&["cancel", &name]).ok(), name);
    assert!(first.end().fails(1).contains("the pull was cancelled; what has come is kept"));
    assert_eq!(daemon.layer(&["pulls", "-q"]).ok(), "");

    registry.heal();
    let gate = Gate::new();
    registry.fault(Target::Blob(digest), Fault::Hold(gate.clone()));
    let second = Running::start(&mut daemon.docker_command(&["pull", "--quiet", &name]));
    gate.wait_for(1).unwrap();
    let watcher = Running::start(&mut daemon.layer_command(&["follow", &name]));
    eventually("it is followed", || {
        daemon.log().contains("/layerd/v1/pulls/progress") || watcher.stderr().contains("Pulling")
    });
    gate.open();
    assert_eq!(second.end().ok(), name);
    assert!(watcher.end().ok().contains(image.digest()));
}
