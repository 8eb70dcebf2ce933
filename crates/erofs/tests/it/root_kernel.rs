//! What was put into a tree is what the kernel shows.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use layer_erofs::{Holes, Kind, Looks, NodeId, Tree};
use layer_fs::Dir;
use proptest::prelude::*;
use rustix::fs::{AtFlags, FileType, Stat};

use crate::mounted::{Contents, Mounted};

/// A thing as the kernel shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    kind: FileType,
    mode: u32,
    owner: (u32, u32),
    time: (i64, u64),
    size: u64,
    device: u64,
    links: u64,
    content: Vec<u8>,
    attributes: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// The paths that are names of one file.
type Names = BTreeSet<Vec<u8>>;

/// All that lies in a folder, by path; and which paths are names of one file.
fn shown(root: &Path) -> (BTreeMap<Vec<u8>, Shown>, BTreeSet<Names>) {
    let mut all = BTreeMap::new();
    let mut names: BTreeMap<u64, Names> = BTreeMap::new();
    let mut todo = vec![Vec::new()];
    while let Some(path) = todo.pop() {
        let at = root.join(std::ffi::OsString::from_vec(path.clone()));
        let stat = rustix::fs::statat(rustix::fs::CWD, &at, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        let kind = FileType::from_raw_mode(stat.st_mode);
        let mut content = Vec::new();
        match kind {
            FileType::Directory => {
                for entry in std::fs::read_dir(&at).unwrap() {
                    let entry = entry.unwrap();
                    let name = entry.file_name().into_vec();
                    // The list says of what kind it is without a look at the thing itself.
                    let listed = entry.file_type().unwrap();
                    assert_eq!(listed, std::fs::symlink_metadata(entry.path()).unwrap().file_type());
                    todo.push(if path.is_empty() { name } else { [&path[..], b"/", &name].concat() });
                }
            }
            FileType::RegularFile => content = std::fs::read(&at).unwrap(),
            FileType::Symlink => content = std::fs::read_link(&at).unwrap().into_os_string().into_vec(),
            _ => {}
        }
        if kind != FileType::Directory {
            names.entry(stat.st_ino).or_default().insert(path.clone());
        }
        all.insert(path, thing(&stat, content, attributes(&at)));
    }
    (all, names.into_values().collect())
}

fn thing(stat: &Stat, content: Vec<u8>, attributes: BTreeMap<Vec<u8>, Vec<u8>>) -> Shown {
    Shown {
        kind: FileType::from_raw_mode(stat.st_mode),
        mode: stat.st_mode & 0o7777,
        owner: (stat.st_uid, stat.st_gid),
        time: (stat.st_mtime, stat.st_mtime_nsec),
        size: u64::try_from(stat.st_size).unwrap(),
        device: stat.st_rdev,
        links: stat.st_nlink,
        content,
        attributes,
    }
}

fn attributes(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 1 << 16];
    let len = rustix::fs::llistxattr(path, names.as_mut_slice()).unwrap();
    let names = names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0; 1 << 16];
        let len = rustix::fs::lgetxattr(path, name, value.as_mut_slice()).unwrap();
        value.truncate(len);
        value
    };
    names.map(|name| (name.to_vec(), value(name))).collect()
}

/// A tree, and what is to be seen of it.
struct Model {
    tree: Tree,
    contents: Contents,
    wanted: BTreeMap<Vec<u8>, Shown>,
    groups: Vec<Names>,
    folders: Vec<(NodeId, Vec<u8>)>,
    files: Vec<(NodeId, usize)>,
}

impl Model {
    fn new() -> Self {
        let root = Shown {
            kind: FileType::Directory,
            mode: 0o755,
            owner: (0, 0),
            time: (0, 0),
            size: 0,
            device: 0,
            links: 2,
            content: Vec::new(),
            attributes: BTreeMap::new(),
        };
        Self {
            tree: Tree::new(),
            contents: Contents::default(),
            wanted: BTreeMap::from([(Vec::new(), root)]),
            groups: Vec::new(),
            folders: vec![(Tree::ROOT, Vec::new())],
            files: Vec::new(),
        }
    }

    fn path(&self, folder: usize, name: &[u8]) -> Option<(NodeId, Vec<u8>)> {
        let (id, above) = &self.folders[folder % self.folders.len()];
        let path = if above.is_empty() { name.to_vec() } else { [above, &b"/"[..], name].concat() };
        // Names that the tests themselves could not open.
        (self.tree.child(*id, name).is_none() && path.len() < 3000).then_some((*id, path))
    }

    fn add(&mut self, thing: &Thing) {
        let Some((folder, path)) = self.path(thing.folder, &thing.name) else { return };
        if let What::Link(file) = thing.what {
            if self.files.is_empty() {
                return;
            }
            let (node, group) = self.files[file % self.files.len()];
            self.tree.link(folder, &thing.name, node);
            let first = self.groups[group].first().unwrap().clone();
            let shown = self.wanted[&first].clone();
            self.wanted.insert(path.clone(), shown);
            self.groups[group].insert(path);
            let links = self.groups[group].len() as u64;
            for name in &self.groups[group] {
                self.wanted.get_mut(name).unwrap().links = links;
            }
            return;
        }
        let (kind, file_type, content, device) = match &thing.what {
            What::Folder => (Kind::Folder, FileType::Directory, vec![], 0),
            What::File(bytes) => {
                let (start, size) = (self.contents.add(bytes), bytes.len() as u64);
                (Kind::File { start, size }, FileType::RegularFile, bytes.clone(), 0)
            }
            What::Symlink(target) => (Kind::Symlink(target.as_slice().into()), FileType::Symlink, target.clone(), 0),
            What::Character(major, minor) => {
                let device = rustix::fs::makedev(*major, *minor);
                (Kind::Character { major: *major, minor: *minor }, FileType::CharacterDevice, vec![], device)
            }
            What::Block(major, minor) => {
                let device = rustix::fs::makedev(*major, *minor);
                (Kind::Block { major: *major, minor: *minor }, FileType::BlockDevice, vec![], device)
            }
            What::Fifo => (Kind::Fifo, FileType::Fifo, vec![], 0),
            What::Link(_) => return,
        };
        let is_folder = kind == Kind::Folder;
        let node = self.tree.add(folder, &thing.name, kind, thing.looks);
        for (name, value) in &thing.attributes {
            self.tree.set_attribute(node, name, value).unwrap();
        }
        let looks = thing.looks;
        let shown = Shown {
            kind: file_type,
            mode: looks.mode.into(),
            owner: (looks.uid, looks.gid),
            time: (looks.seconds, looks.nanos.into()),
            size: if is_folder { 0 } else { content.len() as u64 },
            device,
            links: if is_folder { 2 } else { 1 },
            content,
            attributes: thing.attributes.clone(),
        };
        self.wanted.insert(path.clone(), shown);
        if is_folder {
            let above = path.iter().rposition(|byte| *byte == b'/').map_or(&b""[..], |slash| &path[..slash]).to_vec();
            self.wanted.get_mut(&above).unwrap().links += 1;
            self.folders.push((node, path));
        } else {
            self.files.push((node, self.groups.len()));
            self.groups.push(BTreeSet::from([path]));
        }
    }

    fn check(&self) {
        let mounted = Mounted::new(&self.tree, &self.contents);
        let (mut all, names) = shown(&mounted.root());
        for shown in all.values_mut().filter(|shown| shown.kind == FileType::Directory) {
            shown.size = 0;
        }
        assert_eq!(all.keys().collect::<Vec<_>>(), self.wanted.keys().collect::<Vec<_>>());
        for (path, shown) in &all {
            assert_eq!(shown, &self.wanted[path], "{}", path.escape_ascii());
        }
        assert_eq!(names, self.groups.iter().cloned().collect());
    }
}

#[derive(Clone, Debug)]
struct Thing {
    folder: usize,
    name: Vec<u8>,
    looks: Looks,
    what: What,
    attributes: BTreeMap<Vec<u8>, Vec<u8>>,
}

#[derive(Clone, Debug)]
enum What {
    Folder,
    File(Vec<u8>),
    Symlink(Vec<u8>),
    Character(u32, u32),
    Block(u32, u32),
    Fifo,
    Link(usize),
}

fn named(name: &str, what: What) -> Thing {
    let looks = Looks { mode: 0o644, ..Looks::default() };
    Thing { folder: 0, name: name.into(), looks, what, attributes: BTreeMap::new() }
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("no component holds it", |byte| !matches!(byte, 0 | b'/'));
    // Around `.` and `..`, which are sorted among the others, and up to the longest that there can be.
    prop_oneof![
        4 => prop::collection::vec(byte.clone(), 1..12),
        1 => prop::collection::vec(byte, 200..=255),
        2 => prop::collection::vec(prop::sample::select(b"!-.0".to_vec()), 1..4),
    ]
    .prop_filter("each folder has these", |name| !matches!(name.as_slice(), b"." | b".."))
}

fn what() -> impl Strategy<Value = What> {
    let bytes = |max| prop::collection::vec(any::<u8>(), 0..max);
    let target = prop_oneof![3 => 1usize..60, 1 => 400usize..600, 1 => 4000usize..4096];
    prop_oneof![
        4 => Just(What::Folder),
        4 => bytes(2000).prop_map(What::File),
        2 => target.prop_map(|len| What::Symlink(vec![b't'; len])),
        1 => (0u32..1 << 12, 0u32..1 << 20).prop_map(|(major, minor)| What::Character(major, minor)),
        1 => (0u32..1 << 12, 0u32..1 << 20).prop_map(|(major, minor)| What::Block(major, minor)),
        1 => Just(What::Fifo),
        2 => any::<usize>().prop_map(What::Link),
    ]
}

fn looks() -> impl Strategy<Value = Looks> {
    let ids = prop_oneof![3 => 0u32..2000, 1 => any::<u32>().prop_filter("nobody's", |id| *id != u32::MAX)];
    let seconds = prop_oneof![3 => 0i64..2_000_000_000, 1 => -(1i64 << 40)..1i64 << 40];
    (0u16..0o10_000, ids.clone(), ids, seconds, 0u32..1_000_000_000)
        .prop_map(|(mode, uid, gid, seconds, nanos)| Looks { mode, uid, gid, seconds, nanos })
}

fn any_thing() -> impl Strategy<Value = Thing> {
    let key = prop::sample::select(vec!["trusted.a", "trusted.overlay.opaque", "security.b", "trusted.longer.name"]);
    let value = prop::collection::vec(any::<u8>(), 0..300);
    let pair = (key.prop_map(|name| name.as_bytes().to_vec()), value);
    let attributes = prop_oneof![2 => Just(BTreeMap::new()), 1 => prop::collection::btree_map(pair.0, pair.1, 1..4)];
    (any::<usize>(), name(), looks(), what(), attributes).prop_map(|(folder, name, looks, what, attributes)| Thing {
        folder,
        name,
        looks,
        what,
        attributes,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn root_any_tree_is_shown_as_it_is(things in prop::collection::vec(any_thing(), 0..120)) {
        let mut model = Model::new();
        things.iter().for_each(|thing| model.add(thing));
        model.check();
    }
}

#[test]
fn root_a_tree_may_be_empty() {
    Model::new().check();
}

#[test]
fn root_a_folder_may_have_any_number_of_names() {
    // One after the other passes each border of a block.
    for count in [1, 2, 30, 31, 32, 33, 34, 64, 65, 2_000] {
        let mut model = Model::new();
        for number in 0..count {
            model.add(&named(&format!("n{number}"), What::Fifo));
        }
        model.check();
    }
}

#[test]
fn root_links_of_every_length_are_read() {
    let mut model = Model::new();
    for len in (1..600).chain([1023, 1024, 1025, 4095]) {
        model.add(&named(&format!("l{len}"), What::Symlink(vec![b'x'; len])));
    }
    model.check();
}

#[test]
fn root_attributes_of_every_length_are_read() {
    let mut model = Model::new();
    for len in (0..600).step_by(7).chain([2048, 3000]) {
        let mut thing = named(&format!("f{len}"), What::File(b"content".to_vec()));
        thing.attributes.insert(b"trusted.value".to_vec(), vec![b'v'; len]);
        thing.attributes.insert(b"security.other".to_vec(), b"short".to_vec());
        model.add(&thing);
        let mut folder = named(&format!("d{len}"), What::Folder);
        folder.attributes.insert(b"user.value".to_vec(), vec![b'v'; len]);
        model.add(&folder);
    }
    model.check();
}

#[test]
fn root_access_lists_count() {
    let mut tree = Tree::new();
    let looks = Looks { mode: 0o640, ..Looks::default() };
    let node = tree.add(Tree::ROOT, b"file", Kind::File { start: 0, size: 0 }, looks);
    // Version 2; the owner rw, user 1000 r, the group r, the mask r, others nothing.
    let mut list = 2u32.to_le_bytes().to_vec();
    for (tag, mode, id) in
        [(1u16, 6u16, u32::MAX), (2, 4, 1000), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)]
    {
        list.extend_from_slice(&tag.to_le_bytes());
        list.extend_from_slice(&mode.to_le_bytes());
        list.extend_from_slice(&id.to_le_bytes());
    }
    tree.set_attribute(node, b"system.posix_acl_access", &list).unwrap();
    let mounted = Mounted::new(&tree, &Contents::default());
    let read = attributes(&mounted.root().join("file"));
    assert_eq!(read, BTreeMap::from([(b"system.posix_acl_access".to_vec(), list)]));
}

#[test]
fn root_what_was_removed_is_not_shown() {
    let mut model = Model::new();
    model.add(&named("stays", What::File(b"here".to_vec())));
    let gone = model.tree.add(Tree::ROOT, b"gone", Kind::Folder, Looks::default());
    model.tree.add(gone, b"deep", Kind::Fifo, Looks::default());
    model.tree.remove(Tree::ROOT, b"gone");
    model.add(&named("later", What::Symlink(b"stays".to_vec())));
    model.check();
}

#[test]
fn root_the_inode_numbers_are_those_of_the_list() {
    let mut model = Model::new();
    model.add(&named("a", What::Folder));
    model.add(&named("b", What::Fifo));
    let mounted = Mounted::new(&model.tree, &model.contents);
    let root = Dir::open(&mounted.root()).unwrap();
    for entry in std::fs::read_dir(mounted.root()).unwrap() {
        let entry = entry.unwrap();
        let stat = root.stat(entry.file_name().to_str().unwrap()).unwrap().unwrap();
        assert_eq!(std::os::unix::fs::DirEntryExt::ino(&entry), stat.st_ino);
        assert_ne!(stat.st_ino, 0);
    }
}

#[test]
fn root_holes_are_shown_as_holes() {
    use rustix::fs::SeekFrom;
    let mut tree = Tree::new();
    let mut contents = Contents::default();
    // Two pieces, a hole before, between and behind them; lists of chunks of many lengths, one of them longer than a block.
    let sizes = [1, 4096, 20_000, 600_001, 3_000_000];
    for (number, size) in sizes.into_iter().enumerate() {
        let mut bytes = vec![0; size];
        let mut holes = Holes::new(size as u64);
        for at in [size / 3, size - size / 4 - 1] {
            bytes[at] = b'x';
            holes.fill(at as u64, 1);
        }
        let start = contents.add(&bytes);
        let kind = Kind::Holed { start, size: size as u64, holes: Box::new(holes) };
        let node = tree.add(Tree::ROOT, format!("{number}").as_bytes(), kind, Looks::default());
        if number % 2 == 0 {
            tree.set_attribute(node, b"user.odd", b"12345").unwrap();
        }
    }
    let mounted = Mounted::new(&tree, &contents);
    for (number, size) in sizes.into_iter().enumerate() {
        let path = mounted.root().join(number.to_string());
        let read = std::fs::read(&path).unwrap();
        let found: Vec<_> = (0..size).filter(|at| read[*at] != 0).collect();
        let mut wanted = vec![size / 3, size - size / 4 - 1];
        wanted.dedup();
        assert_eq!((read.len(), found), (size, wanted.clone()));
        let file = std::fs::File::open(&path).unwrap();
        let first = rustix::fs::seek(&file, SeekFrom::Data(0)).unwrap();
        assert_eq!(first, (wanted[0] as u64) & !4095, "{size}");
        if size > 20_000 {
            let hole = rustix::fs::seek(&file, SeekFrom::Hole(first)).unwrap();
            assert_eq!(hole, first + 4096, "{size}");
        }
    }
}
