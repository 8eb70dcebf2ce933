//! Clients of others, in their own languages: the checks of `tests/clients` against the daemon and Debian's own registries.
//!
//! The clients are installed by `cargo xtask test`, or else by the first test that needs them.

use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use layer_testkit::clients::{self, SOURCES};
use layer_testkit::debian::{DebianRegistry, Htpasswd, push};
use layer_testkit::debian_images::host_platform;
use layer_testkit::image::{Image, ImageBuilder, IndexBuilder};
use layer_testkit::layer::LayerBuilder;
use layer_testkit::registry::Registry;
use serde_json::{Value, json};

use crate::service::{Daemon, run};

const USER: &str = "bob";
const PASSWORD: &str = "op3n-sesame";

/// A daemon with an empty store, and two registries with a few small images.
struct Lab {
    daemon: Daemon,
    open: DebianRegistry,
    private: DebianRegistry,
    /// The private registry reads it with each request.
    _users: Htpasswd,
    images: Value,
}

fn image(platform: &str, name: &str, created: &str) -> Image {
    let layer = |file: &str, text: &str| LayerBuilder::new().file(file, text.repeat(1000)).gzip();
    let image = ImageBuilder::new().platform(platform).created(created).cmd(&["sh", "-c", "true"]);
    let image = image.container("Env", vec!["PATH=/bin"]).container("Labels", json!({"lab.name": name, "lab": "yes"}));
    image.layer(layer("etc/base", "base")).layer(layer("etc/own", name)).build()
}

fn facts(image: &Image) -> Value {
    let layers: Vec<_> = image.layers.iter().map(|layer| &layer.diff_id).collect();
    let blobs: Vec<_> = image.layers.iter().map(|layer| &layer.blob.digest).collect();
    json!({"id": image.digest(), "size": image.top.bytes.len(), "layers": layers, "blobs": blobs})
}

/// The platform of this machine, and one that it doesn't have.
fn platforms() -> (String, &'static str) {
    let own = host_platform();
    let other = if own == "linux/arm64" { "linux/amd64" } else { "linux/arm64" };
    (own, other)
}

impl Lab {
    fn new() -> Self {
        let (open, users) = (DebianRegistry::start().unwrap(), Htpasswd::new(USER, PASSWORD).unwrap());
        let private = DebianRegistry::start_with(&users.config()).unwrap();
        let (own, other) = platforms();
        let (old, new) = ("2023-11-14T22:13:20Z", "2024-05-01T12:00:00Z");
        let mut images = serde_json::Map::new();
        for (repository, tag, created) in
            [("lab/box", "1", old), ("lab/box", "2", new), ("lab/tags", "a", old), ("lab/tags", "b", new)]
        {
            let image = image(&own, &format!("{repository}:{tag}"), created);
            open.put_image(repository, tag, &image).unwrap();
            images.insert(format!("{repository}:{tag}"), facts(&image));
        }
        let parts = [own.as_str(), other].map(|platform| (platform, image(platform, platform, old)));
        let index = parts.iter().fold(IndexBuilder::new(), |index, (_, image)| index.image(image)).build();
        open.put_image("lab/multi", "1", &index).unwrap();
        let manifests: Value = parts.iter().map(|(platform, image)| ((*platform).to_owned(), facts(image))).collect();
        images.insert("lab/multi:1".to_owned(), json!({"id": index.digest(), "platforms": manifests}));
        let image = image(&own, "private", old);
        push(private.address(), "lab/private", "1", &image, Some(users.authorization())).unwrap();
        images.insert("lab/private:1".to_owned(), facts(&image));
        let mut daemon = Daemon::prepare();
        let mut command = daemon.command();
        // A registry that isn't there is given up at once.
        daemon.launch(command.args(["--retries", "0"]));
        Self { daemon, open, private, _users: users, images: Value::Object(images) }
    }

    /// A program that hears of the daemon, and in `CLIENT_TEST` of all that there is.
    fn program(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let (own, other) = platforms();
        let all = json!({
            "socket": self.daemon.socket(),
            "registry": self.open.host(),
            "private": {"registry": self.private.host(), "username": USER, "password": PASSWORD},
            "platform": own,
            "otherPlatform": other,
            "version": env!("CARGO_PKG_VERSION"),
            "images": self.images,
        });
        let mut command = self.daemon.clean(program);
        command.env("CLIENT_TEST", all.to_string());
        command
    }
}

/// pytest on some files of a folder, by the interpreter that has docker-py.
fn pytest(mut python: Command, folder: &Path, files: &[&str]) -> Command {
    // Nothing is written beside the sources.
    python.env("PYTHONDONTWRITEBYTECODE", "1").args([
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--tb=short",
        "-v",
        "--durations=3",
    ]);
    python.args(files).current_dir(folder);
    python
}

/// Shows what a suite has done, which did it well and did anything at all.
fn show(said: &str, summary: &str) {
    println!("{said}");
    assert!(said.contains(summary), "there is no {summary:?} in what the suite says");
}

#[test]
fn root_docker_py() {
    let python = clients::docker_py().unwrap();
    let lab = Lab::new();
    let folder = Path::new(SOURCES).join("python");
    // What the daemon advertises, and what programs of some years ago ask for.
    for version in ["auto", "1.41"] {
        let mut pytest = pytest(lab.program(&python), &folder, &[]);
        show(&run(pytest.env("CLIENT_TEST_API", version)).ok(), " passed in ");
    }
}

/// Those of docker-py's own tests about images and the daemon that are not run, and why.
const NOT_OURS: [(&str, &str); 11] = [
    ("api_image_test.py::CommitTest", "runs containers"),
    ("api_image_test.py::RemoveImageTest", "runs containers"),
    ("api_image_test.py::PruneImagesTest", "runs containers"),
    ("api_image_test.py::PullImageTest::test_pull_invalid_platform", "is for experimental daemons"),
    ("api_image_test.py::ImportImageTest::test_import_from_url", "is skipped by its authors"),
    ("models_images_test.py::ImageCollectionTest::test_build", "builds"),
    ("models_images_test.py::ImageCollectionTest::test_build_with_error", "builds"),
    ("models_images_test.py::ImageCollectionTest::test_build_with_multiple_success", "builds"),
    ("models_images_test.py::ImageCollectionTest::test_build_with_success_build_output", "builds"),
    ("models_images_test.py::ImageCollectionTest::test_pull_with_sha", "pulls what Docker Hub alone has"),
    ("api_client_test.py::ConnectionTimeoutTest", "goes to an address of another network"),
];

#[test]
fn root_docker_py_s_own_tests() {
    let python = clients::docker_py().unwrap();
    let folder = clients::docker_py_tests(&python).unwrap();
    let hub = DebianRegistry::start().unwrap();
    let amd = image("linux/amd64", "amd64", "2023-11-14T22:13:20Z");
    let arm = image("linux/arm64", "arm64", "2023-11-14T22:13:20Z");
    let index = IndexBuilder::new().image(&amd).image(&arm).build();
    for (name, tag) in [("alpine", "3.10"), ("alpine", "latest"), ("hello-world", "latest"), ("busybox", "latest")] {
        hub.put_image(&format!("library/{name}"), tag, &index).unwrap();
    }
    let mut daemon = Daemon::prepare();
    let mut command = daemon.command();
    command.arg("--mirror").arg(format!("docker.io=http://{}", hub.host()));
    // What the mirror hasn't got is not asked for elsewhere: nobody is at port 1 of this machine.
    command.args(["--https-proxy", "http://127.0.0.1:1"]);
    daemon.launch(&mut command);
    let files = ["api_image_test.py", "models_images_test.py", "client_test.py", "api_client_test.py"];
    let files = files.map(|file| format!("tests/integration/{file}"));
    let mut pytest = pytest(daemon.clean(python), &folder, &files.each_ref().map(String::as_str));
    for (test, _) in NOT_OURS {
        pytest.arg(format!("--deselect=tests/integration/{test}"));
    }
    let said = run(&mut pytest).ok();
    show(&said, " passed, ");
    assert!(!said.contains(" skipped"), "a test that isn't run must have its reason here");
}

/// Hands connections on to a daemon's socket, for programs that know TCP alone. Gives the address. It ends with the process.
fn relay(socket: PathBuf) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, daemon) = (client.unwrap(), UnixStream::connect(&socket).unwrap());
            let (mut from_client, mut to_daemon) = (client.try_clone().unwrap(), daemon.try_clone().unwrap());
            let (mut from_daemon, mut to_client) = (daemon, client);
            // Who goes first takes the other along; a connection that breaks off is the program's affair.
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from_client, &mut to_daemon);
                let _ = to_daemon.shutdown(Shutdown::Write);
            });
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from_daemon, &mut to_client);
                let _ = to_client.shutdown(Shutdown::Both);
            });
        }
    });
    address
}

#[test]
fn root_the_document_is_true() {
    let program = clients::schemathesis().unwrap();
    let registry = Registry::start().unwrap();
    registry.put_image("lab/box", "1", &image(&platforms().0, "box", "2023-11-14T22:13:20Z"));
    let mut daemon = Daemon::prepare();
    // All registries are this one, so that nothing is asked of anybody else whatever names come up.
    let folder = daemon.path("certs.d/_default");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("hosts.toml"), format!("server = '{}'\n", registry.url())).unwrap();
    let mut command = daemon.command();
    command.arg("--certs-dir").arg(daemon.path("certs.d")).args(["--retries", "0", "--connect-timeout", "1"]);
    daemon.launch(&mut command);
    let address = relay(daemon.socket());
    let python = Path::new(SOURCES).join("python");
    let document = Path::new(SOURCES).join("../../docs/openapi.json");
    // At random, and of an image that is here.
    for name in [None, Some("lab/box:1")] {
        daemon.layer(&["pull", "--quiet", "lab/box:1"]).ok();
        let mut config = std::fs::read_to_string(python.join("schemathesis.toml")).unwrap();
        if let Some(name) = name {
            config = format!("{config}\n[parameters]\n\"path.name\" = \"{name}\"\nfromImage = \"{name}\"\n");
        }
        std::fs::write(daemon.path("schemathesis.toml"), config).unwrap();
        let mut schemathesis = daemon.clean(&program);
        schemathesis.arg("--config-file").arg(daemon.path("schemathesis.toml")).arg("run").arg(&document);
        schemathesis.args(["--url", &format!("http://{address}"), "--request-timeout", "60"]);
        // It writes its notes where it is.
        schemathesis.current_dir(daemon.path(""));
        show(&run(&mut schemathesis).ok(), "No issues found");
    }
}

#[test]
fn root_dockerode() {
    let modules = clients::dockerode().unwrap();
    let lab = Lab::new();
    let mut node = lab.program("node");
    node.args(["--test", "images.test.js"]).current_dir(Path::new(SOURCES).join("node")).env("NODE_PATH", modules);
    show(&run(&mut node).ok(), "pass ");
}
