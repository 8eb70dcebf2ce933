//! Registries under TLS, with certificates of authorities that nobody else knows.

use layer_reference::Repository;
use layer_registry::{Client, Credentials, Kind, NetworkError, Options, Proxies, RegistryError};
use layer_testkit::debian::DebianRegistry;
use layer_testkit::image::ImageBuilder;
use layer_testkit::layer::LayerBuilder;
use layer_testkit::proxy::{Passed, Proxy};
use layer_testkit::registry::Registry;
use layer_testkit::tls::{Authority, TlsFront};

use crate::hosts::{Certs, client, tag};
use crate::server::{Server, answer, chain, options};

/// A registry in this process with `lib/app:1`.
fn registry() -> Registry {
    let registry = Registry::start().unwrap();
    registry.put_image("lib/app", "1", &ImageBuilder::new().layer(LayerBuilder::new().file("f", "1").gzip()).build());
    registry
}

#[tokio::test]
async fn an_authority_in_the_registrys_folder_is_trusted_and_demanded() {
    let (registry, ours, other) = (registry(), Authority::new("ours").unwrap(), Authority::new("other").unwrap());
    let front = TlsFront::start(registry.address(), &ours.server(&["127.0.0.1"]).unwrap()).unwrap();
    let certs = Certs::new();
    let client = certs.client(&front.host());
    // Of this machine nothing is demanded.
    client.manifest(&tag()).await.unwrap();
    certs.put(&front.host(), "ca.crt", other.pem());
    let error = client.manifest(&tag()).await.unwrap_err();
    assert!(matches!(error, RegistryError::Network { source: NetworkError::Untrusted, .. }), "{}", chain(&error));
    assert_eq!(error.kind(), Kind::Tls);
    let hint = error.hint().unwrap();
    assert!(hint.contains(&format!("/etc/layerd/certs.d/{}/ca.crt", front.host())), "{hint}");
    certs.put(&front.host(), "ours.crt", ours.pem());
    client.manifest(&tag()).await.unwrap();
    // The list of insecure registries wins, as it does in docker.
    std::fs::remove_file(certs.path().join(front.host()).join("ours.crt")).unwrap();
    let insecure = vec!["127.0.0.0/8".parse().unwrap()];
    crate::hosts::client(Options { insecure, ..certs.options() }, &front.host()).manifest(&tag()).await.unwrap();
}

#[tokio::test]
async fn a_registry_that_wants_to_know_who_we_are_is_shown_a_certificate() {
    let (registry, ours, other) = (registry(), Authority::new("ours").unwrap(), Authority::new("other").unwrap());
    let front = TlsFront::start_mutual(registry.address(), &ours.server(&["127.0.0.1"]).unwrap(), &ours).unwrap();
    let certs = Certs::new();
    let client = certs.client(&front.host());
    certs.put(&front.host(), "ca.crt", ours.pem());
    let error = client.manifest(&tag()).await.unwrap_err();
    assert!(
        matches!(error, RegistryError::Network { source: NetworkError::ClientCertificate, .. }),
        "{}",
        chain(&error)
    );
    assert!(error.hint().unwrap().contains("`client.cert` and `client.key`"));
    let (stranger, known) = (other.client("stranger").unwrap(), ours.client("known").unwrap());
    certs.put(&front.host(), "client.key", known.key());
    let lonely = chain(&client.manifest(&tag()).await.unwrap_err());
    assert!(lonely.contains("client.key` has no `client.cert` beside it"), "{lonely}");
    certs.put(&front.host(), "client.cert", stranger.certificate());
    let wrong = chain(&client.manifest(&tag()).await.unwrap_err());
    assert!(wrong.contains("client.key` does not belong to the certificate `"), "{wrong}");
    certs.put(&front.host(), "client.cert", "-----BEGIN CERTIFICATE-----\nnonsense!\n-----END CERTIFICATE-----\n");
    let broken = chain(&client.manifest(&tag()).await.unwrap_err());
    assert!(broken.contains("client.cert` is no proper PEM: "), "{broken}");
    certs.put(&front.host(), "client.cert", "nothing");
    let empty = chain(&client.manifest(&tag()).await.unwrap_err());
    assert!(empty.contains("client.cert` holds no certificate in PEM form"), "{empty}");
    certs.put(&front.host(), "client.cert", known.certificate());
    client.manifest(&tag()).await.unwrap();
    // Of several, the one is shown that is signed by whom the registry names.
    certs.put(&front.host(), "a.cert", stranger.certificate());
    certs.put(&front.host(), "a.key", stranger.key());
    client.manifest(&tag()).await.unwrap();
}

#[tokio::test]
async fn a_mirror_in_a_file_has_certificates_of_its_own() {
    let (upstream, mirror, ours) = (registry(), registry(), Authority::new("ours").unwrap());
    let identity = ours.server(&["127.0.0.1"]).unwrap();
    let front = TlsFront::start_mutual(mirror.address(), &identity, &ours).unwrap();
    let certs = Certs::new();
    let known = ours.client("known").unwrap();
    certs.put(&upstream.host(), "mirror.pem", ours.pem());
    certs.put(&upstream.host(), "both.pem", &format!("{}{}", known.certificate(), known.key()));
    let hosts = |more: &str| format!("[host.'{}']\nca = 'mirror.pem'\nclient = 'both.pem'\n{more}", front.url());
    certs.put(&upstream.host(), "hosts.toml", &hosts(""));
    let client = certs.client(&upstream.host());
    client.manifest(&tag()).await.unwrap();
    assert_eq!((mirror.requests().len(), upstream.requests().len()), (1, 0));
    certs.put(&upstream.host(), "hosts.toml", &format!("[host.'{}']\nskip_verify = false\n", front.url()));
    client.manifest(&tag()).await.unwrap();
    assert_eq!((mirror.requests().len(), upstream.requests().len()), (1, 1));
    certs.put(&upstream.host(), "mirror.pem", "nothing");
    certs.put(&upstream.host(), "hosts.toml", &hosts("skip_verify = true"));
    let text = chain(&client.manifest(&tag()).await.unwrap_err());
    assert!(text.contains("mirror.pem` holds no certificate in PEM form"), "{text}");
    // Docker's layout in the mirror's own folder serves as well.
    certs.put(&upstream.host(), "hosts.toml", &format!("[host.'{}']\n", front.url()));
    certs.put(&front.host(), "ca.crt", ours.pem());
    certs.put(&front.host(), "client.cert", known.certificate());
    certs.put(&front.host(), "client.key", known.key());
    client.manifest(&tag()).await.unwrap();
    assert_eq!((mirror.requests().len(), upstream.requests().len()), (2, 1));
}

/// A client behind `proxy`.
fn behind(proxy: &str, no_proxy: &str, more: Options) -> Options {
    let url = Some(proxy.parse().unwrap());
    let proxies = Proxies { http: url.clone(), https: url, no_proxy: Some(no_proxy.to_owned()) };
    Options { proxies: Some(proxies), ..more }
}

#[tokio::test]
async fn a_registry_with_a_name_must_prove_itself_unless_it_is_listed() {
    let (registry, ours, proxy) = (registry(), Authority::new("ours").unwrap(), Proxy::start().unwrap());
    let front = TlsFront::start(registry.address(), &ours.server(&["registry.test", "10.1.2.3"]).unwrap()).unwrap();
    let certs = Certs::new();
    for name in ["registry.test:5000", "10.1.2.3:5000", "elsewhere.test:5000"] {
        proxy.route(name, front.address());
    }
    let with = |insecure: &str| {
        let insecure = insecure.split_whitespace().map(|rule| rule.parse().unwrap()).collect();
        behind(&proxy.url(), "", Options { insecure, ..certs.options() })
    };
    let untrusted = async |insecure: &str, name: &str| {
        let error = client(with(insecure), name).manifest(&tag()).await.unwrap_err();
        assert!(matches!(error, RegistryError::Network { source: NetworkError::Untrusted, .. }), "{}", chain(&error));
    };
    untrusted("", "registry.test:5000").await;
    untrusted("11.0.0.0/8 other.test", "10.1.2.3:5000").await;
    client(with("10.0.0.0/8"), "10.1.2.3:5000").manifest(&tag()).await.unwrap();
    client(with("registry.test"), "registry.test:5000").manifest(&tag()).await.unwrap();
    certs.put("registry.test:5000", "ca.crt", ours.pem());
    certs.put("elsewhere.test_5000_", "ca.crt", ours.pem());
    client(with(""), "registry.test:5000").manifest(&tag()).await.unwrap();
    let error = client(with(""), "elsewhere.test:5000").manifest(&tag()).await.unwrap_err();
    assert!(chain(&error).contains("its certificate is for another name"), "{}", chain(&error));
    // `hosts.toml` may say so for one registry.
    certs.put("elsewhere.test_5000_", "hosts.toml", "skip_verify = true\n");
    client(with(""), "elsewhere.test:5000").manifest(&tag()).await.unwrap();
}

#[tokio::test]
async fn proxies_are_used_for_all_but_this_machine_and_those_that_are_spared() {
    let (registry, proxy, ours) = (registry(), Proxy::start().unwrap(), Authority::new("ours").unwrap());
    let front = TlsFront::start(registry.address(), &ours.server(&["registry.test"]).unwrap()).unwrap();
    proxy.route("registry.test:443", front.address());
    // An insecure registry is asked by TLS first, and then in plain http.
    proxy.route("plain.test:80", registry.address());
    let certs = Certs::new();
    certs.put("registry.test", "ca.crt", ours.pem());
    let more = || Options { insecure: vec!["plain.test".parse().unwrap()], ..certs.options() };
    let whole = Client::new(behind(&proxy.url(), "", more())).unwrap();
    let repository = |name: &str| Repository::parse(&format!("{name}/lib/app")).unwrap();
    let get = async |name: &str| whole.repository(&repository(name), None).manifest(&tag()).await;
    get("registry.test").await.unwrap();
    get("plain.test").await.unwrap();
    get(&registry.host()).await.unwrap();
    let tunnel = |name: &str| Passed::Tunnel(name.to_owned());
    let plain = Passed::Request("http://plain.test/v2/lib/app/manifests/1".to_owned());
    assert_eq!(proxy.passed(), [tunnel("registry.test:443"), tunnel("plain.test:443"), plain]);
    // With a login, and then for fewer.
    let login = proxy.url_with_login("bob", "hidden");
    let error = chain(&get("plain.test").await.unwrap_err());
    assert!(error.contains("407"), "{error}");
    whole.reload(behind(&login, "", more())).unwrap();
    get("registry.test").await.unwrap();
    get("plain.test").await.unwrap();
    let before = proxy.passed().len();
    whole.reload(behind(&login, "test", more())).unwrap();
    let error = get("registry.test").await.unwrap_err();
    assert!(matches!(error, RegistryError::Network { source: NetworkError::Dns(_), .. }), "{}", chain(&error));
    assert_eq!(proxy.passed().len(), before);
    assert!(!format!("{whole:?}").contains("hidden"));
}

#[tokio::test]
async fn a_proxy_may_speak_socks_and_be_one_servers_own() {
    let (registry, ours) = (registry(), Authority::new("ours").unwrap());
    let front = TlsFront::start(registry.address(), &ours.server(&["registry.test", "mirror.test"]).unwrap()).unwrap();
    let [socks, own] = [(); 2].map(|()| Proxy::start().unwrap());
    socks.route("registry.test:443", front.address());
    own.route("mirror.test:443", front.address());
    let certs = Certs::new();
    certs.put("registry.test", "ca.crt", ours.pem());
    let client = client(behind(&socks.socks_url(), "", certs.options()), "registry.test");
    client.manifest(&tag()).await.unwrap();
    assert_eq!(socks.passed(), [Passed::Tunnel("registry.test:443".to_owned())]);
    let login = own.url_with_login("bob", "hidden");
    let hosts = format!("[host.'https://mirror.test']\nca = 'ca.crt'\nproxy = '{login}'\n");
    certs.put("registry.test", "hosts.toml", &hosts);
    client.manifest(&tag()).await.unwrap();
    assert_eq!((own.passed(), socks.passed().len()), (vec![Passed::Tunnel("mirror.test:443".to_owned())], 1));
    certs.put("registry.test", "hosts.toml", &hosts.replace("hidden", "wrong"));
    client.manifest(&tag()).await.unwrap();
    assert_eq!(own.passed().last(), Some(&Passed::Refused));
    assert_eq!(socks.passed().len(), 2);
}

#[tokio::test]
async fn debians_registry_speaks_http_2_under_tls() {
    let ours = Authority::new("ours").unwrap();
    let plain = DebianRegistry::start().unwrap();
    let image = ImageBuilder::new().layer(LayerBuilder::new().file("f", "1").gzip()).build();
    plain.put_image("lib/app", "1", &image).unwrap();
    let registry = plain.with_tls(&ours.server(&["127.0.0.1"]).unwrap(), Some(&ours)).unwrap();
    let certs = Certs::new();
    let known = ours.client("known").unwrap();
    certs.put(&registry.host(), "ca.crt", ours.pem());
    certs.put(&registry.host(), "client.cert", known.certificate());
    certs.put(&registry.host(), "client.key", known.key());
    let client = certs.client(&registry.host());
    let manifest = client.manifest(&tag()).await.unwrap();
    assert_eq!(manifest.digest.to_string(), image.digest());
    let digest = image.layers[0].blob.digest.parse().unwrap();
    client.small_blob(&digest, image.layers[0].blob.content.len(), 1 << 20).await.unwrap();
    let log = registry.log();
    assert!(log.contains("\"GET /v2/lib/app/manifests/1 HTTP/2.0\" 200"), "{log}");
    assert!(log.contains(&format!("\"GET /v2/lib/app/blobs/{digest} HTTP/2.0\" 200")), "{log}");
    std::fs::remove_file(certs.path().join(registry.host()).join("client.cert")).unwrap();
    std::fs::remove_file(certs.path().join(registry.host()).join("client.key")).unwrap();
    // Under HTTP/2 the reason may be lost: the connection is closed behind the alert that tells it.
    let error = client.manifest(&tag()).await.unwrap_err();
    assert!(matches!(error.kind(), Kind::Tls | Kind::Network), "{}", chain(&error));
}

#[tokio::test]
async fn what_was_shown_to_a_trusted_host_is_not_shown_once_it_is_trusted_no_more() {
    let server = Server::start(|seen, _| match seen.authorization() {
        Some(_) => answer(200, &[], "{}"),
        None => answer(401, &[("www-authenticate", "Basic realm=\"x\"")], ""),
    })
    .await;
    let (proxy, certs) = (Proxy::start().unwrap(), Certs::new());
    proxy.route("plain.test:5000", server.address);
    certs.put("plain.test:5000", "hosts.toml", "server = 'http://plain.test:5000'\n");
    let insecure = vec!["plain.test".parse().unwrap()];
    let whole = Client::new(behind(&proxy.url(), "", Options { insecure, ..certs.options() })).unwrap();
    let repository = Repository::parse("plain.test:5000/lib/app").unwrap();
    let client = whole.repository(&repository, Some(Credentials::basic("bob", "hidden")));
    client.manifest(&tag()).await.unwrap();
    let shown = || server.seen().iter().filter(|seen| seen.authorization().is_some()).count();
    assert_eq!(shown(), 1);
    whole.reload(behind(&proxy.url(), "", certs.options())).unwrap();
    assert_eq!(client.manifest(&tag()).await.unwrap_err().kind(), Kind::Unauthorized);
    assert_eq!((shown(), server.seen().len()), (1, 3));
}

#[tokio::test]
async fn an_environment_without_proxies_is_none() {
    // Whatever the machine's is: loopback is reached without.
    let registry = registry();
    client(Options { proxies: None, ..options() }, &registry.host()).manifest(&tag()).await.unwrap();
}
