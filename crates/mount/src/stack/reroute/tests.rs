use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown, lchown};
use std::path::Path;

use super::*;
use crate::testing::{Place, names, read, set_time, set_xattr, xattrs};

/// A stack whose upper layer, in the folder `top`, writes through links; base first, as it looks afterwards.
fn rerouted(place: &Place, top: PathBuf, implied: &[&str]) -> PathBuf {
    let implied_parents = implied.iter().map(|path| path.as_bytes().to_vec()).collect();
    let base = place.layer("base", &["d usr/bin", "l bin usr/bin", "f usr/bin/old 0"]);
    let layers = vec![
        StackLayer { path: base, implied_parents: Vec::new(), foreign_links: Vec::new() },
        StackLayer { path: top, implied_parents, foreign_links: Vec::new() },
    ];
    let dir_path = place.folder("rerouted");
    let mut layers = reroute(layers, &Dir::open(&dir_path).unwrap(), &dir_path).unwrap();
    let top = layers.pop().unwrap();
    assert_eq!(top.path, dir_path.join("1"));
    assert_eq!(top.implied_parents, [b"usr".to_vec(), b"usr/bin".to_vec()]);
    top.path
}

const LINES: [&str; 8] = [
    "f bin/tool tool",
    "h etc/same bin/tool",
    "h bin/again bin/tool",
    "f bin/lone lone",
    "l bin/link ../x",
    "h etc/link bin/link",
    "w bin/old",
    "f etc/plain plain",
];

fn files(root: &Path) -> [PathBuf; 7] {
    ["usr/bin/tool", "usr/bin/again", "etc/same", "usr/bin/lone", "usr/bin/link", "etc/link", "etc/plain"]
        .map(|path| root.join(path))
}

fn numbers(root: &Path) -> [u64; 7] {
    files(root).map(|path| path.symlink_metadata().unwrap().ino())
}

#[test]
fn root_files_are_linked_within_one_file_system() {
    let place = Place::new();
    let top = place.layer("top", &LINES);
    let new = rerouted(&place, top.clone(), &["bin"]);
    let number = |path: &str| top.join(path).symlink_metadata().unwrap().ino();
    let old = ["bin/tool", "bin/again", "etc/same", "bin/lone", "bin/link", "etc/link", "etc/plain"].map(number);
    assert_eq!(numbers(&new), old);
}

#[test]
fn root_files_of_another_file_system_are_copied_once() {
    let place = Place::new();
    place.memory("top");
    let top = place.layer("top", &LINES);
    let tool = top.join("bin/tool");
    chown(&tool, Some(5), Some(6)).unwrap();
    fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o4751)).unwrap();
    set_xattr(&tool, "trusted.theirs", b"t");
    lchown(top.join("bin/link"), Some(7), Some(8)).unwrap();
    for path in [&tool, &top.join("bin/link"), &top.join("bin/lone")] {
        set_time(path, 99);
    }
    let new = rerouted(&place, top, &["bin"]);

    assert_eq!(
        (names(&new), names(&new.join("etc"))),
        (vec!["etc".into(), "usr".into()], vec!["link".into(), "plain".into(), "same".into()])
    );
    assert_eq!(names(&new.join("usr/bin")), ["again", "link", "lone", "old", "tool"]);
    let [tool, again, same, lone, link, other_link, plain] = numbers(&new);
    assert_eq!((tool, tool, link), (again, same, other_link));
    assert!(tool != lone && lone != plain);
    let [tool, .., link, _, plain] = files(&new);
    let stat = tool.metadata().unwrap();
    assert_eq!((stat.uid(), stat.gid(), stat.mode() & 0o7777, stat.mtime(), stat.nlink()), (5, 6, 0o4751, 99, 3));
    assert_eq!(xattrs(fs::File::open(&tool).unwrap()), [("trusted.theirs".to_owned(), b"t".to_vec())]);
    assert_eq!((read(&tool), read(&plain)), ("tool".to_owned(), "plain".to_owned()));
    let stat = link.symlink_metadata().unwrap();
    assert_eq!((stat.uid(), stat.gid(), stat.mtime(), stat.nlink()), (7, 8, 99, 2));
    assert_eq!(fs::read_link(link).unwrap(), Path::new("../x"));
    let old = new.join("usr/bin/old").symlink_metadata().unwrap();
    assert_eq!((old.mode() & 0o170_000, old.rdev()), (0o020_000, 0), "a whiteout");
}

#[test]
fn root_where_two_copies_meet_the_first_one_stays() {
    let place = Place::new();
    place.memory("top");
    // Both folders are one in the stack.
    let top = place.layer("top", &["f bin/tool through", "f usr/bin/tool direct", "h bin/more bin/tool"]);
    let new = rerouted(&place, top, &["bin", "usr", "usr/bin"]);
    assert_eq!(names(&new.join("usr/bin")), ["more", "tool"]);
    assert_eq!(read(new.join("usr/bin/more")), "through");
    assert!(["through", "direct"].contains(&read(new.join("usr/bin/tool")).as_str()));
}
