//! `layer mount`, `umount`, `mounts`.

use serde_json::{Value, json};

use crate::daemon::{Daemon, Request};
use crate::{Run, done, layer, run};

fn mount(target: &str) -> Value {
    json!({ "id": "3f2a9c", "image": "sha256:00", "reference": "docker.io/library/alpine:latest", "target": target, "writable": false })
}

fn body(request: &Request) -> Value {
    serde_json::from_str(&request.body).expect("the client sends JSON")
}

#[test]
fn a_mount_prints_its_folder() {
    let daemon = Daemon::start(|_, reply| reply.json(201, &mount("/var/lib/layerd/mounts/3f2a9c/merged")));
    assert_eq!(run(&mut layer(&daemon, ["mount", "alpine"])), done("/var/lib/layerd/mounts/3f2a9c/merged\n"));
    let seen = daemon.seen();
    assert_eq!(seen[0].line, "POST /layerd/v1/mounts");
    assert_eq!(body(&seen[0]), json!({ "image": "alpine", "target": null, "writable": false, "platform": null }));
}

#[test]
fn a_relative_folder_is_sent_absolute() {
    let daemon = Daemon::start(|_, reply| reply.json(201, &mount("/x")));
    let here = daemon.folder().canonicalize().unwrap();
    for dir in ["new", "./new", "../new"] {
        run(layer(&daemon, ["mount", "--rw", "--platform", "linux/arm64", "alpine", dir]).current_dir(&here));
    }
    let sent: Vec<_> = daemon.seen().iter().map(|request| body(request)["target"].clone()).collect();
    let new = |folder: &std::path::Path| json!(folder.join("new"));
    assert_eq!(sent, [new(&here), new(&here), new(here.parent().unwrap())]);
    let first = body(&daemon.seen()[0]);
    assert_eq!((&first["writable"], &first["platform"]), (&json!(true), &json!("linux/arm64")));
}

#[test]
fn a_refused_mount_names_the_image() {
    let daemon = Daemon::always(409, json!({ "message": "`/mnt` is a mount already", "hint": "unmount it first" }));
    let err = "error: mount `alpine`: `/mnt` is a mount already\nhint: unmount it first\n";
    let ended = run(&mut layer(&daemon, ["mount", "alpine", "/mnt"]));
    assert_eq!(ended, Run { code: Some(1), out: String::new(), err: err.into() });
}

#[test]
fn a_word_is_a_folder_when_something_is_mounted_there() {
    let here = tempfile::tempdir().unwrap();
    let folder = here.path().canonicalize().unwrap().join("mnt");
    std::fs::create_dir(&folder).unwrap();
    let mounted = mount(folder.to_str().unwrap());
    let answer = mounted.clone();
    let daemon = Daemon::start(move |_, reply| reply.json(200, &json!([answer])));
    let out = format!("{}\n", folder.display());
    for what in ["mnt", "alpine", "./mnt", "/a/b"] {
        assert_eq!(run(layer(&daemon, ["umount", what]).current_dir(here.path())), done(&out), "{what}");
    }
    let encoded = folder.to_str().unwrap().replace('/', "%2F");
    let list = "GET /layerd/v1/mounts".to_owned();
    let delete = |what: &str| format!("DELETE /layerd/v1/mounts?what={what}");
    assert_eq!(
        daemon.lines(),
        [list.clone(), delete(&encoded), list, delete("alpine"), delete(&encoded), delete("%2Fa%2Fb")]
    );
}

#[test]
fn mounts_are_listed() {
    let daemon = Daemon::always(200, json!([mount("/mnt/a")]));
    let table = "MOUNT ID   IMAGE                             IMAGE ID   MODE      FOLDER\n\
                 3f2a9c     docker.io/library/alpine:latest   00         ro        /mnt/a\n";
    assert_eq!(run(&mut layer(&daemon, ["mounts"])), done(table));
    assert_eq!(run(&mut layer(&daemon, ["mounts", "-q"])), done("/mnt/a\n"));
    let ended = run(&mut layer(&daemon, ["mounts", "--format", "json"]));
    assert_eq!(serde_json::from_str::<Value>(&ended.out).unwrap(), mount("/mnt/a"));
}
