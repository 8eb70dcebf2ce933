//! Disks that are full, that fail, and that have become read-only.

use std::fs;
use std::path::Path;

use layer_testkit::image::{Image, ImageBuilder};
use layer_testkit::layer::{LayerBuilder, noise};
use layer_testkit::registry::{Fault, Gate, Registry, Target};
use layer_testkit::tree::{Tree, assert_same, gnu_tar_reference};

use crate::disk::{Disk, Kind};
use crate::service::{Daemon, Running, eventually};

const SIZE: u64 = 80 << 20;

/// A daemon on a small disk, and a registry with an image. The disk is declared last: it is taken down when nobody uses it any more.
struct Lab {
    registry: Registry,
    name: String,
    image: Image,
    daemon: Daemon,
    disk: Disk,
}

impl Lab {
    /// With one layer that doesn't compress, and one that unpacks to `unpacked` bytes and is hardly larger than nothing on the wire.
    fn new(unpacked: usize) -> Self {
        let registry = Registry::start().unwrap();
        let text = b"the same words over and over\n".repeat(unpacked / 29);
        let first = LayerBuilder::new().file("first", noise(1, 1 << 20)).gzip();
        let second = LayerBuilder::new().dir("text").file("text/long", text).file("text/short", "short").gzip();
        let image = ImageBuilder::new().layers([first, second]).build();
        let name = registry.put_image("lab/large", "1", &image);
        let daemon = Daemon::prepare();
        let disk = Disk::mount(Kind::Ext4, SIZE, &daemon.root());
        Self { registry, name, image, daemon, disk }
    }

    /// Pulls, which must fail for want of room, and say so.
    #[track_caller]
    fn fails_for_room(&self, client: Running) {
        let said = client.end().fails(1);
        assert!(said.contains("No space left on device"), "{said}");
        assert!(said.contains("hint: make room where the store lies"), "{said}");
    }

    fn start_pull(&self) -> Running {
        Running::start(&mut self.daemon.layer_command(&["pull", "--quiet", &self.name]))
    }

    /// Nothing half done is left, nothing is listed that isn't whole, and the daemon answers.
    #[track_caller]
    fn assert_consistent(&self) {
        self.daemon.layer(&["info"]).ok();
        assert_eq!(self.daemon.layer(&["images", "--quiet"]).ok(), "");
        eventually("staged folders are removed", || self.daemon.list("staging").is_empty());
        for folder in [".", "blobs/sha256"] {
            let left: Vec<_> = self.daemon.list(folder).into_iter().filter(|name| name.ends_with(".tmp")).collect();
            assert_eq!(left, [""; 0], "{folder}");
        }
        serde_json::from_slice::<serde_json::Value>(&fs::read(self.daemon.root().join("index.json")).unwrap()).unwrap();
        assert!(!self.daemon.log().contains("panicked"));
    }

    #[track_caller]
    fn pulls(&self) {
        self.daemon.layer(&["pull", "--quiet", &self.name]).ok();
        let folder = self.daemon.layer(&["mount", &self.name]).ok();
        let expected = tempfile::tempdir().unwrap();
        gnu_tar_reference(&self.image.tars().unwrap(), expected.path()).unwrap();
        assert_same(&Tree::read(Path::new(&folder)).unwrap(), &Tree::read(expected.path()).unwrap());
        self.daemon.layer(&["umount", &folder]).ok();
    }
}

/// The disk becomes full just before each of these steps. The pull fails; with room it succeeds, in the same daemon.
#[test]
fn root_a_disk_that_is_full_at_any_step_costs_that_pull_alone() {
    for step in [
        "ingest-opened",
        "ingest-appended",
        "staged",
        "unpacking",
        "unpacked",
        "blob-published",
        "layer-published",
        "document-writing",
        "document-writing=1*off",
        "index-writing=1*off",
    ] {
        // All that it takes is less than a sixteenth of the disk, so that what is freed never counts as room.
        let mut lab = Lab::new(1 << 20);
        let hold = lab.daemon.path("hold");
        let (name, before) =
            step.split_once('=').map_or((step, String::new()), |(name, before)| (name, format!("{before}->")));
        let mut command = lab.daemon.command_with(&format!("{name}={before}1*return({})", hold.display()));
        lab.daemon.launch(&mut command);
        let client = lab.start_pull();
        eventually(&format!("it comes to `{step}`"), || hold.exists());
        lab.disk.fill(0);
        fs::remove_file(&hold).unwrap();
        lab.fails_for_room(client);
        lab.assert_consistent();
        let free = lab.disk.free();
        assert_eq!(
            lab.daemon.list("ingest"),
            [""; 0],
            "{step}: with {free} bytes free, partials keep a full disk full"
        );
        lab.disk.make_room();
        lab.pulls();
        lab.daemon.kill();
        lab.daemon.again();
        lab.pulls();
    }
}

#[test]
fn root_a_layer_that_unpacks_to_more_than_there_is_leaves_nothing_but_what_a_retry_goes_on_from() {
    let mut lab = Lab::new(24 << 20);
    lab.daemon.again();
    // The blobs alone fit, so that the pull is not refused before it begins.
    lab.disk.fill(14 << 20);
    let client = lab.start_pull();
    lab.fails_for_room(client);
    lab.assert_consistent();
    // What was staged is gone, and so there is some room again: what has come of the blob is kept.
    assert!(lab.disk.free() > 9 << 20, "{}", lab.disk.free());
    let digest = lab.image.layers[1].blob.digest.clone();
    let part = lab.daemon.root().join(format!("ingest/{}.part", digest.replacen(':', "-", 1)));
    let come = fs::metadata(part).unwrap().len();
    assert!(come > 0);
    // The daemon is as usable as before.
    let small = ImageBuilder::new().layer(LayerBuilder::new().file("small", "1").gzip()).build();
    let name = lab.registry.put_image("lab/small", "1", &small);
    lab.daemon.layer(&["pull", "--quiet", &name]).ok();
    lab.daemon.layer(&["rmi", &name]).ok();
    lab.disk.make_room();
    let asked = lab.registry.requests().len();
    lab.pulls();
    let requests = lab.registry.requests();
    for request in requests[asked..].iter().filter(|one| one.is_blob_get() && one.path.ends_with(&digest)) {
        assert_eq!(request.range.as_deref(), Some(format!("bytes={come}-").as_str()));
    }
}

#[test]
fn root_a_disk_that_somebody_else_has_filled_is_not_kept_full() {
    let mut lab = Lab::new(1 << 20);
    lab.daemon.again();
    let gate = Gate::new();
    let digest = lab.image.layers[0].blob.digest.clone();
    lab.registry.fault(Target::Blob(digest), Fault::Stall { after: 600_000, gate: gate.clone() });
    let client = lab.start_pull();
    gate.wait_for(1).unwrap();
    eventually("a part is on disk", || lab.daemon.partial_bytes() >= 500_000);
    lab.disk.fill(0);
    gate.open();
    lab.fails_for_room(client);
    lab.assert_consistent();
    assert_eq!(lab.daemon.list("ingest"), [""; 0], "while the disk is full, a partial is only in the way");
    lab.disk.make_room();
    lab.registry.heal();
    lab.pulls();
}

#[test]
fn root_on_a_full_disk_the_daemon_starts_lists_and_removes() {
    let mut lab = Lab::new(2 << 20);
    lab.daemon.again();
    lab.pulls();
    let second = ImageBuilder::new().layer(LayerBuilder::new().file("second", noise(2, 100_000)).gzip()).build();
    let second = lab.registry.put_image("lab/second", "1", &second);
    lab.daemon.layer(&["pull", "--quiet", &second]).ok();
    lab.disk.fill(0);
    lab.daemon.kill();
    lab.daemon.again();
    assert!(lab.daemon.layer(&["images"]).ok().contains("lab/large"));
    // Nothing new is written, so that nothing fails.
    lab.daemon.layer(&["pull", "--quiet", &second]).ok();
    // What a start has given back is taken, too.
    lab.disk.fill(0);
    // A name so long that it doesn't fit into the block that the names before the last change give up.
    let third = format!("lab/{}:1", "third".repeat(40));
    let said = lab.daemon.layer(&["tag", &second, &third]).fails(1);
    assert!(said.contains("No space left") && said.contains("hint: make room"), "{said}");
    // Taking names away needs a little room, too: that is what the reserve is for.
    lab.daemon.layer(&["rmi", &lab.name]).ok();
    assert!(lab.disk.free() > 2 << 20, "{}", lab.disk.free());
    lab.daemon.layer(&["tag", &second, &third]).ok();
    assert!(!lab.daemon.log().contains("panicked"), "{}", lab.daemon.log());
    // The next start sets it aside anew.
    lab.daemon.kill();
    lab.daemon.again();
    assert!(lab.daemon.root().join("reserve").exists());
}

/// Every write fails from one moment to the next.
fn fails(lab: &mut Lab, harm: impl FnOnce(&Disk), words: &str) {
    lab.daemon.again();
    lab.pulls();
    let second = ImageBuilder::new().layer(LayerBuilder::new().file("second", noise(2, 500_000)).gzip()).build();
    let second = lab.registry.put_image("lab/second", "1", &second);
    let gate = Gate::new();
    lab.registry.fault(Target::AnyBlob, Fault::Stall { after: 100_000, gate: gate.clone() });
    let client = Running::start(&mut lab.daemon.layer_command(&["pull", "--quiet", &second]));
    gate.wait_for(1).unwrap();
    harm(&lab.disk);
    gate.open();
    // A write that was on its way may say something else.
    let said = client.end().fails(1);
    assert!((said.contains(words) || said.contains("Input/output error")) && said.contains("see `dmesg`"), "{said}");
    for said in [
        lab.daemon.layer(&["pull", "--quiet", &second]).fails(1),
        lab.daemon.layer(&["tag", &lab.name, "lab/third:1"]).fails(1),
        lab.daemon.layer(&["rmi", &lab.name]).fails(1),
        lab.daemon.layer(&["mount", &lab.name]).fails(1),
    ] {
        assert!(said.contains(words) && said.contains("see `dmesg`"), "{said}");
    }
    lab.daemon.layer(&["version"]).ok();
    lab.daemon.layer(&["mounts"]).ok();
    assert!(!lab.daemon.log().contains("panicked"), "{}", lab.daemon.log());
    // After a repair all is as it was.
    lab.daemon.kill();
    lab.disk.again();
    lab.registry.heal();
    lab.daemon.again();
    lab.pulls();
    lab.daemon.layer(&["pull", "--quiet", &second]).ok();
}

#[test]
fn root_a_disk_that_fails_is_told_and_the_daemon_goes_on() {
    fails(&mut Lab::new(1 << 20), Disk::cut, "Input/output error");
}

#[test]
fn root_a_file_system_that_became_read_only_is_told_and_the_daemon_goes_on() {
    fails(&mut Lab::new(1 << 20), Disk::break_down, "Read-only file system");
}
