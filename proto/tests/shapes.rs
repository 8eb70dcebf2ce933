//! The shapes of answers, against what a dockerd of API version 1.51 with the containerd image store sends.
//!
//! Each fixture is read into our type and written again; the JSON must be the same, with every `null` and every member left out.

use std::collections::BTreeSet;

use layer_proto::image::{Config, ManifestKind};
use layer_proto::{ApiVersion, HistoryItem, ImageInspect, ImageSummary, Info, Removed, Version, ZERO_TIME};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Reads `text` as `T` and checks that writing gives the same JSON.
fn same<T: Serialize + DeserializeOwned>(text: &str) -> T {
    let typed: T = serde_json::from_str(text).expect("the fixture is readable");
    let expected: Value = serde_json::from_str(text).expect("the fixture is JSON");
    assert_eq!(serde_json::to_value(&typed).expect("it can be written"), expected);
    typed
}

/// The names of the members that `value` is written with.
fn members(value: &impl Serialize) -> BTreeSet<String> {
    let Value::Object(object) = serde_json::to_value(value).expect("it can be written") else { panic!("no object") };
    object.keys().cloned().collect()
}

/// What `now` has that `before` has not, and the reverse.
fn difference(before: &impl Serialize, now: &impl Serialize) -> (Vec<String>, Vec<String>) {
    let (before, now) = (members(before), members(now));
    (now.difference(&before).cloned().collect(), before.difference(&now).cloned().collect())
}

fn version(minor: u16) -> ApiVersion {
    ApiVersion::new(1, minor)
}

#[test]
fn list() {
    let rows: Vec<ImageSummary> = same(include_str!("fixtures/list.json"));
    assert_eq!(rows[0].repo_tags, ["busybox:1", "busybox:latest"]);
    assert_eq!(rows[0].labels, None);
    assert!(rows[1].labels.as_ref().is_some_and(|labels| labels.contains_key("lab.name")));
    assert!(rows[2].repo_tags.is_empty() && rows[2].repo_digests.is_empty());
}

#[test]
fn list_with_manifests() {
    let rows: Vec<ImageSummary> = same(include_str!("fixtures/list_manifests.json"));
    let manifests = rows[0].manifests.as_ref().unwrap();
    let kinds: Vec<_> = manifests.iter().map(|manifest| manifest.kind).collect();
    assert_eq!(kinds, [ManifestKind::Image, ManifestKind::Image, ManifestKind::Attestation]);
    assert_eq!(manifests[2].attestation_data.as_ref().unwrap().subject, manifests[0].id);
}

#[test]
fn inspect() {
    let image: ImageInspect = same(include_str!("fixtures/inspect.json"));
    assert_eq!(image.root_fs.layers.len(), 3);
    assert_eq!(image.config.stop_signal.as_deref(), Some("SIGUSR1"));
    let image: ImageInspect = same(include_str!("fixtures/inspect_plain.json"));
    assert_eq!(image.variant.as_deref(), Some("v8"));
}

#[test]
fn history() {
    let steps: Vec<HistoryItem> = same(include_str!("fixtures/history.json"));
    assert_eq!(steps[1].id, layer_proto::image::MISSING);
    assert_eq!(steps[1].tags, None);
}

#[test]
fn removed() {
    let removed: Vec<Removed> = same(include_str!("fixtures/removed.json"));
    assert!(
        matches!(&removed[..], [Removed::Untagged(name), Removed::Deleted(id)] if name.starts_with("alpine@") && id.starts_with("sha256:"))
    );
}

#[test]
fn version_answer() {
    let answer: Version = same(include_str!("fixtures/version.json"));
    assert_eq!(answer.api_version, ApiVersion::CURRENT);
    assert_eq!(answer.min_api_version, ApiVersion::OLDEST);
}

#[test]
fn info() {
    let answer: Info = same(include_str!("fixtures/info.json"));
    assert_eq!(answer.driver_status, [("driver-type".to_owned(), "io.containerd.snapshotter.v1".to_owned())]);
}

/// A daemon that keeps images only answers with the same members.
#[test]
fn info_by_default_has_all_members() {
    let golden: Value = serde_json::from_str(include_str!("fixtures/info.json")).unwrap();
    let golden: BTreeSet<String> = golden.as_object().unwrap().keys().cloned().collect();
    let ours = Info { cgroup_version: "2".into(), kernel_memory_tcp: true, ..Info::default() };
    assert_eq!(members(&ours), golden);
}

#[test]
fn old_clients_see_the_list_of_their_version() {
    let row = ImageSummary {
        containers: 0,
        size: 12,
        descriptor: Some(layer_proto::Descriptor::default()),
        manifests: Some(Vec::new()),
        ..ImageSummary::default()
    };
    let at = |minor| difference(&row, &row.clone().at(version(minor)));
    let nothing = || (vec![], vec![]);
    assert_eq!(at(51), nothing());
    assert_eq!(at(55), nothing());
    assert_eq!(row.clone().at(version(51)).containers, 0);
    assert_eq!(row.clone().at(version(50)).containers, -1);
    assert_eq!(at(48), nothing());
    assert_eq!(at(47), (vec![], vec!["Descriptor".into()]));
    assert_eq!(at(44), (vec![], vec!["Descriptor".into(), "Manifests".into()]));
    assert_eq!(at(43), (vec!["VirtualSize".into()], vec!["Descriptor".into(), "Manifests".into()]));
    assert_eq!(row.clone().at(version(43)).virtual_size, Some(12));
    assert!(row.clone().at(version(43)).repo_tags.is_empty());
    let oldest = row.at(ApiVersion::OLDEST);
    assert_eq!(
        (&oldest.repo_tags[..], &oldest.repo_digests[..]),
        (&["<none>:<none>".to_owned()][..], &["<none>@<none>".to_owned()][..])
    );
}

#[test]
fn a_name_keeps_an_image_from_being_none() {
    let row = ImageSummary { repo_digests: vec!["a@sha256:00".into()], ..ImageSummary::default() };
    assert!(row.at(ApiVersion::OLDEST).repo_tags.is_empty());
}

#[test]
fn old_clients_see_the_image_of_their_version() {
    let image =
        ImageInspect { size: 12, descriptor: Some(layer_proto::Descriptor::default()), ..ImageInspect::default() };
    let at = |minor| difference(&image, &image.clone().at(version(minor)));
    assert_eq!(at(51), (vec![], vec![]));
    assert_eq!(at(48), (vec![], vec![]));
    assert_eq!(at(47), (vec![], vec!["Descriptor".into()]));
    assert_eq!(at(44), (vec!["Container".into(), "ContainerConfig".into()], vec!["Descriptor".into()]));
    let added: Vec<String> = ["Container", "ContainerConfig", "Created", "VirtualSize"].map(String::from).into();
    assert_eq!(at(43), (added, vec!["Descriptor".into()]));
    assert_eq!(image.clone().at(version(43)).created.as_deref(), Some(ZERO_TIME));
    assert_eq!(image.at(version(44)).created, None);
}

#[test]
fn old_clients_see_the_members_of_a_container() {
    let config = Config::default();
    assert_eq!(difference(&config, &config.clone().at(version(50))), (vec![], vec![]));
    let (added, gone) = difference(&config, &config.clone().at(version(49)));
    assert_eq!(gone, Vec::<String>::new());
    assert_eq!(
        added,
        [
            "AttachStderr",
            "AttachStdin",
            "AttachStdout",
            "Domainname",
            "Hostname",
            "Image",
            "OpenStdin",
            "StdinOnce",
            "Tty"
        ]
    );
}

#[test]
fn nulls_and_strangers_are_read() {
    let row: ImageSummary = serde_json::from_value(json!({
        "Id": "sha256:00", "RepoTags": null, "RepoDigests": null, "Labels": {}, "Identity": {"x": 1}, "Size": 3,
    }))
    .unwrap();
    assert_eq!((row.repo_tags.len(), row.size, row.containers, row.shared_size), (0, 3, -1, -1));

    let image: ImageInspect =
        serde_json::from_value(json!({ "Id": "sha256:00", "RootFS": {"Type": "layers"}, "Config": null })).unwrap();
    assert!(image.root_fs.layers.is_empty());
    assert_eq!(image.config, Config::default());

    let answer: Version =
        serde_json::from_value(json!({ "Version": "29.0", "ApiVersion": "1.52", "Components": null })).unwrap();
    assert_eq!((answer.version.as_str(), answer.api_version), ("29.0", version(52)));

    let answer: Info = serde_json::from_value(json!({ "Images": 3, "Swarm": null, "Labels": null })).unwrap();
    assert_eq!(answer.images, 3);
}
