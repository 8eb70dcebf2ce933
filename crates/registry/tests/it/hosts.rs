//! What folders and settings say of registries: mirrors, and who may be trusted.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Bytes;
use axum::response::Response;
use layer_digest::Digest;
use layer_reference::Repository;
use layer_registry::{Client, Credentials, Kind, ManifestAt, Options, RegistryError, RepositoryClient, Sources};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::server::{Seen, Server, answer, chain, options, refusal, then_break};

/// A folder of folders for registries.
pub(crate) struct Certs(TempDir);

impl Certs {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file of `host`'s, as a careful administrator does: at once, by a rename.
    pub(crate) fn put(&self, host: &str, file: &str, text: &str) -> PathBuf {
        let folder = self.path().join(host);
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(file);
        fs::write(folder.join("new"), text).unwrap();
        fs::rename(folder.join("new"), &path).unwrap();
        path
    }

    pub(crate) fn options(&self) -> Options {
        Options { certs_dirs: vec![self.path().to_owned()], ..options() }
    }

    /// A client that goes by this folder, for `lib/app` at `registry`.
    pub(crate) fn client(&self, registry: &str) -> RepositoryClient {
        client(self.options(), registry)
    }
}

pub(crate) fn client(options: Options, registry: &str) -> RepositoryClient {
    let repository = Repository::parse(&format!("{registry}/lib/app")).unwrap();
    Client::new(options).unwrap().repository(&repository, None)
}

pub(crate) fn tag() -> ManifestAt {
    ManifestAt::Tag("1".to_owned())
}

const BLOB: &str = "0123456789";

pub(crate) fn blob() -> Digest {
    Digest::sha256(BLOB.as_bytes())
}

/// A registry that has all there is, and says by `name` who sent it.
async fn registry(name: &'static str) -> Server {
    Server::start(move |seen, _| whole(seen, name)).await
}

fn whole(seen: &Seen, name: &str) -> Response {
    if seen.path.contains("/blobs/") {
        return answer(200, &[], BLOB);
    }
    let body = format!("{{\"by\":\"{name}\"}}");
    let digest = Digest::sha256(body.as_bytes()).to_string();
    answer(200, &[("docker-content-digest", &digest)], body)
}

async fn by(client: &RepositoryClient) -> String {
    let manifest = client.manifest(&tag()).await.unwrap();
    String::from_utf8(manifest.bytes.to_vec()).unwrap()
}

/// A server that takes connections and closes them at once, or keeps them and stays silent; and how many it took.
async fn dead(stays: bool) -> (String, Arc<AtomicUsize>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, dials) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&dials);
    let task = tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            counter.fetch_add(1, Ordering::SeqCst);
            if stays {
                kept.push(stream);
            } else {
                let _ = stream.read(&mut [0; 16]).await;
            }
        }
    });
    (format!("http://{address}"), dials, task)
}

#[tokio::test]
async fn a_mirror_is_asked_first_and_told_for_whom() {
    let (upstream, mirror) = (registry("upstream").await, registry("mirror").await);
    let certs = Certs::new();
    certs.put(&upstream.address.to_string(), "hosts.toml", &format!("[host.'{}']\n", mirror.url("")));
    let client = certs.client(&upstream.address.to_string());
    assert_eq!(by(&client).await, "{\"by\":\"mirror\"}");
    client.small_blob(&blob(), 10, 100).await.unwrap();
    client.head(&tag()).await.unwrap().unwrap();
    assert_eq!(upstream.seen().len(), 0);
    for seen in mirror.seen() {
        assert_eq!(seen.query, format!("ns={}", upstream.address.to_string().replace(':', "%3A")));
    }
    let source = client.blob(&blob(), 0).await.unwrap();
    assert!(source.source().is_mirror());
    assert_eq!(source.source().to_string(), format!("mirror `{}` of registry `{}`", mirror.address, upstream.address));
}

#[tokio::test]
async fn whatever_is_wrong_at_a_mirror_the_registry_is_asked() {
    for status in [401, 403, 404, 416, 429, 500, 503] {
        let upstream = registry("upstream").await;
        let mirror = Server::start(move |_, _| refusal(status, "X", "not here")).await;
        let certs = Certs::new();
        certs.put(&upstream.address.to_string(), "hosts.toml", &format!("[host.'{}']\n", mirror.url("")));
        let client = certs.client(&upstream.address.to_string());
        assert_eq!(by(&client).await, "{\"by\":\"upstream\"}", "{status}");
        client.small_blob(&blob(), 10, 100).await.unwrap();
        // One that has troubles is left alone for a while; one that does not have this may have the next.
        let left_alone = matches!(status, 429 | 500 | 503);
        assert_eq!(mirror.seen().len(), if left_alone { 1 } else { 2 }, "{status}");
    }
}

#[tokio::test]
async fn the_registry_has_the_last_word_and_the_mirrors_are_told() {
    let upstream = Server::start(|_, _| refusal(404, "MANIFEST_UNKNOWN", "no such tag")).await;
    let mirror = Server::start(|_, _| refusal(403, "DENIED", "not for you")).await;
    let certs = Certs::new();
    let (gone, _, task) = dead(false).await;
    certs.put(&upstream.address.to_string(), "hosts.toml", &format!("[host.'{gone}']\n[host.'{}']\n", mirror.url("")));
    let error = certs.client(&upstream.address.to_string()).manifest(&tag()).await.unwrap_err();
    task.abort();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().starts_with(&format!("registry `{}` has no manifest", upstream.address)), "{error}");
    let hint = error.hint().unwrap();
    assert!(
        hint.contains(&format!("mirror `{}` of registry", mirror.address)) && hint.contains("not for you"),
        "{hint}"
    );
    assert!(hint.contains(&format!("mirror `{}` of", gone.trim_start_matches("http://"))), "{hint}");
}

#[tokio::test]
async fn a_dead_mirror_costs_one_dial() {
    for stays in [false, true] {
        let upstream = registry("upstream").await;
        let (mirror, dials, task) = dead(stays).await;
        let certs = Certs::new();
        certs.put(
            &upstream.address.to_string(),
            "hosts.toml",
            &format!("[host.'{mirror}']\ncapabilities = ['pull']\n"),
        );
        let options = Options { first_byte_timeout: std::time::Duration::from_millis(300), ..certs.options() };
        let client = client(options, &upstream.address.to_string());
        by(&client).await;
        let all: Vec<_> = (0..8)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { client.small_blob(&blob(), 10, 100).await.unwrap() })
            })
            .collect();
        for one in all {
            one.await.unwrap();
        }
        client.small_blob(&blob(), 10, 100).await.unwrap();
        task.abort();
        assert_eq!(dials.load(Ordering::SeqCst), 1, "{stays}");
    }
}

#[tokio::test]
async fn a_mirror_is_asked_only_for_what_it_is_good_for() {
    let (upstream, mirror) = (registry("upstream").await, registry("mirror").await);
    let certs = Certs::new();
    let name = upstream.address.to_string();
    let hosts = |capabilities: &str| format!("[host.'{}']\ncapabilities = [{capabilities}]\n", mirror.url(""));
    let client = certs.client(&name);
    for (capabilities, tag_by, digest_by) in [
        ("'pull'", "upstream", "mirror"),
        ("'resolve'", "upstream", "upstream"),
        ("'pull', 'resolve'", "mirror", "mirror"),
        ("'push'", "upstream", "upstream"),
    ] {
        certs.put(&name, "hosts.toml", &hosts(capabilities));
        assert_eq!(by(&client).await, format!("{{\"by\":\"{tag_by}\"}}"), "{capabilities}");
        let before = (upstream.seen().len(), mirror.seen().len());
        client.small_blob(&blob(), 10, 100).await.unwrap();
        let after = (upstream.seen().len() - before.0, mirror.seen().len() - before.1);
        assert_eq!(after, if digest_by == "mirror" { (0, 1) } else { (1, 0) }, "{capabilities}");
    }
    // By HEAD nothing but the digest comes from it.
    certs.put(&name, "hosts.toml", &hosts("'resolve'"));
    let before = mirror.seen().len();
    client.head(&tag()).await.unwrap().unwrap();
    assert_eq!(mirror.seen().len(), before + 1);
}

#[tokio::test]
async fn what_a_mirror_serves_is_proven_like_everything_else() {
    let upstream = registry("upstream").await;
    let mirrors: [Server; 2] = [
        Server::start(|_, _| answer(200, &[], "another ten")).await,
        Server::start(|_, _| answer(200, &[], "9876543210")).await,
    ];
    let certs = Certs::new();
    let hosts = mirrors.iter().map(|mirror| format!("[host.'{}']\n", mirror.url(""))).collect::<String>();
    certs.put(&upstream.address.to_string(), "hosts.toml", &hosts);
    let client = certs.client(&upstream.address.to_string());
    assert_eq!(client.small_blob(&blob(), 10, 100).await.unwrap(), BLOB);
    let counts = |server: &Server| server.seen().len();
    assert_eq!((counts(&mirrors[0]), counts(&mirrors[1]), counts(&upstream)), (1, 1, 1));
    let by_digest = ManifestAt::Digest(Digest::sha256(b"{\"by\":\"upstream\"}"));
    assert_eq!(client.manifest(&by_digest).await.unwrap().bytes, "{\"by\":\"upstream\"}");
    assert_eq!((counts(&mirrors[0]), counts(&mirrors[1]), counts(&upstream)), (2, 2, 2));
}

#[tokio::test]
async fn whoever_sent_wrong_bytes_is_asked_last() {
    let (upstream, mirror) = (registry("upstream").await, registry("mirror").await);
    let certs = Certs::new();
    certs.put(&upstream.address.to_string(), "hosts.toml", &format!("[host.'{}']\n", mirror.url("")));
    let client = certs.client(&upstream.address.to_string());
    let sources = Sources::default();
    let source = async || client.blob_from(&blob(), 0, &sources).await.unwrap().source().clone();
    let first = source().await;
    assert!(first.is_mirror() && source().await == first);
    assert!(sources.distrust());
    let second = source().await;
    assert!(!second.is_mirror() && second != first);
    assert!(!sources.distrust());
    assert_eq!(source().await, second);
}

#[tokio::test]
async fn both_wrong_is_an_error_that_names_the_digests_and_the_sender() {
    let upstream = Server::start(|_, _| answer(200, &[], "012345678X")).await;
    let mirror = Server::start(|_, _| answer(200, &[], "012345678Y")).await;
    let certs = Certs::new();
    certs.put(&upstream.address.to_string(), "hosts.toml", &format!("[host.'{}']\n", mirror.url("")));
    let error = certs.client(&upstream.address.to_string()).small_blob(&blob(), 10, 100).await.unwrap_err();
    let text = chain(&error);
    assert!(text.starts_with(&format!("registry `{}` sent something else", upstream.address)), "{text}");
    assert!(text.contains(&format!("want `{}`, got `{}`", blob(), Digest::sha256(b"012345678X"))), "{text}");
    assert_eq!((mirror.seen().len(), upstream.seen().len()), (1, 2));
}

#[tokio::test]
async fn a_mirror_without_the_blob_does_not_speak_for_a_registry_that_has_it_wrong() {
    let upstream = Server::start(|_, _| answer(200, &[], "012345678X")).await;
    let mirror = Server::start(|_, _| refusal(404, "BLOB_UNKNOWN", "not here")).await;
    let certs = Certs::new();
    certs.put(&upstream.address.to_string(), "hosts.toml", &format!("[host.'{}']\n", mirror.url("")));
    let error = certs.client(&upstream.address.to_string()).small_blob(&blob(), 10, 100).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{}", chain(&error));
    assert_eq!((mirror.seen().len(), upstream.seen().len()), (2, 2));
    assert!(error.hint().unwrap().contains("not here"));
}

#[tokio::test]
async fn a_mirror_that_sends_something_else_altogether_is_passed_over() {
    let upstream = registry("upstream").await;
    let mirrors = [
        Server::start(|_, _| answer(200, &[], "<h1>Log in to this network</h1>")).await,
        Server::start(|_, _| answer(200, &[("content-length", "10")], then_break(vec![Bytes::from_static(b"{")])))
            .await,
        Server::start(|_, _| answer(200, &[("content-length", "5000000")], "x".repeat(5_000_000))).await,
    ];
    let certs = Certs::new();
    let hosts = mirrors.iter().map(|mirror| format!("[host.'{}']\n", mirror.url(""))).collect::<String>();
    certs.put(&upstream.address.to_string(), "hosts.toml", &hosts);
    assert_eq!(by(&certs.client(&upstream.address.to_string())).await, "{\"by\":\"upstream\"}");
    assert!(mirrors.iter().chain([&upstream]).all(|server| server.seen().len() == 1));
}

#[tokio::test]
async fn a_mirror_never_sees_what_is_the_registrys() {
    let realm = "Basic realm=\"x\"";
    let guarded = |name: &'static str| {
        Server::start(move |seen, _| match seen.authorization() {
            Some("Basic Ym9iOmhpZGRlbg==") => whole(seen, name),
            _ => answer(401, &[("www-authenticate", realm)], ""),
        })
    };
    let (upstream, mirror) = (guarded("upstream").await, guarded("mirror").await);
    let certs = Certs::new();
    certs.put(&upstream.address.to_string(), "hosts.toml", &format!("[host.'{}']\n", mirror.url("")));
    let repository = Repository::parse(&format!("{}/lib/app", upstream.address)).unwrap();
    let client = Client::new(certs.options()).unwrap();
    let client = client.repository(&repository, Some(Credentials::basic("bob", "hidden")));
    assert_eq!(by(&client).await, "{\"by\":\"upstream\"}");
    assert!(!mirror.seen().is_empty() && mirror.seen().iter().all(|seen| seen.authorization().is_none()));
    // The registry under its own name in `hosts.toml` is the registry.
    certs.put(&upstream.address.to_string(), "hosts.toml", &format!("[host.'{}']\n", upstream.url("")));
    assert_eq!(by(&client).await, "{\"by\":\"upstream\"}");
    assert_eq!(upstream.seen().last().unwrap().query, "");
    // Neither does another server that takes the registry's place.
    certs.put(&upstream.address.to_string(), "hosts.toml", &format!("server = '{}'\n", mirror.url("")));
    let error = client.manifest(&tag()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    assert!(mirror.seen().iter().all(|seen| seen.authorization().is_none()));
    assert!(error.to_string().starts_with(&format!("mirror `{}` of registry", mirror.address)), "{error}");
}

#[tokio::test]
async fn headers_go_to_the_mirror_alone_and_the_path_is_as_it_is() {
    let storage = registry("storage").await;
    let to = storage.url("/there");
    let mirror = Server::start(move |seen, _| match seen.path.as_str() {
        "/hub/lib/app/manifests/1" => answer(307, &[("location", &to)], ""),
        _ => refusal(404, "X", "not here"),
    })
    .await;
    let upstream = registry("upstream").await;
    let certs = Certs::new();
    let hosts = format!(
        "[host.'{}']\noverride_path = true\n[host.'{0}'.header]\nX-Team = ['a', 'b']\nAuthorization = 'Custom 1'\n",
        mirror.url("/hub")
    );
    certs.put(&upstream.address.to_string(), "hosts.toml", &hosts);
    let client = certs.client(&upstream.address.to_string());
    assert_eq!(by(&client).await, "{\"by\":\"storage\"}");
    let seen = mirror.seen().remove(0);
    assert_eq!(seen.headers.get_all("x-team").iter().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(seen.authorization(), Some("Custom 1"));
    let there = storage.seen().remove(0);
    assert_eq!((there.header("x-team"), there.authorization()), (None, None));
    client.small_blob(&blob(), 10, 100).await.unwrap();
    let seen = upstream.seen().remove(0);
    assert_eq!((seen.header("x-team"), seen.authorization()), (None, None));
}

#[tokio::test]
async fn files_are_read_anew_when_they_change() {
    let (upstream, one, two) = (registry("upstream").await, registry("one").await, registry("two").await);
    let certs = Certs::new();
    let name = upstream.address.to_string();
    let client = certs.client(&name);
    assert_eq!(by(&client).await, "{\"by\":\"upstream\"}");
    certs.put("_default", "hosts.toml", &format!("[host.'{}']\n", one.url("")));
    assert_eq!(by(&client).await, "{\"by\":\"one\"}");
    let path = certs.put(&name, "hosts.toml", &format!("[host.'{}']\n", two.url("")));
    assert_eq!(by(&client).await, "{\"by\":\"two\"}");
    certs.put(&name, "hosts.toml", "\n[host.'ftp://x']\n");
    for _ in 0..2 {
        let error = client.manifest(&tag()).await.unwrap_err();
        assert!(matches!(error, RegistryError::Settings { .. }), "{error}");
        assert_eq!(error.kind(), Kind::Settings);
        let text = chain(&error);
        let start =
            format!("the settings for registry `{name}`: `{}`, line 2: `ftp://x` is no address", path.display());
        assert!(text.starts_with(&start), "{text}");
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(by(&client).await, "{\"by\":\"upstream\"}", "its own folder, though empty, keeps the default away");
    fs::remove_dir(path.parent().unwrap()).unwrap();
    assert_eq!(by(&client).await, "{\"by\":\"one\"}");
}

#[tokio::test]
async fn mirrors_can_be_a_setting_and_a_file_wins() {
    let (upstream, set, any, filed) =
        (registry("upstream").await, registry("set").await, registry("any").await, registry("filed").await);
    let certs = Certs::new();
    let name = upstream.address.to_string();
    let url = |server: &Server| vec![server.url("").parse().unwrap()];
    let options = |own: bool| {
        let own = own.then(|| (name.clone(), url(&set)));
        Options { mirrors: own.into_iter().chain([("*".to_owned(), url(&any))]).collect(), ..certs.options() }
    };
    let repository = Repository::parse(&format!("{name}/lib/app")).unwrap();
    let whole = Client::new(options(false)).unwrap();
    let client = whole.repository(&repository, None);
    assert_eq!(by(&client).await, "{\"by\":\"any\"}");
    certs.put("_default", "hosts.toml", &format!("[host.'{}']\n", filed.url("")));
    assert_eq!(by(&client).await, "{\"by\":\"filed\"}");
    // A client at work goes by what is set now.
    whole.reload(options(true)).unwrap();
    assert_eq!(by(&client).await, "{\"by\":\"set\"}");
    certs.put(&name, "hosts.toml", &format!("[host.'{}']\n", filed.url("")));
    assert_eq!(by(&client).await, "{\"by\":\"filed\"}");
    assert_eq!(whole.options().mirrors.len(), 2);
}
