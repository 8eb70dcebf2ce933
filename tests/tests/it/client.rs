//! `layer` against a daemon: what it prints, and how it ends.

use std::fs;
use std::path::{Path, PathBuf};

use layer_testkit::image::{Image, ImageBuilder};
use layer_testkit::layer::LayerBuilder;
use layer_testkit::registry::{Outcome, Registry};
use rustix::process::Signal;
use serde_json::Value;

use crate::service::{Daemon, Running, Stalled, eventually};

fn image(text: &str) -> Image {
    ImageBuilder::new().cmd(&["run"]).layer(LayerBuilder::new().dir("etc").file("etc/name", text).gzip()).build()
}

/// A daemon, a registry, and the name of an image that was pulled from there.
fn pulled() -> (Daemon, Registry, Image, String) {
    let (daemon, registry, image) = (Daemon::start(), Registry::start().unwrap(), image("one"));
    let name = registry.put_image("lab/one", "1", &image);
    daemon.layer(&["pull", "--quiet", &name]).ok();
    (daemon, registry, image, name)
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn root_several_images_are_told_of_in_the_order_of_their_names() {
    let (daemon, registry) = (Daemon::start(), Registry::start().unwrap());
    let images: Vec<Image> = (0..6).map(|number| image(&number.to_string())).collect();
    let put = |(number, image)| registry.put_image(&format!("lab/image{number}"), "1", image);
    let names: Vec<String> = images.iter().enumerate().map(put).collect();
    let words: Vec<&str> = std::iter::once("pull").chain(names.iter().map(String::as_str)).collect();
    let ran = daemon.layer(&words);
    for (name, image) in names.iter().zip(&images) {
        let id = &image.layers[0].blob.digest["sha256:".len()..][..12];
        assert!(ran.stderr.contains(&format!("{name}: {id}: Pull complete\n")), "{}", ran.stderr);
    }
    let of = |(name, image): (&String, &Image)| {
        let digest = image.digest();
        format!("Digest: {digest}\nStatus: Downloaded newer image for {name}\n{name}\n{digest}")
    };
    assert_eq!(ran.ok(), names.iter().zip(&images).map(of).collect::<Vec<_>>().join("\n"));
    let words: Vec<&str> = ["pull", "--quiet"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let quiet = daemon.layer(&words);
    assert_eq!(quiet.stderr, "");
    assert_eq!(quiet.ok(), names.join("\n"));
}

#[test]
fn root_one_name_that_fails_does_not_keep_the_others_from_being_pulled() {
    let (daemon, registry) = (Daemon::start(), Registry::start().unwrap());
    let name = registry.put_image("lab/one", "1", &image("one"));
    let missing = format!("{}/lab/missing:1", registry.host());
    let ran = daemon.layer(&["pull", "--quiet", &missing, &name]);
    assert_eq!(ran.stdout, format!("{name}\n"));
    let said = ran.fails(1);
    assert!(said.starts_with(&format!("error: pull `{missing}`: ")) && said.contains("not found"), "{said}");
}

#[test]
fn root_a_dry_run_tells_of_news_and_fetches_nothing() {
    let (daemon, registry, old, name) = pulled();
    let before = registry.requests().len();
    let same = daemon.layer(&["pull", "--dry-run", &name]).ok();
    assert!(same.starts_with(&format!("{name}: up to date, ")), "{same}");
    assert_eq!(registry.requests().len(), before + 1, "what has not moved costs one question");
    assert_eq!(daemon.layer(&["pull", "--dry-run", "--quiet", &name]).ok(), "");

    let new = image("another one");
    registry.put_image("lab/one", "1", &new);
    let id = |image: &Image| image.digest()["sha256:".len()..][..12].to_owned();
    let news = daemon.layer(&["pull", "--dry-run", &name]).ok();
    let expected = format!("{name}: a newer image, {}, in place of {}: 1 of 1 layers to come, ", id(&new), id(&old));
    assert!(news.starts_with(&expected), "{news}");
    assert_eq!(daemon.layer(&["pull", "--dry-run", "--quiet", &name]).ok(), name);
    assert_eq!(registry.blob_gets(&new.layers[0].blob.digest), 0);
    assert_eq!(daemon.inspect(&name)["Id"], old.digest());

    let missing = format!("{}/lab/missing:1", registry.host());
    let said = daemon.layer(&["pull", "--dry-run", &missing]);
    assert!(said.fails(1).contains("not found"));
}

#[test]
fn root_images_are_listed_for_people_and_for_programs() {
    let (daemon, _registry, image, name) = pulled();
    let repository = name.strip_suffix(":1").unwrap();
    let table = daemon.layer(&["images"]).ok();
    assert!(table.starts_with("REPOSITORY ") && table.contains(repository), "{table}");
    let rows = lines(&daemon.layer(&["images", "--format", "json", "--no-trunc"]).ok());
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["Repository"], repository);
    assert_eq!(rows[0]["Tag"], "1");
    assert_eq!(rows[0]["ID"], image.digest());
    assert_eq!(daemon.layer(&["images", "--quiet", "--no-trunc"]).ok(), image.digest());
    assert_eq!(daemon.layer(&["images", "--quiet", "nothing"]).ok(), "");
    assert_eq!(daemon.layer(&["image", "ls", "--quiet", &name]).ok(), image.digest()["sha256:".len()..][..12]);
}

#[test]
fn root_an_image_is_inspected_and_has_a_history() {
    let (daemon, _registry, image, name) = pulled();
    let found = daemon.inspect(&name);
    assert_eq!(found["Id"], image.digest());
    assert_eq!(found["Config"]["Cmd"][0], "run");
    let both = daemon.layer(&["inspect", "nothing", &name]);
    let list: Vec<Value> = serde_json::from_str(&both.stdout).unwrap();
    assert_eq!(list.len(), 1);
    assert!(both.fails(1).contains("No such image: nothing"));
    let steps = lines(&daemon.layer(&["history", "--format", "json", "--no-trunc", &name]).ok());
    assert_eq!(steps.len(), 1);
    assert_eq!(steps[0]["CreatedBy"], "testkit layer 1");
    assert_eq!(steps[0]["ID"], image.digest());
}

#[test]
fn root_names_are_given_and_taken() {
    let (daemon, _registry, image, name) = pulled();
    assert_eq!(daemon.layer(&["tag", &name, "mine"]).ok(), "");
    assert_eq!(daemon.inspect("mine")["Id"], image.digest());
    assert_eq!(daemon.layer(&["rmi", "mine"]).ok(), "Untagged: mine:latest");
    let last = daemon.layer(&["rmi", &name]).ok();
    assert_eq!(last, format!("Untagged: {name}\nDeleted: {}", image.digest()));
    assert!(daemon.layer(&["rmi", &name]).fails(1).contains("No such image"));
    // The same image can come back.
    assert_eq!(daemon.layer(&["pull", "--quiet", &name]).ok(), name);
}

#[test]
fn root_an_image_is_mounted_read_only() {
    let (daemon, _registry, _, name) = pulled();
    let folder = PathBuf::from(daemon.layer(&["mount", &name]).ok());
    assert_eq!(fs::read_to_string(folder.join("etc/name")).unwrap(), "one");
    let refused = fs::write(folder.join("etc/name"), "two").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    let rows = lines(&daemon.layer(&["mounts", "--format", "json"]).ok());
    assert_eq!(rows.len(), 1);
    assert_eq!(daemon.layer(&["mounts", "--quiet"]).ok(), folder.to_str().unwrap());

    let refused = daemon.layer(&["rmi", &name]).fails(1);
    assert!(refused.contains("image is mounted on") && refused.contains("hint: unmount it first"), "{refused}");
    let refused = daemon.docker(&["rmi", "--force", &name]).fails(1);
    assert!(refused.contains("image is mounted on"), "{refused}");
    assert_eq!(fs::read_to_string(folder.join("etc/name")).unwrap(), "one");

    assert_eq!(daemon.layer(&["umount", &name]).ok(), folder.to_str().unwrap());
    assert!(!folder.join("etc").exists());
    assert_eq!(daemon.layer(&["mounts", "--quiet"]).ok(), "");
    daemon.layer(&["umount", &name]).fails(1);
    daemon.layer(&["rmi", &name]).ok();
}

#[test]
fn root_a_folder_of_one_s_own_can_be_written_for_as_long_as_it_is_mounted() {
    let (daemon, _registry, _, name) = pulled();
    let target = daemon.path("target");
    fs::create_dir(&target).unwrap();
    let text = target.to_str().unwrap();
    let file = target.join("etc/name");
    assert_eq!(daemon.layer(&["mount", "--rw", &name, text]).ok(), text);
    fs::write(&file, "two").unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "two");
    assert_eq!(daemon.layer(&["umount", text]).ok(), text);
    assert!(!file.exists());
    daemon.layer(&["mount", &name, text]).ok();
    assert_eq!(fs::read_to_string(&file).unwrap(), "one");
}

#[test]
fn root_a_pull_that_is_interrupted_goes_on_the_next_time() {
    let (daemon, stalled) = (Daemon::start(), Stalled::new());
    let client = Running::start(&mut daemon.layer_command(&["pull", &stalled.name]));
    stalled.wait(&daemon);
    eventually("the client shows progress", || client.stderr().contains("Pull complete"));
    client.signal(Signal::INT);
    let said = client.end().fails(130);
    assert!(said.contains("interrupted: the partial download is kept"), "{said}");
    stalled.registry.wait_for(1, |request| request.outcome == Outcome::Left).unwrap();
    assert_eq!(daemon.layer(&["images", "--quiet"]).ok(), "");

    stalled.registry.heal();
    daemon.layer(&["pull", &stalled.name]).ok();
    let from = stalled.resumed_at().expect("the layer was asked for from where it broke off");
    assert!(from > 1 << 20, "{from}");
    assert_eq!(stalled.registry.blob_gets(&stalled.image.layers[0].blob.digest), 1);
    let folder = daemon.layer(&["mount", &stalled.name]).ok();
    assert_eq!(fs::metadata(Path::new(&folder).join("large")).unwrap().len(), 8 << 20);
}

#[test]
fn root_an_interrupted_pull_of_someone_else_goes_on() {
    let (daemon, stalled) = (Daemon::start(), Stalled::new());
    let first = Running::start(&mut daemon.layer_command(&["pull", &stalled.name]));
    stalled.wait(&daemon);
    first.signal(Signal::TERM);
    assert_eq!(first.end().code, None);
    stalled.gate.open();
    stalled.registry.heal();
    daemon.layer(&["pull", "--quiet", &stalled.name]).ok();
}

#[test]
fn root_usage_that_makes_no_sense_ends_with_2() {
    let daemon = Daemon::start();
    for words in [&["pull"][..], &["no-such-command"], &["images", "--no-such-option"], &["tag", "one"]] {
        let said = daemon.layer(words).fails(2);
        assert!(said.contains("Usage:"), "{said}");
    }
    assert!(daemon.layer(&["--help"]).ok().contains("Exit status: 0 done, 1 failed"));
    assert_eq!(daemon.layer(&["--version"]).ok(), format!("layer {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn root_a_daemon_that_is_not_there_ends_with_3() {
    let mut daemon = Daemon::start();
    let socket = daemon.socket();
    daemon.kill();
    for words in [&["images"][..], &["pull", "one"], &["mounts"], &["info"]] {
        let said = daemon.layer(words).fails(3);
        assert!(said.contains(&format!("the daemon of `{}` is not running", socket.display())), "{said}");
        assert!(said.contains("hint: start it with"), "{said}");
    }
    fs::remove_file(&socket).unwrap();
    let said = daemon.layer(&["images"]).fails(3);
    assert!(said.contains("there is no such socket"), "{said}");
}

#[test]
fn root_both_sides_tell_their_version() {
    let daemon = Daemon::start();
    let text = daemon.layer(&["version", "--format", "json"]).ok();
    let version: Value = serde_json::from_str(&text).unwrap();
    assert!(version.is_object() && text.contains(env!("CARGO_PKG_VERSION")), "{text}");
    let info: Value = serde_json::from_str(&daemon.layer(&["info", "--format", "json"]).ok()).unwrap();
    assert!(info.is_object(), "{info}");
    let info = daemon.layer(&["info"]).ok();
    assert!(info.contains(daemon.root().to_str().unwrap()), "{info}");
}
