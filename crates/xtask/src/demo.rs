//! The main job, shown on what this machine has: no network is needed.

use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use layer_testkit::debian_images;
use layer_testkit::image::{Image, ImageBuilder};
use layer_testkit::layer::Compression;
use layer_testkit::registry::Registry;
use xshell::{Shell, cmd};

use crate::machine::{self, Build};

/// How long the daemon may take to answer. It takes milliseconds, but for the first sync of its files the disk may have to write all that the
/// machine has left to be written; what takes longer than this hangs.
const START_LIMIT: Duration = Duration::from_secs(180);

/// Where the demonstration keeps its files.
const FOLDER: &str = "LAYERD_DEMO_FOLDER";

/// Runs the demonstration in a mount namespace of its own, so that its mounts end with it, and removes its files however it ends. All processes
/// inside inherit the lock: it is free when the last one has gone, be it the daemon that still tidies up after ^C.
const SCRIPT: &str = r#"
    trap : INT TERM HUP
    flock "$LAYERD_DEMO_FOLDER/lock" unshare --mount -- "$0" demo-inside "$1" "$2"
    status=$?
    trap "" INT TERM HUP
    flock "$LAYERD_DEMO_FOLDER/lock" rm -rf "$LAYERD_DEMO_FOLDER" && exit $status
"#;

/// Builds the programs and shows them.
pub(crate) fn run(build: Build) -> Result<()> {
    let shell = Shell::new()?;
    machine::need_root(&shell)?;
    machine::need_overlay(&shell)?;
    shell.change_dir(machine::project()?);
    say("Building the daemon and its client");
    let programs = machine::build(&shell, build)?;
    let folder = tempfile::Builder::new().prefix("layerd-demo-").tempdir()?.keep();
    let error = Command::new("sh")
        .args(["-c", SCRIPT])
        .arg(std::env::current_exe()?)
        .args([programs.layerd, programs.layer])
        .env(FOLDER, folder)
        .exec();
    Err(error).context("run `sh`")
}

/// An image of the files of some of this machine's packages, one layer each. All of them are on every Debian.
fn image(packages: [&str; 3]) -> Result<Image> {
    let mut image = ImageBuilder::new().platform(&debian_images::host_platform());
    for package in packages {
        image = image.layer(debian_images::package_layer(&[package], Compression::Gzip)?);
    }
    Ok(image.cmd(&["ls"]).build())
}

/// The demonstration itself.
pub(crate) fn inside(layerd: &Path, layer: &Path) -> Result<()> {
    let folder = PathBuf::from(std::env::var_os(FOLDER).context("run this by `cargo xtask demo`")?);
    let root = folder.join("store");
    let socket = folder.join("layerd.sock");

    say("Making two images of files of this machine, and a registry that serves them");
    let registry = Registry::start()?;
    let first = registry.put_image("demo/tools", "1", &image(["base-files", "coreutils", "tar"])?);
    let second = registry.put_image("demo/texts", "1", &image(["base-files", "coreutils", "sed"])?);

    say("Starting the daemon on an empty store");
    let daemon = Daemon::start(layerd, &root, &socket, &folder.join("layerd.log"))?;
    let layer = |args: &[&str]| -> Result<()> {
        println!("$ layer {}", args.join(" "));
        let status = Command::new(layer).args(args).env("LAYERD_HOST", &socket).status().context("run `layer`")?;
        ensure!(status.success(), "`layer {}` failed", args.join(" "));
        Ok(())
    };

    say("Pulling the first image: fetched, verified and unpacked in one pass");
    layer(&["pull", &first])?;
    layer(&["images"])?;

    say("Mounting it, and looking into its root");
    let mounted = folder.join("mounted");
    std::fs::create_dir(&mounted)?;
    layer(&["mount", &first, &mounted.to_string_lossy()])?;
    let shell = Shell::new()?;
    println!("$ ls -l {}", mounted.display());
    cmd!(shell, "ls -l {mounted}").quiet().run()?;

    say("Pulling the second image, which shares two of its three layers with the first");
    layer(&["pull", &second])?;
    layer(&["images"])?;

    say("Unmounting, and stopping the daemon");
    layer(&["umount", &mounted.to_string_lossy()])?;
    daemon.stop()?;
    println!("\nDone. Nothing of it is left on this machine but what was built.");
    Ok(())
}

fn say(text: &str) {
    println!("\n== {text}");
}

/// A daemon that ends with this process.
struct Daemon(Child);

impl Daemon {
    fn start(program: &Path, root: &Path, socket: &Path, log: &Path) -> Result<Self> {
        println!("$ layerd --root {} --listen unix://{}", root.display(), socket.display());
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM"])
            .arg(program)
            .arg("--root")
            .arg(root)
            .arg("--listen")
            .arg(format!("unix://{}", socket.display()))
            .stderr(std::fs::File::create(log)?)
            .spawn()
            .with_context(|| format!("run `{}`", program.display()))?;
        let mut daemon = Self(child);
        let begun = Instant::now();
        while UnixStream::connect(socket).is_err() {
            if let Some(status) = daemon.0.try_wait()? {
                bail!("the daemon ended with {status}: {}", std::fs::read_to_string(log)?.trim());
            }
            ensure!(
                begun.elapsed() < START_LIMIT,
                "the daemon doesn't answer within {START_LIMIT:?}: {}",
                std::fs::read_to_string(log)?.trim()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(daemon)
    }

    fn stop(mut self) -> Result<()> {
        let pid = self.0.id().to_string();
        let shell = Shell::new()?;
        cmd!(shell, "kill -TERM {pid}").quiet().run()?;
        let status = self.0.wait()?;
        ensure!(status.success(), "the daemon ended with {status}");
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // After a proper stop there is nothing to kill, which is no error.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
