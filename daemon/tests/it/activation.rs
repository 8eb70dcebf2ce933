//! Sockets that somebody else listens at until the daemon is there.

use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixListener;
use std::process::Command;

use crate::daemon::{LAYERD, Place};

/// A command that starts the daemon with `listener` as its first passed file, as systemd does.
fn activated(listener: &UnixListener, place: &Place) -> Command {
    rustix::io::fcntl_setfd(listener, rustix::io::FdFlags::empty()).unwrap();
    let script = format!("exec 3<&{}; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\"", listener.as_raw_fd());
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(LAYERD).arg("--root").arg(place.root());
    command
}

#[tokio::test]
async fn a_passed_socket_is_served_and_left_behind() {
    let place = Place::new();
    std::fs::create_dir(place.socket().parent().unwrap()).unwrap();
    let listener = UnixListener::bind(place.socket()).unwrap();
    for extra in [&[] as &[&str], &["--listen", "fd://"], &["--listen", place.socket().to_str().unwrap()]] {
        let mut daemon = place.start_with(activated(&listener, &place).args(extra));
        assert_eq!(daemon.get("/_ping").await.status, 200);
        assert!(daemon.log().contains(&format!("listen=\"unix://{}\"", place.socket().display())), "{}", daemon.log());
        assert!(daemon.stop().success());
        assert!(place.socket().exists(), "it belongs to whoever made it");
    }
}

#[test]
fn sockets_that_were_not_passed_are_missed() {
    let place = Place::new();
    let mut command = Command::new(LAYERD);
    command.env_remove("LISTEN_FDS").arg("--root").arg(place.root()).args(["--listen", "fd://"]);
    let (status, text) = Place::refused(&mut command);
    assert_eq!(status.code(), Some(1));
    assert!(text.starts_with("layerd: listen at `fd://`: no sockets were passed\nhint: "), "{text}");
}
