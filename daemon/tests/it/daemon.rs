//! A daemon for one test.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::http::{Answer, Stream};
use crate::notify::Notifications;

/// The program.
pub(crate) const LAYERD: &str = env!("CARGO_BIN_EXE_layerd");

/// A folder with a store and a socket, on which daemons can be started one after the other.
#[derive(Debug)]
pub(crate) struct Place {
    folder: TempDir,
}

/// A running daemon. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    socket: PathBuf,
    pub(crate) notifications: Notifications,
    log: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::Builder::new().prefix("layerd-").tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path().join("root")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path().join("run/layerd.sock")
    }

    /// The command line of a daemon here. The environment of the test doesn't reach it.
    pub(crate) fn command(&self) -> Command {
        self.command_that_logs("debug")
    }

    /// The same, with a filter for the log.
    pub(crate) fn command_that_logs(&self, filter: &str) -> Command {
        let mut command = Command::new(LAYERD);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LAYERD_")) {
            command.env_remove(name);
        }
        command
            .env_remove("JOURNAL_STREAM")
            .env_remove("LISTEN_FDS")
            .arg("--root")
            .arg(self.root())
            .arg("--listen")
            .arg(format!("unix://{}", self.socket().display()))
            .args(["--log", filter])
            .stdin(Stdio::null());
        command
    }

    /// Starts a daemon, and waits until it says that it is ready.
    pub(crate) fn start(&self) -> Daemon {
        self.start_with(&mut self.command())
    }

    /// Starts a daemon by another command line.
    pub(crate) fn start_with(&self, command: &mut Command) -> Daemon {
        let notifications = Notifications::new(self.path());
        let log = self.path().join("log");
        let file = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        let child = command.env("NOTIFY_SOCKET", notifications.path()).stderr(file).spawn().unwrap();
        let daemon = Daemon { child, socket: self.socket(), notifications, log };
        let ready = daemon.notifications.next();
        assert!(
            ready.as_ref().is_some_and(|facts| facts.contains(&"READY=1".to_owned())),
            "{ready:?}\n{}",
            daemon.log()
        );
        daemon
    }

    /// Runs a daemon that should give up by itself: its status, and what it says.
    pub(crate) fn refused(command: &mut Command) -> (ExitStatus, String) {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut text = String::new();
        child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        (child.wait().unwrap(), text)
    }
}

impl Daemon {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.ask("GET", target).await
    }

    pub(crate) async fn ask(&self, method: &str, target: &str) -> Answer {
        self.send(method, target, &[], Vec::new()).await
    }

    pub(crate) async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        Stream::open(&self.socket, method, target, headers, body).await.whole().await
    }

    /// Asks, and leaves the body to be read.
    pub(crate) async fn open(&self, method: &str, target: &str) -> Stream {
        self.stream(method, target, &[]).await
    }

    /// The same, with some headers.
    pub(crate) async fn stream(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Stream {
        self.stream_with(method, target, headers, Vec::new()).await
    }

    /// The same, with a body, too.
    pub(crate) async fn stream_with(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Stream {
        Stream::open(&self.socket, method, target, headers, body).await
    }

    /// Pulls an image, and expects all to go well.
    pub(crate) async fn pull(&self, name: &str) -> Answer {
        let answer = self.ask("POST", &pull_target(name)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.lines().iter().find(|line| line.get("error").is_some()), None);
        answer
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What docker's client sends for `docker pull`.
pub(crate) fn pull_target(name: &str) -> String {
    let (image, tag) = name.rsplit_once(':').unwrap();
    format!("/v1.51/images/create?fromImage={}&tag={tag}", image.replace(':', "%3A").replace('/', "%2F"))
}
