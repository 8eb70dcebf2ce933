//! The client from outside: the binary against a daemon that says what each test wants it to say.

#![expect(clippy::unwrap_used, reason = "a test that can't be set up fails")]

mod about;
mod bundle;
mod daemon;
mod images;
mod login;
mod mounts;
mod prune;
mod pull;
mod push;
mod running;
mod terminal;
mod unreachable;
mod verify;

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use daemon::Daemon;

/// How a run of the client ended.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

/// The client, set up to ask `daemon`.
fn layer<I: AsRef<OsStr>>(daemon: &Daemon, args: impl IntoIterator<Item = I>) -> Command {
    let mut command = bare();
    command.arg("--host").arg(daemon.socket()).args(args);
    command
}

/// The client without a daemon.
fn bare() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_layer"));
    command.env_remove("LAYERD_HOST").stdin(Stdio::null());
    // Nobody's logins are there, unless a test puts some.
    for name in ["HOME", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"] {
        command.env(name, "/nonexistent");
    }
    command.env_remove("REGISTRY_AUTH_FILE");
    command
}

fn run(command: &mut Command) -> Run {
    let output = command.output().expect("the client runs");
    let text = |bytes| String::from_utf8(bytes).expect("the client writes UTF-8");
    Run { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// What a run that went well leaves.
fn done(out: &str) -> Run {
    Run { code: Some(0), out: out.into(), err: String::new() }
}
