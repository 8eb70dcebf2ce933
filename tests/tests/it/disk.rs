//! File systems of a test's own, in files on loop devices: small ones, and ones that lose their power.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::service::{eventually, run};

/// The kind of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ext4,
    Xfs,
}

/// A mounted file system. Dropping it takes it down.
pub(crate) struct Disk {
    kind: Kind,
    place: PathBuf,
    folder: TempDir,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    /// ext4 writes its journal only when it is asked to, not every five seconds; and an error makes it read-only.
    fn options(self) -> &'static str {
        match self {
            Self::Ext4 => "loop,commit=600,errors=remount-ro",
            Self::Xfs => "loop",
        }
    }
}

impl Disk {
    /// Makes a file system of so many bytes, and mounts it at `place`.
    pub(crate) fn mount(kind: Kind, bytes: u64, place: &Path) -> Self {
        need(kind);
        let memory = Path::new("/dev/shm");
        let folder = tempfile::tempdir_in(if memory.is_dir() { memory } else { Path::new("/tmp") }).unwrap();
        let image = folder.path().join("image");
        fs::File::create(&image).unwrap().set_len(bytes).unwrap();
        let mut command = tool(&format!("mkfs.{}", kind.name()));
        command.arg("-q");
        if kind == Kind::Ext4 {
            // No blocks are kept for root, which the daemon is.
            command.args(["-F", "-m", "0"]);
        }
        run(command.arg(&image)).ok();
        fs::create_dir_all(place).unwrap();
        let disk = Self { kind, place: place.to_owned(), folder };
        disk.put_up();
        disk
    }

    fn put_up(&self) {
        let mut command = tool("mount");
        run(command
            .args(["-t", self.kind.name(), "-o", self.kind.options()])
            .arg(self.folder.path().join("image"))
            .arg(&self.place))
        .ok();
    }

    /// Takes the power away: what has not been written to the disk by now never is, and every further write fails.
    pub(crate) fn cut(&self) {
        run(tool("xfs_io").args(["-x", "-c", "shutdown"]).arg(&self.place)).ok();
    }

    /// Mounts it again, as the next boot does. Nobody may use it.
    pub(crate) fn again(&self) {
        eventually("the file system can be unmounted", || run(tool("umount").arg(&self.place)).code == Some(0));
        self.put_up();
    }

    /// Has the kernel find an error, after which the file system is read-only. ext4 alone can.
    pub(crate) fn break_down(&self) {
        // Other tests mount at places whose names are no text.
        let mounts = fs::read("/proc/self/mounts").unwrap();
        let mounts = String::from_utf8_lossy(&mounts);
        let end = format!(" {} ", self.place.display());
        let device = mounts.lines().rfind(|line| line.contains(&end)).unwrap().split(' ').next().unwrap();
        let name = device.strip_prefix("/dev/").unwrap();
        fs::write(format!("/sys/fs/ext4/{name}/trigger_fs_error"), "a test").unwrap();
    }

    /// The bytes that are free.
    pub(crate) fn free(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.place).unwrap();
        stat.f_bfree * stat.f_frsize
    }

    /// Fills it up to the last `leave` bytes, with a file that [`make_room`](Self::make_room) removes.
    pub(crate) fn fill(&self, leave: u64) {
        let file = fs::File::options().create(true).append(true).open(self.filler()).unwrap();
        // Some of it goes into the file system's own records, so that the last bytes are asked for piece by piece.
        let mut step = self.free().saturating_sub(leave);
        while step >= 1024 && self.free() > leave {
            let len = file.metadata().unwrap().len();
            let step_now = step.min(self.free() - leave);
            if rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), len, step_now).is_err() {
                step /= 2;
            }
        }
    }

    /// Removes what [`fill`](Self::fill) has put there.
    pub(crate) fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.place.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run(tool("umount").arg("--lazy").arg(&self.place));
    }
}

/// A program that may lie where only root looks.
fn tool(name: &str) -> Command {
    let found = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(|folder| Path::new(folder).join(name));
    Command::new(found.iter().find(|path| path.exists()).unwrap_or_else(|| {
        panic!("`{name}` is missing: install the Debian packages `e2fsprogs`, `xfsprogs` and `mount`")
    }))
}

/// Fails with what this machine lacks.
fn need(kind: Kind) {
    assert!(Path::new("/dev/loop-control").exists(), "this machine has no loop devices (`/dev/loop-control`)");
    let name = kind.name();
    let is_known = || {
        let known = fs::read_to_string("/proc/filesystems").unwrap();
        known.lines().any(|line| line.split_whitespace().last() == Some(name))
    };
    if !is_known() {
        let _ = Command::new("modprobe").arg(name).output();
    }
    assert!(is_known(), "this kernel knows no {name}");
}
