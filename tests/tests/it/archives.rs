//! Images that come and go as files, with docker's own command line, skopeo and our client.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use layer_testkit::debian_images::{busybox, packages, stacked};
use layer_testkit::image::{Image, ImageBuilder, IndexBuilder};
use layer_testkit::layer::{Entry, LayerBuilder};
use layer_testkit::registry::Registry;
use layer_testkit::sha256;
use layer_testkit::tree::{Tree, assert_same, gnu_tar_reference};
use serde_json::{Value, json};

use crate::service::{Daemon, run};

/// A daemon that has pulled an image, which is `lab/app:1` of a registry that is gone.
fn pulled(image: &Image) -> (Daemon, String) {
    let (daemon, registry) = (Daemon::start(), Registry::start().unwrap());
    let name = registry.put_image("lab/app", "1", image);
    daemon.layer(&["pull", "--quiet", &name]).ok();
    (daemon, name)
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Mounts an image and compares every file with what GNU tar makes of its layers.
#[track_caller]
fn assert_tree(daemon: &Daemon, name: &str, image: &Image) {
    let folder = daemon.layer(&["mount", name]).ok();
    let expected = tempfile::tempdir().unwrap();
    gnu_tar_reference(&image.tars().unwrap(), expected.path()).unwrap();
    assert_same(&Tree::read(Path::new(&folder)).unwrap(), &Tree::read(expected.path()).unwrap());
    daemon.layer(&["umount", &folder]).ok();
}

/// Asserts that nothing half done is left.
#[track_caller]
pub(crate) fn assert_clean(daemon: &Daemon) {
    assert_eq!((daemon.list("staging"), daemon.list("ingest")), (vec![], vec![]));
}

/// Asserts that the store holds nothing at all.
#[track_caller]
pub(crate) fn assert_empty(daemon: &Daemon) {
    assert_clean(daemon);
    assert_eq!(daemon.layer(&["images", "--quiet"]).ok(), "");
    assert_eq!((daemon.list("blobs/sha256"), daemon.list("layers/sha256")), (vec![], vec![]));
}

#[test]
fn root_docker_saves_removes_and_loads_the_same_image() {
    let image = packages(&[&["grep"], &["tar", "gzip"]]).unwrap();
    let (daemon, name) = pulled(&image);
    let archive = daemon.path("saved.tar");
    daemon.docker(&["save", "--output", text(&archive), &name]).ok();
    let before = daemon.inspect(&name);
    daemon.docker(&["rmi", &name]).ok();
    assert_empty(&daemon);
    assert_eq!(daemon.docker(&["load", "--input", text(&archive)]).ok(), format!("Loaded image: {name}"));
    let after = daemon.inspect(&name);
    assert_eq!(
        (&after["Id"], &after["RootFS"], &after["RepoTags"]),
        (&before["Id"], &before["RootFS"], &before["RepoTags"])
    );
    assert_eq!(after["Id"], image.digest());
    assert_tree(&daemon, &name, &image);
    assert_clean(&daemon);
    // Once more changes nothing, and what is packed is unpacked.
    for (program, suffix) in [("gzip", "gz"), ("xz", "xz"), ("bzip2", "bz2"), ("zstd", "zst")] {
        let packed = daemon.path(&format!("saved.tar.{suffix}"));
        let out = File::create(&packed).unwrap();
        let status = Command::new(program).arg("-1").arg("-c").arg(&archive).stdout(out).status().unwrap();
        assert!(status.success(), "{program}");
        assert_eq!(daemon.docker(&["load", "--quiet", "-i", text(&packed)]).ok(), format!("Loaded image: {name}"));
    }
    assert_eq!(daemon.inspect(&name)["Id"], image.digest());
}

#[test]
fn root_several_images_go_into_one_archive_and_come_out_of_it() {
    let registry = Registry::start().unwrap();
    let (here, there) = (Daemon::start(), Daemon::start());
    let (first, second) = (busybox().unwrap(), stacked(12, 7));
    let names =
        [("lab/first", &first), ("lab/second", &second)].map(|(name, image)| registry.put_image(name, "1", image));
    here.layer(&["pull", "--quiet", &names[0], &names[1]]).ok();
    here.layer(&["tag", &names[0], "mine:1"]).ok();
    here.layer(&["tag", &names[1], "mine:2"]).ok();
    let archive = here.path("all.tar");
    // A repository stands for all its tags.
    here.layer(&["save", "-o", text(&archive), &names[0], "mine"]).ok();
    let loaded = there.layer(&["load", "-i", text(&archive)]).ok();
    let mut lines: Vec<&str> = loaded.lines().collect();
    lines.sort_unstable();
    let mut expected = [&names[0], "mine:1", "mine:2"].map(|name| format!("Loaded image: {name}"));
    expected.sort_unstable();
    assert_eq!(lines, expected);
    for (name, image) in [("mine:1", &first), ("mine:2", &second)] {
        assert_eq!(there.inspect(name)["Id"], image.digest());
        assert_tree(&there, name, image);
    }
    let missing = here.docker(&["save", "-o", text(&archive), "nosuch"]).fails(1);
    assert!(missing.contains("No such image: nosuch:latest"), "{missing}");
    let before = fs::read(&archive).unwrap();
    let missing = here.layer(&["save", "-o", text(&archive), "nosuch"]).fails(1);
    assert_eq!(missing, "error: save `nosuch`: No such image: nosuch:latest\n");
    assert_eq!(fs::read(&archive).unwrap(), before, "what was there before is kept");
}

#[test]
fn root_an_archive_goes_through_a_pipe() {
    let image = busybox().unwrap();
    let (here, name) = pulled(&image);
    let there = Daemon::start();
    let mut save = here.layer_command(&["save", &name]);
    let mut saving = save.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut load = there.layer_command(&["load", "--quiet"]);
    let loaded = load.stdin(saving.stdout.take().unwrap()).output().unwrap();
    assert!(saving.wait().unwrap().success() && loaded.status.success());
    assert_eq!(String::from_utf8(loaded.stdout).unwrap(), format!("Loaded image: {name}\n"));
    assert_eq!(there.inspect(&name)["Id"], image.digest());
    // By its ID an image is saved without a name, and kept so.
    let archive = here.path("id.tar");
    here.docker(&["save", "-o", text(&archive), image.digest()]).ok();
    there.layer(&["rmi", &name]).ok();
    assert_eq!(there.docker(&["load", "-i", text(&archive)]).ok(), format!("Loaded image ID: {}", image.digest()));
    assert_eq!(there.inspect(image.digest())["RepoTags"], json!([]));
}

#[test]
fn root_platforms_are_saved_and_loaded_as_asked() {
    let variant = |platform: &str| {
        ImageBuilder::new().platform(platform).layer(LayerBuilder::new().file("arch", platform).gzip()).build()
    };
    let (one, two) = (variant("linux/amd64"), variant("linux/s390x"));
    let both = IndexBuilder::new().image(&one).image(&two).build();
    let (daemon, registry) = (Daemon::start(), Registry::start().unwrap());
    let name = registry.put_image("lab/both", "1", &both);
    daemon.layer(&["pull", "--quiet", "--platform", "linux/amd64", &name]).ok();
    let archive = daemon.path("both.tar");
    let save = |platform: &str| daemon.docker(&["save", "-o", text(&archive), "--platform", platform, &name]);
    let told = save("linux/s390x").fails(1);
    let words =
        format!("image with reference {name} was found but does not provide the specified platform (linux/s390x)");
    assert!(told.contains("no suitable export target found") && told.contains(&words), "{told}");
    // What is here of an index goes into an archive, and comes back as that index.
    daemon.docker(&["save", "-o", text(&archive), &name]).ok();
    daemon.layer(&["rmi", &name]).ok();
    daemon.docker(&["load", "-i", text(&archive)]).ok();
    assert_eq!(daemon.inspect(&name)["Id"], both.digest());

    daemon.layer(&["pull", "--quiet", "--platform", "linux/s390x", &name]).ok();
    save("linux/s390x").ok();
    let there = Daemon::start();
    there.docker(&["load", "-i", text(&archive)]).ok();
    assert_eq!(there.inspect(&name)["Id"], two.digest());
    daemon.docker(&["save", "-o", text(&archive), &name]).ok();
    there.layer(&["load", "-i", text(&archive), "--platform", "linux/amd64"]).ok();
    assert_eq!(there.inspect(&name)["Id"], both.digest());
    let told = there.layer(&["load", "-i", text(&archive), "--platform", "linux/riscv64"]).fails(1);
    assert!(told.contains("does not provide the specified platform (linux/riscv64)"), "{told}");
}

#[test]
fn root_skopeo_reads_what_we_write_and_we_read_what_skopeo_writes() {
    let image = packages(&[&["grep"], &["sed"]]).unwrap();
    let (daemon, name) = pulled(&image);
    let (archive, out) = (daemon.path("ours.tar"), daemon.path("out"));
    daemon.layer(&["save", "-o", text(&archive), &name]).ok();
    let from = format!("docker-archive:{}", archive.display());
    daemon.skopeo(&["copy", "--quiet", &from, &format!("oci:{}:x", out.display())]).ok();
    let config =
        |place: &str| -> Value { serde_json::from_str(&daemon.skopeo(&["inspect", "--config", place]).ok()).unwrap() };
    let diff_ids: Vec<&str> = image.layers.iter().map(|layer| layer.diff_id.as_str()).collect();
    assert_eq!(config(&format!("oci:{}:x", out.display()))["rootfs"]["diff_ids"], json!(diff_ids));
    // As a layout it is the same to the byte.
    let place = format!("oci-archive:{}", archive.display());
    let found: Value = serde_json::from_str(&daemon.skopeo(&["inspect", &place]).ok()).unwrap();
    assert_eq!(found["Digest"], image.digest());

    let store = format!("oci:{}:{name}", daemon.root().display());
    for kind in ["docker-archive", "oci-archive"] {
        let there = Daemon::start();
        let theirs = daemon.path(&format!("{kind}.tar"));
        let target = format!("{kind}:{}:lab.test/theirs:2", theirs.display());
        daemon.skopeo(&["copy", "--quiet", &store, &target]).ok();
        assert_eq!(there.docker(&["load", "-i", text(&theirs)]).ok(), "Loaded image: lab.test/theirs:2", "{kind}");
        assert_tree(&there, "lab.test/theirs:2", &image);
        let id = there.inspect("lab.test/theirs:2")["Id"].clone();
        assert_eq!(id == image.digest(), kind == "oci-archive", "a docker-archive has no manifest to keep");
        // And back, from an archive of an image whose layers are plain tars.
        let again = daemon.path(&format!("{kind}-again.tar"));
        there.layer(&["save", "-o", text(&again), "lab.test/theirs:2"]).ok();
        let again = config(&format!("docker-archive:{}", again.display()));
        assert_eq!(again["rootfs"]["diff_ids"], json!(diff_ids), "{kind}");
    }
}

/// An archive as docker wrote it before version 25.
fn old_archive(image: &Image, tag: &str) -> Vec<u8> {
    let name = format!("{}.json", &image.blobs[0].digest["sha256:".len()..]);
    let (mut tar, mut paths, mut ids) = (LayerBuilder::new(), Vec::<String>::new(), Vec::<&str>::new());
    for (number, layer) in image.layers.iter().enumerate() {
        let id = sha256(format!("{number}").as_bytes())["sha256:".len()..].to_owned();
        let path = format!("{id}/layer.tar");
        tar = tar.dir(format!("{id}/")).file(format!("{id}/VERSION"), "1.0");
        tar = tar.file(format!("{id}/json"), json!({"id": id}).to_string());
        tar = match ids.iter().position(|known| *known == layer.diff_id) {
            Some(twin) => tar.symlink(&path, format!("../{}", paths[twin])),
            None => tar.file(&path, layer.tar.to_vec().unwrap()),
        };
        paths.push(path);
        ids.push(&layer.diff_id);
    }
    let manifest = json!([{"Config": name, "RepoTags": [tag], "Layers": paths}]);
    let tar = tar.file(name, image.blobs[0].content.to_vec().unwrap());
    tar.file("manifest.json", manifest.to_string()).file("repositories", "{}").tar()
}

#[test]
fn root_an_old_docker_archive_is_loaded_and_is_the_same_image_everywhere() {
    let layer = |text: &str| LayerBuilder::new().dir("etc").file("etc/name", text).gzip();
    let image = ImageBuilder::docker().layers([layer("one"), layer("two"), layer("one")]).build();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let daemon = Daemon::start();
        let archive = daemon.path("old.tar");
        fs::write(&archive, old_archive(&image, "old:1")).unwrap();
        assert_eq!(daemon.docker(&["load", "-i", text(&archive)]).ok(), "Loaded image: old:1");
        assert_tree(&daemon, "old:1", &image);
        ids.push(daemon.inspect("old:1")["Id"].as_str().unwrap().to_owned());
        let again = daemon.path("new.tar");
        daemon.docker(&["save", "-o", text(&again), "old:1"]).ok();
        daemon.docker(&["rmi", "old:1"]).ok();
        daemon.docker(&["load", "-i", text(&again)]).ok();
        ids.push(daemon.inspect("old:1")["Id"].as_str().unwrap().to_owned());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
}

#[test]
fn root_docker_imports_a_root_file_system() {
    let daemon = Daemon::start();
    let root = daemon.path("root.tar");
    let tar = LayerBuilder::new().dir("bin").entry(Entry::file("bin/app", "#!").mode(0o755)).tar();
    fs::write(&root, &tar).unwrap();
    let changes = ["--change", r#"CMD ["/bin/app"]"#, "--change", "ENV A=1 B=2", "--change", "EXPOSE 80"];
    let id = daemon.docker(&[&["import", "-m", "by the lab"], &changes[..], &[text(&root), "imp:2"]].concat()).ok();
    let found = daemon.inspect("imp:2");
    assert_eq!(found["Id"], id);
    assert_eq!(found["RootFS"]["Layers"], json!([sha256(&tar)]));
    assert_eq!((&found["Comment"], &found["Os"]), (&json!("by the lab"), &json!("linux")));
    assert_eq!(found["Config"]["Cmd"], json!(["/bin/app"]));
    assert_eq!(found["Config"]["Env"], json!(["A=1", "B=2"]));
    assert_eq!(found["Config"]["ExposedPorts"], json!({"80/tcp": {}}));
    let folder = daemon.layer(&["mount", "imp:2"]).ok();
    assert_eq!(fs::read_to_string(Path::new(&folder).join("bin/app")).unwrap(), "#!");
    daemon.layer(&["umount", &folder]).ok();

    let told = daemon.docker(&["import", "--change", "NONSENSE x", text(&root), "imp:3"]).fails(1);
    assert!(told.contains("NONSENSE is not a valid change command"), "{told}");
    let own = daemon.layer(&["import", "--platform", "linux/arm64", "-c", "USER app", text(&root), "own:1"]).ok();
    let found = daemon.inspect("own:1");
    assert_eq!((found["Id"].as_str(), &found["Architecture"]), (Some(own.as_str()), &json!("arm64")));
    assert_eq!(found["Config"]["User"], "app");
    let told = daemon.layer(&["import", "http://127.0.0.1:1/root.tar"]).fails(1);
    let words = "import `http://127.0.0.1:1/root.tar`: cannot get `http://127.0.0.1:1/root.tar` from `127.0.0.1:1`: connection refused";
    assert!(told.contains(words), "{told}");
    fs::write(&root, "no tar").unwrap();
    let told = daemon.layer(&["import", text(&root), "bad:1"]).fails(1);
    assert!(told.contains("import the tar: unpack: read the tar: the tar ends in the middle"), "{told}");
    assert_clean(&daemon);
    assert_eq!(daemon.layer(&["images", "--quiet", "bad"]).ok(), "");
}

#[test]
fn root_docker_reads_an_archive_from_a_pipe_and_writes_one_to_a_pipe() {
    let image = busybox().unwrap();
    let (daemon, name) = pulled(&image);
    let archive = daemon.path("piped.tar");
    let mut save = daemon.docker_command(&["save", &name]);
    assert!(save.stdin(Stdio::null()).stdout(File::create(&archive).unwrap()).status().unwrap().success());
    daemon.docker(&["rmi", &name]).ok();
    let mut load = daemon.docker_command(&["load"]);
    let loaded = load.stdin(File::open(&archive).unwrap()).output().unwrap();
    assert_eq!(String::from_utf8(loaded.stdout).unwrap(), format!("Loaded image: {name}\n"));
    // GNU tar lists it as it is.
    let list = run(Command::new("tar").arg("-tf").arg(&archive)).ok();
    assert!(list.ends_with("index.json\nmanifest.json\noci-layout"), "{list}");
    assert_eq!(list.lines().filter(|line| line.starts_with("blobs/sha256/") && line.len() > 13).count(), 3);
}
