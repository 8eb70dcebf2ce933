//! How much memory the daemon takes, however large the layers are.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::process::{Command, Stdio};

use layer_testkit::image::ImageBuilder;
use layer_testkit::layer::{Compression, Data, Entry, Layer, LayerBuilder};
use layer_testkit::registry::Registry;

use crate::service::Daemon;

/// What a pull of any size may take. Two thirds of it are enough where the machine has time; where it has none, a line looks slow, and parts of a
/// layer that come over several connections are kept.
const LIMIT: u64 = 96 << 20;

/// What the kernel counts of the daemon's memory, in bytes.
fn memory(daemon: &Daemon, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
    value.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

/// Asserts that the daemon never took more than it may, its program's own pages aside, and tells what it took.
#[track_caller]
fn assert_little(daemon: &Daemon, what: &str) {
    let (peak, program) = (memory(daemon, "VmHWM"), memory(daemon, "RssFile"));
    let told = format!("{what}: peak {} KiB, {} KiB of the program's file", peak >> 10, program >> 10);
    println!("{told}");
    assert!(peak.saturating_sub(program) < LIMIT, "{told}");
}

#[test]
fn root_saves_loads_and_imports_of_large_layers_take_little_memory() {
    let daemon = Daemon::start();
    let root = daemon.path("root.tar");
    let mut out = BufWriter::new(File::create(&root).unwrap());
    let entry = Entry::data("large", Data::Noise { seed: 1, len: 120_000_000 });
    LayerBuilder::to(&mut out).entry(entry).finish().unwrap();
    out.flush().unwrap();
    let (root, archive) = (root.to_str().unwrap().to_owned(), daemon.path("saved.tar"));
    let archive = archive.to_str().unwrap();
    daemon.layer(&["import", &root, "large:1"]).ok();
    assert_little(&daemon, "import");
    daemon.layer(&["save", "-o", archive, "large:1"]).ok();
    assert!(fs::metadata(archive).unwrap().len() > 120_000_000);
    assert_little(&daemon, "save");
    daemon.layer(&["rmi", "large:1"]).ok();
    daemon.layer(&["load", "--quiet", "-i", archive]).ok();
    assert_little(&daemon, "load");
}

#[test]
fn root_what_grows_a_thousandfold_takes_little_memory() {
    let daemon = Daemon::start();
    let archive = daemon.path("bomb.tar.gz");
    let mut pack = Command::new("gzip");
    let pack = pack.args(["-1", "-c"]).stdin(Stdio::piped()).stdout(File::create(&archive).unwrap());
    let mut pack = pack.spawn().unwrap();
    // What looks like a document, what looks like a layer, and what looks like nothing.
    let entries = [("a.json", b'{'), ("b/layer.tar", 0), ("blobs/sha256/c", b'x')];
    let entries = entries.map(|(name, byte)| Entry::data(name, Data::Fill { byte, len: 150_000_000 }));
    let out = LayerBuilder::to(BufWriter::new(pack.stdin.take().unwrap())).entries(entries).finish().unwrap();
    drop(out);
    assert!(pack.wait().unwrap().success());
    assert!(fs::metadata(&archive).unwrap().len() < 20_000_000);
    let told = daemon.layer(&["load", "--quiet", "-i", archive.to_str().unwrap()]).fails(1);
    assert!(told.contains("unrecognized image format"), "{told}");
    assert_little(&daemon, "bomb");
    assert_eq!(daemon.list("staging"), [""; 0]);
}

#[test]
fn root_a_pull_of_large_layers_takes_little_memory() {
    let (daemon, registry) = (Daemon::start(), Registry::start().unwrap());
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let layer = move |seed: u64| {
        let (tar, packed) = (folder.join(format!("{seed}.tar")), folder.join(format!("{seed}.gz")));
        let entry = Entry::data(format!("large{seed}"), Data::Noise { seed, len: 100_000_000 });
        let mut out = LayerBuilder::to(BufWriter::new(File::create(&tar).unwrap())).entry(entry).finish().unwrap();
        out.flush().unwrap();
        Layer::pack_file(&tar, Compression::Gzip, &packed).unwrap()
    };
    let image = std::thread::scope(|scope| {
        let made: Vec<_> = (1..=3).map(|seed| scope.spawn(move || layer(seed))).collect();
        ImageBuilder::new().layers(made.into_iter().map(|layer| layer.join().unwrap())).build()
    });
    assert!(image.layers.iter().all(|layer| layer.blob.size() > 90_000_000));
    let name = registry.put_image("lab/large", "1", &image);
    let before = memory(&daemon, "VmHWM");
    daemon.layer(&["pull", "--quiet", &name]).ok();
    let peak = memory(&daemon, "VmHWM");
    // Pages of the program itself count as well, and a debug build has many.
    let program = memory(&daemon, "RssFile");
    let own = memory(&daemon, "RssAnon");
    let told = format!(
        "peak {} KiB, {} KiB of it before the pull; after it {} KiB of its own and {} KiB of the program's file",
        peak >> 10,
        before >> 10,
        own >> 10,
        program >> 10
    );
    println!("{told}");
    // The pages of the program's file are not the pull's.
    assert!(peak.saturating_sub(program) < LIMIT, "{told}");
}
