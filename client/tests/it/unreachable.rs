//! No daemon: one clear sentence for each way of not being there.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use serde_json::json;

use crate::daemon::Daemon;
use crate::{Run, bare, done, run};

/// A user that owns nothing.
const NOBODY: u32 = 65_534;

fn unreachable(error: &str, hint: &str) -> Run {
    Run { code: Some(3), out: String::new(), err: format!("error: {error}\nhint: {hint}\n") }
}

#[test]
fn there_is_no_socket() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("none.sock");
    let socket = socket.to_str().unwrap();
    let expected = unreachable(
        &format!("no daemon listens on `{socket}`: there is no such socket"),
        &format!("start it with `layerd --listen unix://{socket}`, or name another socket by `--host` or LAYERD_HOST"),
    );
    let commands = [
        "pull a b c",
        "images",
        "inspect a b",
        "history a",
        "tag a b",
        "rmi a b",
        "mount a",
        "umount a b",
        "mounts",
        "info",
    ];
    for words in commands {
        assert_eq!(run(bare().args(["-H", socket]).args(words.split(' '))), expected, "{words}");
    }
    assert_eq!(run(bare().env("LAYERD_HOST", format!("unix://{socket}")).arg("images")), expected);
}

#[test]
fn nobody_answers() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("dead.sock");
    drop(UnixListener::bind(&socket).unwrap());
    let ended = run(bare().arg("-H").arg(&socket).arg("images"));
    assert_eq!(ended.code, Some(3));
    let told = format!(
        "error: the daemon of `{}` is not running: the socket is there, but nobody answers\nhint: start it with `layerd",
        socket.display()
    );
    assert!(ended.err.starts_with(&told), "{}", ended.err);
}

#[test]
fn it_is_no_socket() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let expected = unreachable(
        &format!("no daemon listens on `{}`: that is not a socket", file.display()),
        "name another socket by `--host` or LAYERD_HOST",
    );
    assert_eq!(run(bare().arg("-H").arg(&file).arg("images")), expected);
}

#[test]
fn it_may_not_be_asked() {
    let daemon = Daemon::always(200, json!([]));
    fs::set_permissions(daemon.folder(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(daemon.socket(), Permissions::from_mode(0o600)).unwrap();
    // Root may do anything, and whoever else runs the tests owns the socket: either way the client must be somebody else, or the socket closed.
    let mut command = if rustix::process::geteuid().is_root() {
        // The folder that the binary lies in may be closed to others.
        let copy = daemon.folder().join("layer");
        fs::copy(env!("CARGO_BIN_EXE_layer"), &copy).unwrap();
        let mut command = Command::new(copy);
        command.uid(NOBODY).current_dir("/").env_remove("LAYERD_HOST");
        command
    } else {
        fs::set_permissions(daemon.socket(), Permissions::from_mode(0o000)).unwrap();
        bare()
    };
    let expected = unreachable(
        &format!("no permission to connect to the daemon on `{}`", daemon.socket().display()),
        "join the group `layerd` (`usermod -aG layerd NAME`, then log in again), or run it as root",
    );
    assert_eq!(run(command.arg("-H").arg(daemon.socket()).arg("images")), expected);
    assert!(daemon.lines().is_empty());
}

#[test]
fn the_path_of_a_socket_may_be_relative_and_a_link() {
    let daemon = Daemon::always(200, json!([]));
    symlink(daemon.socket(), daemon.folder().join("link")).unwrap();
    for host in ["layerd.sock", "./link", "unix://layerd.sock"] {
        let ended = run(bare().args(["-H", host, "images", "-q"]).current_dir(daemon.folder()));
        assert_eq!(ended, done(""), "{host}");
    }
}
