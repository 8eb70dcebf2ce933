//! The client from outside: the binary against a daemon that says what each test wants it to say.

mod about;
mod daemon;
mod images;
mod mounts;
mod pull;
mod push;
mod terminal;
mod unreachable;

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
