use std::path::Path;

use super::{Kind, Tree, assert_same, differences, gnu_tar_reference};
use crate::layer::{Entry, LayerBuilder, SparseForm};

/// The tree that the layers make, base first.
fn stacked(layers: &[Vec<u8>]) -> Tree {
    let folder = tempfile::tempdir().unwrap();
    gnu_tar_reference(layers, folder.path()).unwrap();
    Tree::read(folder.path()).unwrap()
}

fn names(tree: &Tree) -> Vec<&str> {
    tree.entries.keys().map(|path| path.to_str().unwrap()).collect()
}

fn entry<'a>(tree: &'a Tree, path: &str) -> &'a super::Entry {
    tree.entries.get(Path::new(path)).unwrap_or_else(|| panic!("no `{path}`"))
}

#[test]
fn root_every_property_of_a_layer_is_read_back() {
    let tree = stacked(&[LayerBuilder::new()
        .entry(Entry::dir("d").mode(0o1777).owner(5, 6).mtime_nanos(-5, 250_000_000).xattr("user.a", "1"))
        .entry(Entry::file("d/f", "text").mode(0o4755).owner(4_000_000_000, 7).xattr("trusted.t", b"\0\xff"))
        .hard_link("d/g", "d/f")
        .entry(Entry::char_device("d/null", 1, 3).mode(0o666))
        .entry(Entry::fifo("d/pipe"))
        .entry(Entry::symlink("d/to", "/nowhere").mtime(99))
        .entry(Entry::sparse("d/holes", SparseForm::Pax10, 1 << 20, &[(4096, &[7; 512])]))
        .tar()]);
    assert_eq!(names(&tree), [".", "d", "d/f", "d/g", "d/holes", "d/null", "d/pipe", "d/to"]);
    let folder = entry(&tree, "d");
    assert_eq!((folder.kind, folder.mode, folder.uid, folder.gid), (Kind::Folder, 0o1777, 5, 6));
    assert_eq!((folder.mtime, &folder.xattrs[&b"user.a"[..]]), ((-5, 250_000_000), &b"1".to_vec()));
    let file = entry(&tree, "d/f");
    assert_eq!((file.kind, file.mode, file.uid, file.size), (Kind::File, 0o4755, 4_000_000_000, 4));
    assert_eq!(file.xattrs[&b"trusted.t"[..]], b"\0\xff");
    assert_eq!(file.content, Some(crate::sha256(b"text")));
    assert_eq!(file.linked_to.as_deref(), Some(Path::new("d/f")));
    assert_eq!(entry(&tree, "d/g").linked_to.as_deref(), Some(Path::new("d/f")));
    assert_eq!((entry(&tree, "d/null").kind, entry(&tree, "d/null").device), (Kind::CharDevice, Some((1, 3))));
    assert_eq!(entry(&tree, "d/pipe").kind, Kind::Fifo);
    assert_eq!(
        (entry(&tree, "d/to").target.as_deref(), entry(&tree, "d/to").mtime),
        (Some(Path::new("/nowhere")), (99, 0))
    );
    assert!(entry(&tree, "d/holes").sparse && !file.sparse);
    assert_eq!((entry(&tree, ".").mode, entry(&tree, ".").mtime), (0o755, (0, 0)));
}

#[test]
fn root_folders_that_a_layer_does_not_name_keep_everything() {
    let base = LayerBuilder::new()
        .entry(Entry::dir("./").mode(0o711).mtime(10))
        .entry(Entry::dir("a").mode(0o700).owner(1, 2).mtime(20).xattr("user.low", "1"))
        .entry(Entry::dir("a/b").mode(0o1770).mtime(30))
        .file("a/b/old", "1");
    let upper =
        LayerBuilder::new().file("a/b/new", "2").whiteout("a/b/old").file("new/deep/file", "3").whiteout("other/x");
    let tree = stacked(&[base.tar(), upper.tar()]);
    assert_eq!(names(&tree), [".", "a", "a/b", "a/b/new", "new", "new/deep", "new/deep/file", "other"]);
    let of = |path| (entry(&tree, path).mode, entry(&tree, path).uid, entry(&tree, path).mtime.0);
    assert_eq!([of("."), of("a"), of("a/b")], [(0o711, 0, 10), (0o700, 1, 20), (0o1770, 0, 30)]);
    assert_eq!([of("new"), of("new/deep"), of("other")], [(0o755, 0, 0); 3]);
    assert_eq!(entry(&tree, "a").xattrs[&b"user.low"[..]], b"1");
}

#[test]
fn root_a_named_folder_has_what_its_layer_gives() {
    let base = LayerBuilder::new().entry(Entry::dir("a").mode(0o700).mtime(20).xattr("user.low", "1")).file("a/f", "1");
    let upper =
        LayerBuilder::new().entry(Entry::dir("a").mode(0o750).mtime(40).xattr("user.high", "2")).file("a/g", "2");
    let tree = stacked(&[base.tar(), upper.tar()]);
    let folder = entry(&tree, "a");
    assert_eq!((folder.mode, folder.mtime), (0o750, (40, 0)));
    assert_eq!(folder.xattrs.keys().collect::<Vec<_>>(), [b"user.high"]);
    assert_eq!(names(&tree), [".", "a", "a/f", "a/g"]);
}

#[test]
fn root_marks_and_changes_of_type() {
    let base = LayerBuilder::new()
        .entry(Entry::dir("opaque").mode(0o750).mtime(5))
        .file("opaque/below", "1")
        .file("opaque/sub/below", "1")
        .file("folder/with/content", "1")
        .file("file", "1")
        .symlink("link", "folder")
        .file("same", "old")
        .file("a.wh.b", "kept");
    let upper = LayerBuilder::new()
        .file("opaque/above", "2")
        .opaque("opaque")
        .file("folder", "now a file")
        .dir("file")
        .dir("link")
        .file("same", "new")
        .whiteout("same")
        .file(".wh..wh.plnk", "");
    let tree = stacked(&[base.tar(), upper.tar()]);
    assert_eq!(names(&tree), [".", "a.wh.b", "file", "folder", "link", "opaque", "opaque/above", "same"]);
    assert_eq!(entry(&tree, "same").content, Some(crate::sha256(b"new")));
    assert_eq!((entry(&tree, "opaque").mode, entry(&tree, "opaque").mtime), (0o750, (5, 0)));
    assert_eq!((entry(&tree, "link").kind, entry(&tree, "folder").kind), (Kind::Folder, Kind::File));
}

#[test]
fn root_names_that_need_quoting() {
    let odd: &[u8] = b"odd \\ \n\t\xff\x07 -> x";
    let gone = [b"dir/".as_slice(), odd].concat();
    let base = LayerBuilder::new().file(&gone, "1").file(odd, "2");
    let tree = stacked(&[base.tar(), LayerBuilder::new().whiteout(&gone).tar()]);
    let names: Vec<&[u8]> = tree.entries.keys().map(|path| path.as_os_str().as_encoded_bytes()).collect();
    assert_eq!(names, [b".".as_slice(), b"dir", odd]);
}

#[test]
fn root_what_has_no_answer_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let layers =
        [LayerBuilder::new().dir("real").symlink("link", "real").tar(), LayerBuilder::new().file("link/f", "1").tar()];
    let error = format!("{:#}", gnu_tar_reference(&layers, folder.path()).unwrap_err());
    assert_eq!(error, "layer 1: the layer writes through the link `link` below it");
    let broken = [LayerBuilder::new().hard_link("a", "missing").tar()];
    let error = format!("{:#}", gnu_tar_reference(&broken, tempfile::tempdir().unwrap().path()).unwrap_err());
    assert!(error.contains("Cannot hard link"), "{error}");
}

#[test]
fn differences_name_the_path_and_what_differs() {
    let (left, right) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for folder in [&left, &right] {
        std::fs::write(folder.path().join("same"), "1").unwrap();
        std::fs::write(folder.path().join("content"), folder.path().as_os_str().as_encoded_bytes()).unwrap();
    }
    std::fs::write(left.path().join("left"), "").unwrap();
    std::fs::create_dir(right.path().join("right")).unwrap();
    let read = |folder: &tempfile::TempDir| {
        let mut tree = Tree::read(folder.path()).unwrap();
        tree.entries.values_mut().for_each(|entry| entry.mtime = (0, 0));
        tree
    };
    let (left, mut right) = (read(&left), read(&right));
    right.entries.get_mut(Path::new("same")).unwrap().mode = 0o600;
    right.entries.get_mut(Path::new("same")).unwrap().xattrs.insert(b"user.x".to_vec(), b"v".to_vec());
    let lines = differences(&left, &right);
    assert_eq!(lines.len(), 5, "{lines:#?}");
    assert!(lines[0].starts_with("content: content Some(\"sha256:"), "{lines:#?}");
    assert_eq!(lines[1], "left: only left (File)");
    assert_eq!(lines[2], "same: mode 0644 left, 0600 right");
    assert_eq!(lines[3], "same: attribute user.x None left, Some(\"v\") right");
    assert_eq!(lines[4], "right: only right (Folder)");
    assert_same(&left, &left.clone());
    assert!(std::panic::catch_unwind(|| assert_same(&left, &right)).is_err());
}
