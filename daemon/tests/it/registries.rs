//! Registries that are reached in other ways than the plain one: under TLS, by mirrors, through proxies; and settings that change meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use layer_testkit::debian::DebianRegistry;
use layer_testkit::image::{Image, ImageBuilder};
use layer_testkit::layer::{LayerBuilder, noise};
use layer_testkit::proxy::{Passed, Proxy};
use layer_testkit::registry::{Auth, Fault, Gate, Registry, Target, TokenAuth};
use layer_testkit::tls::{Authority, TlsFront};
use rustix::process::Signal;
use serde_json::json;

use crate::daemon::{Daemon, Place, pull_target};

fn app() -> Image {
    ImageBuilder::new()
        .layer(LayerBuilder::new().file("base", "1").gzip())
        .layer(LayerBuilder::new().file("top", "2").gzip())
        .build()
}

/// Another image each time, so that nothing of it is stored.
fn other(seed: u64) -> Image {
    ImageBuilder::new().layer(LayerBuilder::new().file("f", noise(seed, 1000)).gzip()).build()
}

/// Puts a file of a registry's into the folder of folders here.
fn put(place: &Place, host: &str, file: &str, text: &str) -> PathBuf {
    let folder = certs(place).join(host);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("new"), text).unwrap();
    fs::rename(folder.join("new"), folder.join(file)).unwrap();
    folder.join(file)
}

fn certs(place: &Place) -> PathBuf {
    place.path().join("certs.d")
}

/// The command line of a daemon that looks nowhere else, and knows no proxies.
fn command(place: &Place) -> Command {
    let mut command = place.command();
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_ascii_lowercase());
    }
    command.arg("--certs-dir").arg(certs(place));
    command
}

/// Tells a daemon to read its settings again, and waits until it has tried.
fn reload(daemon: &Daemon) {
    daemon.signal(Signal::HUP);
    let [reloading, ready] = [(); 2].map(|()| daemon.notifications.next().unwrap());
    assert!(reloading.contains(&"RELOADING=1".to_owned()), "{reloading:?}");
    assert!(reloading.iter().any(|fact| fact.starts_with("MONOTONIC_USEC=")), "{reloading:?}");
    assert!(ready.contains(&"READY=1".to_owned()), "{ready:?}");
}

#[tokio::test]
async fn debians_registry_is_pulled_from_with_certificates_on_both_sides() {
    let ours = Authority::new("ours").unwrap();
    let plain = DebianRegistry::start().unwrap();
    plain.put_image("lab/app", "1", &app()).unwrap();
    let registry = plain.with_tls(&ours.server(&["127.0.0.1"]).unwrap(), Some(&ours)).unwrap();
    let host = registry.host();
    let place = Place::new();
    let daemon = place.start_with(&mut command(&place));
    let name = format!("{host}/lab/app:1");
    let other = put(&place, &host, "ca.crt", Authority::new("other").unwrap().pem());
    let refused = daemon.ask("POST", &pull_target(&name)).await;
    assert_eq!(refused.status, 502);
    assert!(
        refused.message().ends_with("signed by an authority that this system does not trust"),
        "{}",
        refused.message()
    );
    let hint = refused.json()["hint"].as_str().unwrap().to_owned();
    assert!(
        hint.starts_with(&format!("put the certificate of that authority into `/etc/layerd/certs.d/{host}/ca.crt`")),
        "{hint}"
    );
    fs::write(&other, "nothing").unwrap();
    let broken = daemon.ask("POST", &pull_target(&name)).await;
    assert_eq!(broken.status, 500);
    let expected = format!(
        "pull `{name}`: the settings for registry `{host}`: `{}` holds no certificate in PEM form",
        other.display()
    );
    assert_eq!(broken.message(), expected);
    put(&place, &host, "ca.crt", ours.pem());
    let known = ours.client("known").unwrap();
    put(&place, &host, "client.cert", known.certificate());
    put(&place, &host, "client.key", known.key());
    daemon.pull(&name).await;
    assert!(registry.log().contains("HTTP/2.0\" 200"), "{}", registry.log());
}

#[tokio::test]
async fn a_mirror_brings_the_layers_and_a_lying_one_is_made_up_for() {
    let (upstream, mirror) = (Registry::start().unwrap(), Registry::start().unwrap());
    upstream.set_auth(Auth::Token(TokenAuth::account("bob", "secret")));
    let image = app();
    let name = upstream.put_image("lab/app", "1", &image);
    mirror.put_image("lab/app", "1", &image);
    let layers: Vec<_> = image.layers.iter().map(|layer| layer.blob.digest.clone()).collect();
    mirror.fault(Target::Blob(layers[1].clone()), Fault::Flip { at: 20 });
    let place = Place::new();
    let daemon = place.start_with(&mut command(&place));
    put(&place, "_default", "hosts.toml", &format!("[host.'{}']\ncapabilities = ['pull']\n", mirror.url()));
    let login = json!({"username": "bob", "password": "secret", "serveraddress": upstream.host()});
    let header = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE, login.to_string());
    let answer = daemon.send("POST", &pull_target(&name), &[("X-Registry-Auth", &header)], Vec::new()).await;
    assert_eq!(answer.told().last().unwrap(), &format!("Status: Downloaded newer image for {name}"));
    assert_eq!((mirror.blob_gets(&layers[0]), upstream.blob_gets(&layers[0])), (1, 0));
    assert_eq!((mirror.blob_gets(&layers[1]), upstream.blob_gets(&layers[1])), (1, 1));
    let is_tag = |request: &layer_testkit::registry::Request| request.path.ends_with("/manifests/1");
    assert_eq!((mirror.count(is_tag), upstream.count(is_tag) > 0), (0, true));
    let shown = |request: &layer_testkit::registry::Request| {
        request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"))
    };
    assert_eq!(mirror.count(shown), 0);
    let told = |request: &layer_testkit::registry::Request| request.query.contains("ns=127.0.0.1%3A");
    assert_eq!(mirror.count(told), mirror.requests().len());
}

#[tokio::test]
async fn settings_are_read_again_while_pulls_go_on() {
    let (upstream, mirror, late) = (Registry::start().unwrap(), Registry::start().unwrap(), Registry::start().unwrap());
    let place = Place::new();
    let file = place.path().join("layerd.toml");
    let mirrors = |url: &str| format!("log = 'debug'\n[mirrors]\n'*' = ['{url}']\n");
    fs::write(&file, mirrors(&mirror.url())).unwrap();
    let daemon = place.start_with(command(&place).arg("--config").arg(&file));
    let large = ImageBuilder::new().layer(LayerBuilder::new().file("large", noise(1, 1 << 20)).gzip()).build();
    let layer = large.layers[0].blob.digest.clone();
    let name = upstream.put_image("lab/large", "1", &large);
    mirror.put_image("lab/large", "1", &large);
    let gate = Gate::new();
    mirror.fault(Target::Blob(layer.clone()), Fault::Stall { after: 1 << 10, gate: gate.clone() });
    let running = daemon.open("POST", &pull_target(&name)).await;
    gate.until(1).await;

    // What makes no sense is said, and changes nothing.
    fs::write(&file, "\n[mirrors]\n'*' = ['ftp://x']\n").unwrap();
    reload(&daemon);
    let log = daemon.log();
    let said = format!("the settings in `{}`, line 3: `ftp://x` is no address of a registry", file.display());
    assert!(log.contains("ERROR") && log.contains(&said), "{log}");
    let url = format!("{}/", mirror.url());
    assert_eq!(daemon.get("/info").await.json()["RegistryConfig"]["IndexConfigs"]["*"]["Mirrors"], json!([url]));

    let insecure = "insecure-registry = ['lab.test']\n";
    let proxy = "[proxy]\nhttps = 'http://bob:hidden@127.0.0.1:1'\nno-proxy = 'a,b'\n";
    fs::write(&file, format!("{insecure}{}{proxy}", mirrors(&late.url()))).unwrap();
    reload(&daemon);
    let info = daemon.get("/info").await.json();
    assert_eq!(info["RegistryConfig"]["IndexConfigs"]["*"]["Mirrors"], json!([format!("{}/", late.url())]));
    assert_eq!(info["RegistryConfig"]["IndexConfigs"]["lab.test"]["Secure"], false);
    assert_eq!(info["HttpsProxy"], "http://xxxxx:xxxxx@127.0.0.1:1");
    assert_eq!((&info["HttpProxy"], &info["NoProxy"]), (&json!(""), &json!("a,b")));
    let next = other(2);
    let name = upstream.put_image("lab/next", "1", &next);
    late.put_image("lab/next", "1", &next);
    daemon.pull(&name).await;
    assert_eq!(late.blob_gets(&next.layers[0].blob.digest), 1);
    assert!(!mirror.requests().iter().any(|request| request.path.contains("lab/next")));

    gate.open();
    let told = running.whole().await.told();
    assert!(told.last().unwrap().starts_with("Status: Downloaded newer image"), "{told:?}");
    assert_eq!((mirror.blob_gets(&layer), upstream.blob_gets(&layer)), (1, 0));
    assert!(!daemon.log().contains("hidden"), "the log knows no passwords");
}

#[tokio::test]
async fn proxies_come_from_the_environment_and_the_settings_win() {
    let (registry, ours) = (Registry::start().unwrap(), Authority::new("ours").unwrap());
    let front = TlsFront::start(registry.address(), &ours.server(&["registry.test"]).unwrap()).unwrap();
    let [theirs, own] = [(); 2].map(|()| Proxy::start().unwrap());
    for proxy in [&theirs, &own] {
        proxy.route("registry.test:443", front.address());
    }
    let place = Place::new();
    put(&place, "registry.test", "ca.crt", ours.pem());
    let image = app();
    registry.put_image("lab/app", "1", &image);
    let pulls = async |command: &mut Command| {
        let mut daemon = place.start_with(command);
        let answer = daemon.ask("POST", &pull_target("registry.test/lab/app:1")).await;
        // This machine is reached without.
        assert_eq!(daemon.ask("POST", &pull_target(&format!("{}/lab/app:1", registry.host()))).await.status, 200);
        assert!(daemon.stop().success());
        assert!(!daemon.log().contains("hidden"), "the log knows no passwords");
        answer.status
    };
    let counts = || [&theirs, &own].map(|proxy| proxy.tunnels("registry.test:443"));
    assert_eq!(pulls(command(&place).env("https_proxy", theirs.url())).await, 200);
    let [first, none] = counts();
    assert!(first > 0 && none == 0);
    let login = own.url_with_login("bob", "hidden");
    assert_eq!(pulls(command(&place).env("HTTPS_PROXY", theirs.url()).args(["--https-proxy", &login])).await, 200);
    let [same, second] = counts();
    assert!(same == first && second > 0);
    assert!(!own.passed().contains(&Passed::Refused));
    let spared = pulls(command(&place).env("HTTPS_PROXY", theirs.url()).env("NO_PROXY", "registry.test")).await;
    assert_eq!(spared, 502);
    assert_eq!(counts(), [first, second]);
    let (status, text) = Place::refused(command(&place).env("HTTP_PROXY", "nonsense://bob:hidden@x"));
    assert_eq!(status.code(), Some(1));
    assert!(
        text.starts_with("layerd: what `HTTP_PROXY` is set to is no address of a proxy") && !text.contains("hidden"),
        "{text}"
    );
}

#[tokio::test]
async fn an_insecure_network_is_trusted_by_address() {
    let (registry, ours, proxy) =
        (Registry::start().unwrap(), Authority::new("ours").unwrap(), Proxy::start().unwrap());
    let front = TlsFront::start(registry.address(), &ours.server(&["elsewhere.test"]).unwrap()).unwrap();
    proxy.route("10.1.2.3:5000", front.address());
    registry.put_image("lab/app", "1", &app());
    let place = Place::new();
    for (network, status) in [("10.9.0.0/16", 502), ("10.1.0.0/16", 200)] {
        let args = ["--https-proxy", &proxy.url(), "--insecure-registry", network];
        let mut daemon = place.start_with(command(&place).args(args));
        assert_eq!(daemon.ask("POST", &pull_target("10.1.2.3:5000/lab/app:1")).await.status, status, "{network}");
        assert!(daemon.stop().success());
    }
}

#[test]
fn the_example_in_the_documents_is_a_file_with_settings() {
    let document = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/registries.md")).unwrap();
    let (_, rest) = document.split_once("```toml\n# /etc/layerd/config.toml\n").expect("an example");
    let (example, _) = rest.split_once("```").unwrap();
    let place = Place::new();
    let file = place.path().join("layerd.toml");
    fs::write(&file, example).unwrap();
    let mut daemon = place.start_with(place.command().arg("--config").arg(&file));
    assert!(daemon.stop().success());
}
