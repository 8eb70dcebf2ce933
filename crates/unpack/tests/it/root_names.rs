//! Names as long and as odd as they come, and trees as deep.

use layer_testkit::layer::{Entry, LayerBuilder};
use layer_unpack::Kind;

use crate::sandbox::{Sandbox, at, chain, content, refused, unpacked};

/// A path of exactly `len` bytes, of components of 255 and what is left.
fn long_path(len: usize) -> String {
    let mut path = String::new();
    while path.len() < len {
        let rest = len - path.len();
        let take = if rest == 256 { 200 } else { rest.min(255) };
        path.push_str(&"n".repeat(take));
        if path.len() < len {
            path.push('/');
        }
    }
    path
}

#[test]
fn names_up_to_the_limits() {
    let component = "m".repeat(255);
    for len in [99, 100, 101, 155, 156, 255, 256, 257, 1000, 4095] {
        let path = long_path(len);
        for entry in [
            Entry::file(&path, "1"),
            Entry::file(&path, "1").gnu(),
            Entry::symlink(&path, &path),
            Entry::symlink(&path, &path).gnu(),
        ] {
            let (_, tree) = unpacked(LayerBuilder::new().entry(entry));
            assert_eq!(tree.entries.keys().last().unwrap().as_os_str().len(), len);
        }
        let (_, tree) =
            unpacked(LayerBuilder::new().entry(Entry::dir(&path)).hard_link(&component, "f").file("f", "1"));
        assert!(at(&tree, &path).content.is_none() && at(&tree, &component).linked_to.is_some());
    }
    let (_, tree) = unpacked(
        LayerBuilder::new().file(&component, "1").dir(format!("d/{component}")).whiteout(format!("w/{component}")),
    );
    assert_eq!(at(&tree, &component).content, content("1"));
    assert_eq!(tree.entries.len(), 6);
}

#[test]
fn names_beyond_the_limits() {
    let path = long_path(4096);
    for entry in [Entry::file(&path, ""), Entry::dir(&path), Entry::fifo(&path).gnu(), Entry::whiteout(&path)] {
        let error = refused(LayerBuilder::new().entry(entry));
        assert!(error.ends_with("its name is longer than 4095 bytes"), "{error}");
    }
    let component = "n".repeat(256);
    for path in [component.clone(), format!("{component}/f"), format!("d/{component}/f")] {
        for entry in [
            Entry::file(&path, ""),
            Entry::dir(&path),
            Entry::whiteout(&path),
            Entry::opaque(&path),
            Entry::hard_link(&path, "x"),
        ] {
            let error = refused(LayerBuilder::new().entry(entry));
            assert!(error.ends_with("a component of its name is longer than 255 bytes"), "{error}");
        }
    }
    let error = refused(LayerBuilder::new().symlink("l", "x".repeat(4096)));
    assert_eq!(error, "entry `l`: it is a symbolic link to more than 4095 bytes");
    assert_eq!(refused(LayerBuilder::new().symlink("l", "")), "read the tar: entry `l`: it is a link to nothing");
    assert!(refused(LayerBuilder::new().hard_link("l", "x".repeat(5000))).contains("longer than 4095 bytes"));
    // Each is short enough, and together they aren't.
    let folder = long_path(3000);
    let layer = || LayerBuilder::new().dir(&folder).symlink("l", &folder);
    let error = refused(layer().file(format!("l/{}", long_path(2000)), ""));
    assert!(error.ends_with("the links on its way make its name longer than 4095 bytes"), "{error}");
    let (_, tree) = unpacked(layer().file(format!("l/{}", long_path(1094)), "1"));
    assert_eq!(tree.entries.keys().map(|path| path.as_os_str().len()).max(), Some(4095));
}

#[test]
fn names_of_any_bytes() {
    let names: Vec<Vec<u8>> =
        (1..=255u8).filter(|byte| !matches!(byte, b'/' | b'.')).map(|byte| vec![b'<', byte, b'>', byte]).collect();
    let layer = names.iter().fold(LayerBuilder::new(), |layer, name| {
        layer.file(name, name).symlink([b"l".as_slice(), name].concat(), name)
    });
    let (_, tree) = unpacked(layer);
    for name in &names {
        assert_eq!(at(&tree, name).content, content(name));
        assert_eq!(
            at(&tree, [b"l".as_slice(), name].concat()).target.as_ref().unwrap().as_os_str().as_encoded_bytes(),
            name
        );
    }
}

#[test]
fn errors_show_names_on_one_line() {
    let error = refused(LayerBuilder::new().file(b"../a\nb\x1b[2J\xff", ""));
    assert_eq!(error, "entry `../a\\nb\\u{1b}[2J\u{fffd}`: its name leads out of the image by `..`");
}

/// As small a stack as a thread of the daemon has.
fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap().join().unwrap();
}

#[test]
fn trees_of_two_thousand_levels() {
    on_a_small_stack(|| {
        let deep = vec!["d"; 2000].join("/");
        let middle = &deep[..2000];
        let sandbox = Sandbox::new();
        let layer = LayerBuilder::new()
            .file(format!("{deep}/f"), "1")
            .symlink("top", &deep)
            .symlink(format!("{deep}/up"), [".."; 1300].join("/"))
            .file(format!("{deep}/up/x"), "2")
            .file("top/up/y", "3")
            .entry(Entry::dir(middle).mode(0o700).mtime(5))
            .hard_link(format!("{deep}/g"), format!("{deep}/f"))
            .whiteout(format!("{deep}/gone"))
            .opaque(middle);
        let applied = sandbox.apply_alone(layer.tar()).unwrap_or_else(|error| panic!("{}", chain(&error)));
        // The root and 1999 of the folders; the middle one is named.
        assert_eq!(applied.implied_parents.len(), 2000);
        let level = |count: usize| vec!["d"; count].join("/");
        for (path, text) in
            [(format!("{deep}/f"), "1"), (format!("{}/x", level(700)), "2"), (format!("{}/y", level(700)), "3")]
        {
            assert_eq!(read(&sandbox, &path), text);
        }
        remove(&sandbox);
    });
}

#[test]
fn deep_folders_that_are_replaced() {
    on_a_small_stack(|| {
        let deep = vec!["d"; 900].join("/");
        let (applied, tree) = unpacked(LayerBuilder::new().dir(&deep).file("d", "1"));
        assert_eq!((at(&tree, "d").content.clone(), applied.implied_parents.len()), (content("1"), 1));
    });
}

/// Reads a file by steps: its path may be longer than a path can be, with that of the sandbox in front.
fn read(sandbox: &Sandbox, path: &str) -> String {
    let root = layer_fs::Dir::open(&sandbox.root()).unwrap();
    let (folder, name) = path.rsplit_once('/').unwrap();
    String::from_utf8(root.open_dir(folder).unwrap().read(name, 100).unwrap()).unwrap()
}

/// Removes a tree that is too deep for `remove_dir_all`.
fn remove(sandbox: &Sandbox) {
    let status = std::process::Command::new("rm").arg("-rf").arg(sandbox.root().join("d")).status().unwrap();
    assert!(status.success());
}

#[test]
fn folders_behind_links_and_links_behind_folders() {
    let (applied, tree) = unpacked(
        LayerBuilder::new()
            .symlink("lib", "usr/lib")
            .symlink("usr", "./System/./usr/")
            .symlink("System/usr/lib", "../../real/lib")
            .file("lib/a", "1")
            .file("usr/lib/../b", "2")
            .file("/lib/./deep/er/c", "3")
            .symlink("through", "lib/../x")
            .file("through/d", "4"),
    );
    for (path, text) in [("real/lib/a", "1"), ("System/usr/b", "2"), ("real/lib/deep/er/c", "3"), ("real/x/d", "4")] {
        assert_eq!(at(&tree, path).content, content(text), "{path}");
    }
    let implied: Vec<_> = applied.implied_parents.iter().map(|path| String::from_utf8(path.clone()).unwrap()).collect();
    assert_eq!(
        implied,
        ["", "System", "System/usr", "real", "real/lib", "real/lib/deep", "real/lib/deep/er", "real/x"]
    );
}

#[test]
fn links_upon_links_are_bounded() {
    // Each link leads through all those before it, twice.
    let layer = (1..40).fold(LayerBuilder::new().dir("l0").dir("l0/d"), |layer, at| {
        let before = format!("l{}", at - 1);
        layer.symlink(format!("l{at}"), format!("{before}/../{before}"))
    });
    let error = refused(layer.file("l39/d/f", ""));
    assert!(error.ends_with("its folder is behind more than 40 symbolic links"), "{error}");
    // Few links, of very many components.
    let long = ["."; 10].join("/") + &"/d/..".repeat(800);
    let layer = (0..10).fold(LayerBuilder::new().dir("d"), |layer, at| {
        let next = if at == 9 { String::new() } else { format!("/l{}", at + 1) };
        layer.symlink(format!("l{at}"), format!("{long}{next}"))
    });
    let error = refused(layer.file("l0/f", ""));
    assert!(error.ends_with("its folder is behind links of more than 8192 components"), "{error}");
}

#[test]
fn the_reader_gives_names_as_they_are() {
    let tar = LayerBuilder::new().file("./a//b/../c", "").symlink("/x/", "y/").dir("d//").tar();
    let mut reader = layer_unpack::Reader::new(std::io::Cursor::new(tar));
    let entry = reader.next_entry().unwrap().unwrap();
    assert_eq!(entry.path, b"./a//b/../c");
    let entry = reader.next_entry().unwrap().unwrap();
    assert_eq!((entry.path.as_slice(), entry.kind), (&b"/x/"[..], Kind::Symlink(b"y/".to_vec())));
    assert_eq!(reader.next_entry().unwrap().unwrap().path, b"d//");
    assert!(reader.next_entry().unwrap().is_none());
    assert!(reader.next_entry().unwrap().is_none());
}
