//! The registries that the exchanges speak of, and what they hold.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use layer_testkit::debian::{DebianRegistry, Htpasswd, push};
use layer_testkit::image::Image;
use layer_testkit::registry::{Auth, Fault, Gate, Outcome, Registry, Request, Rule, Target, TokenAuth};
use layer_testkit::tls::{Authority, TlsFront};
use layer_testkit::token_server::TokenServer;
use serde_json::json;

use super::images;
use super::names::Names;
use crate::daemon::{Daemon, Place};

/// Bytes a second, at the registry that is slow.
const SLOW: u64 = 4_000_000;

/// Everything that must stay while exchanges are replayed.
pub(super) struct World {
    /// Where the pulls of two clients wait until both have begun.
    pub(super) gate: Gate,
    pub(super) names: Names,
    slow: Registry,
    searched: String,
    place: Place,
    _kept: Kept,
}

struct Kept {
    _registries: [Registry; 3],
    _debian: [DebianRegistry; 3],
    _tls: TlsFront,
    _users: Htpasswd,
    _tokens: TokenServer,
}

impl World {
    pub(super) fn new() -> Self {
        let mut names = Names::default();
        names.add("dead", "127.0.0.1:1");
        names.add("nothing", "0".repeat(64));
        let (gate, place) = (Gate::new(), Place::new());
        let (hub, plain, public) = (hub(&mut names), plain(&mut names), Registry::start().unwrap());
        let slow = slow(&mut names, &gate);
        public.set_auth(Auth::Token(TokenAuth::anonymous()));
        public.put_image("public/app", "1", &images::small());
        let folder = place.path().join("certs.d/docker.io");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("hosts.toml"), format!("server = '{}'\n", hub.url())).unwrap();

        let (users, tokens) = (
            Htpasswd::new("lab", "sesame").unwrap(),
            TokenServer::start_with_identity_tokens("lab", "sesame").unwrap(),
        );
        let open = DebianRegistry::start().unwrap();
        let basic = DebianRegistry::start_with(&users.config()).unwrap();
        let token = DebianRegistry::start_with(&tokens.config()).unwrap();
        open.put_image("lab/app", "2", &images::app2()).unwrap();
        let authorization = tokens.authorization("repository:private/app:pull,push").unwrap();
        push(basic.address(), "private/app", "1", &images::small(), Some(users.authorization())).unwrap();
        push(token.address(), "private/app", "1", &images::small(), Some(&authorization)).unwrap();
        let identity = Authority::new("golden").unwrap().server(&["127.0.0.1"]).unwrap();
        let tls = TlsFront::start(plain.address(), &identity).unwrap();
        for (name, host) in [
            ("plain", plain.host()),
            ("slow", slow.host()),
            ("public", public.host()),
            ("open", open.host()),
            ("basic", basic.host()),
            ("token", token.host()),
            ("tls", tls.host()),
        ] {
            for (kind, password) in [("login", "sesame"), ("wrong", "no")] {
                let login = json!({"username": "lab", "password": password, "serveraddress": host});
                names.add(format!("{kind} {name}"), URL_SAFE.encode(login.to_string()));
            }
            names.add(name, host);
        }
        let searched = plain.host();
        let kept = Kept {
            _registries: [hub, plain, public],
            _debian: [open, basic, token],
            _tls: tls,
            _users: users,
            _tokens: tokens,
        };
        Self { gate, names, slow, searched, place, _kept: kept }
    }

    pub(super) fn start(&self) -> Daemon {
        let mut command = self.place.command();
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
            command.env_remove(name).env_remove(name.to_ascii_lowercase());
        }
        // Docker Hub searches elsewhere than it has its images.
        command.args(["--search-registry", &self.searched]);
        self.place.start_with(command.arg("--certs-dir").arg(self.place.path().join("certs.d")))
    }

    /// Begins to pull a large image, and hangs up when some of it has come.
    pub(super) async fn hang_up(&self, daemon: &Daemon) {
        let layer = images::big2().layers[4].blob.digest.clone();
        let stall = Fault::Stall { after: 1 << 20, gate: Gate::new() };
        let stall = self.slow.fault(Target::Blob(layer.clone()), stall);
        let mut stream =
            daemon.open("POST", &crate::daemon::pull_target(&format!("{}/lab/big:2", self.slow.host()))).await;
        while stream.line().await.unwrap()["progressDetail"]["current"].as_u64().unwrap_or(0) < 1 << 20 {}
        drop(stream);
        let is_left = |request: &Request| request.path.ends_with(&layer) && request.outcome == Outcome::Left;
        self.slow.until(1, is_left).await;
        stall.lift();
    }
}

/// What stands for Docker Hub: it gives tokens to everybody, and none for what it hasn't.
fn hub(names: &mut Names) -> Registry {
    let hub = Registry::start().unwrap();
    hub.set_auth(Auth::Token(TokenAuth::anonymous()));
    let busybox = images::busybox(names);
    let mut put = |repository: &str, tags: &[&str], name: &str, image: &Image| {
        for tag in tags {
            hub.put_image(repository, tag, image);
        }
        names.add_image(name, image);
    };
    put("library/busybox", &["latest", "1"], "busybox", &busybox);
    put("library/busybox", &["musl"], "musl", &images::multi("musl"));
    put("library/hello-world", &["latest", "linux"], "hello", &images::attested());
    for (tag, name) in [("3.17", "alpine17"), ("3.18", "alpine18"), ("3.19", "alpine19"), ("3.20", "alpine20")] {
        put("library/alpine", &[tag], name, &images::alpine(tag));
    }
    put("library/alpine", &["of-one"], "alpine20-amd64", &images::of_one("3.20"));
    let challenge = format!(
        "Bearer realm=\"{}/token\",service=\"testkit\",scope=\"repository:library/nothere:pull\",error=\"insufficient_scope\"",
        hub.url()
    );
    let refused = Fault::Header("WWW-Authenticate".to_owned(), challenge);
    for fault in [Fault::status(401), refused] {
        hub.fault(Target::Path("/v2/library/nothere/manifests/latest".to_owned()), fault);
    }
    hub
}

fn plain(names: &mut Names) -> Registry {
    let plain = Registry::start().unwrap();
    let mut put = |repository: &str, tag: &str, name: &str, image: &Image| {
        plain.put_image(&format!("lab/{repository}"), tag, image);
        names.add_image(name, image);
    };
    put("app", "2", "app2", &images::app2());
    put("app", "1", "small", &images::small());
    put("app", "docker", "docker", &images::docker());
    put("app", "dup", "dup", &images::twice());
    put("app", "empty", "empty", &images::empty());
    put("app", "zstd", "zstd", &images::zstd());
    put("app", "plain", "unpacked", &images::unpacked());
    for tag in ["a", "b", "c"] {
        put("many", tag, &format!("many-{tag}"), &images::one_of_many(tag));
    }
    put("arm64only", "1", "arm", &images::arm());
    put("arm64index", "1", "arm-index", &images::arm_index());
    put("baddiff", "1", "baddiff", &images::wrong_diff_id());
    put("artifact", "1", "artifact", &images::artifact());
    let (corrupt, lost) = (images::of_noise(21), images::of_noise(22));
    put("corrupt", "1", "corrupt", &corrupt);
    put("lostblob", "1", "lost", &lost);
    plain.fault(Target::Blob(corrupt.layers[0].blob.digest.clone()), Fault::Flip { at: 1000 });
    plain.remove("lab/lostblob", &lost.layers[0].blob.digest);
    let results = ["alpine", "busybox", "hello-world"].map(
        |name| json!({"name": name, "description": "", "star_count": 60, "is_official": true, "is_automated": false}),
    );
    let found = json!({"num_results": results.len(), "results": results}).to_string().into_bytes();
    plain.fault(Target::Path("/v1/search".to_owned()), Fault::Status { code: 200, headers: Vec::new(), body: found });
    plain
}

fn slow(names: &mut Names, gate: &Gate) -> Registry {
    let slow = Registry::start().unwrap();
    let big = images::big1();
    slow.rule(Rule::new(Target::Blob(big.layers[3].blob.digest.clone()), Fault::Hold(gate.clone())));
    slow.fault(Target::AnyBlob, Fault::Throttle { bytes_per_second: SLOW });
    for (repository, tag, name, image) in [
        ("lab/app", "1", "app1", images::app1()),
        ("lab/app", "2", "app2", images::app2()),
        ("lab/big", "1", "big1", big),
        ("lab/big", "2", "big2", images::big2()),
    ] {
        slow.put_image(repository, tag, &image);
        names.add_image(name, &image);
    }
    slow
}
