//! `layer push`.

use layer_proto::progress::Pushed;
use layer_proto::{Descriptor, LayerStatus, ProgressLine};

use crate::daemon::Daemon;
use crate::{Run, done, layer, run};

const DIGEST: &str = "sha256:0cdb4c5716699f8e4c068f58b52bf3c46a03df3a64891f81e4c45cff63f1114f";

/// The stream of a push of these tags that goes well.
fn good(tags: &[&str]) -> Vec<ProgressLine> {
    let mut lines = vec![
        ProgressLine::pushing("lab.test/app"),
        ProgressLine::layer("aaaaaaaaaaaa", LayerStatus::Waiting),
        ProgressLine::mounted("bbbbbbbbbbbb", "lab/base"),
        ProgressLine::layer("cccccccccccc", LayerStatus::LayerAlreadyExists),
        ProgressLine::layer_progress("aaaaaaaaaaaa", LayerStatus::Pushing, 1_048_576, 3_490_290),
        ProgressLine::layer("aaaaaaaaaaaa", LayerStatus::Retrying { seconds: 2 }),
        ProgressLine::layer("aaaaaaaaaaaa", LayerStatus::Pushed),
    ];
    for tag in tags {
        let pushed = Pushed { tag: (*tag).into(), digest: DIGEST.into(), size: 610 };
        lines.extend([ProgressLine::tagged(&pushed), ProgressLine::pushed(&pushed)]);
    }
    lines
}

const STEPS: &str = "The push refers to repository [lab.test/app]\n\
    bbbbbbbbbbbb: Mounted from lab/base\n\
    cccccccccccc: Layer already exists\n\
    aaaaaaaaaaaa: Retrying in 2 seconds\n\
    aaaaaaaaaaaa: Pushed\n";

#[test]
fn a_push_prints_its_steps_and_then_the_image() {
    let daemon = Daemon::pulls(good(&["latest"]));
    let ended = run(&mut layer(&daemon, ["push", "lab.test/app"]));
    let out = format!("latest: digest: {DIGEST} size: 610\nlab.test/app:latest\n");
    assert_eq!(ended, Run { code: Some(0), out, err: STEPS.into() });
    assert_eq!(daemon.lines(), ["POST /v1.51/images/lab.test/app/push?tag=latest"]);
}

#[test]
fn quiet_prints_the_full_names_alone() {
    let daemon = Daemon::pulls(good(&["1", "2"]));
    let ended = run(&mut layer(&daemon, ["image", "push", "-q", "--all-tags", "lab.test/app"]));
    assert_eq!(ended, done("lab.test/app:1\nlab.test/app:2\n"));
    assert_eq!(daemon.lines(), ["POST /v1.51/images/lab.test/app/push"]);
}

#[test]
fn the_platform_goes_as_it_was_typed() {
    let daemon = Daemon::pulls(good(&["1"]));
    run(&mut layer(&daemon, ["push", "--platform", "linux/arm64", "h:5000/lab/app:1"]));
    assert_eq!(daemon.lines(), ["POST /v1.51/images/h:5000/lab/app/push?tag=1&platform=linux%2Farm64"]);
}

#[test]
fn a_tag_and_all_of_them_is_no_sense() {
    let daemon = Daemon::pulls(Vec::new());
    let ended = run(&mut layer(&daemon, ["push", "-a", "lab.test/app:1"]));
    assert_eq!((ended.code, &*ended.out), (Some(1), ""));
    assert!(ended.err.contains("with --all-tags all of them are meant"), "{}", ended.err);
    assert!(daemon.lines().is_empty());
}

#[test]
fn what_was_pushed_in_place_of_an_index_is_said() {
    let descriptor = |digest: &str| Descriptor { digest: digest.into(), ..Descriptor::default() };
    let mut lines = good(&["1"]);
    lines.insert(1, ProgressLine::index_replaced(descriptor("sha256:0c"), descriptor(DIGEST)));
    let daemon = Daemon::pulls(lines);
    let ended = run(&mut layer(&daemon, ["push", "lab.test/app:1"]));
    assert_eq!(ended.code, Some(0));
    assert!(ended.err.contains("only the one is pushed, under its own digest\n"), "{}", ended.err);
}

#[test]
fn a_failure_is_told_with_its_hint() {
    let mut lines = good(&[]);
    lines.push(ProgressLine::error("tag does not exist: lab.test/app:1", Some("tag it first".into())));
    let daemon = Daemon::pulls(lines);
    let ended = run(&mut layer(&daemon, ["push", "-q", "lab.test/app:1"]));
    let err = "error: push `lab.test/app:1`: tag does not exist: lab.test/app:1\nhint: tag it first\n";
    assert_eq!(ended, Run { code: Some(1), out: String::new(), err: err.into() });
    // A stream that ends before anything has its tag is no success.
    let daemon = Daemon::pulls(good(&[]));
    assert_eq!(run(&mut layer(&daemon, ["push", "-q", "lab.test/app:1"])).code, Some(1));
}
