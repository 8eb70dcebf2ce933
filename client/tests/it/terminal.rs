//! On a terminal, which `script` (a part of every Debian) provides.

use std::process::{Command, Stdio};

use layer_proto::{LayerStatus, ProgressLine, Pulled};

use crate::daemon::Daemon;

#[test]
fn bars_are_drawn_and_end_as_lines() {
    let daemon = Daemon::pulls(vec![
        ProgressLine::pulling("library/busybox", "latest"),
        ProgressLine::layer("aaaaaaaaaaaa", LayerStatus::PullingFsLayer),
        ProgressLine::layer_progress("aaaaaaaaaaaa", LayerStatus::Downloading, 1_048_576, 3_490_290),
        ProgressLine::layer("aaaaaaaaaaaa", LayerStatus::PullComplete),
        ProgressLine::digest("sha256:00"),
        ProgressLine::done("busybox:latest", true),
        ProgressLine::pulled(&Pulled { id: "sha256:00".into(), reference: "docker.io/library/busybox:latest".into() }),
    ]);
    let command = format!("'{}' -H '{}' pull busybox", env!("CARGO_BIN_EXE_layer"), daemon.socket().display());
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .env("TERM", "xterm-256color")
        .stdin(Stdio::null())
        .output()
        .expect("`script` of bsdutils is installed");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for part in [
        "latest: Pulling from library/busybox",
        "aaaaaaaaaaaa: Downloading [============>",
        "1.049MB/3.49MB",
        "aaaaaaaaaaaa: Pull complete",
        "Status: Downloaded newer image for busybox:latest\r\ndocker.io/library/busybox:latest\r\nsha256:00\r\n",
    ] {
        assert!(text.contains(part), "{part:?} in {text:?}");
    }
}
