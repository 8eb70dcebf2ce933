//! A registry, a store, and daemons on it that are killed.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use layer_testkit::image::{Image, ImageBuilder};
use layer_testkit::layer::{Compression, Entry, Layer, LayerBuilder, noise};
use layer_testkit::registry::{Fault, Registry, Target};
use layer_testkit::tree::{Tree, assert_same, gnu_tar_reference};
use serde_json::Value;

use super::chance::Chance;
use crate::disk::Disk;
use crate::service::{Daemon, Running, eventually};

/// What the daemon is doing when it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Pull,
    /// Of an archive that holds the image as it was pulled.
    Load,
    Tag,
    Remove,
    Prune,
    /// It starts, and finds what another one has left that was killed while it unpacked.
    StartAfterCrash,
    /// It starts on a store of the first format.
    StartOfOldFormat,
}

/// How fast blobs come: slow enough for the moments of a pull to be told apart.
const BYTES_PER_SECOND: u64 = 6 << 20;

pub(crate) struct World {
    daemon: Daemon,
    /// What the store lies on, if that dies along with the daemon.
    disk: Option<Disk>,
    registry: Registry,
    /// Where the archives lie that images are loaded from: a folder that no power cut comes near.
    archives: tempfile::TempDir,
    /// What can be pulled: name, image, and the tree that it unpacks to.
    images: Vec<(String, Image, Tree)>,
    /// A third name, that is given by hand to the first.
    alias: String,
    /// How long each deed takes when nobody is killed.
    usual: HashMap<&'static str, Duration>,
    /// How often each state of the disk was found.
    found: BTreeMap<&'static str, usize>,
}

/// What lies in the store of one image.
#[derive(Debug)]
struct Stock {
    blobs: Vec<String>,
    partials: HashMap<String, Partial>,
}

/// What has come of a blob.
#[derive(Clone, Copy, Debug, Default)]
struct Partial {
    size: u64,
    /// Whether it isn't what the blob begins with. A disk whose power was cut may know how long a file is, and have lost what is in it.
    is_wrong: bool,
}

impl World {
    /// With a store in memory.
    pub(crate) fn new() -> Self {
        Self::on(Daemon::prepare_in_memory(), None)
    }

    pub(crate) fn on(mut daemon: Daemon, disk: Option<Disk>) -> Self {
        let registry = Registry::start().unwrap();
        let [base, middle, top] = layers();
        let images = [("one", [base.clone(), middle]), ("two", [base, top])];
        let images = images.map(|(name, layers)| {
            let image = ImageBuilder::new().layers(layers).build();
            let name = registry.put_image(&format!("lab/{name}"), "1", &image);
            let folder = tempfile::tempdir().unwrap();
            gnu_tar_reference(&image.tars().unwrap(), folder.path()).unwrap();
            (name, image, Tree::read(folder.path()).unwrap())
        });
        daemon.again();
        let archives = tempfile::tempdir().unwrap();
        for (number, (name, _, _)) in images.iter().enumerate() {
            daemon.layer(&["pull", "--quiet", name]).ok();
            daemon.layer(&["save", "--output", &archive(&archives, number), name]).ok();
            daemon.layer(&["rmi", name]).ok();
        }
        Self {
            daemon,
            disk,
            registry,
            archives,
            images: images.into(),
            alias: "lab/alias:1".to_owned(),
            usual: HashMap::new(),
            found: BTreeMap::new(),
        }
    }

    /// The states of the disk that were found after kills.
    pub(crate) fn told(&self) -> String {
        let told: Vec<_> = self.found.iter().map(|(state, count)| format!("{state} {count}")).collect();
        told.join(", ")
    }

    /// A round in which the daemon dies where the fail point says. Says whether it did.
    pub(crate) fn round_at(&mut self, deed: Deed, failpoints: &str, chance: &mut Chance) -> bool {
        let number = chance.below(self.images.len());
        self.prepare(deed, number);
        self.daemon.kill_if_running();
        if deed == Deed::StartAfterCrash {
            let mut command = self.daemon.command_with("unpacking=return");
            assert!(self.daemon.try_launch(&mut command));
            let client = Running::start(&mut self.daemon.layer_command(&["pull", "--quiet", &self.images[number].0]));
            eventually("it is killed while it unpacks", || self.daemon.has_ended());
            client.end().fails(1);
            assert_ne!(self.daemon.list("staging"), [""; 0]);
        }
        let mut command = self.daemon.command_with(failpoints);
        let mut done = false;
        let mut died = !self.daemon.try_launch(&mut command);
        if !died && !matches!(deed, Deed::StartAfterCrash | Deed::StartOfOldFormat) {
            let client = self.begin(deed, number);
            let ran = client.end();
            done = ran.code == Some(0);
            // A client whose deed failed without the daemon's death has found a fault.
            if !done {
                eventually(&format!("{failpoints}: {}", ran.stderr), || self.daemon.has_ended());
            }
            died = self.daemon.has_ended();
        }
        self.daemon.kill_if_running();
        self.after(deed, number, done, failpoints);
        died
    }

    /// A round in which the daemon is killed at some moment of what it does.
    pub(crate) fn round_within(&mut self, deed: Deed, chance: &mut Chance) {
        let usual = *self.usual.entry(name_of(deed)).or_insert(Duration::from_millis(200));
        self.round_after(deed, usual.mul_f64(chance.below(1000) as f64 / 800.0), chance);
    }

    /// A round in which the daemon is killed as soon as it has reported that all is done.
    pub(crate) fn round_when_done(&mut self, deed: Deed, chance: &mut Chance) {
        self.round_after(deed, Duration::MAX, chance);
    }

    fn round_after(&mut self, deed: Deed, moment: Duration, chance: &mut Chance) {
        let number = chance.below(self.images.len());
        self.prepare(deed, number);
        let begun = Instant::now();
        let mut client = self.begin(deed, number);
        // It is killed then, or when all is done, whatever comes first.
        while begun.elapsed() < moment && !client.has_ended() {
            std::thread::sleep(Duration::from_micros(200));
        }
        let took = begun.elapsed();
        if let Some(disk) = &self.disk {
            disk.cut();
        }
        self.daemon.kill();
        let done = client.end().code == Some(0);
        assert!(done || moment < Duration::MAX, "{deed:?} failed");
        if done {
            self.usual.insert(name_of(deed), took);
        }
        if let Some(disk) = &self.disk {
            disk.again();
        }
        self.after(deed, number, done, &format!("{deed:?} after {moment:?}"));
    }

    /// What has to be there before the deed is done.
    fn prepare(&mut self, deed: Deed, number: usize) {
        self.registry.heal();
        let name = self.images[number].0.clone();
        match deed {
            Deed::Pull | Deed::Load | Deed::StartAfterCrash => {}
            Deed::Tag | Deed::Remove | Deed::Prune | Deed::StartOfOldFormat => {
                self.daemon.layer(&["pull", "--quiet", &name]).ok();
            }
        }
        if deed == Deed::StartOfOldFormat {
            self.daemon.kill_if_running();
            fs::remove_file(self.daemon.root().join("format")).unwrap();
        }
        self.registry.fault(Target::AnyBlob, Fault::Throttle { bytes_per_second: BYTES_PER_SECOND });
    }

    fn begin(&self, deed: Deed, number: usize) -> Running {
        let name = &self.images[number].0;
        let archive = archive(&self.archives, number);
        let words: &[&str] = match deed {
            Deed::Load => &["load", "--quiet", "--input", &archive],
            Deed::Prune => &["prune", "--all", "--force"],
            Deed::Tag => &["tag", name, &self.alias],
            Deed::Remove => &["rmi", name],
            _ => &["pull", "--quiet", name],
        };
        Running::start(&mut self.daemon.layer_command(words))
    }

    /// The next start, and what must hold then; the deed is done to its end, and all is taken away again.
    fn after(&mut self, deed: Deed, number: usize, done: bool, what: &str) {
        let (name, image, _) = self.images[number].clone();
        let stock = self.stock(&image);
        self.note(&image);
        self.registry.heal();
        self.daemon.again();
        self.check(what);
        let listed = self.listed();
        match deed {
            Deed::Pull | Deed::Load if done => assert!(listed.contains(&name), "{what}: reported, and not there"),
            Deed::Tag if done => assert!(listed.contains(&self.alias_in_full()), "{what}: reported, and not there"),
            Deed::Remove | Deed::Prune if done => assert!(!listed.contains(&name), "{what}: reported, and still there"),
            Deed::StartOfOldFormat | Deed::Tag => assert!(listed.contains(&name), "{what}: lost"),
            _ => {}
        }
        let asked = self.registry.requests().len();
        self.daemon.layer(&["pull", "--quiet", &name]).ok();
        for layer in &image.layers {
            let (digest, size) = (&layer.blob.digest, layer.blob.size());
            let requests = self.registry.requests();
            let tail = format!("/blobs/{digest}");
            let gets: Vec<_> =
                requests[asked..].iter().filter(|one| one.is_blob_get() && one.path.ends_with(&tail)).collect();
            let partial = stock.partials.get(digest).copied().unwrap_or_default();
            let mut wanted = Vec::new();
            if !stock.blobs.contains(digest) && partial.size < size {
                wanted.push(if partial.size > 0 { format!("bytes={}-", partial.size) } else { String::new() });
            }
            // What is wrong is thrown away, and all of it asked for.
            if partial.is_wrong {
                assert!(self.disk.is_some(), "{what}: `{digest}` is wrong, and no power was cut");
                wanted.push(String::new());
            }
            let ranges: Vec<_> = gets.iter().map(|get| get.range.clone().unwrap_or_default()).collect();
            assert_eq!(ranges, wanted, "{what}: of `{digest}` there was {partial:?} of {size} bytes");
        }
        assert!(self.listed().contains(&name), "{what}");
        self.check(what);
        assert_eq!(self.daemon.list("ingest"), [""; 0], "{what}");
        // Half of the rounds begin with an empty store, half with an image that shares a layer.
        let mut names = self.listed();
        if number == 1 {
            names.retain(|one| *one != self.images[0].0);
        }
        let words: Vec<&str> = ["rmi"].into_iter().chain(names.iter().map(String::as_str)).collect();
        if !names.is_empty() {
            self.daemon.layer(&words).ok();
        }
    }

    /// What must hold whenever a daemon has started.
    fn check(&self, what: &str) {
        assert_eq!(self.daemon.list("staging"), [""; 0], "{what}");
        let root = self.daemon.root();
        for folder in [".", "blobs/sha256", "layers/sha256"] {
            let left: Vec<_> = self.daemon.list(folder).into_iter().filter(|name| name.ends_with(".tmp")).collect();
            assert_eq!(left, [""; 0], "{what}: {folder}");
        }
        for layer in self.daemon.list("layers/sha256") {
            let files = self.daemon.list(&format!("layers/sha256/{layer}"));
            // Layers of the old format have neither list nor sums.
            let is_whole = files == ["SHA256SUMS", "fs", "layer.json", "tree"]
                || files == ["SHA256SUMS", "layer.erofs", "layer.json"]
                || files == ["fs", "layer.json"];
            assert!(is_whole, "{what}: {layer} has {files:?}");
        }
        let blobs: Vec<_> =
            self.images.iter().flat_map(|(_, image, _)| &image.layers).map(|layer| &layer.blob).collect();
        for part in self.daemon.list("ingest") {
            let digest = part.strip_suffix(".part").unwrap().replacen('-', ":", 1);
            assert!(blobs.iter().any(|blob| blob.digest == digest), "{what}: `{part}` is of no pull");
        }
        assert_eq!(fs::read_to_string(root.join("format")).unwrap(), "2\n", "{what}");
        self.daemon.layer(&["images"]).ok();
        self.daemon.layer(&["verify", "--all"]).ok();
        for name in self.listed() {
            let own = self.images.iter().find(|(own, _, _)| *own == name);
            // The alias is of whichever image was given it.
            let trees: Vec<&Tree> =
                own.map_or(self.images.iter().map(|(_, _, tree)| tree).collect(), |own| vec![&own.2]);
            let folder = self.daemon.layer(&["mount", &name]).ok();
            let mounted = Tree::read(Path::new(&folder)).unwrap();
            if !trees.contains(&&mounted) {
                println!("{what}: `{name}` is not what it should be");
                assert_same(&mounted, trees[0]);
            }
            self.daemon.layer(&["umount", &folder]).ok();
        }
    }

    /// The names in `index.json`, which must be whole.
    fn listed(&self) -> Vec<String> {
        let bytes = fs::read(self.daemon.root().join("index.json")).unwrap();
        let index: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(index["schemaVersion"], 2);
        let name =
            |entry: &Value| entry["annotations"]["org.opencontainers.image.ref.name"].as_str().unwrap().to_owned();
        index["manifests"].as_array().unwrap().iter().map(name).collect()
    }

    fn alias_in_full(&self) -> String {
        format!("docker.io/{}", self.alias)
    }

    fn stock(&self, image: &Image) -> Stock {
        let mut stock = Stock { blobs: Vec::new(), partials: HashMap::new() };
        for layer in &image.layers {
            let digest = &layer.blob.digest;
            let hex = digest.strip_prefix("sha256:").unwrap();
            if self.daemon.root().join("blobs/sha256").join(hex).exists() {
                stock.blobs.push(digest.clone());
            }
            if let Ok(bytes) = fs::read(self.daemon.root().join(format!("ingest/sha256-{hex}.part"))) {
                let is_wrong = !layer.blob.content.to_vec().unwrap().starts_with(&bytes);
                stock.partials.insert(digest.clone(), Partial { size: bytes.len() as u64, is_wrong });
            }
        }
        stock
    }

    /// Notes how far the image was when the daemon died.
    fn note(&mut self, image: &Image) {
        let root = self.daemon.root();
        let there = |folder: &str, digest: &str| root.join(folder).join(digest.replace(':', "/")).exists();
        let count = |folder: &str| {
            image
                .layers
                .iter()
                .filter(|layer| there(folder, if folder == "blobs" { &layer.blob.digest } else { &layer.diff_id }))
                .count()
        };
        let named = fs::read_to_string(root.join("index.json")).unwrap_or_default().contains(image.digest());
        let (blobs, layers) = (count("blobs"), count("layers"));
        let state = match (named, blobs, layers) {
            (true, _, _) => "named",
            (_, 2, 2) if there("blobs", image.digest()) => "documents",
            (_, 2, 2) => "all layers",
            (_, blobs, layers) if blobs > layers => "blob without layer",
            (_, blobs, layers) if blobs < layers => "layer without blob",
            (_, 1, 1) => "one layer",
            _ if !self.daemon.list("staging").is_empty() => "staged",
            _ if !self.daemon.list("ingest").is_empty() => "partial",
            _ => "nothing",
        };
        *self.found.entry(state).or_default() += 1;
    }
}

fn archive(folder: &tempfile::TempDir, number: usize) -> String {
    folder.path().join(format!("{number}.tar")).to_str().unwrap().to_owned()
}

fn name_of(deed: Deed) -> &'static str {
    match deed {
        Deed::Pull => "pull",
        Deed::Load => "load",
        Deed::Prune => "prune",
        Deed::Tag => "tag",
        Deed::Remove => "remove",
        Deed::StartAfterCrash | Deed::StartOfOldFormat => "start",
    }
}

/// A base, and two layers on top of it that change it in different ways. Each takes several pieces on the wire and several on the belt.
fn layers() -> [Layer; 3] {
    let text = b"what is written here says little, and that again and again\n".repeat(6000);
    let base = LayerBuilder::new()
        .dir("etc")
        .file("etc/config", "base")
        .file("etc/gone", "base")
        .dir("data")
        .file("data/noise", noise(1, 150_000))
        .file("data/text", &text)
        .symlink("data/link", "text")
        .hard_link("data/same", "data/text")
        .entry(Entry::file("bin/su", "#!/bin/sh\n").mode(0o4755))
        .gzip();
    let middle = LayerBuilder::new()
        .file("etc/config", "middle")
        .whiteout("etc/gone")
        .file("data/more", noise(2, 200_000))
        .entries((0..40).map(|number| Entry::file(format!("many/{number}"), format!("{number}"))))
        .pack(Compression::Zstd);
    let top = LayerBuilder::new()
        .dir("data")
        .opaque("data")
        .file("data/new", &text)
        .file("data/noise", noise(3, 180_000))
        .gzip();
    [base, middle, top]
}
