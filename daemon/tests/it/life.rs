//! How a daemon starts, refuses to, and ends.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::Command;

use layer_testkit::image::ImageBuilder;
use layer_testkit::layer::{LayerBuilder, noise};
use layer_testkit::registry::{Fault, Gate, Registry, Target};
use rustix::process::Signal;

use crate::daemon::{LAYERD, Place, pull_target};

#[tokio::test]
async fn a_daemon_comes_and_goes_in_order() {
    let place = Place::new();
    let mut daemon = place.start();
    assert_eq!(fs::metadata(place.socket()).unwrap().permissions().mode() & 0o7777, 0o660);
    assert_eq!(fs::metadata(place.root()).unwrap().permissions().mode() & 0o7777, 0o700);
    for signal in [Signal::TERM, Signal::INT] {
        daemon.signal(signal);
        let stopping = daemon.notifications.next().unwrap();
        assert!(stopping.contains(&"STOPPING=1".to_owned()), "{stopping:?}");
        assert!(daemon.wait().success());
        assert!(!place.socket().exists());
        assert!(daemon.log().contains("stopped"));
        daemon = place.start();
    }
    assert_eq!(daemon.get("/_ping").await.status, 200);
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_the_end_up() {
    let place = Place::new();
    let mut daemon = place.start();
    let idle = UnixStream::connect(place.socket()).unwrap();
    // The daemon has seen it once a later one is answered.
    daemon.get("/_ping").await;
    assert!(daemon.stop().success());
    drop(idle);
    assert!(!daemon.log().contains("requests still run"), "{}", daemon.log());
}

#[test]
fn the_second_daemon_on_a_store_says_who_has_it() {
    let place = Place::new();
    let first = place.start();
    let (status, text) = Place::refused(&mut place.command());
    assert_eq!(status.code(), Some(1));
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[lines.len() - 2..],
        [
            format!(
                "layerd: the store `{}` is in use by another layerd (process {})",
                place.root().display(),
                first.pid()
            ),
            "hint: stop the other one, or give this one a `--root` of its own".to_owned(),
        ]
    );
}

#[tokio::test]
async fn a_live_socket_is_never_taken() {
    let place = Place::new();
    let first = place.start();
    let other = Place::new();
    let mut second = Command::new(LAYERD);
    second.arg("--root").arg(other.root()).arg("--listen").arg(place.socket());
    let (status, text) = Place::refused(&mut second);
    assert_eq!(status.code(), Some(1));
    assert!(text.contains(": another process listens there\nhint: "), "{text}");
    assert_eq!(first.get("/_ping").await.status, 200);
}

#[tokio::test]
async fn what_a_killed_daemon_left_is_taken_over() {
    let place = Place::new();
    let mut killed = place.start();
    killed.signal(Signal::KILL);
    killed.wait();
    assert!(place.socket().exists());
    let next = place.start();
    assert_eq!(next.get("/_ping").await.status, 200);
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let place = Place::new();
    let file = place.path().join("layerd.toml");
    fs::write(&file, "log = 'info'\nrooot = '/x'\n").unwrap();
    let (status, text) = Place::refused(place.command().arg("--config").arg(&file));
    assert_eq!(status.code(), Some(1));
    let expected =
        format!("layerd: the settings in `{}`, line 2: unknown field `rooot`, expected one of", file.display());
    assert!(text.starts_with(&expected), "{text}");

    let (status, text) = Place::refused(place.command().args(["--config", "/no/such/file"]));
    assert_eq!(status.code(), Some(1));
    assert!(text.starts_with("layerd: read the settings in `/no/such/file`: "), "{text}");

    let (status, _) = Place::refused(place.command().arg("--nonsense"));
    assert_eq!(status.code(), Some(2));
    let (status, text) = Place::refused(place.command().args(["--listen", "tcp://127.0.0.1:2375"]));
    assert_eq!(status.code(), Some(2));
    assert!(text.contains("layerd listens at `unix://PATH`"), "{text}");
}

#[tokio::test]
async fn options_win_over_the_environment_and_that_over_the_file() {
    let place = Place::new();
    let file = place.path().join("layerd.toml");
    let [from_file, from_env] = ["file", "env"].map(|name| place.path().join(name));
    let sockets = [place.path().join("a.sock"), place.socket()];
    let list = sockets.iter().map(|path| format!("'unix://{}'", path.display())).collect::<Vec<_>>().join(", ");
    fs::write(&file, format!("root = '{}'\nlisten = [{list}]\n", from_file.display())).unwrap();
    let command = || {
        let mut command = Command::new(LAYERD);
        command.env("LAYERD_CONFIG", &file);
        command
    };
    let root = async |command: &mut Command| {
        let mut daemon = place.start_with(command);
        let root = daemon.get("/info").await.json()["DockerRootDir"].as_str().unwrap().to_owned();
        UnixStream::connect(&sockets[0]).expect("both sockets are served");
        assert!(daemon.stop().success());
        root
    };
    assert_eq!(root(&mut command()).await, from_file.to_str().unwrap());
    assert_eq!(root(command().env("LAYERD_ROOT", &from_env)).await, from_env.to_str().unwrap());
    let flag = place.root();
    assert_eq!(root(command().env("LAYERD_ROOT", &from_env).arg("--root").arg(&flag)).await, flag.to_str().unwrap());
}

#[tokio::test]
async fn a_running_pull_hears_of_the_end_and_goes_on_next_time() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let image = ImageBuilder::new().layer(LayerBuilder::new().file("large", noise(9, 2 << 20)).gzip()).build();
    let layer = image.layers[0].blob.digest.clone();
    let name = registry.put_image("lab/app", "1", &image);
    let stall = registry.fault(Target::Blob(layer.clone()), Fault::Stall { after: 1 << 20, gate: Gate::new() });
    let mut daemon = place.start_with(place.command().args(["--shutdown-timeout", "0"]));
    let mut stream = daemon.open("POST", &pull_target(&name)).await;
    while stream.line().await.unwrap()["progressDetail"]["current"].as_u64().unwrap_or(0) < 1 << 20 {}
    daemon.signal(Signal::TERM);
    let last = stream.whole().await.lines().pop().unwrap();
    let message = last["errorDetail"]["message"].as_str().unwrap();
    assert!(message.ends_with("stopped; what has come is kept"), "{message}");
    assert!(daemon.wait().success());

    stall.lift();
    let daemon = place.start();
    daemon.pull(&name).await;
    let is_rest = |request: &layer_testkit::registry::Request| {
        request.path.ends_with(&layer) && request.range.as_deref().is_some_and(|range| range != "bytes=0-")
    };
    assert_eq!(registry.count(is_rest), 1);
}

#[tokio::test]
async fn a_running_pull_may_finish_before_the_end() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let image = ImageBuilder::new().layer(LayerBuilder::new().file("large", noise(10, 1 << 20)).gzip()).build();
    let layer = image.layers[0].blob.digest.clone();
    let name = registry.put_image("lab/app", "1", &image);
    let gate = Gate::new();
    registry.fault(Target::Blob(layer), Fault::Stall { after: 1 << 10, gate: gate.clone() });
    let mut daemon = place.start_with(place.command().args(["--shutdown-timeout", "60"]));
    let stream = daemon.open("POST", &pull_target(&name)).await;
    gate.until(1).await;
    daemon.signal(Signal::TERM);
    let stopping = daemon.notifications.next().unwrap();
    assert!(stopping.contains(&"STOPPING=1".to_owned()), "{stopping:?}");
    gate.open();
    let told = stream.whole().await.told();
    assert_eq!(told.last().unwrap(), &format!("Status: Downloaded newer image for {name}"));
    assert!(daemon.wait().success());
}

#[tokio::test]
async fn a_pull_that_waits_for_the_registry_hears_of_the_end() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let image = ImageBuilder::new().layer(LayerBuilder::new().file("f", "1").gzip()).build();
    let name = registry.put_image("lab/app", "1", &image);
    let gate = Gate::new();
    registry.fault(Target::AnyManifest, Fault::Stall { after: 0, gate: gate.clone() });
    let mut daemon = place.start_with(place.command().args(["--shutdown-timeout", "0"]));
    let target = pull_target(&name);
    let stop = async {
        gate.until(1).await;
        daemon.signal(Signal::TERM);
    };
    let (answer, ()) = tokio::join!(daemon.ask("POST", &target), stop);
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.message().ends_with("the daemon stops; what has come is kept"), "{}", answer.message());
    assert!(daemon.wait().success());
}
