//! What the chores need of the machine.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use xshell::{Cmd, Shell, cmd};

/// Fails unless it is root that runs this: images have owners and devices, and are mounted.
pub(crate) fn need_root(shell: &Shell) -> Result<()> {
    let id = cmd!(shell, "id -u").quiet().read()?;
    ensure!(id == "0", "run this as root: the files of images belong to many users, and images are mounted");
    Ok(())
}

/// Fails unless the kernel has overlayfs, which it may yet have to load.
pub(crate) fn need_overlay(shell: &Shell) -> Result<()> {
    ensure!(has_file_system(shell, "overlay")?, "this kernel has no overlayfs, without which images can't be mounted");
    Ok(())
}

/// Fails on a kernel that can't mount layers that are images.
pub(crate) fn need_erofs(shell: &Shell) -> Result<()> {
    ensure!(
        has_file_system(shell, "erofs")?,
        "this kernel has no EROFS: layers that are EROFS images are tested on Linux 6.12 or later, with EROFS mounted from files"
    );
    Ok(())
}

/// Whether the kernel knows a file system, by itself or by a module that it can load.
fn has_file_system(shell: &Shell, name: &str) -> Result<bool> {
    let is_known = || -> Result<bool> {
        let known = shell.read_file("/proc/filesystems")?;
        Ok(known.lines().any(|line| line.split('\t').next_back() == Some(name)))
    };
    if !is_known()? {
        let _ = cmd!(shell, "modprobe {name}").quiet().ignore_stderr().run();
    }
    is_known()
}

/// The programs that tests call, and the Debian packages that have them. Docker's client comes by a way of its own.
const PROGRAMS: [(&str, &str); 15] = [
    ("docker-registry", "docker-registry"),
    ("skopeo", "skopeo"),
    ("busybox", "busybox-static"),
    ("runc", "runc"),
    ("tar", "tar"),
    ("script", "bsdutils"),
    ("systemd-analyze", "systemd"),
    ("systemd-socket-activate", "systemd"),
    ("mkfs.ext4", "e2fsprogs"),
    ("mkfs.xfs", "xfsprogs"),
    ("xfs_io", "xfsprogs"),
    ("mount", "mount"),
    ("setpriv", "util-linux"),
    ("find", "findutils"),
    ("zstd", "zstd"),
];

/// Installs the programs that are missing.
pub(crate) fn install_programs(shell: &Shell) -> Result<()> {
    let mut missing: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| find(program).is_none()).map(|(_, package)| *package).collect();
    missing.dedup();
    let lacks_docker = find("docker").is_none();
    if missing.is_empty() && !lacks_docker {
        return Ok(());
    }
    let docker = if lacks_docker { &["docker (of docker.io)"][..] } else { &[] };
    let list = [&missing, docker].concat().join(", ");
    println!("missing, and installed now: {list}");
    let advice = || format!("install from Debian, and run this again: {list}");
    let _environment = shell.push_env("DEBIAN_FRONTEND", "noninteractive");
    cmd!(shell, "apt-get update -qq").run().with_context(advice)?;
    if !missing.is_empty() {
        let packages = &missing;
        cmd!(shell, "apt-get install -qq -y --no-install-recommends {packages...}").run().with_context(advice)?;
    }
    if lacks_docker {
        install_docker(shell).with_context(advice)?;
    }
    for program in PROGRAMS.iter().map(|(program, _)| *program).chain(["docker"]) {
        ensure!(find(program).is_some(), "all packages are installed, and there is still no `{program}`");
    }
    Ok(())
}

/// Installs what makes environments of Python, which Debian has apart from Python itself.
pub(crate) fn install_venv(shell: &Shell) -> Result<()> {
    if cmd!(shell, "python3 -c 'import ensurepip, venv'").quiet().ignore_stdout().ignore_stderr().run().is_ok() {
        return Ok(());
    }
    println!("missing, and installed now: python3-venv");
    let _environment = shell.push_env("DEBIAN_FRONTEND", "noninteractive");
    cmd!(shell, "apt-get update -qq").run()?;
    Ok(cmd!(shell, "apt-get install -qq -y --no-install-recommends python3-venv").run()?)
}

/// Installs docker's client alone. Its package has a daemon as well, which would start at once and change this machine's network.
fn install_docker(shell: &Shell) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let _folder = shell.push_dir(folder.path());
    cmd!(shell, "apt-get download -qq docker.io").run()?;
    let packages = shell.read_dir(".")?;
    cmd!(shell, "dpkg-deb --extract {packages...} content").run()?;
    Ok(cmd!(shell, "install -D content/usr/bin/docker /usr/local/bin/docker").run()?)
}

/// Installs a tool of cargo's from source if it isn't there.
pub(crate) fn install_tool(shell: &Shell, tool: &str) -> Result<()> {
    if cmd!(shell, "cargo {tool} --version").quiet().ignore_stdout().ignore_stderr().run().is_ok() {
        return Ok(());
    }
    let package = format!("cargo-{tool}");
    println!("missing, and installed now: {package}");
    // Without optimisation and debug information: building it takes far longer than it ever runs.
    let _environment = shell.push_env("CARGO_PROFILE_DEV_DEBUG", "0");
    cmd!(shell, "cargo install --quiet --locked --debug {package}")
        .run()
        .with_context(|| format!("install `{package}`"))
}

/// Fails unless these programs are there, each with the Debian package that has it.
pub(crate) fn need_programs(programs: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<&str> =
        programs.iter().filter(|(program, _)| find(program).is_none()).map(|(_, package)| *package).collect();
    ensure!(missing.is_empty(), "install from Debian, and run this again: {}", missing.join(", "));
    Ok(())
}

/// Where a program is.
fn find(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let usual = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&folders).chain(usual).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Has the disk take all that was written. A build writes gigabytes, and the first program after it that syncs a file of a hundred bytes would
/// have to wait for them.
pub(crate) fn settle(shell: &Shell) -> Result<()> {
    Ok(cmd!(shell, "sync").quiet().run()?)
}

/// A call of cargo as if by hand. What cargo says of this program in its environment would make build scripts run again that look at it, and
/// half of the project would be built anew each time.
pub(crate) fn as_by_hand(cargo: Cmd<'_>) -> Cmd<'_> {
    let names = std::env::vars_os().map(|(name, _)| name);
    let about_us = names.filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
    });
    about_us.fold(cargo, Cmd::env_remove)
}

/// The root of the project.
pub(crate) fn project() -> Result<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(own.ancestors().nth(2).context("the project has a root")?.to_owned())
}

/// How programs are built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    /// As they are to be used.
    Release,
    /// As the tests have them already.
    Debug,
}

/// The programs that the project is about.
pub(crate) struct Programs {
    pub(crate) layerd: PathBuf,
    pub(crate) layer: PathBuf,
}

/// Builds the daemon and its client: always both and nothing else, since cargo builds dependencies anew for another choice.
pub(crate) fn build(shell: &Shell, build: Build) -> Result<Programs> {
    let (flag, profile) = match build {
        Build::Release => (Some("--release"), "release"),
        Build::Debug => (None, "debug"),
    };
    as_by_hand(cmd!(shell, "cargo build --locked --package layerd --package layer {flag...}")).run()?;
    settle(shell)?;
    // Cargo runs this program from `debug`, a folder beside those of the other profiles, wherever it has been told to build.
    let own = std::env::current_exe()?;
    let folder = own.ancestors().nth(2).context("this program lies where cargo has built it")?.join(profile);
    Ok(Programs { layerd: folder.join("layerd"), layer: folder.join("layer") })
}
