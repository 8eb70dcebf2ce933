//! Starts, ends, crashes, and the sockets between them.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::service::{Daemon, Running, Stalled, eventually, run};

const SOCKET_ACTIVATE: &str = "/usr/bin/systemd-socket-activate";

#[test]
fn root_a_second_daemon_is_told_who_has_the_store() {
    let mut daemon = Daemon::start();
    let other = format!("unix://{}", daemon.path("other.sock").display());
    let said = run(daemon.layerd().arg("--root").arg(daemon.root()).args(["--listen", &other])).fails(1);
    assert!(said.contains(&format!("process {}", daemon.pid())), "{said}");
    assert!(said.contains(daemon.root().to_str().unwrap()), "{said}");
    assert!(!daemon.path("other.sock").exists());
    daemon.layer(&["info"]).ok();
    assert!(daemon.stop().success());
    // Now there is nobody any more.
    daemon.again();
}

#[test]
fn root_a_second_daemon_does_not_take_the_socket() {
    let daemon = Daemon::start();
    let listen = format!("unix://{}", daemon.socket().display());
    let said = run(daemon.layerd().arg("--root").arg(daemon.path("other")).args(["--listen", &listen])).fails(1);
    assert!(said.contains("another process listens there"), "{said}");
    daemon.layer(&["info"]).ok();
}

#[test]
fn root_a_file_that_is_no_socket_is_left_alone() {
    let daemon = Daemon::prepare();
    fs::write(daemon.socket(), "precious").unwrap();
    let said = run(&mut daemon.command()).fails(1);
    assert!(said.contains("there is a file that is no socket"), "{said}");
    assert_eq!(fs::read_to_string(daemon.socket()).unwrap(), "precious");
}

#[test]
fn root_asked_to_stop_it_ends_well_and_takes_its_socket_along() {
    let mut daemon = Daemon::start();
    let status = daemon.stop();
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(!daemon.socket().exists());
}

#[test]
fn root_asked_to_stop_it_does_not_wait_for_ever_for_a_pull() {
    let (mut daemon, stalled) = (Daemon::prepare(), Stalled::new());
    let mut command = daemon.command();
    daemon.launch(command.args(["--shutdown-timeout", "0"]));
    let client = Running::start(&mut daemon.layer_command(&["pull", &stalled.name]));
    stalled.wait(&daemon);
    let status = daemon.stop();
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(!daemon.socket().exists());
    let said = client.end().fails(1);
    assert!(said.contains("error: pull "), "{said}");

    stalled.registry.heal();
    daemon.again();
    daemon.layer(&["pull", "--quiet", &stalled.name]).ok();
    assert!(stalled.resumed_at().is_some_and(|from| from > 0));
}

#[test]
fn root_a_pull_in_progress_is_waited_for() {
    let (mut daemon, stalled) = (Daemon::prepare(), Stalled::new());
    let mut command = daemon.command();
    daemon.launch(command.args(["--shutdown-timeout", "120"]));
    let client = Running::start(&mut daemon.layer_command(&["pull", "--quiet", &stalled.name]));
    stalled.wait(&daemon);
    let pid = rustix::process::Pid::from_raw(i32::try_from(daemon.pid()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let socket = daemon.socket();
    eventually("new requests are refused", || UnixStream::connect(&socket).is_err());
    stalled.gate.open();
    assert_eq!(client.end().ok(), stalled.name);
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn root_after_a_crash_nothing_is_half_done_and_the_pull_goes_on() {
    let (mut daemon, stalled) = (Daemon::start(), Stalled::new());
    let client = Running::start(&mut daemon.layer_command(&["pull", &stalled.name]));
    stalled.wait(&daemon);
    eventually("the first layer is kept", || daemon.list("layers/sha256").len() == 1);
    daemon.kill();
    let said = client.end().fails(1);
    assert!(said.contains("error: pull ") && said.contains("hint: "), "{said}");
    assert!(daemon.socket().exists(), "a crash leaves the socket behind");

    stalled.registry.heal();
    daemon.again();
    assert!(daemon.log().contains("replacing the socket of a daemon that is gone"), "{}", daemon.log());
    assert_eq!(daemon.layer(&["images", "--all", "--quiet"]).ok(), "");
    assert_eq!(daemon.list("staging"), [""; 0]);
    let index: Value =
        serde_json::from_slice(&fs::read(daemon.root().join("index.json")).unwrap_or(b"{}".to_vec())).unwrap();
    assert!(index["manifests"].as_array().is_none_or(Vec::is_empty), "{index}");
    daemon.layer(&["pull", "--quiet", &stalled.name]).ok();
    let from = stalled.resumed_at().expect("the layer was asked for from where it broke off");
    assert!(from > 1 << 20, "{from}");
    let folder = daemon.layer(&["mount", &stalled.name]).ok();
    let large = fs::read(Path::new(&folder).join("large")).unwrap();
    assert!(large == layer_testkit::layer::noise(1, 8 << 20), "the layer is not what it should be");
}

#[test]
fn root_mounts_are_found_again_after_a_crash() {
    let (mut daemon, stalled) = (Daemon::start(), Stalled::new());
    stalled.registry.heal();
    daemon.layer(&["pull", "--quiet", &stalled.name]).ok();
    let folder = daemon.layer(&["mount", &stalled.name]).ok();
    daemon.kill();
    daemon.again();
    assert_eq!(daemon.layer(&["mounts", "--quiet"]).ok(), folder);
    assert_eq!(fs::read_to_string(Path::new(&folder).join("small")).unwrap(), "1");
    assert!(daemon.layer(&["rmi", &stalled.name]).fails(1).contains("image is mounted on"));
    assert_eq!(daemon.layer(&["umount", &folder]).ok(), folder);
    daemon.layer(&["rmi", &stalled.name]).ok();
}

#[test]
fn root_images_are_there_after_a_restart() {
    let (mut daemon, stalled) = (Daemon::start(), Stalled::new());
    stalled.registry.heal();
    daemon.layer(&["pull", "--quiet", &stalled.name]).ok();
    let before = daemon.layer(&["images", "--digests", "--no-trunc", "--format", "json"]).ok();
    assert!(daemon.stop().success());
    daemon.again();
    assert_eq!(daemon.layer(&["images", "--digests", "--no-trunc", "--format", "json"]).ok(), before);
    assert_eq!(daemon.inspect(&stalled.name)["Id"], stalled.image.digest());
}

#[test]
fn root_a_socket_that_systemd_listens_at_is_served() {
    assert!(
        Path::new(SOCKET_ACTIVATE).exists(),
        "`{SOCKET_ACTIVATE}` is missing: install the Debian package `systemd`"
    );
    let daemon = Daemon::prepare();
    let layerd = daemon.layerd();
    let mut command = Command::new(SOCKET_ACTIVATE);
    command.arg("--listen").arg(daemon.socket()).arg(layerd.get_program()).args(layerd.get_args());
    command.arg("--root").arg(daemon.root()).args(["--listen", "fd://"]);
    let running = Running::start(&mut command);
    let socket = daemon.socket();
    eventually("the socket is there", || fs::symlink_metadata(&socket).is_ok_and(|meta| meta.file_type().is_socket()));
    let inode = fs::metadata(&socket).unwrap().ino();
    daemon.layer(&["info"]).ok();
    running.signal(rustix::process::Signal::TERM);
    let ran = running.end();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("listen=\"unix://"), "{}", ran.stderr);
    assert_eq!(fs::metadata(&socket).unwrap().ino(), inode, "the socket is systemd's, and stays");
}

#[test]
fn root_without_passed_sockets_there_is_nothing_to_take_over() {
    let daemon = Daemon::prepare();
    let said = run(daemon.layerd().arg("--root").arg(daemon.root()).args(["--listen", "fd://"])).fails(1);
    assert!(said.contains("listen at `fd://`: no sockets were passed"), "{said}");
}

#[test]
fn root_the_service_manager_is_told_of_start_and_end() {
    let mut daemon = Daemon::prepare();
    let path = daemon.path("notify.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let hear = |word: &str| {
        let mut bytes = [0; 4096];
        loop {
            let length = manager.recv(&mut bytes).unwrap_or_else(|error| panic!("no {word}: {error}"));
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if text.lines().any(|line| line == word) {
                return text;
            }
        }
    };
    let mut command = daemon.command();
    daemon.launch(command.env("NOTIFY_SOCKET", &path));
    let ready = hear("READY=1");
    assert!(ready.contains(daemon.socket().to_str().unwrap()), "{ready}");
    assert!(daemon.stop().success());
    hear("STOPPING=1");
}

#[test]
fn root_the_socket_is_for_root_and_its_group() {
    let mut daemon = Daemon::prepare();
    let mut command = daemon.command();
    daemon.launch(command.args(["--group", "daemon"]));
    let meta = fs::metadata(daemon.socket()).unwrap();
    assert_eq!(meta.permissions().mode() & 0o7777, 0o660);
    assert_eq!(meta.uid(), 0);
    let groups = fs::read_to_string("/etc/group").unwrap();
    let line = groups.lines().find(|line| line.starts_with("daemon:")).unwrap();
    assert_eq!(line.split(':').nth(2).unwrap().parse(), Ok(meta.gid()));
    let root = fs::metadata(daemon.root()).unwrap();
    assert_eq!(root.permissions().mode() & 0o777, 0o700, "the store is root's alone");
}

#[test]
fn root_a_group_that_is_named_must_be_there() {
    let daemon = Daemon::prepare();
    let said = run(daemon.command().args(["--group", "no-such-group"])).fails(1);
    assert!(said.contains("there is no such group") && said.contains("`no-such-group`"), "{said}");
    assert!(!daemon.socket().exists());
}

#[test]
fn root_settings_that_make_no_sense_are_named() {
    let daemon = Daemon::prepare();
    let config = daemon.path("config.toml");
    fs::write(&config, "downloads = 2\nrooot = '/x'\n").unwrap();
    let said = run(&mut daemon.command()).fails(1);
    assert!(said.contains("`rooot`") && said.contains("line 2") && said.contains(config.to_str().unwrap()), "{said}");
    assert!(!daemon.root().exists());
    let said = run(daemon.command().args(["--downloads", "0"])).fails(2);
    assert!(said.contains("--downloads"), "{said}");
}

#[test]
fn root_settings_come_from_the_file() {
    let mut daemon = Daemon::prepare();
    let text = format!("root = '{}'\nlisten = ['unix://{}']\n", daemon.root().display(), daemon.socket().display());
    fs::write(daemon.path("config.toml"), text).unwrap();
    let mut command = daemon.layerd();
    daemon.launch(&mut command);
    assert!(daemon.layer(&["info"]).ok().contains(daemon.root().to_str().unwrap()));
}
