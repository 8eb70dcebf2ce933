//! What the chores need of the machine.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use xshell::{Shell, cmd};

/// Fails unless it is root that runs this: images have owners and devices, and are mounted.
pub(crate) fn need_root(shell: &Shell) -> Result<()> {
    let id = cmd!(shell, "id -u").quiet().read()?;
    ensure!(id == "0", "run this as root: the files of images belong to many users, and images are mounted");
    Ok(())
}

/// Fails unless the kernel has overlayfs, which it may yet have to load.
pub(crate) fn need_overlay(shell: &Shell) -> Result<()> {
    let known = || Ok::<_, anyhow::Error>(shell.read_file("/proc/filesystems")?.contains("\toverlay"));
    if !known()? {
        let _ = cmd!(shell, "modprobe overlay").quiet().ignore_stderr().run();
    }
    ensure!(known()?, "this kernel has no overlayfs, without which images can't be mounted");
    Ok(())
}

/// The programs that tests and builds call, and the Debian packages that have them.
const PROGRAMS: [(&str, &str); 9] = [
    ("cc", "gcc"),
    ("docker", "docker.io"),
    ("docker-registry", "docker-registry"),
    ("skopeo", "skopeo"),
    ("busybox", "busybox-static"),
    ("tar", "tar"),
    ("script", "bsdutils"),
    ("systemd-analyze", "systemd"),
    ("systemd-socket-activate", "systemd"),
];

/// Installs the packages whose programs are missing.
pub(crate) fn install_programs(shell: &Shell) -> Result<()> {
    let missing: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| find(program).is_none()).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("installing {}", missing.join(" "));
    let advice = || format!("install these Debian packages, and run this again: {}", missing.join(" "));
    let packages = &missing;
    let _environment = shell.push_env("DEBIAN_FRONTEND", "noninteractive");
    cmd!(shell, "apt-get update -qq").run().with_context(advice)?;
    cmd!(shell, "apt-get install -qq -y --no-install-recommends {packages...}").run().with_context(advice)?;
    for (program, package) in PROGRAMS {
        ensure!(find(program).is_some(), "package `{package}` is installed, and there is still no `{program}`");
    }
    Ok(())
}

/// Installs a tool of cargo's from source if it isn't there.
pub(crate) fn install_tool(shell: &Shell, tool: &str) -> Result<()> {
    if cmd!(shell, "cargo {tool} --version").quiet().ignore_stdout().ignore_stderr().run().is_ok() {
        return Ok(());
    }
    let package = format!("cargo-{tool}");
    println!("installing {package}");
    // Without optimisation: it is built far more often than its speed is noticed.
    cmd!(shell, "cargo install --quiet --locked --debug {package}")
        .run()
        .with_context(|| format!("install `{package}`"))
}

/// Where a program is.
fn find(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let usual = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&folders).chain(usual).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// The root of the project.
pub(crate) fn project() -> Result<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(own.ancestors().nth(2).context("the project has a root")?.to_owned())
}

/// Where cargo puts what it builds.
pub(crate) fn target(shell: &Shell) -> Result<PathBuf> {
    let json = cmd!(shell, "cargo metadata --format-version 1 --no-deps --offline").quiet().read()?;
    let (_, rest) = json.split_once("\"target_directory\":\"").context("cargo tells where it builds")?;
    let (path, _) = rest.split_once('"').context("cargo tells where it builds")?;
    Ok(path.into())
}
