//! Docker's own command line, against Debian's own registry with what is installed on this machine.

use std::fs::{self, File};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use layer_testkit::debian::DebianRegistry;
use layer_testkit::debian_images;
use layer_testkit::image::{Image, ImageBuilder, IndexBuilder};
use layer_testkit::layer::LayerBuilder;
use layer_testkit::registry::{Auth, Registry, TokenAuth};
use serde_json::{Value, json};

use crate::service::{Daemon, Running, eventually, run};

/// Twelve digits of a digest, as docker shows it.
fn short(digest: &str) -> &str {
    &digest["sha256:".len()..][..12]
}

fn busybox() -> (DebianRegistry, Image, String) {
    let registry = DebianRegistry::start().unwrap();
    let image = debian_images::busybox().unwrap();
    let name = registry.put_image("lab/busybox", "1", &image).unwrap();
    (registry, image, name)
}

/// What docker prints when it has pulled an image that was not here.
fn downloaded(image: &Image, name: &str) -> String {
    format!("Digest: {}\nStatus: Downloaded newer image for {name}\n{name}", image.digest())
}

#[test]
fn root_a_pull_reads_as_docker_s_own() {
    let daemon = Daemon::start();
    let registry = DebianRegistry::start().unwrap();
    let image = debian_images::packages(&[&["coreutils"], &["tar", "gzip"]]).unwrap();
    let name = registry.put_image("lab/tools", "1", &image).unwrap();
    let text = daemon.docker(&["pull", &name]).ok();
    assert!(text.starts_with("1: Pulling from lab/tools\n"), "{text}");
    assert!(text.ends_with(&downloaded(&image, &name)), "{text}");
    for layer in &image.layers {
        let id = short(&layer.blob.digest);
        assert!(text.contains(&format!("{id}: Pulling fs layer\n")), "{text}");
        assert!(text.contains(&format!("{id}: Download complete\n")), "{text}");
        assert_eq!(text.matches(&format!("{id}: Pull complete\n")).count(), 1, "{text}");
    }
    let again = daemon.docker(&["pull", &name]).ok();
    let digest = image.digest();
    let begin = "1: Pulling from lab/tools\n";
    let end = format!("Digest: {digest}\nStatus: Image is up to date for {name}\n{name}");
    assert!(again.starts_with(begin) && again.ends_with(&end) && !again.contains("Pull complete"), "{again}");
}

#[test]
fn root_a_quiet_pull_prints_the_name_alone() {
    let daemon = Daemon::start();
    let (_registry, image, name) = busybox();
    assert_eq!(daemon.docker(&["pull", "--quiet", &name]).ok(), name);
    let repository = name.strip_suffix(":1").unwrap();
    let by_digest = format!("{repository}@{}", image.digest());
    assert_eq!(daemon.docker(&["pull", "--quiet", &by_digest]).ok(), by_digest);
}

#[test]
fn root_a_layer_of_another_image_already_exists() {
    let daemon = Daemon::start();
    let registry = Registry::start().unwrap();
    let layer = |text: &str| LayerBuilder::new().file("file", text).gzip();
    let first = ImageBuilder::new().layer(layer("shared")).build();
    let second = ImageBuilder::new().layer(layer("shared")).layer(layer("own")).build();
    daemon.docker(&["pull", &registry.put_image("lab/first", "1", &first)]).ok();
    let name = registry.put_image("lab/second", "1", &second);
    let text = daemon.docker(&["pull", &name]).ok();
    let shared = short(&second.layers[0].blob.digest);
    assert!(text.contains(&format!("{shared}: Already exists\n")), "{text}");
    assert!(text.contains(&format!("{}: Pull complete\n", short(&second.layers[1].blob.digest))), "{text}");
    assert_eq!(registry.blob_gets(&second.layers[0].blob.digest), 1);
}

/// The moment until which all has happened that has happened by now: docker's client sends whole seconds.
fn end_of_this_second() -> String {
    (SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 1).to_string()
}

#[test]
fn root_events_of_the_past_are_listed() {
    let daemon = Daemon::start();
    let (_registry, image, name) = busybox();
    daemon.docker(&["pull", &name]).ok();
    daemon.docker(&["rmi", &name]).ok();
    let now = end_of_this_second();
    let words = ["events", "--since", "10m", "--until", &now, "--filter", "type=image"];
    let format = ["--format", "{{.Action}} {{.Actor.ID}}"];
    let (pull, id) = (format!("pull {name}"), image.digest());
    let text = daemon.docker(&[&words[..], &format].concat()).ok();
    assert_eq!(text, format!("{pull}\nuntag {id}\ndelete {id}"));
    let own = daemon.layer(&["events", "--since", "10m", "--until", "0s", "--filter", "event=pull"]).ok();
    assert!(own.contains(&format!(" image {pull} (name=")) && own.lines().count() == 1, "{own}");
}

#[test]
fn root_images_are_listed_by_name() {
    let daemon = Daemon::start();
    let (_registry, image, name) = busybox();
    daemon.docker(&["pull", &name]).ok();
    let repository = name.strip_suffix(":1").unwrap();
    let id = short(image.digest());
    let list = daemon.docker(&["images"]).ok();
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), 2, "{list}");
    assert_eq!(rows[0], ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]);
    assert_eq!(rows[1][..3], [repository, "1", id], "{list}");
    assert!(rows[1].last().unwrap().ends_with("MB"), "{list}");
    let quiet = |words: &[&str]| daemon.docker(&[&["images", "--quiet"], words].concat()).ok();
    assert_eq!(quiet(&[]), id);
    assert_eq!(quiet(&[repository]), id);
    assert_eq!(quiet(&[&name]), id);
    assert_eq!(quiet(&["--filter", &format!("reference={repository}:*")]), id);
    assert_eq!(quiet(&[&format!("{repository}:2")]), "");
    assert_eq!(quiet(&["nothing"]), "");
    assert_eq!(quiet(&["--no-trunc"]), image.digest());
    let digests = daemon.docker(&["images", "--digests"]).ok();
    assert!(digests.contains(image.digest()), "{digests}");
}

#[test]
fn root_an_image_is_inspected() {
    let daemon = Daemon::start();
    let (_registry, image, name) = busybox();
    daemon.docker(&["pull", &name]).ok();
    let read = |text: String| -> Value { serde_json::from_str(&text).unwrap() };
    let found = read(daemon.docker(&["image", "inspect", &name]).ok());
    let found = &found[0];
    let digest = image.digest();
    assert_eq!(found["Id"], digest);
    assert_eq!(found["RepoTags"], serde_json::json!([name]));
    assert_eq!(found["RepoDigests"], serde_json::json!([format!("{}@{digest}", name.strip_suffix(":1").unwrap())]));
    assert_eq!(found["Config"]["Cmd"], serde_json::json!(["sh"]));
    assert_eq!(found["Config"]["Env"], serde_json::json!(["PATH=/bin:/usr/bin"]));
    assert_eq!(found["Os"], "linux");
    assert_eq!(found["Created"], "2023-11-14T22:13:20Z");
    assert_eq!(found["RootFS"]["Layers"], serde_json::json!([image.layers[0].diff_id]));
    // Without a word for what it is, docker asks for a container first.
    let either = read(daemon.docker(&["inspect", short(digest)]).ok());
    assert_eq!(either[0]["Id"], digest);
    let missing = daemon.docker(&["image", "inspect", "nothing"]).fails(1);
    assert!(missing.contains("No such image: nothing"), "{missing}");
    let missing = daemon.docker(&["inspect", "nothing"]).fails(1);
    assert!(missing.to_lowercase().contains("no such object: nothing"), "{missing}");
}

#[test]
fn root_the_history_of_an_image() {
    let daemon = Daemon::start();
    let (_registry, image, name) = busybox();
    daemon.docker(&["pull", &name]).ok();
    let history = daemon.docker(&["history", &name]).ok();
    let rows: Vec<&str> = history.lines().collect();
    assert_eq!(rows.len(), 2, "{history}");
    assert!(rows[0].starts_with("IMAGE"), "{history}");
    assert!(rows[1].starts_with(short(image.digest())) && rows[1].contains("testkit layer 1"), "{history}");
}

#[test]
fn root_names_come_and_go_and_the_last_takes_the_image_along() {
    let daemon = Daemon::start();
    let (_registry, image, name) = busybox();
    daemon.docker(&["pull", &name]).ok();
    daemon.docker(&["tag", &name, "mine:v1"]).ok();
    let list = daemon.docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"]).ok();
    let mut names: Vec<&str> = list.lines().collect();
    names.sort_unstable();
    assert_eq!(names, [name.as_str(), "mine:v1"]);
    assert_eq!(daemon.docker(&["rmi", "mine:v1"]).ok(), "Untagged: mine:v1");
    let last = daemon.docker(&["rmi", &name]).ok();
    assert!(last.contains(&format!("Untagged: {name}")), "{last}");
    assert!(last.contains(&format!("Deleted: {}", image.digest())), "{last}");
    assert_eq!(daemon.docker(&["images", "--quiet"]).ok(), "");
    assert_eq!(daemon.list("layers/sha256"), [""; 0]);
    assert_eq!(daemon.list("blobs/sha256"), [""; 0]);
    let missing = daemon.docker(&["rmi", &name]).fails(1);
    assert!(missing.contains(&format!("No such image: {name}")), "{missing}");
    let missing = daemon.docker(&["tag", "nothing", "mine:v2"]).fails(1);
    assert!(missing.contains("No such image: nothing"), "{missing}");
}

#[test]
fn root_the_daemon_introduces_itself() {
    let daemon = Daemon::start();
    let version = daemon.docker(&["version", "--format", "{{.Server.Version}} {{.Server.Os}}"]).ok();
    assert_eq!(version, format!("{} linux", env!("CARGO_PKG_VERSION")));
    let platform = daemon.docker(&["version", "--format", "{{.Server.Platform.Name}}"]).ok();
    assert_eq!(platform, "layerd");
    let info = daemon.docker(&["info", "--format", "{{.Images}} {{.Containers}} {{.OSType}} {{.Driver}}"]).ok();
    assert_eq!(info, "0 0 linux overlayfs");
    daemon.docker(&["info"]).ok();
    let containers = daemon.docker(&["ps", "--all", "--quiet"]).ok();
    assert_eq!(containers, "");
}

#[test]
fn root_what_can_not_be_pulled_is_told_in_docker_s_words() {
    let daemon = Daemon::start();
    let (registry, ..) = busybox();
    let host = registry.host();
    let missing = format!("{host}/lab/busybox:2");
    let said = daemon.docker(&["pull", &missing]).fails(1);
    let words = format!("Error response from daemon: failed to resolve reference \"{missing}\": {missing}: not found");
    assert!(said.contains(&words), "{said}");
    let said = daemon.docker(&["pull", &format!("{host}/lab/nothing:1")]).fails(1);
    assert!(said.contains(": not found"), "{said}");
    let said = daemon.docker(&["pull", &format!("{host}/lab/BAD:1")]).fails(1);
    assert!(said.contains("invalid reference format: repository name (lab/BAD) must be lowercase"), "{said}");
    assert_eq!(daemon.docker(&["images", "--quiet"]).ok(), "");
}

#[test]
fn root_what_runs_containers_is_refused_by_name() {
    let daemon = Daemon::start();
    let (_registry, _, name) = busybox();
    daemon.docker(&["pull", "--quiet", &name]).ok();
    let ran = daemon.docker(&["create", &name]);
    assert_ne!(ran.code, Some(0));
    assert!(ran.stderr.contains("layerd manages images, it runs no containers"), "{}", ran.stderr);
}

#[test]
fn root_a_registry_that_asks_for_a_token_gets_one() {
    let daemon = Daemon::start();
    let registry = Registry::start().unwrap();
    registry.set_auth(Auth::Token(TokenAuth::anonymous()));
    let image = ImageBuilder::new().layer(LayerBuilder::new().file("file", "1").gzip()).build();
    let name = registry.put_image("lab/open", "1", &image);
    let text = daemon.docker(&["pull", &name]).ok();
    assert!(text.ends_with(&downloaded(&image, &name)), "{text}");
    assert_eq!(registry.tokens_issued(), 1);
    let such = registry.requests().into_iter().filter(|request| request.is_blob_get() || request.is_manifest());
    assert!(such.into_iter().all(|request| request.authorized()));
}

#[test]
fn root_a_registry_that_wants_an_account_is_told_of_as_docker_does() {
    let daemon = Daemon::start();
    let registry = Registry::start().unwrap();
    registry.set_auth(Auth::Token(TokenAuth::account("user", "secret")));
    let image = ImageBuilder::new().layer(LayerBuilder::new().file("file", "1").gzip()).build();
    let name = registry.put_image("lab/closed", "1", &image);
    let said = daemon.docker(&["pull", &name]).fails(1);
    let repository = name.strip_suffix(":1").unwrap();
    assert!(said.contains(&format!("pull access denied for {repository}")), "{said}");
    assert!(said.contains("repository does not exist or may require 'docker login'"), "{said}");
}

#[test]
fn root_platforms_are_shown_as_a_tree() {
    let daemon = Daemon::start();
    let registry = Registry::start().unwrap();
    let of = |platform: &str| {
        ImageBuilder::new().platform(platform).layer(LayerBuilder::new().file("p", platform).gzip()).build()
    };
    let (amd, arm) = (of("linux/amd64"), of("linux/arm64"));
    let name = registry.put_image("lab/multi", "1", &IndexBuilder::new().image(&amd).image(&arm).build());
    daemon.docker(&["pull", &name]).ok();
    let tree = daemon.docker(&["images", "--tree"]).ok();
    let line = |begin: &str| tree.lines().find(|line| line.contains(begin)).unwrap_or_else(|| panic!("{tree}"));
    assert!(line(&name).contains(short(&registry_digest(&daemon, &name))), "{tree}");
    assert!(line("linux/amd64").contains(short(amd.digest())), "{tree}");
    assert!(line("linux/arm64").contains(short(arm.digest())), "{tree}");
}

fn registry_digest(daemon: &Daemon, name: &str) -> String {
    daemon.inspect(name)["Id"].as_str().unwrap().to_owned()
}

#[test]
fn root_all_tags_are_pulled() {
    let daemon = Daemon::start();
    let registry = DebianRegistry::start().unwrap();
    let of = |text: &str| ImageBuilder::new().layer(LayerBuilder::new().file("f", text).gzip()).build();
    let names: Vec<_> = ["1", "2"].map(|tag| registry.put_image("lab/many", tag, &of(tag)).unwrap()).into();
    let repository = names[0].strip_suffix(":1").unwrap();
    let text = daemon.docker(&["pull", "--all-tags", repository]).ok();
    for name in &names {
        assert!(text.contains(&format!("Status: Downloaded newer image for {name}")), "{text}");
    }
    let again = daemon.layer(&["pull", "--all-tags", "--quiet", repository]).ok();
    // The order is the registry's.
    let mut again: Vec<_> = again.lines().collect();
    again.sort_unstable();
    assert_eq!(again, names);
}

/// Two images of one repository, the older one first, that are here.
struct Pair {
    daemon: Daemon,
    _registry: Registry,
    images: [Image; 2],
    names: [String; 2],
}

impl Pair {
    fn new() -> Self {
        let (daemon, registry) = (Daemon::start(), Registry::start().unwrap());
        let of = |text: &str, created| {
            let layer = |file: &str, text: &str| LayerBuilder::new().file(file, text.repeat(1000)).gzip();
            let image = ImageBuilder::new().platform(&debian_images::host_platform()).created(created);
            let image = image.layer(layer("base", "base")).layer(layer("own", text)).cmd(&["sh"]);
            image.container("Labels", json!({"lab.content": text})).build()
        };
        let images = [of("one", "2023-11-14T22:13:20Z"), of("two", "2024-05-01T12:00:00Z")];
        let names = [("1", &images[0]), ("2", &images[1])].map(|(tag, image)| {
            let name = registry.put_image("lab/pair", tag, image);
            daemon.docker(&["pull", "--quiet", &name]).ok();
            name
        });
        Self { daemon, _registry: registry, images, names }
    }

    fn repository(&self) -> &str {
        self.names[0].strip_suffix(":1").unwrap()
    }
}

/// Runs docker with a file on its standard input.
fn docker_reads(daemon: &Daemon, words: &[&str], input: &Path) -> String {
    let output = daemon.docker_command(words).stdin(File::open(input).unwrap()).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn root_images_are_found_by_each_filter() {
    let pair = Pair::new();
    let [older, newer] = pair.images.each_ref().map(Image::digest);
    let found = |words: &[&str]| {
        let list = pair.daemon.docker(&[&["image", "ls", "--no-trunc", "--quiet"], words].concat()).ok();
        list.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    for (filter, images) in [
        ("dangling=false".to_owned(), vec![newer, older]),
        ("dangling=true".to_owned(), vec![]),
        ("label=lab.content".to_owned(), vec![newer, older]),
        ("label=lab.content=one".to_owned(), vec![older]),
        ("label!=lab.content=one".to_owned(), vec![newer]),
        (format!("before={}", pair.names[1]), vec![older]),
        (format!("since={older}"), vec![newer]),
        ("until=2024-01-01".to_owned(), vec![older]),
        ("reference=*/lab/pair:2".to_owned(), vec![newer]),
    ] {
        assert_eq!(found(&["--filter", &filter]), images, "{filter}");
    }
    // Several of one kind, and of two.
    let both = pair.names.each_ref().map(|name| format!("reference={name}"));
    assert_eq!(found(&["--filter", &both[0], "--filter", &both[1]]), [newer, older]);
    assert_eq!(found(&["--filter", &both[0], "--filter", "label=lab.content=two"]), [""; 0]);
    assert_eq!(found(&["--all"]), [newer, older]);
    let said = pair.daemon.docker(&["images", "--filter", "nonsense=1"]).fails(1);
    assert!(said.contains("invalid filter 'nonsense'"), "{said}");

    pair.daemon.docker(&["tag", &pair.names[1], &pair.names[0]]).ok();
    assert_eq!(found(&["--filter", "dangling=true"]), [older]);
    let list = pair.daemon.docker(&["images", "--format", "{{.Repository}} {{.Tag}} {{.ID}}"]).ok();
    assert!(list.lines().any(|line| line == format!("<none> <none> {}", short(older))), "{list}");
}

#[test]
fn root_a_list_has_the_columns_that_are_asked_for() {
    let pair = Pair::new();
    let (name, digest) = (&pair.names[1], pair.images[1].digest());
    let list = |words: &[&str]| pair.daemon.docker(&[&["image", "ls"], words, &[name]].concat()).ok();
    let table = list(&["--digests", "--no-trunc"]);
    let cells: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(cells[0], ["REPOSITORY", "TAG", "DIGEST", "IMAGE", "ID", "CREATED", "SIZE"], "{table}");
    assert_eq!(cells[1][..4], [pair.repository(), "2", digest, digest], "{table}");
    let format = "{{.Repository}}|{{.Tag}}|{{.Digest}}|{{.ID}}|{{.CreatedAt}}|{{.Containers}}|{{.SharedSize}}";
    let row = list(&["--format", format]);
    let begin = format!("{}|2|{digest}|{}|2024-05-01 ", pair.repository(), short(digest));
    assert!(row.starts_with(&begin) && row.ends_with("|N/A|N/A"), "{row}");
    let json: Value = serde_json::from_str(&list(&["--format", "json"])).unwrap();
    assert_eq!((&json["Repository"], &json["Tag"]), (&json!(pair.repository()), &json!("2")));
}

#[test]
fn root_parts_of_what_is_known_of_an_image() {
    let pair = Pair::new();
    let (name, image) = (&pair.names[0], &pair.images[0]);
    let inspect = |format: &str| pair.daemon.docker(&["inspect", "--type", "image", "--format", format, name]).ok();
    assert_eq!(
        inspect("{{.Id}} {{.Os}}/{{.Architecture}}"),
        format!("{} {}", image.digest(), debian_images::host_platform())
    );
    assert_eq!(inspect("{{json .Config.Labels}} {{index .RepoTags 0}}"), format!("{{\"lab.content\":\"one\"}} {name}"));
    assert_eq!(inspect("{{len .RootFS.Layers}} {{.GraphDriver.Name}}"), "2 overlayfs");
    let several: Value =
        serde_json::from_str(&pair.daemon.docker(&["image", "inspect", name, &pair.names[1]]).ok()).unwrap();
    assert_eq!(several.as_array().unwrap().len(), 2);
    let host = debian_images::host_platform();
    let of =
        |platform: &str| pair.daemon.docker(&["image", "inspect", "--platform", platform, "--format", "{{.Os}}", name]);
    assert_eq!(of(&host).ok(), "linux");
    let said = of("linux/s390x").fails(1);
    assert!(said.contains("does not provide the specified platform (linux/s390x)"), "{said}");

    let history = |words: &[&str]| pair.daemon.docker(&[&["history"], words, &[name]].concat()).ok();
    assert_eq!(history(&["--quiet", "--no-trunc"]), format!("{}\n<missing>", image.digest()));
    assert_eq!(history(&["--format", "{{.CreatedBy}}"]), "testkit layer 2\ntestkit layer 1");
    let sizes = history(&["--human=false", "--format", "{{.Size}}"]);
    assert!(sizes.lines().all(|size| size.parse::<u64>().unwrap() > 0), "{sizes}");
}

#[test]
fn root_a_platform_is_pulled_and_saved_alone() {
    let (daemon, registry) = (Daemon::start(), DebianRegistry::start().unwrap());
    let of = |platform: &str| {
        ImageBuilder::new().platform(platform).layer(LayerBuilder::new().file("p", platform).gzip()).build()
    };
    let (amd, arm) = (of("linux/amd64"), of("linux/arm64"));
    let index = IndexBuilder::new().image(&amd).image(&arm).build();
    let name = registry.put_image("lab/multi", "1", &index).unwrap();
    for platform in ["linux/arm64", "linux/amd64"] {
        let text = daemon.docker(&["pull", "--platform", platform, &name]).ok();
        assert!(text.contains(&format!("Digest: {}", index.digest())), "{text}");
        let of = ["image", "inspect", "--platform", platform, "--format", "{{.Architecture}}", &name];
        assert_eq!(format!("linux/{}", daemon.docker(&of).ok()), platform);
    }
    let said = daemon.docker(&["pull", "--platform", "linux/s390x", &name]).fails(1);
    assert!(said.contains("no matching manifest for linux/s390x in the manifest list entries"), "{said}");

    let archive = daemon.path("arm.tar");
    let archive = archive.to_str().unwrap();
    daemon.docker(&["save", "--platform", "linux/arm64", "--output", archive, &name]).ok();
    daemon.docker(&["rmi", &name]).ok();
    let loaded = daemon.docker(&["load", "--platform", "linux/arm64", "--input", archive]).ok();
    assert_eq!(loaded, format!("Loaded image: {name}"));
    assert_eq!(daemon.docker(&["images", "--quiet", "--no-trunc"]).ok(), arm.digest());
    daemon.docker(&["rmi", &name]).ok();
    let said = daemon.docker(&["load", "--platform", "linux/amd64", "--input", archive]).fails(1);
    assert!(said.contains("linux/amd64"), "{said}");
}

#[test]
fn root_archives_go_through_pipes() {
    let pair = Pair::new();
    let archive = pair.daemon.path("both.tar");
    let save = pair.daemon.docker_command(&["save", &pair.names[0], &pair.names[1]]).output().unwrap();
    assert!(save.status.success());
    fs::write(&archive, save.stdout).unwrap();
    pair.daemon.docker(&["rmi", &pair.names[0], &pair.names[1]]).ok();
    let said = docker_reads(&pair.daemon, &["load"], &archive);
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, pair.names.each_ref().map(|name| format!("Loaded image: {name}")));
    let said = pair.daemon.docker(&["save", "--output", archive.to_str().unwrap(), "nothing"]).fails(1);
    assert!(said.contains("No such image: nothing:latest"), "{said}");

    let root = pair.daemon.path("root.tar");
    fs::write(&root, LayerBuilder::new().file("hello", "world").finish().unwrap()).unwrap();
    let words = ["import", "--change", "CMD [\"/hello\"]", "--message", "by hand", "-", "own:2"];
    let id = docker_reads(&pair.daemon, &words, &root);
    assert_eq!(pair.daemon.docker(&["images", "--quiet", "--no-trunc", "own:2"]).ok(), id);
    assert_eq!(
        pair.daemon.docker(&["inspect", "--format", "{{.Config.Cmd}} {{.Comment}}", "own:2"]).ok(),
        "[/hello] by hand"
    );
    // Of a file, and without a name.
    let id = pair.daemon.docker(&["import", "--platform", "linux/arm64", root.to_str().unwrap()]).ok();
    assert_eq!(pair.daemon.docker(&["inspect", "--format", "{{.Architecture}} {{.RepoTags}}", &id]).ok(), "arm64 []");
}

#[test]
fn root_what_is_unused_is_pruned_by_filter() {
    let pair = Pair::new();
    let [older, newer] = pair.images.each_ref().map(Image::digest);
    let prune = |words: &[&str]| pair.daemon.docker(&[&["image", "prune", "--force"], words].concat()).ok();
    assert_eq!(prune(&[]), "Total reclaimed space: 0B");
    assert_eq!(prune(&["--all", "--filter", "label!=lab.content"]), "Total reclaimed space: 0B");
    let text = prune(&["--all", "--filter", "label!=lab.content=one"]);
    assert!(text.contains(&format!("untagged: {}\n", pair.names[1])) && text.contains(newer), "{text}");
    let text = pair.daemon.docker(&["system", "prune", "--all", "--force"]).ok();
    assert!(text.starts_with("Deleted Images:\n") && text.contains(&format!("deleted: {older}")), "{text}");
    assert_eq!(pair.daemon.docker(&["images", "--quiet"]).ok(), "");
}

#[test]
fn root_what_images_take_is_told_in_full() {
    let pair = Pair::new();
    let text = pair.daemon.docker(&["system", "df", "--verbose"]).ok();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let head = rows.iter().position(|row| row.starts_with(&["REPOSITORY", "TAG"])).unwrap_or_else(|| panic!("{text}"));
    assert_eq!(rows[head][5..], ["SIZE", "SHARED", "SIZE", "UNIQUE", "SIZE", "CONTAINERS"], "{text}");
    for (name, image) in pair.names.iter().zip(&pair.images) {
        let (_, tag) = name.rsplit_once(':').unwrap();
        let row =
            rows.iter().find(|row| row.starts_with(&[pair.repository(), tag])).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(row[2], short(image.digest()), "{text}");
        let [.., shared, unique, containers] = row.as_slice() else { panic!("{text}") };
        assert!(*shared != "0B" && *unique != "0B" && *containers == "0", "{text}");
    }
}

#[test]
fn root_events_are_followed() {
    let pair = Pair::new();
    let words = ["events", "--since", "10m", "--filter", "event=tag", "--format", "{{json .}}"];
    let follower = Running::start(&mut pair.daemon.docker_command(&words));
    for tag in ["mine:1", "mine:2"] {
        pair.daemon.docker(&["tag", &pair.names[0], tag]).ok();
    }
    eventually("both events are printed", || follower.stdout().matches('\n').count() == 2);
    let named =
        |line: &str| -> Value { serde_json::from_str::<Value>(line).unwrap()["Actor"]["Attributes"]["name"].clone() };
    let names: Vec<_> = follower.stdout().lines().map(named).collect();
    assert_eq!(names, ["mine:1", "mine:2"]);

    let now = end_of_this_second();
    let of = |filters: &[&str]| {
        let words = ["events", "--since", "10m", "--until", &now, "--format", "{{.Action}}"];
        let filters: Vec<&str> = filters.iter().flat_map(|filter| ["--filter", filter]).collect();
        pair.daemon.docker(&[&words[..], &filters].concat()).ok()
    };
    assert_eq!(of(&["event=pull"]), "pull\npull");
    assert_eq!(of(&["label=lab.content=two", "type=image"]), "pull");
    assert_eq!(of(&[&format!("image={}", pair.names[0]), "event=pull"]), "pull");
    assert_eq!(of(&["type=container"]), "");
}

#[test]
fn root_what_was_pushed_is_seen_at_the_registry() {
    let pair = Pair::new();
    let registry = DebianRegistry::start().unwrap();
    let target = format!("{}/cli/sent:1", registry.host());
    pair.daemon.docker(&["tag", &pair.names[0], &target]).ok();
    assert_eq!(pair.daemon.docker(&["push", "--quiet", &target]).ok(), target);
    // This one asks the registry by itself.
    let text = pair.daemon.docker(&["manifest", "inspect", "--insecure", "--verbose", &target]).ok();
    let seen: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(seen["Descriptor"]["digest"], pair.images[0].digest());
    let said = pair.daemon.docker(&["push", "--platform", "linux/s390x", &target]).fails(1);
    assert!(said.contains("linux/s390x"), "{said}");
}

/// Clients of all years: docker's own at the versions that it spoke then.
#[test]
fn root_older_versions_are_spoken() {
    let pair = Pair::new();
    let (name, id) = (&pair.names[0], short(pair.images[0].digest()));
    let archive = pair.daemon.path("old.tar");
    let archive = archive.to_str().unwrap();
    for version in ["1.24", "1.32", "1.41", "1.43", "1.45", "1.48"] {
        let docker = |words: &[&str]| run(pair.daemon.docker_command(words).env("DOCKER_API_VERSION", version));
        assert_eq!(docker(&["version", "--format", "{{.Client.APIVersion}}"]).ok(), version);
        let text = docker(&["pull", name]).ok();
        assert!(text.contains(&format!("Status: Image is up to date for {name}")), "{version}: {text}");
        assert_eq!(docker(&["images", "--quiet", name]).ok(), id, "{version}");
        let format = "{{.Os}} {{.Config.Cmd}} {{len .RootFS.Layers}}";
        assert_eq!(docker(&["inspect", "--format", format, name]).ok(), "linux [sh] 2", "{version}");
        assert_eq!(docker(&["history", "--quiet", name]).ok(), format!("{id}\n<missing>"), "{version}");
        docker(&["tag", name, "old:1"]).ok();
        docker(&["save", "--output", archive, "old:1"]).ok();
        assert_eq!(docker(&["rmi", "old:1"]).ok(), "Untagged: old:1", "{version}");
        assert_eq!(docker(&["load", "--input", archive]).ok(), "Loaded image: old:1", "{version}");
        docker(&["rmi", "old:1"]).ok();
        if version != "1.24" {
            // Older ones have neither.
            assert_eq!(docker(&["image", "prune", "--force"]).ok(), "Total reclaimed space: 0B", "{version}");
            let text = docker(&["system", "df", "--format", "{{.Type}} {{.TotalCount}}"]).ok();
            assert!(text.starts_with("Images 2\n"), "{version}: {text}");
        }
    }
}
