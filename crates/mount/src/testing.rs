//! Layers for tests, and mounts that don't outlive them.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};
use rustix::mount::{MountFlags, UnmountFlags};
use tempfile::TempDir;

/// Where temporary files lie on a disk.
pub(crate) const DISK: &str = "/var/tmp";

/// A place for layers and mount points. Mounts below it are taken down with it, even if the test fails.
pub(crate) struct Place(TempDir);

impl Place {
    /// Fails where tests can't mount.
    pub(crate) fn new() -> Self {
        assert!(rustix::process::geteuid().is_root(), "this test mounts: run it as root");
        Self(TempDir::new().unwrap())
    }

    /// A place on a disk: the usual folder for temporary files may lie in memory, where the kernel mounts no images from.
    pub(crate) fn on_disk() -> Self {
        assert!(rustix::process::geteuid().is_root(), "this test mounts: run it as root");
        Self(TempDir::new_in(DISK).unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A new empty folder.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// A new empty file system in memory, mounted on a folder.
    pub(crate) fn memory(&self, name: &str) -> PathBuf {
        let path = self.folder(name);
        rustix::mount::mount(c"tmpfs", &path, c"tmpfs", MountFlags::empty(), c"mode=755").unwrap();
        path
    }

    /// An EROFS image with a root that holds regular files, told by name, mode, owner and content.
    pub(crate) fn image(&self, name: &str, files: &[(&str, u16, u16, &[u8])]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, erofs(files)).unwrap();
        path
    }

    /// A layer made of lines: `d PATH [MODE]` folder, `o PATH` opaque folder, `f PATH CONTENT`, `l PATH TARGET` symbolic link,
    /// `h PATH OTHER` hard link, `w PATH` whiteout. Parents are made if need be; `.` is the root.
    pub(crate) fn layer(&self, name: &str, lines: &[&str]) -> PathBuf {
        let root = self.folder(name);
        for line in lines {
            let (kind, rest) = line.split_once(' ').unwrap();
            let (path, value) = rest.split_once(' ').unwrap_or((rest, ""));
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match kind {
                "d" => {
                    fs::create_dir_all(&path).unwrap();
                    if !value.is_empty() {
                        let mode = u32::from_str_radix(value, 8).unwrap();
                        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                    }
                }
                "o" => {
                    fs::create_dir_all(&path).unwrap();
                    set_xattr(&path, "trusted.overlay.opaque", b"y");
                }
                "f" => fs::write(&path, value).unwrap(),
                "l" => symlink(value, &path).unwrap(),
                "h" => fs::hard_link(root.join(value), &path).unwrap(),
                "w" => whiteout(&path),
                other => panic!("no kind of entry: {other}"),
            }
        }
        root
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let below = self.0.path().as_os_str().to_str().unwrap().to_owned() + "/";
        // Later mounts lie on top of earlier ones.
        for place in mounts().into_iter().rev().filter(|place| place.starts_with(&below)) {
            let _ = rustix::mount::unmount(place, UnmountFlags::DETACH);
        }
    }
}

/// The bytes of an EROFS image: superblock, inodes of 32 bytes, the root's entries, and the contents, all in blocks of 512 bytes.
fn erofs(files: &[(&str, u16, u16, &[u8])]) -> Vec<u8> {
    const BLOCK: usize = 512;
    const INODES: usize = 3;
    let u16_of = |n: usize| u16::try_from(n).unwrap().to_le_bytes();
    let u32_of = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
    // The root has the number 1. Names must be in order; `.` and `..` come before all that tests use.
    let mut entries = vec![(".", 1, 2), ("..", 1, 2)];
    entries.extend(files.iter().enumerate().map(|(n, (name, ..))| (*name, n + 2, 1)));
    entries.sort_unstable();
    let mut root = Vec::new();
    let mut offset = entries.len() * 12;
    for (name, number, kind) in &entries {
        root.extend([&u32_of(*number)[..], &[0; 4], &u16_of(offset), &[*kind, 0]].concat());
        offset += name.len();
    }
    entries.iter().for_each(|(name, ..)| root.extend_from_slice(name.as_bytes()));
    assert!(root.len() <= BLOCK, "one block of names");

    let mut inodes = vec![0; 32];
    let mut contents = Vec::new();
    let first = INODES + ((files.len() + 2) * 32).div_ceil(BLOCK);
    let nodes = files.iter().map(|(_, mode, owner, content)| (0o100_000 | mode, *owner, *content));
    for (n, (mode, owner, content)) in std::iter::once((0o040_755, 0, &root[..])).chain(nodes).enumerate() {
        inodes.extend([&[0; 4][..], &mode.to_le_bytes(), &u16_of(if n == 0 { 2 } else { 1 })].concat());
        inodes.extend([u32_of(content.len()), [0; 4], u32_of(first + contents.len() / BLOCK), u32_of(n + 1)].concat());
        inodes.extend([owner.to_le_bytes(), owner.to_le_bytes(), [0; 2], [0; 2]].concat());
        contents.extend_from_slice(content);
        contents.resize(contents.len().next_multiple_of(BLOCK), 0);
    }
    let mut image = vec![0; first * BLOCK];
    let (count, blocks) = (u32_of(files.len() + 1), u32_of(first + contents.len() / BLOCK));
    let fields: [(usize, &[u8]); 6] = [
        (0, &0xe0f5_e1e2_u32.to_le_bytes()),
        (12, &[9, 0, 1, 0]),
        (16, &count),
        (36, &blocks),
        (40, &u32_of(INODES)),
        (44, &u32_of(INODES)),
    ];
    for (at, bytes) in fields {
        image[1024 + at..][..bytes.len()].copy_from_slice(bytes);
    }
    image[INODES * BLOCK..][..inodes.len()].copy_from_slice(&inodes);
    image.extend(contents);
    image
}

/// All mount points of this process, oldest first, as the kernel spells them. Those of other tests are among them, which may be no text at all.
pub(crate) fn mounts() -> Vec<String> {
    let table = fs::read("/proc/self/mountinfo").unwrap();
    let table = String::from_utf8_lossy(&table);
    table.lines().map(|line| line.split(' ').nth(4).unwrap().to_owned()).collect()
}

/// Makes a whiteout, and the mark that its folder needs.
pub(crate) fn whiteout(path: &Path) {
    set_xattr(path.parent().unwrap(), "trusted.overlay.origin", b"");
    rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0).unwrap();
}

pub(crate) fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

/// All attributes but the ones of overlayfs, in order.
pub(crate) fn xattrs(file: impl AsFd) -> Vec<(String, Vec<u8>)> {
    let attributes = layer_fs::list_xattrs(file).unwrap().into_iter();
    let mut attributes: Vec<_> = attributes.map(|(name, value)| (name.into_string().unwrap(), value)).collect();
    attributes.retain(|(name, _)| !name.starts_with("trusted.overlay."));
    attributes.sort();
    attributes
}

/// Sets both times, of a link itself.
pub(crate) fn set_time(path: &Path, seconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

pub(crate) fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

/// The names in a folder, in order.
pub(crate) fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
