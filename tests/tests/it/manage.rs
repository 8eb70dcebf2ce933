//! Making room: removing, pruning, pinning, and what it all takes on the disk, with docker's client and our own.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use layer_testkit::debian_images;
use layer_testkit::image::{Image, ImageBuilder};
use layer_testkit::layer::LayerBuilder;
use layer_testkit::registry::Registry;
use serde_json::Value;

use crate::disk::{Disk, Kind};
use crate::service::{Daemon, Running, Stalled, eventually, run};

/// Twelve digits of a digest, as docker shows it.
fn short(digest: &str) -> &str {
    &digest["sha256:".len()..][..12]
}

fn image(base: &str, content: &str) -> Image {
    ImageBuilder::new()
        .layer(LayerBuilder::new().file("base", base.repeat(20_000)).gzip())
        .layer(LayerBuilder::new().file("top", content.repeat(5_000)).gzip())
        .container("Labels", serde_json::json!({"lab.content": content}))
        .build()
}

/// What `du` counts for the parts of a store that images are in.
fn du(root: &Path) -> u64 {
    let folders = ["blobs", "layers", "ingest"].map(|folder| root.join(folder));
    let output = Command::new("du").args(["-s", "--block-size=1", "-c"]).args(folders).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().last().unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

fn usage(daemon: &Daemon) -> Value {
    serde_json::from_str(&daemon.layer(&["df", "--format", "json"]).ok()).unwrap()
}

#[test]
fn root_a_tag_that_moves_leaves_an_image_that_prune_takes() {
    let daemon = Daemon::start();
    let registry = Registry::start().unwrap();
    let (old, new) = (image("b", "old"), image("b", "new"));
    let name = registry.put_image("lab/app", "1", &old);
    daemon.docker(&["pull", "--quiet", &name]).ok();
    registry.put_image("lab/app", "1", &new);
    daemon.docker(&["pull", "--quiet", &name]).ok();

    let list = daemon.docker(&["images", "--filter", "dangling=true"]).ok();
    let row: Vec<&str> = list.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[..3], ["<none>", "<none>", short(old.digest())], "{list}");
    assert_eq!(daemon.layer(&["images", "-q", "-f", "dangling=true"]).ok(), short(old.digest()));
    assert_eq!(daemon.docker(&["images", "--quiet"]).ok().lines().count(), 2);

    let pruned = daemon.docker(&["image", "prune", "--force"]).ok();
    assert!(pruned.contains(&format!("untagged: {}", old.digest())), "{pruned}");
    assert!(pruned.contains(&format!("deleted: {}", old.digest())), "{pruned}");
    assert!(pruned.contains("Total reclaimed space: ") && !pruned.contains("space: 0B"), "{pruned}");
    assert_eq!(daemon.docker(&["image", "prune", "--force"]).ok(), "Total reclaimed space: 0B");
    assert_eq!(daemon.docker(&["images", "--quiet"]).ok(), short(new.digest()));
    assert_eq!(daemon.list("layers/sha256").len(), 2);

    // `docker tag` leaves one, too, and `docker rmi` takes it by its ID.
    daemon.docker(&["pull", "--quiet", &registry.put_image("lab/other", "1", &old)]).ok();
    daemon.docker(&["tag", old.digest(), &name]).ok();
    let removed = daemon.docker(&["rmi", "--no-prune", short(new.digest())]).ok();
    assert_eq!(removed, format!("Deleted: {}", new.digest()));
    assert_eq!(daemon.list("layers/sha256").len(), 2);
}

#[test]
fn root_a_prune_of_all_keeps_what_filters_mounts_and_pins_say() {
    let daemon = Daemon::start();
    let registry = Registry::start().unwrap();
    let mut names = Vec::new();
    for content in ["one", "two", "three", "four"] {
        names.push(registry.put_image(&format!("lab/{content}"), "1", &image("b", content)));
    }
    let mut words = vec!["pull", "--quiet"];
    words.extend(names.iter().map(String::as_str));
    daemon.layer(&words).ok();
    let left = || {
        let list = daemon.docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"]).ok();
        let mut names: Vec<String> = list.lines().map(str::to_owned).collect();
        names.sort();
        names
    };
    assert_eq!(daemon.docker(&["image", "prune", "-af", "--filter", "until=24h"]).ok(), "Total reclaimed space: 0B");
    daemon.docker(&["image", "prune", "-af", "--filter", "label=lab.content=one"]).ok();
    assert_eq!(left().len(), 3);
    let folder = daemon.layer(&["mount", &names[1]]).ok();
    assert_eq!(daemon.layer(&["pin", &names[2]]).ok(), names[2]);
    let pruned = daemon.docker(&["image", "prune", "-af"]).ok();
    assert!(pruned.contains(&format!("untagged: {}", names[3])), "{pruned}");
    let mut kept = names[1..3].to_vec();
    kept.sort();
    assert_eq!(left(), kept);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
    let said = daemon.docker(&["rmi", "--force", &names[1]]).fails(1);
    assert!(said.contains("(cannot be forced) - image is mounted on"), "{said}");
    let said = daemon.docker(&["rmi", &names[2]]).fails(1);
    assert!(said.contains("(must be forced) - image is pinned"), "{said}");

    daemon.layer(&["umount", &folder]).ok();
    daemon.layer(&["unpin", &names[2]]).ok();
    let out = daemon.layer(&["prune", "-a", "--force"]).ok();
    assert!(out.contains(&format!("Untagged: {}", names[1])) && out.contains("Total reclaimed space: "), "{out}");
    for place in ["blobs/sha256", "layers/sha256", "ingest", "staging"] {
        assert_eq!(daemon.list(place), [""; 0], "{place}");
    }
}

/// On a disk of its own: on one in pieces, files get more blocks once they are written, which a layer in a folder doesn't know of.
#[test]
fn root_disk_use_is_what_du_says() {
    let (_disk, mut daemon) = {
        let daemon = Daemon::prepare();
        (Disk::mount(Kind::Ext4, 512 << 20, &daemon.root()), daemon)
    };
    daemon.again();
    let registry = Registry::start().unwrap();
    let busybox = debian_images::busybox().unwrap();
    let tools = debian_images::packages(&[&["coreutils"], &["tar", "gzip"]]).unwrap();
    let pair = [image("b", "1"), image("b", "2")];
    for (name, image) in [("busybox", &busybox), ("tools", &tools), ("one", &pair[0]), ("two", &pair[1])] {
        daemon.layer(&["pull", "--quiet", &registry.put_image(&format!("lab/{name}"), "1", image)]).ok();
    }
    let found = usage(&daemon);
    assert_eq!(found["total"], du(&daemon.root()));
    let bytes = |value: &Value, member: &str| value[member].as_u64().unwrap();
    let images = found["images"].as_array().unwrap();
    assert_eq!(images.len(), 4);
    for image in images {
        assert_eq!(bytes(image, "size"), bytes(image, "unique") + bytes(image, "shared"));
        let has_company = pair.iter().any(|other| image["id"] == other.digest());
        assert!(bytes(image, "unique") > 0 && (!has_company || bytes(image, "shared") > 0), "{image}");
    }
    // What an image alone takes is what goes with it.
    let before = du(&daemon.root());
    let one = images.iter().find(|image| image["id"] == pair[0].digest()).unwrap();
    daemon.docker(&["rmi", pair[0].digest()]).ok();
    assert_eq!(before - du(&daemon.root()), bytes(one, "unique"));
    assert_eq!(usage(&daemon)["total"], du(&daemon.root()));

    let table = daemon.docker(&["system", "df"]).ok();
    let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[..3], ["Images", "3", "0"], "{table}");
    let verbose = daemon.docker(&["system", "df", "-v"]).ok();
    assert!(verbose.contains("SHARED SIZE") && verbose.contains("lab/tools"), "{verbose}");
    let json = daemon.docker(&["system", "df", "--format", "{{json .}}"]).ok();
    assert!(json.contains("\"TotalCount\":\"3\""), "{json}");
    let told = daemon.layer(&["df", "-v"]).ok();
    assert!(told.contains("Reclaimable") && told.contains(short(tools.digest())), "{told}");

    // A mount takes what is written to it, and what is copied for it.
    let images = usage(&daemon)["total"].as_u64().unwrap();
    let folder = daemon.layer(&["mount", "--rw", tools.digest()]).ok();
    std::fs::write(format!("{folder}/written"), vec![1; 3_000_000]).unwrap();
    let found = usage(&daemon);
    let mounts = daemon.root().join("mounts");
    let output = Command::new("du").args(["-x", "-s", "--block-size=1"]).arg(&mounts).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let taken =
        text.split_whitespace().next().unwrap().parse::<u64>().unwrap() - mounts.metadata().unwrap().blocks() * 512;
    assert!(taken > 3_000_000);
    assert_eq!((bytes(&found, "mounts"), bytes(&found, "total")), (taken, images + taken));
    daemon.layer(&["umount", &folder]).ok();
    assert_eq!(bytes(&usage(&daemon), "mounts"), 0);
}

#[test]
fn root_a_prune_and_a_running_pull_do_not_meet() {
    let daemon = Daemon::start();
    let stalled = Stalled::new();
    let pull = Running::start(&mut daemon.layer_command(&["pull", &stalled.name]));
    stalled.wait(&daemon);
    eventually("the small layer is there", || daemon.list("layers/sha256").len() == 1);
    daemon.docker(&["image", "prune", "-af"]).ok();
    daemon.docker(&["system", "df"]).ok();
    daemon.layer(&["prune", "-a", "--force", "--keep-storage", "0"]).ok();
    assert_eq!((daemon.list("layers/sha256").len(), daemon.list("ingest").len()), (1, 1));
    stalled.gate.open();
    pull.end().ok();
    for layer in &stalled.image.layers {
        assert_eq!(stalled.registry.blob_gets(&layer.blob.digest), 1);
    }
    let folder = daemon.layer(&["mount", &stalled.name]).ok();
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
}

#[test]
fn root_what_a_killed_daemon_has_left_of_a_pull_is_found_and_pruned() {
    let mut daemon = Daemon::start();
    let stalled = Stalled::new();
    let pull = Running::start(&mut daemon.layer_command(&["pull", &stalled.name]));
    stalled.wait(&daemon);
    eventually("the small layer is there", || daemon.list("layers/sha256").len() == 1);
    daemon.kill();
    drop(pull);
    daemon.again();
    // A file may get blocks more when it is written.
    run(Command::new("sync").arg("--file-system").arg(daemon.root())).ok();
    let found = usage(&daemon);
    assert_eq!(found["total"], du(&daemon.root()));
    assert!(found["partials"].as_u64().unwrap() > 1 << 20);
    assert_eq!((&found["leftovers"], &found["images"]), (&found["reclaimable"], &serde_json::json!([])));
    let tried = daemon.layer(&["prune", "--dry-run"]).ok();
    assert!(tried.contains("1 partial downloads"), "{tried}");
    assert_eq!(daemon.list("ingest").len(), 1);
    daemon.layer(&["prune", "--force"]).ok();
    for place in ["blobs/sha256", "layers/sha256", "ingest", "staging"] {
        assert_eq!(daemon.list(place), [""; 0], "{place}");
    }
}

#[test]
fn root_the_daemon_keeps_its_store_within_its_bounds() {
    let mut daemon = Daemon::prepare();
    std::fs::write(daemon.path("config.toml"), "[gc]\nevery = '1s'\nkeep-storage = '1500kB'\n").unwrap();
    daemon.again();
    let registry = Registry::start().unwrap();
    let large = |seed: u64| {
        let layer = LayerBuilder::new().file("f", layer_testkit::layer::noise(seed, 300_000)).gzip();
        ImageBuilder::new().layer(layer).build()
    };
    let pinned = registry.put_image("lab/pinned", "1", &large(1));
    let old = registry.put_image("lab/old", "1", &large(2));
    let young = registry.put_image("lab/young", "1", &large(3));
    daemon.layer(&["pull", "--quiet", &pinned]).ok();
    daemon.layer(&["pin", &pinned]).ok();
    daemon.layer(&["pull", "--quiet", &old]).ok();
    daemon.layer(&["pull", "--quiet", &young]).ok();
    eventually("the daemon makes room", || daemon.log().contains("evicted"));
    assert!(usage(&daemon)["total"].as_u64().unwrap() <= 1_500_000);
    daemon.docker(&["image", "inspect", &pinned]).ok();
    daemon.docker(&["image", "inspect", &young]).ok();
    daemon.docker(&["image", "inspect", &old]).fails(1);
}
