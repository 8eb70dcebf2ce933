//! `layer prune`, `df`, `pin`, `unpin`, `pins`.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::daemon::{Daemon, Request};
use crate::{Run, done, layer, run};

const ID: &str = "sha256:0cdb4c5716699f8e4c068f58b52bf3c46a03df3a64891f81e4c45cff63f1114f";

fn report() -> Value {
    json!({ "ImagesDeleted": [{ "Untagged": "a:1" }, { "Deleted": ID }], "SpaceReclaimed": 976_123 })
}

fn collected() -> Value {
    json!({
        "images": [{ "id": ID, "names": ["a:1", "b:1"], "lastUsed": 0, "bytes": 1_000_000 }],
        "leftovers": 2, "partials": 1, "bytes": 1_500_000, "dryRun": true,
    })
}

/// What `layer prune` ends with when it is answered.
fn answered(daemon: &Daemon, answer: &str) -> Run {
    let pipe = Stdio::piped;
    let mut command = layer(daemon, ["prune"]);
    let mut child = command.stdin(pipe()).stdout(pipe()).stderr(pipe()).spawn().expect("the client runs");
    let mut stdin = child.stdin.take().expect("it is a pipe");
    stdin.write_all(answer.as_bytes()).expect("the client reads");
    drop(stdin);
    let output = child.wait_with_output().expect("the client ends");
    let text = |bytes| String::from_utf8(bytes).expect("the client writes UTF-8");
    Run { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn a_prune_asks_first() {
    let daemon = Daemon::always(200, report());
    let question = "This removes all images without a name, and what pulls have left behind.\nGo on? [y/N] ";
    for no in ["", "n\n", "\n", "what\n"] {
        let ended = answered(&daemon, no);
        let err = format!("{question}nothing was removed\n");
        assert_eq!(ended, Run { code: Some(1), out: String::new(), err });
    }
    assert_eq!(daemon.lines(), [""; 0]);
    let out = format!("Untagged: a:1\nDeleted: {ID}\nTotal reclaimed space: 976.1kB\n");
    assert_eq!(answered(&daemon, "y\n"), Run { code: Some(0), out, err: question.to_owned() });
    assert_eq!(daemon.lines(), ["POST /v1.51/images/prune?filters=%7B%7D"]);
}

#[test]
fn a_forced_prune_sends_its_filters() {
    let daemon = Daemon::always(200, json!({ "ImagesDeleted": null, "SpaceReclaimed": 0 }));
    let words = ["image", "prune", "-af", "--filter", "until=24h", "--filter", "label!=keep"];
    assert_eq!(run(&mut layer(&daemon, words)), done("Total reclaimed space: 0B\n"));
    let filters = json!({ "dangling": { "false": true }, "label!": { "keep": true }, "until": { "24h": true } });
    let encoded: String = filters
        .to_string()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("%{:02X}", u32::from(c)) })
        .collect();
    assert_eq!(daemon.lines(), [format!("POST /v1.51/images/prune?filters={encoded}")]);
}

#[test]
fn to_keep_some_room_is_a_collection() {
    let daemon = Daemon::always(200, collected());
    let out = format!("Untagged: a:1\nUntagged: b:1\nDeleted: {ID}\nTotal reclaimed space: 1.5MB\n");
    assert_eq!(run(&mut layer(&daemon, ["prune", "-a", "--force", "--keep-storage", "20GB"])), done(&out));
    let ended = run(&mut layer(&daemon, ["prune", "--dry-run"]));
    let told = "Would remove: a:1, b:1 (0cdb4c571669), 1MB, last used 5";
    assert!(ended.out.starts_with(told) && ended.err.is_empty(), "{ended:?}");
    let rest =
        "Would remove: 2 blobs and layers of no image, 1 partial downloads\nSpace that would be reclaimed: 1.5MB\n";
    assert!(ended.out.ends_with(rest), "{ended:?}");
    let sent: Vec<Value> = daemon.seen().iter().map(|request| serde_json::from_str(&request.body).unwrap()).collect();
    let body = |all: bool, keep: u64, dry_run: bool| json!({ "all": all, "keepStorage": keep, "unusedFor": null, "leftoversFor": 0, "dryRun": dry_run });
    assert_eq!(sent, [body(true, 20_000_000_000, false), body(false, 0, true)]);
    assert_eq!(daemon.lines()[0], "POST /layerd/v1/gc");
}

#[test]
fn disk_use_is_a_table_or_the_daemons_words() {
    let usage = json!({
        "total": 63_000_000, "blobs": 20_000_000, "layers": 42_000_000, "partials": 1_000_000, "leftovers": 0,
        "reclaimable": 9_000_000, "new": 1,
        "images": [{ "id": ID, "names": ["a:1"], "size": 3000, "unique": 1000, "shared": 2000, "mounts": 0, "pinned": false }],
    });
    let daemon = Daemon::always(200, usage.clone());
    let ended = run(&mut layer(&daemon, ["df"]));
    assert!(ended.out.starts_with("WHAT                           SIZE\n"), "{ended:?}");
    assert!(ended.out.contains("\nTotal                          63MB\n") && !ended.out.contains("IMAGE"), "{ended:?}");
    let ended = run(&mut layer(&daemon, ["df", "-v"]));
    assert!(ended.out.contains("\na:1       0cdb4c571669   3kB       2kB           1kB"), "{ended:?}");
    let ended = run(&mut layer(&daemon, ["df", "--format", "json"]));
    assert_eq!(serde_json::from_str::<Value>(&ended.out).unwrap(), usage);
    assert_eq!(daemon.lines()[0], "GET /layerd/v1/df");
}

#[test]
fn pins_are_put_on_taken_off_and_listed() {
    let named = json!({ "image": ID, "reference": "a:1" });
    let nameless = json!({ "image": ID, "reference": null });
    let daemon = Daemon::start(move |request: &Request, reply| match request.line.split(' ').next() {
        Some("POST") if request.body.contains("nosuch") => reply.json(404, &json!({ "message": "No such image" })),
        Some("POST") => reply.json(201, &named),
        _ => reply.json(200, &json!([named, nameless])),
    });
    let ended = run(&mut layer(&daemon, ["pin", "nosuch", "a"]));
    let err = "error: pin `nosuch`: No such image\n".to_owned();
    assert_eq!(ended, Run { code: Some(1), out: "a:1\n".to_owned(), err });
    assert_eq!(run(&mut layer(&daemon, ["unpin", "0cdb4c"])), done(&format!("a:1\n{ID}\n")));
    let table = "IMAGE     IMAGE ID\na:1       0cdb4c571669\n<none>    0cdb4c571669\n";
    assert_eq!(run(&mut layer(&daemon, ["pins"])), done(table));
    let ended = run(&mut layer(&daemon, ["pins", "--format", "json"]));
    assert_eq!(ended.out.lines().count(), 2);
    assert_eq!(
        daemon.lines()[2..4],
        ["DELETE /layerd/v1/pins?image=0cdb4c".to_owned(), "GET /layerd/v1/pins".to_owned()]
    );
}
