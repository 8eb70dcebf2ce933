//! The programs under test: a daemon on a store of its own, and the clients that talk to it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use layer_testkit::image::Image;
use layer_testkit::registry::{Gate, Registry};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// How long a test waits for what must happen before it gives up.
const PATIENCE: Duration = Duration::from_secs(180);

/// What the environment may say about where daemons are and how they are set up; no test is to hear of it.
const FOREIGN: [&str; 17] = [
    "FAILPOINTS",
    "LAYERD_CONFIG",
    "LAYERD_DOWNLOADS",
    "LAYERD_GROUP",
    "LAYERD_HOST",
    "LAYERD_INSECURE_REGISTRY",
    "LAYERD_LISTEN",
    "LAYERD_LOG",
    "LAYERD_ROOT",
    "LAYERD_SHUTDOWN_TIMEOUT",
    "DOCKER_API_VERSION",
    "DOCKER_CONTEXT",
    "DOCKER_DEFAULT_PLATFORM",
    "LISTEN_FDS",
    "NOTIFY_SOCKET",
    "REGISTRY_AUTH_FILE",
    "XDG_CONFIG_HOME",
];

/// Whether the whole run is about layers that are EROFS images, and not about folders.
pub(crate) fn keeps_images() -> bool {
    std::env::var_os("TEST_LAYERS").is_some_and(|form| form == "erofs")
}

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "in vain: {what}");
        // Nothing tells when it holds, so it is asked again and again.
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A program of the workspace, as this run of the tests has built it.
fn program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| build("built", &["--package", "layerd", "--package", "layer"])).join(name)
}

/// The daemon that can be killed at any of its steps. It lies beside the other, which has no such steps.
fn layerd_with_failpoints() -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        build("built-failpoints", &["--package", "layerd", "--bin", "layerd-failpoints", "--features", "failpoints"])
    });
    assert!(
        !folder.ends_with("release"),
        "a release build has no steps to be killed at: run these tests in a debug build"
    );
    folder.join("layerd-failpoints")
}

/// Builds programs, once for all processes of a test run, and finds their folder: the one above that of this test.
fn build(name: &str, args: &[&str]) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(2).unwrap().to_owned();
    let lock = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut built = File::options().create(true).read(true).append(true).open(lock).unwrap();
    // Tests of one run wait here for the first of them, which leaves the name of the run.
    built.lock().unwrap();
    let mut runs = String::new();
    built.read_to_string(&mut runs).unwrap();
    let run = std::env::var("NEXTEST_RUN_ID").unwrap_or_default();
    if run.is_empty() || !runs.lines().any(|line| line == run) {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet"]).args(args);
        // What is said of this test in its environment would make build scripts run again that look at it, and half of the project with them.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                cargo.env_remove(&name);
            }
        }
        if folder.ends_with("release") {
            cargo.arg("--release");
        }
        let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap();
        assert!(status.success(), "the programs under test can't be built");
        writeln!(built, "{run}").unwrap();
    }
    folder
}

/// What a program did.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit status; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// How it was called.
    words: String,
}

impl Ran {
    fn new(words: String, output: &Output) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr), words }
    }

    /// Fails unless the program ended well; gives what it printed, without the last line end.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "`{}`\n{}{}", self.words, self.stdout, self.stderr);
        self.stdout.trim_end_matches('\n').to_owned()
    }

    /// Fails unless the program ended with that status; gives what it said about it.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "`{}`\n{}{}", self.words, self.stdout, self.stderr);
        self.stderr
    }
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Ran {
    let words = words(command);
    let output = command.stdin(Stdio::null()).output();
    Ran::new(words.clone(), &output.unwrap_or_else(|error| panic!("run `{words}`: {error}")))
}

/// Runs a program to its end, with `input` on its standard input.
pub(crate) fn run_with(command: &mut Command, input: &str) -> Ran {
    let words = words(command);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("run `{words}`: {error}"));
    // A program that doesn't want to hear it says why on its own.
    let _heard = child.stdin.take().unwrap().write_all(input.as_bytes());
    Ran::new(words, &child.wait_with_output().unwrap())
}

fn words(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
    words.join(OsStr::new(" ")).to_string_lossy().into_owned()
}

/// A program that runs while the test goes on. What it prints goes to files, so that it never waits for the test.
pub(crate) struct Running {
    child: Child,
    words: String,
    output: TempDir,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let output = tempfile::tempdir().unwrap();
        let file = |name: &str| File::create(output.path().join(name)).unwrap();
        let words = words(command);
        let command = command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr"));
        let child = command.spawn().unwrap_or_else(|error| panic!("run `{words}`: {error}"));
        Self { child, words, output }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(&self.child, signal);
    }

    /// What it has printed so far.
    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(self.output.path().join("stdout")).unwrap()
    }

    /// What it has said so far.
    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.output.path().join("stderr")).unwrap()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ran {
        let status = self.child.wait().unwrap();
        let file = |name: &str| fs::read(self.output.path().join(name)).unwrap();
        let words = std::mem::take(&mut self.words);
        Ran::new(words, &Output { status, stdout: file("stdout"), stderr: file("stderr") })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After its end there is nothing to kill, which is no error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// A daemon with a store, a socket and a log of its own. Dropping it takes down its mounts and ends it; when the test fails, its log is shown.
pub(crate) struct Daemon {
    folder: TempDir,
    child: Option<Child>,
}

impl Daemon {
    /// Starts a daemon on an empty store, and waits until it answers.
    pub(crate) fn start() -> Self {
        let mut daemon = Self::prepare();
        daemon.again();
        daemon
    }

    /// The folder of a daemon that is not running yet.
    pub(crate) fn prepare() -> Self {
        Self::prepare_in(&std::env::temp_dir())
    }

    /// The same in memory, where there is such a place: for tests that start a daemon very often, and to which the disk doesn't matter.
    pub(crate) fn prepare_in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        // The kernel mounts no images out of memory.
        Self::prepare_in(if memory.is_dir() && !keeps_images() { memory } else { Path::new("/tmp") })
    }

    fn prepare_in(parent: &Path) -> Self {
        assert!(rustix::process::geteuid().is_root(), "the daemon needs root: run these tests as root");
        let folder = tempfile::tempdir_in(parent).unwrap();
        fs::write(folder.path().join("config.toml"), "").unwrap();
        Self { folder, child: None }
    }

    /// Starts a daemon where the last one was, and waits until it answers.
    #[track_caller]
    pub(crate) fn again(&mut self) {
        let mut command = self.command();
        self.launch(&mut command);
    }

    /// Starts a daemon by a command that is like [`command`](Self::command), and waits until it answers.
    #[track_caller]
    pub(crate) fn launch(&mut self, command: &mut Command) {
        assert!(self.try_launch(command), "the daemon ended while it started");
    }

    /// The command that starts it.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.layerd();
        command.arg("--root").arg(self.root()).arg("--listen").arg(format!("unix://{}", self.socket().display()));
        command
    }

    /// The command that starts the daemon that dies, or waits, where it is told to: `FAILPOINTS` of the crate `fail`.
    pub(crate) fn command_with(&self, failpoints: &str) -> Command {
        let mut command = self.clean(layerd_with_failpoints());
        let place = format!("unix://{}", self.socket().display());
        command.arg("--config").arg(self.path("config.toml")).arg("--root").arg(self.root()).args(["--listen", &place]);
        command.env("FAILPOINTS", failpoints);
        command
    }

    /// Starts a daemon by a command that is like [`command`](Self::command), and waits until it answers; `false` when it ends before.
    pub(crate) fn try_launch(&mut self, command: &mut Command) -> bool {
        assert!(self.child.is_none(), "it runs");
        let log = File::options().create(true).append(true).open(self.log_file()).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let socket = self.socket();
        let mut child = command.spawn().unwrap();
        let mut ended = false;
        eventually("the daemon answers or ends", || {
            ended = child.try_wait().unwrap().is_some();
            ended || UnixStream::connect(&socket).is_ok()
        });
        if !ended {
            self.child = Some(child);
        }
        !ended
    }

    /// Whether it has ended, by whatever. Then there is none any more.
    pub(crate) fn has_ended(&mut self) -> bool {
        let ended = self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some());
        if ended {
            self.child = None;
        }
        ended
    }

    /// `layerd` without anything that says where.
    pub(crate) fn layerd(&self) -> Command {
        let mut command = self.clean(program("layerd"));
        command.arg("--config").arg(self.path("config.toml"));
        command
    }

    /// A program that hears of this daemon and of nothing else.
    pub(crate) fn clean(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        FOREIGN.iter().for_each(|name| {
            command.env_remove(name);
        });
        // Settings of a daemon that this test knows nothing of.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LAYERD_")) {
            command.env_remove(name);
        }
        if keeps_images() {
            command.env("LAYERD_LAYERS", "erofs");
        }
        command.env("HOME", self.folder.path()).env("DOCKER_CONFIG", self.path("docker"));
        command.env("XDG_RUNTIME_DIR", self.path("run"));
        let host = format!("unix://{}", self.socket().display());
        command.env("LAYERD_HOST", &host).env("DOCKER_HOST", &host);
        command
    }

    /// A place in the folder that goes away with this value.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The store.
    pub(crate) fn root(&self) -> PathBuf {
        self.path("root")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("layerd.sock")
    }

    fn log_file(&self) -> PathBuf {
        self.path("layerd.log")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Kills it as a crash does, if it runs.
    pub(crate) fn kill_if_running(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may be dying at this moment.
            let _ = child.kill();
            child.wait().unwrap();
        }
    }

    /// Kills it as a crash does.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }

    /// Asks it to stop, and waits for its end.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        send(&child, Signal::TERM);
        child.wait().unwrap()
    }

    /// Waits for its end, which somebody has asked for.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.take().unwrap().wait().unwrap()
    }

    /// The client of this daemon with some arguments.
    pub(crate) fn layer_command(&self, args: &[&str]) -> Command {
        let mut command = self.clean(program("layer"));
        command.args(args);
        command
    }

    /// Runs the client.
    pub(crate) fn layer(&self, args: &[&str]) -> Ran {
        run(&mut self.layer_command(args))
    }

    /// Runs docker's client.
    pub(crate) fn docker(&self, args: &[&str]) -> Ran {
        run(&mut self.docker_command(args))
    }

    /// Docker's client, set up to ask this daemon, with some arguments.
    pub(crate) fn docker_command(&self, args: &[&str]) -> Command {
        assert!(is_installed("docker"), "`docker` is missing: install docker's command line, package `docker-cli`");
        let mut command = self.clean("docker");
        command.args(args);
        command
    }

    /// Runs skopeo.
    pub(crate) fn skopeo(&self, args: &[&str]) -> Ran {
        let mut command = self.clean("skopeo");
        command.arg("--insecure-policy").args(args);
        assert!(is_installed("skopeo"), "`skopeo` is missing: install the Debian package `skopeo`");
        run(&mut command)
    }

    /// What docker's client would be told about an image.
    #[track_caller]
    pub(crate) fn inspect(&self, image: &str) -> Value {
        let text = self.layer(&["inspect", image]).ok();
        let mut found: Vec<Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(found.len(), 1);
        found.remove(0)
    }

    /// The names in a folder of the store.
    pub(crate) fn list(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.root().join(folder))
            .unwrap()
            .map(|item| item.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// The bytes of partial downloads.
    pub(crate) fn partial_bytes(&self) -> u64 {
        fn size(folder: &Path) -> u64 {
            let Ok(items) = fs::read_dir(folder) else { return 0 };
            items
                .flatten()
                .filter_map(|item| Some((item.path(), item.metadata().ok()?)))
                .map(|(path, meta)| if meta.is_dir() { size(&path) } else { meta.len() })
                .sum()
        }
        size(&self.root().join("ingest"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.child.is_some() {
            for mount in self.layer(&["mounts", "--quiet"]).stdout.lines() {
                run(&mut self.layer_command(&["umount", mount]));
            }
        }
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself; there is nothing else to do about either failure.
            let _ = child.kill();
            let _ = child.wait();
        }
        // What a killed daemon has left mounted.
        let here = self.folder.path().to_string_lossy().into_owned();
        let mounts = fs::read("/proc/self/mounts").unwrap_or_default();
        let mounts = String::from_utf8_lossy(&mounts);
        for place in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)) {
            if place.starts_with(&here) {
                run(Command::new("umount").args(["--lazy", place]));
            }
        }
        if std::thread::panicking() {
            println!("the log of layerd:\n{}", self.log());
        }
    }
}

pub(crate) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

/// A registry with one image whose second layer stops coming in the middle, until the gate opens.
pub(crate) struct Stalled {
    pub(crate) registry: Registry,
    pub(crate) image: Image,
    pub(crate) name: String,
    pub(crate) gate: Gate,
}

impl Stalled {
    pub(crate) fn new() -> Self {
        use layer_testkit::image::ImageBuilder;
        use layer_testkit::layer::{Data, Entry, LayerBuilder};
        use layer_testkit::registry::{Fault, Target};
        let registry = Registry::start().unwrap();
        let large = LayerBuilder::new().entry(Entry::data("large", Data::Noise { seed: 1, len: 8 << 20 })).gzip();
        let digest = large.blob.digest.clone();
        let image = ImageBuilder::new().layer(LayerBuilder::new().file("small", "1").gzip()).layer(large).build();
        let name = registry.put_image("lab/stalled", "1", &image);
        let gate = Gate::new();
        registry.fault(Target::Blob(digest), Fault::Stall { after: 4 << 20, gate: gate.clone() });
        Self { registry, image, name, gate }
    }

    /// The digest of the layer that doesn't come.
    pub(crate) fn digest(&self) -> &str {
        &self.image.layers[1].blob.digest
    }

    /// Waits until the daemon has written a part of the layer, and gets no more.
    pub(crate) fn wait(&self, daemon: &Daemon) {
        self.gate.wait_for(1).unwrap();
        eventually("a part of the layer is on disk", || daemon.partial_bytes() > 1 << 20);
    }

    /// The offset that the last request for the layer began at.
    pub(crate) fn resumed_at(&self) -> Option<u64> {
        let requests = self.registry.requests();
        let last = requests.iter().rfind(|request| request.is_blob_get() && request.path.ends_with(self.digest()))?;
        last.range.as_deref()?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}
