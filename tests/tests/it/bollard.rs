//! bollard, as programs in Rust use it. It reads answers into types, so that a member of another form than docker's makes it fail.
//!
//! It asks for a version of the API that is newer than the one that the daemon advertises, unless it is told to negotiate.

use std::collections::HashMap;

use ::bollard::auth::DockerCredentials;
use ::bollard::errors::Error;
use ::bollard::models::{CreateImageInfo, EventMessageTypeEnum, ImageDeleteResponseItem};
use ::bollard::query_parameters::{
    CreateImageOptions, CreateImageOptionsBuilder, DataUsageOptions, EventsOptionsBuilder, ImportImageOptions,
    ListImagesOptions, ListImagesOptionsBuilder, PruneImagesOptionsBuilder, PushImageOptionsBuilder,
    RemoveImageOptions, RemoveImageOptionsBuilder, TagImageOptionsBuilder,
};
use ::bollard::{API_DEFAULT_VERSION, Docker, body_full};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use layer_testkit::debian::DebianRegistry;
use layer_testkit::image::{Image, ImageBuilder, IndexBuilder};
use layer_testkit::layer::LayerBuilder;
use layer_testkit::registry::{Auth, Registry, TokenAuth};
use serde_json::json;

use crate::service::Daemon;

type Filters<'a> = HashMap<&'a str, Vec<&'a str>>;

fn image(content: &str, created: &str) -> Image {
    let layer = |file: &str, text: &str| LayerBuilder::new().file(file, text.repeat(1000)).gzip();
    let image = ImageBuilder::new().layer(layer("base", "base")).layer(layer("own", content));
    image.created(created).cmd(&["sh"]).container("Labels", json!({"lab": content})).build()
}

/// A daemon, and a registry with two images, the older one first.
struct Lab {
    daemon: Daemon,
    registry: DebianRegistry,
    images: [Image; 2],
    names: [String; 2],
}

impl Lab {
    fn new() -> Self {
        let registry = DebianRegistry::start().unwrap();
        let images = [image("one", "2023-11-14T22:13:20Z"), image("two", "2024-05-01T12:00:00Z")];
        let put = |tag: &str, image| registry.put_image("lab/box", tag, image).unwrap();
        let names = [put("1", &images[0]), put("2", &images[1])];
        Self { daemon: Daemon::start(), registry, images, names }
    }

    fn repository(&self) -> &str {
        self.names[0].strip_suffix(":1").unwrap()
    }
}

/// bollard as it is without a word.
fn connect(daemon: &Daemon) -> Docker {
    Docker::connect_with_unix(daemon.socket().to_str().unwrap(), 60, API_DEFAULT_VERSION).unwrap()
}

fn of(name: &str) -> CreateImageOptions {
    CreateImageOptionsBuilder::new().from_image(name).build()
}

async fn pull(docker: &Docker, name: &str) -> Vec<CreateImageInfo> {
    docker.create_image(Some(of(name)), None, None).try_collect().await.unwrap()
}

/// The status and the words with which a request was refused.
fn refusal(error: Error) -> (u16, String) {
    match error {
        Error::DockerResponseServerError { status_code, message } => (status_code, message),
        other => panic!("{other:?}"),
    }
}

/// The error in a stream, which ends with it.
async fn broken<T: std::fmt::Debug>(stream: impl Stream<Item = Result<T, Error>>) -> Error {
    stream.try_collect::<Vec<T>>().await.unwrap_err()
}

async fn ids(docker: &Docker, filters: &Filters<'_>) -> Vec<String> {
    let options = ListImagesOptionsBuilder::new().filters(filters).build();
    docker.list_images(Some(options)).await.unwrap().into_iter().map(|image| image.id).collect()
}

fn deleted(items: &[ImageDeleteResponseItem]) -> Vec<&str> {
    items.iter().filter_map(|item| item.deleted.as_deref()).collect()
}

#[tokio::test]
async fn root_versions_are_negotiated_and_newer_ones_are_taken() {
    let lab = Lab::new();
    let docker = connect(&lab.daemon);
    assert_eq!(docker.client_version().to_string(), "1.53");
    assert_eq!(docker.ping().await.unwrap(), "OK");
    let version = docker.version().await.unwrap();
    assert_eq!(version.version.as_deref(), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!((version.api_version.as_deref(), version.min_api_version.as_deref()), (Some("1.51"), Some("1.24")));
    let info = docker.info().await.unwrap();
    assert_eq!((info.images, info.containers, info.os_type.as_deref()), (Some(0), Some(0), Some("linux")));
    pull(&docker, &lab.names[0]).await;
    let negotiated = docker.clone().negotiate_version().await.unwrap();
    assert_eq!(negotiated.client_version().to_string(), "1.51");
    for docker in [docker, negotiated] {
        assert_eq!(docker.inspect_image(&lab.names[0]).await.unwrap().id.as_deref(), Some(lab.images[0].digest()));
        assert_eq!(docker.list_images(None::<ListImagesOptions>).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn root_a_pull_is_a_stream() {
    let lab = Lab::new();
    let docker = connect(&lab.daemon);
    let lines = pull(&docker, &lab.names[0]).await;
    assert_eq!(lines[0].status.as_deref(), Some("Pulling from lab/box"));
    let states: Vec<&str> = lines.iter().filter_map(|line| line.status.as_deref()).collect();
    assert!(states.contains(&format!("Status: Downloaded newer image for {}", lab.names[0]).as_str()), "{states:?}");
    assert_eq!(states.iter().filter(|state| **state == "Pull complete").count(), lab.images[0].layers.len());
    let counted = lines.iter().filter_map(|line| line.progress_detail.as_ref()).filter_map(|detail| detail.total);
    assert!(counted.max().is_some_and(|total| total > 0));

    let by_digest = format!("{}@{}", lab.repository(), lab.images[1].digest());
    pull(&docker, &by_digest).await;
    assert_eq!(docker.inspect_image(&by_digest).await.unwrap().id.as_deref(), Some(lab.images[1].digest()));
    // A repository without a tag stands for all of its tags.
    pull(&docker, lab.repository()).await;
    assert_eq!(docker.inspect_image(&lab.names[1]).await.unwrap().id.as_deref(), Some(lab.images[1].digest()));
}

#[tokio::test]
async fn root_a_pull_that_fails_is_told_by_its_status() {
    let lab = Lab::new();
    let docker = connect(&lab.daemon);
    let pull = |name: String| broken(docker.create_image(Some(of(&name)), None, None));
    let missing = format!("{}:none", lab.repository());
    let words = format!("failed to resolve reference \"{missing}\": {missing}: not found");
    assert_eq!(refusal(pull(missing).await), (404, words));
    assert_eq!(refusal(pull(format!("{}/BAD:1", lab.registry.host())).await).0, 400);
    let (status, words) = refusal(docker.inspect_image("nothing").await.unwrap_err());
    assert_eq!((status, words.as_str()), (404, "No such image: nothing:latest"));
}

#[tokio::test]
async fn root_one_platform_is_pulled() {
    let (daemon, registry) = (Daemon::start(), Registry::start().unwrap());
    let parts = ["linux/amd64", "linux/arm64"].map(|platform| {
        ImageBuilder::new().platform(platform).layer(LayerBuilder::new().file("p", platform).gzip()).build()
    });
    let index = IndexBuilder::new().image(&parts[0]).image(&parts[1]).build();
    let name = registry.put_image("lab/multi", "1", &index);
    let docker = connect(&daemon);
    let options = CreateImageOptionsBuilder::new().from_image(&name).platform("linux/arm64").build();
    docker.create_image(Some(options), None, None).try_collect::<Vec<_>>().await.unwrap();
    let options = ListImagesOptionsBuilder::new().manifests(true).build();
    let list = docker.list_images(Some(options)).await.unwrap();
    let manifests = list[0].manifests.as_ref().unwrap();
    let here: Vec<_> = manifests.iter().filter(|manifest| manifest.available).map(|manifest| &*manifest.id).collect();
    assert_eq!(here, [parts[1].digest()]);
    let found = docker.inspect_registry_image(&name, None).await.unwrap();
    assert_eq!(found.descriptor.digest.as_deref(), Some(index.digest()));
    assert_eq!(found.platforms.len(), 2);
}

#[tokio::test]
async fn root_images_are_listed_and_looked_at() {
    let lab = Lab::new();
    let docker = connect(&lab.daemon);
    pull(&docker, &lab.names[0]).await;
    pull(&docker, &lab.names[1]).await;
    let [older, newer] = lab.images.each_ref().map(Image::digest);
    assert_eq!(ids(&docker, &Filters::new()).await, [newer, older]);
    for (key, value, found) in [
        ("reference", lab.names[0].as_str(), older),
        ("label", "lab=two", newer),
        ("before", &lab.names[1], older),
        ("since", &lab.names[0], newer),
        ("until", "2024-01-01", older),
    ] {
        assert_eq!(ids(&docker, &Filters::from([(key, vec![value])])).await, [found], "{key}");
    }
    assert!(ids(&docker, &Filters::from([("dangling", vec!["true"])])).await.is_empty());
    let nonsense = ListImagesOptionsBuilder::new().filters(&Filters::from([("nonsense", vec!["1"])])).build();
    assert_eq!(
        refusal(docker.list_images(Some(nonsense)).await.unwrap_err()),
        (400, "invalid filter 'nonsense'".to_owned())
    );

    let options = ListImagesOptionsBuilder::new().shared_size(true).build();
    let list = docker.list_images(Some(options)).await.unwrap();
    assert!(list[0].shared_size > 0 && list[0].size > 0);
    assert_eq!(list[1].repo_tags, [lab.names[0].clone()]);
    assert_eq!(list[1].labels, HashMap::from([("lab".to_owned(), "one".to_owned())]));

    let found = docker.inspect_image(&lab.names[0]).await.unwrap();
    assert_eq!(found.id.as_deref(), Some(older));
    assert_eq!(found.config.unwrap().cmd.unwrap(), ["sh"]);
    let layers = found.root_fs.unwrap().layers.unwrap();
    assert_eq!(layers, lab.images[0].layers.iter().map(|layer| layer.diff_id.clone()).collect::<Vec<_>>());
    let steps = docker.image_history(&lab.names[0]).await.unwrap();
    let created: Vec<_> = steps.iter().map(|step| (&*step.id, &*step.created_by)).collect();
    assert_eq!(created, [(older, "testkit layer 2"), ("<missing>", "testkit layer 1")]);
}

#[tokio::test]
async fn root_names_come_and_go_and_images_with_them() {
    let lab = Lab::new();
    let docker = connect(&lab.daemon);
    pull(&docker, &lab.names[0]).await;
    let digest = lab.images[0].digest();
    let tag = |repo: &str| TagImageOptionsBuilder::new().repo(repo).tag("v1").build();
    docker.tag_image(&lab.names[0], Some(tag("mine"))).await.unwrap();
    assert_eq!(refusal(docker.tag_image(digest, Some(tag("UPPER"))).await.unwrap_err()).0, 400);
    let remove = |name: &str| {
        let (docker, name) = (docker.clone(), name.to_owned());
        async move { docker.remove_image(&name, None::<RemoveImageOptions>, None).await }
    };
    let (status, words) = refusal(remove(digest).await.unwrap_err());
    assert!(status == 409 && words.contains("image is referenced in multiple repositories"), "{status} {words}");
    let items = remove("mine:v1").await.unwrap();
    assert_eq!((items.len(), items[0].untagged.as_deref()), (1, Some("mine:v1")));
    docker.tag_image(&lab.names[0], Some(tag("mine"))).await.unwrap();
    let force = RemoveImageOptionsBuilder::new().force(true).noprune(true).build();
    assert_eq!(deleted(&docker.remove_image(digest, Some(force), None).await.unwrap()), [digest]);
    assert_eq!(refusal(remove("mine:v1").await.unwrap_err()), (404, "No such image: mine:v1".to_owned()));
}

#[tokio::test]
async fn root_an_image_is_pushed() {
    let lab = Lab::new();
    let docker = connect(&lab.daemon);
    pull(&docker, &lab.names[0]).await;
    let target = format!("{}/bollard/sent", lab.registry.host());
    let tag = |tag: &str| TagImageOptionsBuilder::new().repo(&target).tag(tag).build();
    docker.tag_image(&lab.names[0], Some(tag("1"))).await.unwrap();
    docker.tag_image(&lab.names[0], Some(tag("2"))).await.unwrap();
    let options = PushImageOptionsBuilder::new().tag("1").build();
    let lines: Vec<_> = docker.push_image(&target, Some(options), None).try_collect().await.unwrap();
    assert_eq!(lines[0].status.as_deref(), Some(&*format!("The push refers to repository [{target}]")));
    let there = async |tag: &str| docker.inspect_registry_image(&format!("{target}:{tag}"), None).await;
    assert_eq!(there("1").await.unwrap().descriptor.digest.as_deref(), Some(lab.images[0].digest()));
    assert_eq!(refusal(there("2").await.unwrap_err()).0, 404);
    // Without a tag all of them go.
    let all = PushImageOptionsBuilder::new().build();
    docker.push_image(&target, Some(all), None).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(there("2").await.unwrap().descriptor.digest.as_deref(), Some(lab.images[0].digest()));
    let options = PushImageOptionsBuilder::new().tag("none").build();
    let error = broken(docker.push_image(&target, Some(options), None)).await;
    assert!(matches!(&error, Error::DockerStreamError { error } if error.contains("tag does not exist")), "{error:?}");
}

#[tokio::test]
async fn root_a_login_comes_along() {
    let (daemon, registry) = (Daemon::start(), Registry::start().unwrap());
    // In the alphabet of base64 that bollard uses, this one has letters that the other has not.
    let password = "s3>?>?>?cret";
    let name = registry.put_image("lab/private", "1", &image("private", "2023-11-14T22:13:20Z"));
    for auth in [
        Auth::Basic { user: "bob".to_owned(), password: password.to_owned() },
        Auth::Token(TokenAuth::account("bob", password)),
    ] {
        registry.set_auth(auth);
        let docker = connect(&daemon);
        let login = |password: &str| DockerCredentials {
            username: Some("bob".to_owned()),
            password: Some(password.to_owned()),
            ..DockerCredentials::default()
        };
        let (status, words) = refusal(broken(docker.create_image(Some(of(&name)), None, None)).await);
        assert!(status == 404 && words.contains("pull access denied"), "{status} {words}");
        let wrong = docker.create_image(Some(of(&name)), None, Some(login("wrong")));
        assert_eq!(refusal(broken(wrong).await).0, 401);
        assert_eq!(refusal(docker.inspect_registry_image(&name, None).await.unwrap_err()).0, 401);
        docker.inspect_registry_image(&name, Some(login(password))).await.unwrap();
        docker.create_image(Some(of(&name)), None, Some(login(password))).try_collect::<Vec<_>>().await.unwrap();
        docker.remove_image(&name, None::<RemoveImageOptions>, None).await.unwrap();
    }
}

#[tokio::test]
async fn root_images_go_out_and_come_back() {
    let lab = Lab::new();
    let docker = connect(&lab.daemon);
    pull(&docker, &lab.names[0]).await;
    pull(&docker, &lab.names[1]).await;
    let one: Vec<_> = docker.export_image(&lab.names[0]).try_collect().await.unwrap();
    let both: Vec<_> = docker.export_images(&lab.names.each_ref().map(String::as_str)).try_collect().await.unwrap();
    for name in &lab.names {
        docker.remove_image(name, None::<RemoveImageOptions>, None).await.unwrap();
    }
    let body = body_full(one.concat().into());
    let lines: Vec<_> = docker.import_image(ImportImageOptions::default(), body, None).try_collect().await.unwrap();
    let said: Vec<_> = lines.iter().filter_map(|line| line.stream.as_deref()).collect();
    assert_eq!(said, [format!("Loaded image: {}\n", lab.names[0])]);
    let chunks = futures_util::stream::iter(both.into_iter().map(Ok::<_, std::io::Error>));
    let loading =
        docker.import_image_stream(ImportImageOptions { quiet: true, ..ImportImageOptions::default() }, chunks, None);
    let _lines: Vec<_> = loading.try_collect().await.unwrap();
    assert_eq!(ids(&docker, &Filters::new()).await, [lab.images[1].digest(), lab.images[0].digest()]);

    let nonsense = docker.import_image(ImportImageOptions::default(), body_full("nonsense".into()), None);
    let error = broken(nonsense).await;
    assert!(matches!(error, Error::DockerStreamError { .. }), "{error:?}");
    let missing = docker.export_image("nothing").next().await.unwrap().unwrap_err();
    assert_eq!(refusal(missing), (404, "No such image: nothing:latest".to_owned()));
}

#[tokio::test]
async fn root_a_tar_becomes_an_image() {
    let daemon = Daemon::start();
    let docker = connect(&daemon);
    let tar = LayerBuilder::new().file("hello", "world").finish().unwrap();
    let options = CreateImageOptionsBuilder::new().from_src("-").repo("imported").tag("1").message("by bollard");
    let options = options.changes(vec!["USER foobar".to_owned(), "CMD [\"echo\"]".to_owned()]).build();
    let lines: Vec<_> =
        docker.create_image(Some(options), Some(body_full(tar.into())), None).try_collect().await.unwrap();
    let found = docker.inspect_image("imported:1").await.unwrap();
    assert_eq!(lines.last().unwrap().status, found.id);
    let config = found.config.unwrap();
    assert_eq!((config.user.as_deref(), config.cmd.as_deref()), (Some("foobar"), Some(&["echo".to_owned()][..])));
    let steps = docker.image_history("imported:1").await.unwrap();
    assert_eq!(steps[0].comment, "by bollard");
}

#[tokio::test]
async fn root_room_is_told_and_made() {
    let lab = Lab::new();
    let docker = connect(&lab.daemon);
    pull(&docker, &lab.names[0]).await;
    let prune = async |filters: Filters<'_>| {
        let options = PruneImagesOptionsBuilder::new().filters(&filters).build();
        docker.prune_images(Some(options)).await.unwrap()
    };
    let none = prune(Filters::from([("dangling", vec!["true"])])).await;
    assert_eq!((none.images_deleted, none.space_reclaimed), (None, Some(0)));
    assert!(prune(Filters::from([("dangling", vec!["false"]), ("until", vec!["24h"])])).await.images_deleted.is_none());
    // What bollard reads of disk use came with version 1.52, which the daemon does not have yet.
    let usage = docker.df(None::<DataUsageOptions>).await.unwrap();
    assert!(usage.image_usage.is_none() && usage.container_usage.is_none());
    let pruned = prune(Filters::from([("dangling", vec!["false"]), ("label", vec!["lab=one"])])).await;
    assert!(pruned.space_reclaimed.unwrap() > 0);
    assert_eq!(deleted(&pruned.images_deleted.unwrap()), [lab.images[0].digest()]);
}

#[tokio::test]
async fn root_events_are_read_as_they_were_and_as_they_happen() {
    let lab = Lab::new();
    let docker = connect(&lab.daemon);
    pull(&docker, &lab.names[0]).await;
    let tag = |tag: &str| TagImageOptionsBuilder::new().repo("mine").tag(tag).build();
    docker.tag_image(&lab.names[0], Some(tag("1"))).await.unwrap();
    let past = EventsOptionsBuilder::new().since("1h").until("0s").filters(&Filters::from([("type", vec!["image"])]));
    let events: Vec<_> = docker.events(Some(past.build())).try_collect().await.unwrap();
    let actions: Vec<_> = events.iter().map(|event| event.action.as_deref().unwrap()).collect();
    assert_eq!(actions, ["pull", "tag"]);
    assert_eq!(events[0].typ, Some(EventMessageTypeEnum::IMAGE));
    assert_eq!(events[0].actor.as_ref().unwrap().id.as_deref(), Some(&*lab.names[0]));

    let options = EventsOptionsBuilder::new().since("1h").filters(&Filters::from([("event", vec!["tag"])])).build();
    let mut stream = Box::pin(docker.events(Some(options)));
    // When the one of the past has come, the daemon listens for those to come.
    stream.next().await.unwrap().unwrap();
    docker.tag_image(&lab.names[0], Some(tag("2"))).await.unwrap();
    let attributes = stream.next().await.unwrap().unwrap().actor.unwrap().attributes.unwrap();
    assert_eq!(attributes["name"], "mine:2");
}
