//! `layer search`, `pulls`, `follow`, `cancel`, and platforms.

use layer_proto::{LayerStatus, ProgressLine, Pulled};
use serde_json::json;

use crate::daemon::Daemon;
use crate::{done, layer, run};

#[test]
fn a_search_sends_its_filters_and_prints_a_table_or_json() {
    let found = json!([{"name": "busybox", "description": "small", "star_count": 70, "is_official": true, "is_automated": false}]);
    let daemon = Daemon::always(200, found.clone());
    let words = ["search", "r.lab:5000/busy", "--limit", "3", "-f", "stars=5", "-f", "is-official=true"];
    let ended = run(&mut layer(&daemon, words));
    assert_eq!(ended, done("NAME      DESCRIPTION   STARS     OFFICIAL\nbusybox   small         70        [OK]\n"));
    let json = run(&mut layer(&daemon, ["search", "busy", "--format", "json"]));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json.out).unwrap(), found[0]);
    assert_eq!(
        daemon.lines()[0],
        "GET /v1.51/images/search?term=r.lab%3A5000%2Fbusy&limit=3\
         &filters=%7B%22is-official%22%3A%7B%22true%22%3Atrue%7D%2C%22stars%22%3A%7B%225%22%3Atrue%7D%7D"
    );
}

#[test]
fn pulls_are_listed_and_ended_by_number_or_name() {
    let pull = json!({"id": 3, "reference": "docker.io/library/a:1", "platform": null, "started": "2026-05-13T02:21:49Z",
        "layers": [{"digest": "sha256:00", "status": "Downloading", "current": 1_000_000, "total": 2_000_000}]});
    let daemon = Daemon::always(200, json!([pull]));
    assert_eq!(run(&mut layer(&daemon, ["pulls", "-q"])), done("3\n"));
    let listed = run(&mut layer(&daemon, ["pulls"])).out;
    assert!(listed.contains("docker.io/library/a:1") && listed.ends_with("0 of 1    1MB of 2MB\n"), "{listed}");
    assert_eq!(
        run(&mut layer(&daemon, ["cancel", "a:1", "7"])),
        done("docker.io/library/a:1\ndocker.io/library/a:1\n")
    );
    assert_eq!(
        daemon.lines()[2..],
        ["DELETE /layerd/v1/pulls?what=a%3A1", "DELETE /layerd/v1/pulls?what=7"].map(str::to_owned)
    );
}

#[test]
fn a_pull_of_somebody_else_is_shown_to_its_end() {
    let pulled = Pulled { id: "sha256:00".into(), reference: "docker.io/library/a:1".into() };
    let daemon = Daemon::pulls(vec![
        ProgressLine::pulling("library/a", "1"),
        ProgressLine::layer("0123456789ab", LayerStatus::PullComplete),
        ProgressLine::digest("sha256:00"),
        ProgressLine::done("a:1", true),
        ProgressLine::pulled(&pulled),
    ]);
    let ended = run(&mut layer(&daemon, ["follow", "3"]));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.ends_with("docker.io/library/a:1\nsha256:00\n"), "{ended:?}");
    assert!(ended.err.contains("0123456789ab: Pull complete"), "{ended:?}");
    assert_eq!(daemon.lines(), ["GET /layerd/v1/pulls/progress?what=3"]);
    let none = Daemon::always(404, json!({"message": "no pull runs that is `3`"}));
    let ended = run(&mut layer(&none, ["follow", "3"]));
    assert_eq!((ended.code, &*ended.err), (Some(1), "error: follow `3`: no pull runs that is `3`\n"));
}

#[test]
fn platforms_are_sent_as_typed() {
    let daemon = Daemon::always(200, json!([{"Deleted": "sha256:00"}]));
    let words = ["rmi", "-f", "--platform", "linux/arm64", "--platform", "linux/arm/v7", "a"];
    assert_eq!(run(&mut layer(&daemon, words)), done("Deleted: sha256:00\n"));
    assert_eq!(daemon.lines(), ["DELETE /v1.51/images/a?force=1&platforms=linux%2Farm64&platforms=linux%2Farm%2Fv7"]);
    let daemon = Daemon::always(200, json!([]));
    for command in ["inspect", "history"] {
        run(&mut layer(&daemon, [command, "--platform", "linux/arm/v7", "a"]));
    }
    let asked = ["json", "history"].map(|word| format!("GET /v1.51/images/a/{word}?platform=linux%2Farm%2Fv7"));
    assert_eq!(daemon.lines(), asked);
    let daemon = Daemon::always(200, json!([]));
    run(&mut layer(&daemon, ["images", "--tree"]));
    assert_eq!(daemon.lines(), ["GET /v1.51/images/json?manifests=1"]);
}
