//! `layer verify`.

use layer_proto::ProgressLine;
use layer_proto::verify::{Note, Part, Problem, Verified};
use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::{Run, layer, run};

fn problem() -> Note {
    Note::Problem(Problem {
        part: "layer".into(),
        digest: "sha256:0c".into(),
        image: "alpine:latest".into(),
        path: Some("/bin/s\u{1b}h".into()),
        what: "content".into(),
        detail: "holds other bytes than it did".into(),
    })
}

fn verified(damaged: u64, repaired: u64) -> ProgressLine {
    let problems = damaged + repaired;
    Note::Verified(Verified { images: 1, layers: 1, files: 3, problems, damaged, repaired, ..Verified::default() })
        .line("Verified")
}

#[test]
fn what_is_whole_is_said_to_be() {
    let daemon = Daemon::pulls(vec![ProgressLine::message("Verifying alpine:latest"), verified(0, 0)]);
    let ended = run(&mut layer(&daemon, ["verify", "alpine", "busybox"]));
    let out = "1 image, 1 layer with 3 files, 0B read: all is well\n".to_owned();
    assert_eq!(ended, Run { code: Some(0), out: out.clone(), err: "Verifying alpine:latest\n".into() });
    assert_eq!(daemon.lines(), ["POST /layerd/v1/verify"]);
    let sent: Value = serde_json::from_str(&daemon.seen()[0].body).unwrap();
    assert_eq!(sent, json!({ "images": ["alpine", "busybox"], "repair": false }));
    assert_eq!(run(&mut layer(&daemon, ["verify", "--all", "--repair"])).out, out);
    let sent: Value = serde_json::from_str(&daemon.seen()[1].body).unwrap();
    assert_eq!(sent, json!({ "images": [], "repair": true }));
}

#[test]
fn damage_is_printed_and_is_a_failure() {
    let words = "layer sha256:0c: `/bin/s\u{1b}h` holds other bytes than it did";
    let daemon = Daemon::pulls(vec![problem().line(words), verified(1, 0)]);
    let ended = run(&mut layer(&daemon, ["verify", "alpine"]));
    assert_eq!(ended.code, Some(1));
    assert_eq!(
        ended.out,
        "layer sha256:0c: `/bin/s\\u{1b}h` holds other bytes than it did\n\
         1 image, 1 layer with 3 files, 0B read: 1 part damaged\n"
    );
    let ended = run(&mut layer(&daemon, ["verify", "alpine", "--format", "json"]));
    let lines: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((ended.code, lines.len()), (Some(1), 2));
    assert_eq!((&lines[0]["Problem"]["what"], &lines[1]["Verified"]["damaged"]), (&json!("content"), &json!(1)));
}

#[test]
fn what_is_repaired_is_no_failure() {
    let part = Part { part: "layer".into(), digest: "sha256:0c".into() };
    let daemon = Daemon::pulls(vec![
        problem().line("a problem"),
        Note::Repaired(part).line("Repaired layer sha256:0c"),
        verified(0, 1),
    ]);
    let ended = run(&mut layer(&daemon, ["verify", "--repair", "alpine"]));
    let out = "a problem\nRepaired layer sha256:0c\n1 image, 1 layer with 3 files, 0B read: 1 part repaired\n";
    assert_eq!((ended.code, &*ended.out), (Some(0), out));
}

#[test]
fn an_end_without_a_word_and_a_refusal_are_failures() {
    let daemon = Daemon::pulls(vec![problem().line("a problem")]);
    let ended = run(&mut layer(&daemon, ["verify", "alpine"]));
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("verify `alpine`: the daemon ended the answer"), "{}", ended.err);
    let daemon = Daemon::always(404, json!({ "message": "No such image: alpine:latest" }));
    let ended = run(&mut layer(&daemon, ["verify", "alpine"]));
    let err = "error: verify `alpine`: No such image: alpine:latest\n";
    assert_eq!(ended, Run { code: Some(1), out: String::new(), err: err.into() });
}
