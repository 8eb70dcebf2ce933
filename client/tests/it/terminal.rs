//! On a terminal, which `script` (a part of every Debian) provides.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use layer_proto::{LayerStatus, ProgressLine, Pulled};

use crate::daemon::Daemon;

/// No question takes so long to be asked.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command on a terminal of its own, with somebody who types.
pub(crate) struct Session {
    script: Child,
    keyboard: ChildStdin,
    screen: Receiver<Vec<u8>>,
    seen: String,
}

impl Session {
    /// Starts a line of a shell's. Logins lie below `home`.
    pub(crate) fn start(line: &str, home: &std::path::Path) -> Self {
        let mut script = Command::new("script")
            .args(["--quiet", "--return", "--echo", "always", "--command", line, "/dev/null"])
            .env("TERM", "xterm-256color")
            .env("SHELL", "/bin/sh")
            .env("HOME", home)
            .env("XDG_RUNTIME_DIR", home)
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("DOCKER_CONFIG")
            .env_remove("REGISTRY_AUTH_FILE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`script` of bsdutils is installed");
        let keyboard = script.stdin.take().unwrap();
        let mut output = script.stdout.take().unwrap();
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                // A test that has seen enough listens no longer.
                let _heard = sender.send(bytes[..count].to_vec());
            }
        });
        Self { script, keyboard, screen, seen: String::new() }
    }

    /// Waits until `text` is seen, past what was waited for before.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) -> &mut Self {
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return self;
            }
            match self.screen.recv_timeout(PATIENCE) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(error) => panic!("{text:?} is not seen ({error}), but {:?}", self.seen),
            }
        }
    }

    pub(crate) fn type_in(&mut self, text: &str) -> &mut Self {
        self.keyboard.write_all(text.as_bytes()).unwrap();
        self
    }

    /// Waits for the end; how it was, and all that was seen since the last wait.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        // The keyboard stays connected until then: to take it away is to type ^D.
        while let Ok(bytes) = self.screen.recv_timeout(PATIENCE) {
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
        (self.script.wait().unwrap(), std::mem::take(&mut self.seen))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // After its end there is nothing to kill, which is no error.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

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
