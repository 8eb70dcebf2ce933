//! Random images, unpacked layer by layer into one folder in memory, and layer for layer into a mounted stack: both must look the same.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// An entry of a layer, in the order of its tar.
#[derive(Clone, Debug)]
enum Entry {
    Folder(String),
    File(String),
    Link { path: String, target: String },
    Whiteout(String),
    Opaque(String),
}

/// What the image has at a path. Equal `number`s are names of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Folder { looks: Option<u32> },
    File { number: u32 },
}

/// An image as one tree; the root is the empty path.
type Image = BTreeMap<String, Node>;

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| folder.is_empty() && !rest.is_empty() || rest.starts_with('/'))
}

fn remove(image: &mut Image, path: &str) {
    image.retain(|other, _| other != path && !is_below(other, path));
}

/// Makes the folders on the way, as tar does.
fn imply(image: &mut Image, path: &str) {
    if !path.is_empty() {
        imply(image, parent(path));
    }
    if !matches!(image.get(path), Some(Node::Folder { .. })) {
        image.insert(path.to_owned(), Node::Folder { looks: None });
    }
}

/// Puts a layer on an image. Markers work on what is there before, wherever they stand. Tells which entries count: a link to nothing,
/// or that needs its own target out of the way, is left out.
fn apply(image: &mut Image, entries: &[Entry], first: u32) -> Vec<(u32, Entry)> {
    for entry in entries {
        match entry {
            Entry::Whiteout(path) => remove(image, path),
            Entry::Opaque(path) => image.retain(|other, _| !is_below(other, path)),
            _ => {}
        }
    }
    let before = image.clone();
    let mut own = BTreeSet::new();
    let mut counted = Vec::new();
    for (number, entry) in (first..).zip(entries) {
        match entry {
            Entry::Folder(path) => {
                imply(image, path);
                image.insert(path.clone(), Node::Folder { looks: Some(number) });
            }
            Entry::File(path) => {
                imply(image, parent(path));
                remove(image, path);
                image.insert(path.clone(), Node::File { number });
                own.insert(path.clone());
            }
            Entry::Link { path, target } => {
                // A file of this layer, or what the layers below had there: not what this layer has put in its way since.
                let Some(Node::File { number }) = image.get(target).cloned() else { continue };
                if path == target
                    || is_below(target, path)
                    || is_below(path, target)
                    || !own.contains(target) && before.get(target) != image.get(target)
                {
                    continue;
                }
                imply(image, parent(path));
                remove(image, path);
                image.insert(path.clone(), Node::File { number });
                own.insert(path.clone());
            }
            // Even a marker implies the folder that it lies in.
            Entry::Whiteout(path) => imply(image, parent(path)),
            Entry::Opaque(path) => imply(image, path),
        }
        counted.push((number, entry.clone()));
    }
    counted
}

/// Unpacks a layer alone, in overlay form.
struct Unpack {
    layer: Layer,
    implied: BTreeSet<String>,
    looks: BTreeMap<String, u32>,
}

impl Unpack {
    fn new(path: PathBuf) -> Self {
        let layer = Layer { path, implied: Vec::new(), links: Vec::new() };
        Self { layer, implied: BTreeSet::from([String::new()]), looks: BTreeMap::new() }
    }

    fn at(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.layer.path.clone() } else { self.layer.path.join(path) }
    }

    /// Makes a folder that nobody has named, unless it is there.
    fn imply(&mut self, path: &str) {
        if path.is_empty() {
            return;
        }
        self.imply(parent(path));
        let here = self.at(path);
        if here.is_dir() {
            return;
        }
        let replaces = self.clear(path);
        fs::create_dir(&here).unwrap();
        if replaces {
            set_xattr(&here, "trusted.overlay.opaque", b"y");
        } else {
            self.implied.insert(path.to_owned());
        }
    }

    /// Removes what is there, and says whether anything was.
    fn clear(&mut self, path: &str) -> bool {
        let here = self.at(path);
        let gone = |other: &str| other == path || is_below(other, path);
        self.layer.links.retain(|link| !gone(std::str::from_utf8(&link.path).unwrap()));
        self.implied.retain(|other| !gone(other));
        self.looks.retain(|other, _| !gone(other));
        match here.symlink_metadata() {
            Err(_) => return false,
            Ok(stat) if stat.is_dir() => fs::remove_dir_all(&here).unwrap(),
            Ok(_) => fs::remove_file(&here).unwrap(),
        }
        true
    }

    fn entry(&mut self, number: u32, entry: &Entry) {
        match entry {
            Entry::Folder(path) => {
                self.imply(path);
                self.implied.remove(path);
                self.looks.insert(path.clone(), number);
            }
            Entry::File(path) => {
                self.imply(parent(path));
                self.clear(path);
                fs::write(self.at(path), number.to_string()).unwrap();
            }
            Entry::Link { path, target } => {
                let own = self.at(target);
                let local = own.symlink_metadata().is_ok_and(|stat| stat.is_file());
                self.imply(parent(path));
                if local {
                    if !self.at(path).symlink_metadata().is_ok_and(|_| same_file(&self.at(path), &own)) {
                        self.clear(path);
                        fs::hard_link(own, self.at(path)).unwrap();
                    }
                } else {
                    self.clear(path);
                    whiteout(&self.at(path));
                    // Named by the link's own target, so that it doesn't matter whether that name is used anew later in this layer.
                    let first = self.layer.links.iter().find(|link| link.path == target.as_bytes());
                    let target = first.map_or_else(|| target.clone().into_bytes(), |link| link.target.clone());
                    self.layer.links.push(ForeignLink { path: path.clone().into_bytes(), target });
                }
            }
            Entry::Whiteout(path) => {
                self.imply(parent(path));
                let here = self.at(path);
                if here.is_dir() {
                    set_xattr(&here, "trusted.overlay.opaque", b"y");
                    self.implied.remove(path);
                } else if here.symlink_metadata().is_err() {
                    whiteout(&here);
                }
            }
            Entry::Opaque(path) => {
                self.imply(path);
                set_xattr(&self.at(path), "trusted.overlay.opaque", b"y");
            }
        }
    }

    fn finish(mut self) -> Layer {
        fn walk(folder: &Path, seen: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    walk(&entry.path(), seen);
                }
            }
            seen.push(folder.to_owned());
        }
        let mut folders = Vec::new();
        walk(&self.layer.path, &mut folders);
        for folder in folders {
            let path = folder.strip_prefix(&self.layer.path).unwrap().to_str().unwrap();
            match self.looks.get(path) {
                Some(number) => dress(&folder, *number),
                None => set_time(&folder, 0),
            }
        }
        self.layer.implied = self.implied.into_iter().map(String::into_bytes).collect();
        self.layer
    }
}

/// Reads a mounted tree back. Files are told by their content; that equal numbers are one file is checked on the way.
fn read_back(root: &Path) -> Image {
    fn walk(folder: &Path, path: &str, image: &mut Image, inodes: &mut BTreeMap<u32, u64>) {
        image.insert(path.to_owned(), Node::Folder { looks: looks(folder) });
        for name in names(folder) {
            let (here, path) = (folder.join(&name), if path.is_empty() { name } else { format!("{path}/{name}") });
            let stat = here.symlink_metadata().unwrap();
            if stat.is_dir() {
                walk(&here, &path, image, inodes);
                continue;
            }
            assert!(stat.is_file(), "{path}");
            let number = read(&here).parse().unwrap();
            assert_eq!(*inodes.entry(number).or_insert(stat.ino()), stat.ino(), "{path}");
            image.insert(path, Node::File { number });
        }
    }
    let mut image = Image::new();
    walk(root, "", &mut image, &mut BTreeMap::new());
    image
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4).prop_map(|names| names.join("/"))
}

fn entry() -> impl Strategy<Value = Entry> {
    let folder = prop_oneof![6 => path(), 1 => Just(String::new())];
    prop_oneof![
        3 => folder.clone().prop_map(Entry::Folder),
        5 => path().prop_map(Entry::File),
        4 => (path(), path()).prop_map(|(path, target)| Entry::Link { path, target }),
        2 => path().prop_map(Entry::Whiteout),
        1 => folder.prop_map(Entry::Opaque),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn root_the_stack_looks_like_its_layers_put_on_each_other(
        images in prop::collection::vec(prop::collection::vec(entry(), 0..7), 1..5),
        apart: bool,
    ) {
        let place = Place::new();
        let mut image = Image::from([(String::new(), Node::Folder { looks: None })]);
        let mut layers = Vec::new();
        for (n, entries) in images.iter().enumerate() {
            // Each layer a file system of its own, or all on one with the thin layer.
            let name = format!("layer{n}");
            let mut unpack = Unpack::new(if apart { place.memory(&name) } else { place.folder(&name) });
            for (number, entry) in apply(&mut image, entries, u32::try_from(n * 10 + 1).unwrap()) {
                unpack.entry(number, &entry);
            }
            layers.insert(0, unpack.finish());
        }
        let (_, target) = show(&place, &layers);
        prop_assert_eq!(read_back(&target), image);
    }
}
