//! A folder to unpack into, with something beside it that must not change.

use std::io::Cursor;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::{error::Error as _, fs};

use layer_digest::Digest;
use layer_fs::Dir;
use layer_testkit::layer::LayerBuilder;
use layer_testkit::tree::{Entry, Kind, Tree, assert_same};
use layer_unpack::manifest::Contents;
use layer_unpack::{Applied, UnpackError, Writers, apply, apply_image, apply_noting, index_sum};
use rustix::mount::{MountFlags, UnmountFlags};
use tempfile::TempDir;

/// `layer`, where it is unpacked, and `outside`, which is looked at again when the sandbox is dropped.
pub(crate) struct Sandbox {
    folder: TempDir,
    before: Tree,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("layer")).unwrap();
        fs::set_permissions(at("layer"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(at("outside/folder")).unwrap();
        fs::write(at("outside/canary"), "alive").unwrap();
        fs::write(at("outside/folder/canary"), "alive").unwrap();
        fs::set_permissions(at("outside/canary"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("canary", at("outside/link")).unwrap();
        let before = Tree::read(&at("outside")).unwrap();
        Self { folder, before }
    }

    /// The path of what must not change.
    pub(crate) fn outside(&self) -> String {
        self.folder.path().join("outside").to_str().unwrap().to_owned()
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("layer")
    }

    /// Unpacks a layer: by one thread alone, and elsewhere with the help of others, which nobody must see.
    #[track_caller]
    pub(crate) fn apply(&self, tar: impl AsRef<[u8]>) -> Result<Applied, UnpackError> {
        let was_empty = fs::read_dir(self.root()).unwrap().next().is_none();
        let alone = self.apply_alone(&tar);
        if was_empty {
            self.check_image(tar.as_ref(), &alone);
        }
        for writers in [Writers::new(1), Writers::new(2).by(1)].into_iter().filter(|_| was_empty) {
            let folder = tempfile::tempdir_in(self.folder.path().parent().unwrap()).unwrap();
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
            let root = Dir::open(folder.path()).unwrap();
            let helped = apply_noting(Cursor::new(tar.as_ref()), &root, &mut Contents::default(), &writers);
            match (&alone, &helped) {
                (Ok(alone), Ok(helped)) => {
                    assert_eq!(alone, helped);
                    check_same(self.tree(), Tree::read(folder.path()).unwrap());
                }
                (Err(alone), Err(helped)) => assert_eq!(chain(alone), chain(helped)),
                _ => panic!("alone: {alone:?}, with help: {helped:?}"),
            }
        }
        alone
    }

    /// Makes an image of the layer, too, which must show what the folder holds, or be refused for the same reason.
    #[track_caller]
    fn check_image(&self, tar: &[u8], folder: &Result<Applied, UnpackError>) {
        // Beside what must not change, where a name that leads out would lead to it.
        let beside = tempfile::tempdir_in(self.folder.path().parent().unwrap()).unwrap();
        match (folder, image(tar, beside.path())) {
            (Ok(folder), Ok((image, mut tree))) => {
                assert_eq!(*folder, image);
                // What the file system of the folder knows of times.
                for (seconds, nanos) in tree.entries.values_mut().map(|entry| &mut entry.mtime) {
                    let known = (*seconds).clamp(-(1 << 31), (1 << 34) - (1 << 31) - 1);
                    *nanos *= i64::from(known == *seconds);
                    *seconds = known;
                }
                let mut own = self.tree();
                if folder.implied_parents.contains(&Vec::new()) {
                    // It belongs to whoever has made the folder.
                    at_mut(&mut own, ".").gid = 0;
                }
                check_same(own.without_holes(), tree.without_holes());
            }
            // Such a layer gets a folder.
            (_, Err(UnpackError::Unfit { .. })) => {}
            // Images hold more of them than the file systems of folders.
            (Err(folder), Ok(_)) if chain(folder).ends_with("is more than this file system can hold") => {}
            (Err(folder), Err(image)) => assert_eq!(chain(folder), chain(&image)),
            (folder, image) => panic!("folder: {folder:?}, image: {image:?}"),
        }
    }

    /// Unpacks a layer by one thread alone, and doesn't look at what came of it.
    pub(crate) fn apply_alone(&self, tar: impl AsRef<[u8]>) -> Result<Applied, UnpackError> {
        apply(Cursor::new(tar.as_ref()), &Dir::open(&self.root()).unwrap())
    }

    /// Unpacks a layer that is fine, and notes the digests of its files.
    pub(crate) fn apply_noting(&self, tar: impl AsRef<[u8]>) -> Contents {
        let mut contents = Contents::default();
        let root = Dir::open(&self.root()).unwrap();
        apply_noting(Cursor::new(tar.as_ref()), &root, &mut contents, &Writers::new(1).by(2)).unwrap();
        contents
    }

    pub(crate) fn tree(&self) -> Tree {
        Tree::read(&self.root()).unwrap()
    }

    /// Fails if anything beside the layer's folder has changed.
    pub(crate) fn check_outside(&self) {
        let outside = self.folder.path().join("outside");
        assert_same(&self.before, &Tree::read(&outside).unwrap());
        assert_eq!(fs::metadata(outside.join("canary")).unwrap().nlink(), 1, "the canary has got another name");
        let mut names: Vec<_> =
            fs::read_dir(self.folder.path()).unwrap().map(|item| item.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["layer", "outside"]);
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.check_outside();
        }
    }
}

/// Makes an image of a layer in a folder that is empty; gives what is said of it and what is seen of it.
pub(crate) fn image(tar: &[u8], folder: &Path) -> Result<(Applied, Tree), UnpackError> {
    let path = folder.join("image");
    let file = fs::OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
    let (applied, image) = apply_image(Cursor::new(tar), &file)?;
    let index = image.seal(&file, Digest::sha256(tar)).unwrap();
    assert_eq!(index.size, file.metadata().unwrap().len());
    assert_eq!(index.sum, index_sum(&file, tar.len() as u64).unwrap());
    // The tar is in it as it came.
    let mut bytes = vec![0; tar.len()];
    file.read_exact_at(&mut bytes, 4096).unwrap();
    assert!(bytes == tar);
    let on = folder.join("on");
    fs::create_dir(&on).unwrap();
    rustix::mount::mount(&path, &on, c"erofs", MountFlags::RDONLY, None).unwrap();
    let tree = Tree::read(&on);
    rustix::mount::unmount(&on, UnmountFlags::DETACH).unwrap();
    Ok((applied, tree.unwrap()))
}

/// Fails if two trees differ in more than when and by which group a whiteout was made, which means nothing.
#[track_caller]
fn check_same(mut one: Tree, mut other: Tree) {
    for whiteout in one.entries.values_mut().chain(other.entries.values_mut()).filter(|it| is_whiteout(it)) {
        whiteout.mtime = (0, 0);
        whiteout.gid = 0;
    }
    assert_same(&one, &other);
}

/// Unpacks a layer that is fine; gives what is said of it and what came of it.
#[track_caller]
pub(crate) fn unpacked(layer: LayerBuilder) -> (Applied, Tree) {
    let sandbox = Sandbox::new();
    let applied = sandbox.apply(layer.tar()).unwrap_or_else(|error| panic!("{}", chain(&error)));
    let mut tree = sandbox.tree();
    take_placeholders(&mut tree, &applied);
    (applied, tree)
}

/// Takes the whiteouts out of a tree that hold the places of links to other layers, and the marks of folders that have whiteouts, having seen
/// to it that they are where they must be.
#[track_caller]
pub(crate) fn take_placeholders(tree: &mut Tree, applied: &Applied) {
    let origin = &b"trusted.overlay.origin"[..];
    let mut marked: Vec<_> = Vec::new();
    for (path, entry) in &tree.entries {
        if is_whiteout(entry) {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            marked.push(folder.map_or_else(|| Path::new(".").to_owned(), Path::to_owned));
        }
    }
    for folder in marked {
        let xattrs = &tree.entries[&folder].xattrs;
        assert!(xattrs.contains_key(origin), "`{}` has whiteouts and no mark", folder.display());
    }
    for link in &applied.foreign_links {
        let path = Path::new(std::ffi::OsStr::from_bytes(&link.path));
        let held = tree.entries.remove(path);
        assert!(held.as_ref().is_some_and(is_whiteout), "nothing holds the place of `{}`", path.display());
    }
    for entry in tree.entries.values_mut() {
        entry.xattrs.remove(origin);
    }
}

/// Unpacks a layer that must be refused, and gives the reason, in which no cause is missing.
#[track_caller]
pub(crate) fn refused(layer: LayerBuilder) -> String {
    chain(&Sandbox::new().apply(layer.tar()).unwrap_err())
}

/// An error with its causes, as a user would read it.
pub(crate) fn chain(error: &UnpackError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// The entry of a tree at a path.
#[track_caller]
pub(crate) fn at(tree: &Tree, path: impl AsRef<[u8]>) -> &Entry {
    let path = Path::new(std::ffi::OsStr::from_bytes(path.as_ref()));
    tree.entries.get(path).unwrap_or_else(|| panic!("no `{}` in {:?}", path.display(), tree.entries.keys()))
}

fn at_mut<'a>(tree: &'a mut Tree, path: &str) -> &'a mut Entry {
    tree.entries.get_mut(Path::new(path)).unwrap()
}

/// The names in a tree, the root left out.
pub(crate) fn names(tree: &Tree) -> Vec<&str> {
    tree.entries.keys().map(|path| path.to_str().unwrap()).filter(|path| *path != ".").collect()
}

/// Whether an entry is what overlayfs takes for "nothing here, whatever lies below".
pub(crate) fn is_whiteout(entry: &Entry) -> bool {
    entry.kind == Kind::CharDevice && entry.device == Some((0, 0))
}

/// Whether overlayfs merges this folder with nothing.
pub(crate) fn is_opaque(entry: &Entry) -> bool {
    entry.kind == Kind::Folder && entry.xattrs.get(&b"trusted.overlay.opaque"[..]).is_some_and(|value| value == b"y")
}

/// The digest of what a file holds, as trees have it.
pub(crate) fn content(text: impl AsRef<[u8]>) -> Option<String> {
    Some(layer_testkit::sha256(text.as_ref()))
}
