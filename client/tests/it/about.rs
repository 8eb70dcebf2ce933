//! `layer version`, `layer info`, `--help`, and arguments that make no sense.

use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::{bare, layer, run};

#[test]
fn version_tells_both_sides() {
    let answer =
        json!({ "Version": "9.8.7", "ApiVersion": "1.51", "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64" });
    let daemon = Daemon::always(200, answer.clone());
    let ended = run(&mut layer(&daemon, ["version"]));
    assert_eq!(ended.code, Some(0));
    assert!(
        ended.out.starts_with(&format!("Client:\n  Version:      {}\n", env!("CARGO_PKG_VERSION"))),
        "{}",
        ended.out
    );
    assert!(ended.out.contains("\nServer:\n") && ended.out.contains("\n  Version:      9.8.7\n"), "{}", ended.out);
    let ended = run(&mut layer(&daemon, ["version", "--format", "json"]));
    let both: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((&both["Server"], &both["Client"]["ApiVersion"]), (&answer, &json!("1.51")));
}

#[test]
fn the_clients_version_needs_no_daemon() {
    let ended = run(bare().args(["version", "-H", "/no/such/socket"]));
    assert_eq!(ended.code, Some(3));
    assert!(ended.out.starts_with("Client:\n") && !ended.out.contains("Server"), "{}", ended.out);
    assert!(ended.err.starts_with("error: no daemon listens on `/no/such/socket`"), "{}", ended.err);
}

#[test]
fn warnings_of_the_daemon_are_talk() {
    let daemon = Daemon::always(
        200,
        json!({ "ServerVersion": "9.8.7", "Images": 3, "DockerRootDir": "/s", "Warnings": ["WARNING: little room"] }),
    );
    let ended = run(&mut layer(&daemon, ["info"]));
    assert!(ended.out.contains("\n  Store:    /s\n  Images:   3\n"), "{}", ended.out);
    assert_eq!(ended.err, "WARNING: little room\n");
    assert_eq!(daemon.lines(), ["GET /v1.51/info"]);
}

#[test]
fn help_and_version_go_to_standard_output() {
    for words in ["--help", "pull --help", "image --help", "--version"] {
        let ended = run(bare().args(words.split(' ')));
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{words}");
        assert!(!ended.out.is_empty(), "{words}");
    }
    assert!(
        run(bare().arg("--help"))
            .out
            .contains("Exit status: 0 done, 1 failed, 2 wrong usage, 3 daemon unreachable, 130 interrupted.")
    );
}

#[test]
fn usage_that_makes_no_sense_is_status_2() {
    for words in
        ["", "nosuch", "pull", "tag a", "rmi", "images --format yaml", "-H tcp://1.2.3.4 images", "pull --platform= a"]
    {
        let ended = run(bare().args(words.split_whitespace()));
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{words}");
        assert!(!ended.err.is_empty(), "{words}");
    }
    let ended = run(bare().args(["-H", "ssh://x", "images"]));
    assert!(ended.err.contains("`ssh://` is not supported: layerd listens on a Unix socket"), "{}", ended.err);
}
