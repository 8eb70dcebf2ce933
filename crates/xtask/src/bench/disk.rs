//! The disk that all stores lie on: a journaled ext4 in a file, made anew for each run.
//!
//! The file system below may be of any kind, and on one without a journal deleting trees and making them again is ten times slower: the
//! inode allocator goes past all inodes that were freed a moment ago.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use xshell::{Shell, cmd};

use super::cache::Cache;

/// Where it is mounted, in the mount namespace of the benchmark alone: short, since paths of sockets must be.
pub(crate) const DISK: &str = "/mnt/disk";
/// For sockets, logs and settings; in memory.
pub(crate) const RUN: &str = "/mnt/run";

/// How a file system is made. It is not checked for old content, so that blocks of the file are kept from run to run.
const MAKE: [&str; 5] = ["-q", "-F", "-O", "has_journal", "-E"];
const MAKE_EXTRA: &str = "lazy_itable_init=1,lazy_journal_init=1,nodiscard";
/// Inode tables are not filled in the background, where it would be measured.
const MOUNT: &str = "loop,noinit_itable,relatime";

/// Fails clearly where the disk can't be made.
pub(crate) fn need_loop_and_ext4() -> Result<()> {
    let shell = Shell::new()?;
    let known = || Ok::<_, anyhow::Error>(shell.read_file("/proc/filesystems")?.contains("\text4"));
    if !known()? {
        let _ = cmd!(shell, "modprobe ext4").quiet().ignore_stderr().run();
    }
    ensure!(known()?, "the benchmark needs ext4, which this kernel has not");
    if !Path::new("/dev/loop-control").exists() {
        let _ = cmd!(shell, "modprobe loop").quiet().ignore_stderr().run();
    }
    let free = cmd!(shell, "losetup --find").quiet().ignore_stderr().read();
    ensure!(free.is_ok(), "the benchmark needs a loop device, and there is none to be had (`losetup --find`)");
    Ok(())
}

/// The disk. It is taken down when this value is dropped; if that never happens, with the mount namespace.
pub(crate) struct Disk {
    shell: Shell,
    image: PathBuf,
    /// A root beside ours that sees all of it at the same places.
    peer_root: Option<PathBuf>,
    /// Whether it is mounted now.
    up: bool,
    /// Whether writes go past the cache of the file system below, as they do on a disk.
    pub(crate) direct: bool,
    pub(crate) size: u64,
    /// What takes the place of what the kernel had in memory of it, unless the corpus is so small that nothing would be seen of that.
    cache: Option<Cache>,
}

impl Disk {
    /// Makes it in a file in `folder`.
    pub(crate) fn make(folder: &Path, size: u64, peer_root: Option<&Path>, cache: Option<Cache>) -> Result<Self> {
        let shell = Shell::new()?;
        ensure!(Path::new("/mnt").is_dir(), "the benchmark mounts its disk below `/mnt`, which is not there");
        cmd!(shell, "mount -t tmpfs -o mode=755 bench /mnt").quiet().run()?;
        // podman leaves its locks there.
        cmd!(shell, "mount -t tmpfs -o mode=1777 bench /dev/shm").quiet().run()?;
        for place in [DISK, RUN] {
            fs::create_dir(place).with_context(|| format!("make `{place}`"))?;
        }
        if let Some(root) = peer_root {
            join_root(&shell, root)?;
        }
        let image = folder.join("disk.ext4");
        let file = fs::File::create(&image).with_context(|| format!("create `{}`", image.display()))?;
        file.set_len(size).context("size the disk")?;
        let peer_root = peer_root.map(Path::to_owned);
        let mut disk = Self { shell, image, peer_root, up: false, direct: true, size, cache };
        disk.renew()?;
        Ok(disk)
    }

    /// Makes it empty, and what the kernel had in memory of it is gone too.
    pub(crate) fn renew(&mut self) -> Result<()> {
        self.down()?;
        let (shell, image) = (&self.shell, &self.image);
        cmd!(shell, "mkfs.ext4 {MAKE...} {MAKE_EXTRA} {image}").quiet().ignore_stdout().run()?;
        cmd!(shell, "mount -o {MOUNT} {image} {DISK}").quiet().run()?;
        self.up = true;
        let device = self.device()?;
        self.direct = cmd!(shell, "losetup --direct-io=on {device}").quiet().ignore_stderr().run().is_ok();
        if let Some(root) = &self.peer_root {
            let place = root.join(DISK.trim_start_matches('/'));
            cmd!(shell, "mount --bind {DISK} {place}").quiet().run()?;
        }
        // What other programs have written until now is not to be paid for by who syncs first.
        cmd!(shell, "sync").quiet().run()?;
        self.cache.as_mut().map_or(Ok(()), Cache::fill)
    }

    fn device(&self) -> Result<String> {
        let text = fs::read_to_string("/proc/mounts").context("read `/proc/mounts`")?;
        let ours = text.lines().rev().find(|line| line.split(' ').nth(1) == Some(DISK));
        Ok(ours.and_then(|line| line.split(' ').next()).context("the disk is mounted")?.to_owned())
    }

    /// Takes it down, with whatever daemons have left mounted on it and beside it, and removes their sockets and settings.
    fn down(&mut self) -> Result<()> {
        if !self.up {
            return Ok(());
        }
        let shell = &self.shell;
        for place in mounts()?.iter().rev().filter(|place| self.is_of_run(place)) {
            cmd!(shell, "umount {place}").quiet().run()?;
        }
        self.up = false;
        for entry in fs::read_dir(RUN).with_context(|| format!("list `{RUN}`"))? {
            let path = entry?.path();
            cmd!(shell, "rm -rf {path}").quiet().run()?;
        }
        Ok(())
    }

    /// Whether this is a mount that no run inherits: the disk itself, and all on it and among the sockets.
    fn is_of_run(&self, place: &str) -> bool {
        let in_ours = |place: &str| {
            place == DISK
                || place.strip_prefix(DISK).or(place.strip_prefix(RUN)).is_some_and(|rest| rest.starts_with('/'))
        };
        let root = self.peer_root.as_deref().and_then(Path::to_str);
        in_ours(place) || root.and_then(|root| place.strip_prefix(root)).is_some_and(in_ours)
    }

    /// What is taken of it: bytes, and inodes.
    pub(crate) fn used(&self) -> Result<(u64, u64)> {
        let shell = &self.shell;
        let text = cmd!(shell, "df --block-size=1 --output=used,iused {DISK}").quiet().read()?;
        let mut words = text.lines().last().context("`df` tells of the disk")?.split_whitespace();
        let mut number = || Ok::<_, anyhow::Error>(words.next().context("`df` tells a number")?.parse()?);
        Ok((number()?, number()?))
    }

    /// How long it takes until all that was written is on it, in seconds.
    pub(crate) fn sync(&self) -> Result<f64> {
        let begun = std::time::Instant::now();
        let shell = &self.shell;
        cmd!(shell, "sync --file-system {DISK}").quiet().run()?;
        Ok(begun.elapsed().as_secs_f64())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What is left goes with the mount namespace.
        let _ = self.down();
    }
}

/// Where something is mounted, in the order in which it was.
fn mounts() -> Result<Vec<String>> {
    let text = fs::read_to_string("/proc/mounts").context("read `/proc/mounts`")?;
    Ok(text.lines().filter_map(|line| Some(line.split(' ').nth(1)?.to_owned())).collect())
}

/// Shows a root beside ours what programs in it need. Folders in memory hide what they would leave there.
fn join_root(shell: &Shell, root: &Path) -> Result<()> {
    ensure!(root.join("usr/bin").is_dir(), "`{}` is not the root of a system", root.display());
    // Programs in there change how their root is mounted, so it has to be a mount.
    cmd!(shell, "mount --bind {root} {root}").quiet().run()?;
    let at = |name: &str| root.join(name);
    for name in ["mnt", "proc", "sys", "dev", "run", "tmp"] {
        fs::create_dir_all(at(name)).with_context(|| format!("make `{}`", at(name).display()))?;
    }
    for name in ["run", "tmp", "mnt"] {
        let place = at(name);
        cmd!(shell, "mount -t tmpfs -o mode=755 bench {place}").quiet().run()?;
    }
    for name in ["proc", "sys", "dev"] {
        let (from, place) = (format!("/{name}"), at(name));
        cmd!(shell, "mount --rbind {from} {place}").quiet().run()?;
    }
    for name in ["mnt/disk", "mnt/run"] {
        fs::create_dir(at(name)).with_context(|| format!("make `{}`", at(name).display()))?;
    }
    let place = at("mnt/run");
    cmd!(shell, "mount --bind {RUN} {place}").quiet().run()?;
    Ok(())
}
