//! `layer bundle`.

use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::{Run, done, layer, run};

#[test]
fn a_bundle_prints_its_folder_and_is_asked_for_by_an_absolute_one() {
    let daemon = Daemon::always(201, json!({ "image": "sha256:00", "target": "/x/b", "mount": {} }));
    let here = daemon.folder().canonicalize().unwrap();
    let args = ["bundle", "alpine", "b", "--platform", "linux/arm64"];
    assert_eq!(run(layer(&daemon, args).current_dir(&here)), done("/x/b\n"));
    let seen = daemon.seen();
    assert_eq!(seen[0].line, "POST /layerd/v1/bundles");
    let sent: Value = serde_json::from_str(&seen[0].body).unwrap();
    assert_eq!(sent, json!({ "image": "alpine", "target": here.join("b"), "platform": "linux/arm64" }));
}

#[test]
fn a_refusal_names_the_image() {
    let daemon = Daemon::always(400, json!({ "message": "mount on `/b`: there is a `config.json` in it already" }));
    let err = "error: make a bundle of `alpine`: mount on `/b`: there is a `config.json` in it already\n";
    let ended = run(&mut layer(&daemon, ["bundle", "alpine", "/b"]));
    assert_eq!(ended, Run { code: Some(1), out: String::new(), err: err.into() });
}
