//! Files of the store that were damaged behind the daemon's back.

use std::fs;
use std::path::{Path, PathBuf};

use layer_testkit::image::{Image, ImageBuilder};
use layer_testkit::layer::{LayerBuilder, noise};
use layer_testkit::registry::Registry;
use layer_testkit::tree::{Tree, assert_same, gnu_tar_reference};

use crate::service::{Daemon, run};

/// What is done to a file or folder.
type Harm = fn(&Path);

fn image() -> Image {
    let layer = |seed: u64| LayerBuilder::new().file(format!("file{seed}"), noise(seed, 100_000)).gzip();
    ImageBuilder::new().layers([layer(1), layer(2)]).build()
}

/// Inverts a byte in the middle.
fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

#[track_caller]
fn assert_whole(daemon: &Daemon, name: &str, image: &Image) {
    let folder = daemon.layer(&["mount", name]).ok();
    let expected = tempfile::tempdir().unwrap();
    gnu_tar_reference(&image.tars().unwrap(), expected.path()).unwrap();
    assert_same(&Tree::read(Path::new(&folder)).unwrap(), &Tree::read(expected.path()).unwrap());
    daemon.layer(&["umount", &folder]).ok();
}

/// Whatever is damaged while the daemon is down, a pull of the same name makes it whole.
#[test]
fn root_a_pull_heals_what_was_damaged() {
    let registry = Registry::start().unwrap();
    let image = image();
    let name = registry.put_image("lab/damaged", "1", &image);
    let blob = |digest: &str| PathBuf::from("blobs").join(digest.replace(':', "/"));
    let layer = PathBuf::from("layers").join(image.layers[0].diff_id.replace(':', "/"));
    let harms: [(&str, PathBuf, Harm); 10] = [
        ("manifest flipped", blob(image.digest()), flip),
        ("manifest cut", blob(image.digest()), cut),
        ("manifest gone", blob(image.digest()), |path| fs::remove_file(path).unwrap()),
        ("config flipped", blob(image.config.as_ref().unwrap()), flip),
        ("config gone", blob(image.config.as_ref().unwrap()), |path| fs::remove_file(path).unwrap()),
        ("blob cut", blob(&image.layers[0].blob.digest), cut),
        ("blob gone", blob(&image.layers[0].blob.digest), |path| fs::remove_file(path).unwrap()),
        ("layer gone", layer.clone(), |path| fs::remove_dir_all(path).unwrap()),
        ("record cut", layer.join("layer.json"), cut),
        ("files gone", layer.join("fs"), |path| fs::remove_dir_all(path).unwrap()),
    ];
    let mut daemon = Daemon::prepare_in_memory();
    daemon.again();
    daemon.layer(&["pull", "--quiet", &name]).ok();
    for (what, path, harm) in harms {
        daemon.kill();
        harm(&daemon.root().join(path));
        daemon.again();
        daemon.layer(&["images"]);
        let ran = daemon.layer(&["pull", "--quiet", &name]);
        assert_eq!(ran.code, Some(0), "{what}: {}", ran.stderr);
        assert_whole(&daemon, &name, &image);
    }
}

#[test]
fn root_recover_tells_what_it_found_and_the_rest_comes_with_a_pull() {
    let registry = Registry::start().unwrap();
    let image = image();
    let name = registry.put_image("lab/damaged", "1", &image);
    let mut daemon = Daemon::prepare_in_memory();
    daemon.again();
    daemon.layer(&["pull", "--quiet", &name]).ok();
    daemon.layer(&["tag", &name, "lab/second:1"]).ok();
    let recover = |daemon: &Daemon| run(daemon.layerd().arg("recover").arg("--root").arg(daemon.root()));
    let said = recover(&daemon).fails(1);
    assert!(said.contains("is in use by another layerd"), "{said}");
    assert!(daemon.stop().success());

    flip(&daemon.root().join("blobs").join(image.layers[1].blob.digest.replace(':', "/")));
    fs::remove_file(daemon.root().join("layers").join(image.layers[0].diff_id.replace(':', "/")).join("layer.json"))
        .unwrap();
    fs::write(daemon.root().join("index.json"), "{\"schemaVersion\": 2, \"manif").unwrap();
    fs::remove_dir_all(daemon.root().join("db")).unwrap();
    let said = run(&mut daemon.command()).fails(1);
    assert!(said.contains("index.json` is damaged") && said.contains("hint: `layerd recover --root"), "{said}");

    let told = recover(&daemon).ok();
    for words in [
        "index.json: made anew",
        "names: 1\n",
        "blobs: 3 whole, 1 damaged and removed",
        &image.layers[1].blob.digest,
        "layers: 1 there, 1 damaged and removed",
        &image.layers[0].diff_id,
        "pull it again",
    ] {
        assert!(told.contains(words), "`{words}` in:\n{told}");
    }
    daemon.again();
    // The last change was the second name; the version before has the first.
    assert!(daemon.layer(&["images"]).ok().contains("lab/damaged"));
    daemon.layer(&["pull", "--quiet", &name]).ok();
    assert_whole(&daemon, &name, &image);
    assert!(daemon.stop().success());
    assert!(recover(&daemon).ok().contains("blobs: 4 whole, 0 damaged"));
}
