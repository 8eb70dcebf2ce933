//! Archives that try something, and loads that are cut, killed or refused.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use layer_testkit::image::ImageBuilder;
use layer_testkit::layer::{Data, Entry, LayerBuilder};
use layer_testkit::registry::Registry;
use serde_json::json;

use crate::archives::{assert_empty, text};
use crate::service::{Daemon, eventually};

#[test]
fn root_hostile_archives_are_refused_and_leave_nothing_behind_or_beside() {
    let daemon = Daemon::start();
    let canary = daemon.path("canary");
    fs::write(&canary, "alive").unwrap();
    let image = ImageBuilder::docker().layer(LayerBuilder::new().file("file", "1").gzip()).build();
    let good = |extra: Vec<Entry>| {
        let layer = image.layers[0].tar.to_vec().unwrap();
        let start = LayerBuilder::new().entries(extra).file("l.tar", layer);
        start.file("c.json", image.blobs[0].content.to_vec().unwrap())
    };
    let manifest = |layer: &str| json!([{"Config": "c.json", "RepoTags": ["evil:1"], "Layers": [layer]}]).to_string();
    let outside = text(canary.parent().unwrap()).to_owned();
    for (tar, words) in [
        (
            good(vec![Entry::symlink("x", &outside), Entry::file("x/canary", "dead")])
                .file("manifest.json", manifest("l.tar")),
            "leads out of the archive",
        ),
        (good(vec![Entry::file(format!("{outside}/canary"), "dead")]), "its name is absolute"),
        (good(vec![Entry::file("../canary", "dead")]), "member `../canary` of the archive"),
        (good(vec![]).file("manifest.json", manifest("../../etc/passwd")), "`manifest.json` names `../../etc/passwd`"),
        (good(vec![]).file("manifest.json", manifest("/etc/passwd")), "`manifest.json` names `/etc/passwd`"),
        (good(vec![Entry::file("l.tar", "")]), "member `l.tar` of the archive: it is there twice"),
        (LayerBuilder::new().file("etc/passwd", ""), "unrecognized image format"),
    ] {
        let archive = daemon.path("evil.tar");
        fs::write(&archive, tar.tar()).unwrap();
        for told in [
            daemon.docker(&["load", "-i", text(&archive)]).fails(1),
            daemon.layer(&["load", "-i", text(&archive)]).fails(1),
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert_empty(&daemon);
    }
    assert_eq!(fs::read_to_string(&canary).unwrap(), "alive");
}

/// Begins a load by hand, and gives the connection when a part of the archive has been sent.
fn begin_load(daemon: &Daemon, archive: &[u8], part: usize) -> UnixStream {
    let mut socket = UnixStream::connect(daemon.socket()).unwrap();
    let head = format!(
        "POST /v1.51/images/load?quiet=0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        archive.len()
    );
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(&archive[..part]).unwrap();
    socket
}

/// The archive of an image with one large layer.
fn large(daemon: &Daemon) -> Vec<u8> {
    let entry = Entry::data("large", Data::Noise { seed: 1, len: 12 << 20 });
    let registry = Registry::start().unwrap();
    let image = ImageBuilder::new().layer(LayerBuilder::new().entry(entry).gzip()).build();
    let name = registry.put_image("lab/large", "1", &image);
    daemon.layer(&["pull", "--quiet", &name]).ok();
    let archive = daemon.path("large.tar");
    daemon.layer(&["save", "-o", text(&archive), &name]).ok();
    daemon.layer(&["rmi", &name]).ok();
    fs::read(archive).unwrap()
}

#[test]
fn root_a_load_that_is_cut_or_killed_in_the_middle_leaves_nothing() {
    let mut daemon = Daemon::start();
    let archive = large(&daemon);
    let half = archive.len() / 2;
    // The client goes.
    let socket = begin_load(&daemon, &archive, half);
    eventually("the layer is being taken in", || !daemon.list("staging").is_empty());
    drop(socket);
    eventually("what was taken in is removed", || daemon.list("staging").is_empty());
    assert_empty(&daemon);
    // The daemon goes.
    let socket = begin_load(&daemon, &archive, half);
    eventually("the layer is being taken in", || !daemon.list("staging").is_empty());
    daemon.kill();
    drop(socket);
    daemon.again();
    assert_empty(&daemon);
    // And when all of it comes, the answer tells of the way.
    let mut socket = begin_load(&daemon, &archive, archive.len());
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"Loading layer\"") && answer.contains("Loaded image: "), "{answer}");
}

#[test]
fn root_who_is_refused_early_hears_why() {
    let daemon = Daemon::start();
    // Much follows what is refused; docker and our client send all of it before they listen, or while they do.
    let archive = daemon.path("evil.tar");
    let entry = Entry::data("large", Data::Noise { seed: 1, len: 30 << 20 });
    fs::write(&archive, LayerBuilder::new().file("../evil", "x").entry(entry).tar()).unwrap();
    for _ in 0..3 {
        for told in [
            daemon.docker(&["load", "-i", text(&archive)]).fails(1),
            daemon.layer(&["load", "-i", text(&archive)]).fails(1),
        ] {
            assert!(told.contains("member `../evil` of the archive: its name leads out of the archive"), "{told}");
        }
        let told = daemon.docker(&["import", "--change", "NONSENSE x", text(&archive), "x:1"]).fails(1);
        assert!(told.contains("NONSENSE is not a valid change command"), "{told}");
    }
    assert_empty(&daemon);
}
