//! How much memory the daemon takes, however large the layers are.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};

use layer_testkit::image::ImageBuilder;
use layer_testkit::layer::{Compression, Data, Entry, Layer, LayerBuilder};
use layer_testkit::registry::Registry;

use crate::service::Daemon;

/// What a pull of any size may take.
const LIMIT: u64 = 64 << 20;

/// The most memory that the daemon has had so far.
fn peak(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn root_a_pull_of_large_layers_takes_little_memory() {
    let (daemon, registry) = (Daemon::start(), Registry::start().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let layer = |seed| {
        let (tar, packed) = (folder.path().join(format!("{seed}.tar")), folder.path().join(format!("{seed}.gz")));
        let entry = Entry::data(format!("large{seed}"), Data::Noise { seed, len: 100_000_000 });
        let mut out = LayerBuilder::to(BufWriter::new(File::create(&tar).unwrap())).entry(entry).finish().unwrap();
        out.flush().unwrap();
        Layer::pack_file(&tar, Compression::Gzip, &packed).unwrap()
    };
    let image = ImageBuilder::new().layers((1..=3).map(layer)).build();
    assert!(image.layers.iter().all(|layer| layer.blob.size() > 90_000_000));
    let name = registry.put_image("lab/large", "1", &image);
    let before = peak(&daemon);
    daemon.layer(&["pull", "--quiet", &name]).ok();
    let after = peak(&daemon);
    println!("peak memory: {} KiB before the pull, {} KiB after it", before >> 10, after >> 10);
    assert!(after < LIMIT, "the daemon took {} KiB, of which {} KiB before the pull", after >> 10, before >> 10);
}
