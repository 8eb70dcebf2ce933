//! An image, made and mounted.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use layer_erofs::{BLOCK, HEAD, Tree};
use rustix::mount::{MountFlags, UnmountFlags};
use tempfile::TempDir;

/// Contents on their way into an image: what each file gets begins on a block.
#[derive(Default)]
pub(crate) struct Contents(Vec<u8>);

impl Contents {
    /// Adds one, and says where it begins.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> u64 {
        // What stands between contents is never shown.
        let start = self.0.len().next_multiple_of(512);
        self.0.resize(start, 0xaa);
        self.0.extend_from_slice(bytes);
        HEAD + start as u64
    }
}

/// A mounted image, which goes when it is dropped.
pub(crate) struct Mounted {
    folder: TempDir,
}

impl Mounted {
    pub(crate) fn new(tree: &Tree, contents: &Contents) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        write(tree, contents, &image);
        let on = folder.path().join("on");
        std::fs::create_dir(&on).unwrap();
        rustix::mount::mount(&image, &on, c"erofs", MountFlags::RDONLY, None).unwrap();
        Self { folder }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("on")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        rustix::mount::unmount(self.root(), UnmountFlags::DETACH).unwrap();
    }
}

pub(crate) fn write(tree: &Tree, contents: &Contents, path: &Path) {
    let mut file = File::create(path).unwrap();
    file.write_all_at(&contents.0, HEAD).unwrap();
    let start = (HEAD + contents.0.len() as u64).next_multiple_of(BLOCK);
    file.seek(SeekFrom::Start(start)).unwrap();
    let head = tree.write(start, &mut file).unwrap();
    file.write_all_at(&head.with_uuid(*b"0123456789abcdef"), 0).unwrap();
    file.flush().unwrap();
}
