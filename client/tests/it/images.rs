//! `layer images`, `inspect`, `history`, `tag`, `rmi`.

use std::process::Stdio;
use std::sync::{Mutex, mpsc};

use serde_json::{Value, json};

use crate::daemon::{Daemon, Request};
use crate::{Run, done, layer, run};

const ID: &str = "sha256:0cdb4c5716699f8e4c068f58b52bf3c46a03df3a64891f81e4c45cff63f1114f";

fn row() -> Value {
    json!({
        "Containers": 0, "Created": 1, "Id": ID, "Labels": null, "ParentId": "", "SharedSize": -1, "Size": 6_806_724,
        "RepoDigests": [format!("busybox@{ID}")], "RepoTags": ["busybox:1", "busybox:latest"],
    })
}

#[test]
fn images_are_a_table_ids_or_json() {
    let daemon = Daemon::always(200, json!([row()]));
    let ended = run(&mut layer(&daemon, ["images"]));
    let lines: Vec<_> = ended.out.lines().collect();
    assert_eq!(lines.len(), 3, "{ended:?}");
    assert!(lines[0].starts_with("REPOSITORY   TAG       IMAGE ID       CREATED"), "{ended:?}");
    assert!(lines[1].starts_with("busybox      1         0cdb4c571669   5"), "{ended:?}");
    assert!(lines[2].ends_with(" years ago   6.81MB"), "{ended:?}");
    assert_eq!(run(&mut layer(&daemon, ["images", "-q"])), done("0cdb4c571669\n"));
    assert_eq!(run(&mut layer(&daemon, ["image", "ls", "-q", "--no-trunc"])), done(&format!("{ID}\n")));
    let ended = run(&mut layer(&daemon, ["images", "--format", "json", "--digests"]));
    let rows: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(
        (&rows[1]["Repository"], &rows[1]["Tag"], &rows[1]["Digest"]),
        (&json!("busybox"), &json!("latest"), &json!(ID))
    );
}

#[test]
fn a_name_becomes_a_filter() {
    let daemon = Daemon::always(200, json!([]));
    assert_eq!(
        run(&mut layer(&daemon, ["images", "-a", "*/app:1"])),
        done("REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n")
    );
    run(&mut layer(&daemon, ["image", "ls", "-q", "-f", "dangling=true"]));
    assert_eq!(
        daemon.lines(),
        [
            "GET /v1.51/images/json?all=1&filters=%7B%22reference%22%3A%7B%22%2A%2Fapp%3A1%22%3Atrue%7D%7D",
            "GET /v1.51/images/json?filters=%7B%22dangling%22%3A%7B%22true%22%3Atrue%7D%7D",
        ]
    );
}

#[test]
fn inspect_keeps_what_it_does_not_know() {
    let daemon = Daemon::start(|request: &Request, reply| match request.line.as_str() {
        "GET /v1.51/images/a/json" => reply.text(200, "{\"Zeta\":{\"new\":[1]},\"Id\":\"sha256:00\"}\n"),
        _ => reply.json(404, &json!({ "message": "No such image: b:latest" })),
    });
    let found = "[\n    {\n        \"Zeta\": {\n            \"new\": [\n                1\n            ]\n        },\n        \"Id\": \"sha256:00\"\n    }\n]\n";
    assert_eq!(run(&mut layer(&daemon, ["inspect", "a"])), done(found));
    let err = "error: inspect `b`: No such image: b:latest\n";
    assert_eq!(
        run(&mut layer(&daemon, ["image", "inspect", "b", "a"])),
        Run { code: Some(1), out: found.into(), err: err.into() }
    );
    assert_eq!(run(&mut layer(&daemon, ["inspect", "b"])), Run { code: Some(1), out: "[]\n".into(), err: err.into() });
}

#[test]
fn history_is_a_table() {
    let daemon = Daemon::always(
        200,
        json!([
            { "Comment": "", "Created": 1, "CreatedBy": "CMD\t[\"sh\"]", "Id": ID, "Size": 0, "Tags": ["busybox:1"] },
            { "Comment": "", "Created": 1, "CreatedBy": "ADD file", "Id": "<missing>", "Size": 8_032_256, "Tags": null },
        ]),
    );
    let ended = run(&mut layer(&daemon, ["history", "busybox"]));
    let lines: Vec<_> = ended.out.lines().collect();
    assert!(lines[0].starts_with("IMAGE          CREATED        CREATED BY   SIZE      COMMENT"), "{ended:?}");
    assert!(lines[2].contains("ADD file     8.03MB"), "{ended:?}");
    assert_eq!(run(&mut layer(&daemon, ["history", "-q", "busybox"])), done("0cdb4c571669\n<missing>\n"));
    assert_eq!(daemon.lines()[0], "GET /v1.51/images/busybox/history");
}

#[test]
fn a_tag_is_cut_off_its_name() {
    let daemon = Daemon::start(|_, reply| reply.text(201, ""));
    for target in ["own", "h:5000/own", "h:5000/own:1", "own@sha256:00"] {
        assert_eq!(run(&mut layer(&daemon, ["tag", "busybox:1", target])), done(""));
    }
    let path = "POST /v1.51/images/busybox:1/tag?repo=";
    assert_eq!(
        daemon.lines(),
        ["own", "h%3A5000%2Fown", "h%3A5000%2Fown&tag=1", "own%40sha256%3A00"].map(|query| format!("{path}{query}"))
    );
}

#[test]
fn removal_goes_on_behind_a_refusal() {
    let daemon = Daemon::start(|request: &Request, reply| {
        if request.line.contains("/many") {
            reply.json(409, &json!({ "message": "conflict: unable to delete 0cdb4c571669 (must be forced)" }));
        } else {
            reply.json(200, &json!([{ "Untagged": "busybox:1" }, { "Deleted": ID }]));
        }
    });
    let ended = run(&mut layer(&daemon, ["rmi", "many", "busybox:1"]));
    let err = "error: remove `many`: conflict: unable to delete 0cdb4c571669 (must be forced)\n";
    let out = format!("Untagged: busybox:1\nDeleted: {ID}\n");
    assert_eq!(ended, Run { code: Some(1), out, err: err.into() });
    run(&mut layer(&daemon, ["image", "rm", "-f", "x"]));
    assert_eq!(
        daemon.lines(),
        ["DELETE /v1.51/images/many", "DELETE /v1.51/images/busybox:1", "DELETE /v1.51/images/x?force=1"]
    );
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let (gone, is_gone) = mpsc::channel();
    let is_gone = Mutex::new(is_gone);
    let daemon = Daemon::start(move |_, reply| {
        is_gone.lock().unwrap().recv().unwrap();
        reply.json(200, &json!([row()]));
    });
    for args in [&["images"][..], &["images", "-q"], &["inspect", "a"], &["images", "--format", "json"]] {
        let mut child = layer(&daemon, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        gone.send(()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()), "{args:?}");
    }
}

#[test]
fn a_removal_goes_on_when_nobody_reads_about_it() {
    let daemon = Daemon::always(200, json!([{ "Untagged": "a:1" }]));
    let mut child = layer(&daemon, ["rmi", "a", "b"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
    assert_eq!(daemon.lines().len(), 2);
}

#[test]
fn answers_of_any_kind_end_in_a_sentence() {
    let cases = [
        (500, "", "the daemon answered 500 Internal Server Error and nothing else"),
        (502, "<html>bad gateway</html>", "<html>bad gateway</html>"),
        (400, "client version 1.51 is too old\n", "client version 1.51 is too old"),
        (404, "{\"message\":\"page not found\"}", "page not found"),
        (500, "{\"message\":\"\"}", "{\"message\":\"\"}"),
        (500, "{\"message\":\"two\\nlines\\u001b[1m\"}", "two\\nlines\\u{1b}[1m"),
    ];
    for (status, body, sentence) in cases {
        let daemon = Daemon::start(move |_, reply| reply.text(status, body));
        let ended = run(&mut layer(&daemon, ["history", "x"]));
        assert_eq!(ended, Run { code: Some(1), out: String::new(), err: format!("error: history `x`: {sentence}\n") });
    }
}

#[test]
fn an_answer_of_another_shape_is_told() {
    for body in ["", "null", "{}", "[1]", "hello"] {
        let daemon = Daemon::start(move |_, reply| reply.text(200, body));
        let ended = run(&mut layer(&daemon, ["images"]));
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{body}");
        assert!(ended.err.starts_with("error: read the answer of the daemon: "), "{}", ended.err);
        assert!(ended.err.contains("hint: is it layerd that listens there?"), "{}", ended.err);
    }
}
