//! `layer pull`.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use layer_proto::{LayerStatus, ProgressLine, Pulled};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::daemon::{Daemon, Request};
use crate::{Run, done, layer, run};

const ID: &str = "sha256:0cdb4c5716699f8e4c068f58b52bf3c46a03df3a64891f81e4c45cff63f1114f";

/// The stream of a pull of `name` by tag that goes well.
fn good(name: &str, tag: &str) -> Vec<ProgressLine> {
    vec![
        ProgressLine::pulling(&format!("library/{name}"), tag),
        ProgressLine::layer("aaaaaaaaaaaa", LayerStatus::PullingFsLayer),
        ProgressLine::layer("bbbbbbbbbbbb", LayerStatus::AlreadyExists),
        ProgressLine::layer_progress("aaaaaaaaaaaa", LayerStatus::Downloading, 1_048_576, 3_490_290),
        ProgressLine::layer("aaaaaaaaaaaa", LayerStatus::Retrying { seconds: 2 }),
        ProgressLine::layer("aaaaaaaaaaaa", LayerStatus::Retrying { seconds: 1 }),
        ProgressLine {
            status: Some("Retrying in 4 seconds (503 from the registry)".into()),
            ..ProgressLine::layer("aaaaaaaaaaaa", LayerStatus::Retrying { seconds: 4 })
        },
        ProgressLine::layer_progress("aaaaaaaaaaaa", LayerStatus::Downloading, 3_490_290, 3_490_290),
        ProgressLine::layer("aaaaaaaaaaaa", LayerStatus::VerifyingChecksum),
        ProgressLine::layer("aaaaaaaaaaaa", LayerStatus::DownloadComplete),
        ProgressLine::layer_progress("aaaaaaaaaaaa", LayerStatus::Extracting, 32_768, 3_490_290),
        ProgressLine::layer("aaaaaaaaaaaa", LayerStatus::PullComplete),
        ProgressLine::digest(ID),
        ProgressLine::done(&format!("{name}:{tag}"), true),
        ProgressLine::pulled(&Pulled { id: ID.into(), reference: format!("docker.io/library/{name}:{tag}") }),
    ]
}

/// What is printed at the end of it.
fn printed(name: &str, tag: &str) -> String {
    format!("Digest: {ID}\nStatus: Downloaded newer image for {name}:{tag}\ndocker.io/library/{name}:{tag}\n{ID}\n")
}

#[test]
fn a_pull_prints_its_steps_and_then_the_image() {
    let daemon = Daemon::pulls(good("busybox", "latest"));
    let ended = run(&mut layer(&daemon, ["pull", "busybox"]));
    let steps = "latest: Pulling from library/busybox\n\
        bbbbbbbbbbbb: Already exists\n\
        aaaaaaaaaaaa: Retrying in 2 seconds\n\
        aaaaaaaaaaaa: Retrying in 4 seconds (503 from the registry)\n\
        aaaaaaaaaaaa: Download complete\n\
        aaaaaaaaaaaa: Pull complete\n";
    assert_eq!(ended, Run { code: Some(0), out: printed("busybox", "latest"), err: steps.into() });
    assert_eq!(daemon.lines(), ["POST /v1.51/images/create?fromImage=busybox&tag=latest"]);
}

#[test]
fn quiet_prints_the_full_name_alone() {
    let daemon = Daemon::pulls(good("busybox", "latest"));
    assert_eq!(run(&mut layer(&daemon, ["pull", "-q", "busybox"])), done("docker.io/library/busybox:latest\n"));
}

#[test]
fn names_and_platforms_are_sent_as_typed() {
    let daemon = Daemon::pulls(good("x", "1"));
    let names = ["UPPER:1", "h:5000/a", "h:5000/a:1", "a@sha256:00", "a:1@sha256:00", "a b&c=d"];
    for name in names {
        run(&mut layer(&daemon, ["pull", "-q", "--platform", "linux/arm/v7", name]));
    }
    let platform = "&platform=linux%2Farm%2Fv7";
    let expected = [
        "UPPER%3A1",
        "h%3A5000%2Fa&tag=latest",
        "h%3A5000%2Fa%3A1",
        "a%40sha256%3A00",
        "a%3A1%40sha256%3A00",
        "a%20b%26c%3Dd&tag=latest",
    ]
    .map(|query| format!("POST /v1.51/images/create?fromImage={query}{platform}"));
    assert_eq!(daemon.lines(), expected);
}

#[test]
fn the_patience_of_a_pull_is_sent_along() {
    let daemon = Daemon::pulls(good("x", "1"));
    run(&mut layer(&daemon, ["pull", "-q", "--retries", "0", "--stall-timeout", "90", "x:1"]));
    assert_eq!(daemon.lines(), ["POST /v1.51/images/create?fromImage=x%3A1&retries=0&stallTimeout=90"]);
    for wrong in [["--retries", "101"], ["--retries", "-1"], ["--stall-timeout", "0"], ["--stall-timeout", "soon"]] {
        assert_eq!(run(layer(&daemon, ["pull", "x:1"]).args(wrong)).code, Some(2), "{wrong:?}");
    }
    assert_eq!(daemon.lines().len(), 1);
}

#[test]
fn several_images_are_printed_in_the_order_of_their_names() {
    // The first answer waits for the second to be over.
    let (over, is_over) = mpsc::channel();
    let is_over = std::sync::Mutex::new(is_over);
    let over = std::sync::Mutex::new(over);
    let daemon = Daemon::start(move |request: &Request, reply| {
        if request.line.contains("=first") {
            is_over.lock().unwrap().recv().unwrap();
            reply.lines(&good("first", "latest"));
        } else {
            reply.lines(&good("second", "1"));
            over.lock().unwrap().send(()).unwrap();
        }
    });
    let ended = run(&mut layer(&daemon, ["pull", "first", "second:1"]));
    assert_eq!((ended.code, ended.out), (Some(0), printed("first", "latest") + &printed("second", "1")));
    for line in ["second:1: 1: Pulling from library/second", "first: aaaaaaaaaaaa: Pull complete"] {
        assert!(ended.err.lines().any(|told| told == line), "{}", ended.err);
    }
}

#[test]
fn one_failure_among_several_is_told_and_counts() {
    let daemon = Daemon::start(|request: &Request, reply| {
        if request.line.contains("=bad") {
            reply.json(404, &json!({ "message": "the registry has no `bad`", "hint": "check the name" }));
        } else {
            reply.lines(&good("fine", "latest"));
        }
    });
    let ended = run(&mut layer(&daemon, ["pull", "-q", "bad", "fine"]));
    let err = "error: pull `bad`: the registry has no `bad`\nhint: check the name\n";
    assert_eq!(ended, Run { code: Some(1), out: "docker.io/library/fine:latest\n".into(), err: err.into() });
}

#[test]
fn an_error_in_the_stream_fails_the_pull() {
    let mut lines = good("busybox", "latest");
    lines.truncate(4);
    lines
        .push(ProgressLine::error("layer `sha256:aa`: no space left on device", Some("1.2 GiB more is needed".into())));
    let daemon = Daemon::pulls(lines);
    let ended = run(&mut layer(&daemon, ["pull", "busybox"]));
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
    let told: Vec<_> = ended.err.lines().rev().take(2).collect();
    assert_eq!(
        told,
        ["hint: 1.2 GiB more is needed", "error: pull `busybox`: layer `sha256:aa`: no space left on device"]
    );
}

#[test]
fn a_daemon_that_dies_in_mid_pull_is_no_success() {
    let daemon = Daemon::start(|_, reply| {
        reply.begin();
        reply.line(&ProgressLine::pulling("library/busybox", "latest"));
        reply.hang_up();
    });
    let ended = run(&mut layer(&daemon, ["pull", "busybox"]));
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
    let told = "error: pull `busybox`: the connection to the daemon broke before it had answered";
    assert!(ended.err.lines().any(|line| line.starts_with(told)), "{}", ended.err);
    assert!(ended.err.contains("hint: see the daemon's log"), "{}", ended.err);
}

#[test]
fn a_stream_that_ends_early_is_no_success() {
    for length in [0, 1, 12] {
        let daemon = Daemon::pulls(good("busybox", "latest")[..length].to_vec());
        let ended = run(&mut layer(&daemon, ["pull", "-q", "busybox"]));
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{length}");
        assert!(
            ended.err.starts_with("error: pull `busybox`: the daemon ended the answer before the work was done\n"),
            "{}",
            ended.err
        );
    }
}

#[test]
fn a_daemon_that_answers_nothing_is_told_from_none() {
    let daemon = Daemon::start(|_, reply| reply.hang_up());
    let ended = run(&mut layer(&daemon, ["pull", "busybox"]));
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.starts_with("error: pull `busybox`: the connection to the daemon broke"), "{}", ended.err);
}

#[test]
fn a_line_that_is_no_json_is_told_only_if_the_pull_fails() {
    let daemon = Daemon::start(|request: &Request, reply| {
        reply.begin();
        reply.chunk(b"<html>\xff oops\r\n");
        if request.line.contains("=fine") {
            good("fine", "latest").iter().for_each(|line| reply.line(line));
        }
        reply.raw(b"0\r\n\r\n");
    });
    assert_eq!(run(&mut layer(&daemon, ["pull", "-q", "fine"])), done("docker.io/library/fine:latest\n"));
    let ended = run(&mut layer(&daemon, ["pull", "-q", "bad"]));
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.starts_with("error: pull `bad`: read line `<html>\u{fffd} oops`: "), "{}", ended.err);
}

/// A docker daemon sends no last line with the image's ID.
#[test]
fn without_the_last_line_the_image_is_looked_up() {
    let daemon = Daemon::start(|request: &Request, reply| {
        if request.line.starts_with("POST") {
            let mut lines = good("busybox", "latest");
            lines.pop();
            reply.lines(&lines);
        } else {
            reply.json(200, &json!({ "Id": ID }));
        }
    });
    let ended = run(&mut layer(&daemon, ["pull", "busybox"]));
    let out = format!("Digest: {ID}\nStatus: Downloaded newer image for busybox:latest\nbusybox:latest\n{ID}\n");
    assert_eq!((ended.code, ended.out), (Some(0), out));
    assert_eq!(daemon.lines()[1], "GET /v1.51/images/busybox:latest/json");
}

#[test]
fn nothing_of_the_stream_steers_the_terminal() {
    let evil = "\u{1b}[2J\u{202e}";
    let daemon = Daemon::pulls(vec![
        ProgressLine::pulling(evil, evil),
        ProgressLine::message(format!("WARNING: {evil}")),
        ProgressLine::layer(evil, LayerStatus::PullComplete),
        ProgressLine::digest(evil),
        ProgressLine::done(evil, false),
        ProgressLine::pulled(&Pulled { id: evil.into(), reference: evil.into() }),
    ]);
    let ended = run(&mut layer(&daemon, ["pull", "x"]));
    assert_eq!(ended.code, Some(0));
    assert!(ended.err.contains("WARNING: \\u{1b}[2J\\u{202e}\n"), "{}", ended.err);
    let all = ended.out + &ended.err;
    assert!(!all.contains(['\u{1b}', '\u{202e}']), "{all:?}");
}

#[test]
fn interrupting_hangs_up_and_says_what_is_kept() {
    let (hung_up, is_hung_up) = mpsc::channel();
    let daemon = Daemon::start(move |_, reply| {
        reply.begin();
        reply.line(&ProgressLine::pulling("library/busybox", "latest"));
        reply.wait_for_hang_up();
        hung_up.send(()).unwrap();
    });
    let mut child = layer(&daemon, ["pull", "busybox"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut talk = BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    talk.read_line(&mut first).unwrap();
    assert_eq!(first, "latest: Pulling from library/busybox\n");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    is_hung_up.recv_timeout(Duration::from_secs(30)).expect("the client hangs up");
    let mut rest = String::new();
    talk.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(rest, "interrupted: the partial download is kept, pull again to go on from there\n");
}

#[test]
fn a_reader_that_goes_away_does_not_end_the_pull() {
    let (over, is_over) = mpsc::channel();
    let (over, is_over) = (std::sync::Mutex::new(over), std::sync::Mutex::new(is_over));
    let daemon = Daemon::start(move |request: &Request, reply| {
        if request.line.contains("=first") {
            reply.lines(&good("first", "latest"));
            over.lock().unwrap().send(()).unwrap();
        } else {
            is_over.lock().unwrap().recv().unwrap();
            reply.json(404, &json!({ "message": "the registry has no `second`" }));
        }
    });
    let mut child = layer(&daemon, ["pull", "-q", "first", "second"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "error: pull `second`: the registry has no `second`\n");
}

#[test]
fn a_name_that_is_too_long_is_refused_by_the_client() {
    let daemon = Daemon::pulls(Vec::new());
    let ended = run(&mut layer(&daemon, ["pull", &"a".repeat(100_000)]));
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("which is too long"), "{}", &ended.err[ended.err.len() - 200..]);
    assert!(daemon.lines().is_empty());
}

#[test]
fn all_tags_of_a_repository_are_printed_as_they_come() {
    let mut lines = good("busybox", "1");
    lines.extend(good("busybox", "2"));
    let daemon = Daemon::pulls(lines.clone());
    let ended = run(&mut layer(&daemon, ["pull", "-a", "busybox"]));
    assert_eq!((ended.code, ended.out), (Some(0), printed("busybox", "1") + &printed("busybox", "2")));
    assert_eq!(daemon.lines(), ["POST /v1.51/images/create?fromImage=busybox"]);
    // What has come before a failure is there, and is told.
    lines.truncate(lines.len() - 3);
    lines.push(ProgressLine::error("no such luck", None));
    let daemon = Daemon::pulls(lines);
    let ended = run(&mut layer(&daemon, ["pull", "-a", "busybox"]));
    assert_eq!((ended.code, ended.out), (Some(1), printed("busybox", "1")));
    assert!(ended.err.contains("error: pull `busybox`: no such luck"), "{}", ended.err);
    let ended = run(&mut layer(&daemon, ["pull", "-a", "busybox:1"]));
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("all tags are meant\nhint: name the repository alone: `busybox`"), "{}", ended.err);
}
