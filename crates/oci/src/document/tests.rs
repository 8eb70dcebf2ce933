//! Documents as registries serve them, and documents made to be read in two ways.

use oci_spec::image::{ImageIndex, ImageManifest};
use proptest::prelude::*;

use super::*;
use crate::media_type::{DOCKER_LIST, DOCKER_MANIFEST, DOCKER_SCHEMA1_SIGNED};
use crate::{Choice, LayerKind, Platform};

const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// What `docker push` has written since 2016.
const SCHEMA2: &str = r#"{
   "schemaVersion": 2,
   "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
   "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 1470, "digest": "AAA"},
   "layers": [
      {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 3402422, "digest": "BBB"},
      {"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "size": 7, "digest": "AAA",
       "urls": ["https://example.com/layer"]}
   ]
}"#;

/// What Docker Hub serves for its own images.
const LIST: &str = r#"{
   "manifests": [
      {"digest": "AAA", "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
       "platform": {"architecture": "amd64", "os": "linux"}, "size": 528},
      {"digest": "BBB", "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
       "platform": {"architecture": "arm64", "os": "linux", "variant": "v8", "features": ["sse4"]}, "size": 528},
      {"digest": "BBB", "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
       "platform": {"architecture": "amd64", "os": "windows", "os.version": "10.0.20348.2113"}, "size": 528}
   ],
   "mediaType": "application/vnd.docker.distribution.manifest.list.v2+json",
   "schemaVersion": 2
}"#;

/// What current builders write: an image and what attests it.
const BUILT: &str = r#"{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.index.v1+json",
  "manifests": [
    {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "BBB", "size": 566,
     "annotations": {"vnd.docker.reference.digest": "AAA", "vnd.docker.reference.type": "attestation-manifest"},
     "platform": {"architecture": "unknown", "os": "unknown"}},
    {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "AAA", "size": 1022,
     "platform": {"architecture": "amd64", "os": "linux"}}
  ],
  "annotations": {"org.opencontainers.image.version": "3.20"}
}"#;

const OCI: &str = r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"AAA","size":2},
  "layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+zstd","digest":"BBB","size":9,"data":"eA=="}],
  "annotations":{"k":"v"},"tomorrow":{"a":[1,null]}}"#;

fn fill(text: &str) -> String {
    text.replace("AAA", A).replace("BBB", B)
}

fn parse(content_type: Option<&str>, text: &str) -> Result<Document, DocumentError> {
    Document::parse(content_type, fill(text).as_bytes())
}

fn manifest(content_type: Option<&str>, text: &str) -> Manifest {
    match parse(content_type, text).unwrap() {
        Document::Manifest(manifest) => manifest,
        Document::Index(index) => panic!("{index:?}"),
    }
}

fn index(content_type: Option<&str>, text: &str) -> Index {
    match parse(content_type, text).unwrap() {
        Document::Index(index) => index,
        Document::Manifest(manifest) => panic!("{manifest:?}"),
    }
}

/// An error and its cause in one line.
fn refusal(content_type: Option<&str>, text: &str) -> String {
    let error = parse(content_type, text).map(|document| panic!("{document:?}")).unwrap_err();
    match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[test]
fn dockers_manifest() {
    for content_type in [Some(DOCKER_MANIFEST), Some("application/json"), Some("text/plain; charset=utf-8"), None] {
        let manifest = manifest(content_type, SCHEMA2);
        assert_eq!(manifest.media_type, DOCKER_MANIFEST);
        assert_eq!((manifest.config.digest.to_string().as_str(), manifest.config.size), (A, 1470));
        let layers: Vec<_> = manifest.layers.iter().map(|layer| (layer.digest.to_string(), layer.size)).collect();
        assert_eq!(layers, [(B.to_owned(), 3_402_422), (A.to_owned(), 7)]);
        assert_eq!(manifest.layer_kinds().unwrap(), [LayerKind::TarGzip, LayerKind::TarGzip]);
    }
}

#[test]
fn dockers_list() {
    let index = index(Some(DOCKER_LIST), LIST);
    assert_eq!(index.media_type, DOCKER_LIST);
    let platforms: Vec<_> = index.manifests.iter().map(|entry| entry.platform.as_ref().unwrap().to_string()).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64/v8", "windows(10.0.20348.2113)/amd64"]);
    let arm: Platform = "linux/arm64".parse().unwrap();
    assert_eq!(index.choose(&arm), Choice::Found(&index.manifests[1]));
}

#[test]
fn an_index_with_attestations() {
    let index = index(Some(OCI_INDEX), BUILT);
    assert!(index.manifests[0].is_attestation() && !index.manifests[1].is_attestation());
    assert_eq!(index.choose(&"linux/amd64".parse().unwrap()), Choice::Found(&index.manifests[1]));
    assert_eq!(index.annotations["org.opencontainers.image.version"], "3.20");
    let wanted: Platform = "linux/arm64".parse().unwrap();
    let error = index.choose(&wanted).found(&wanted).unwrap_err();
    assert_eq!(error.hint().unwrap(), "the image is made for linux/amd64");
}

#[test]
fn a_document_without_a_type_is_what_it_was_served_as_or_what_it_looks_like() {
    for (content_type, expected) in [
        (None, OCI_MANIFEST),
        (Some("application/json"), OCI_MANIFEST),
        (Some(OCI_MANIFEST), OCI_MANIFEST),
        (Some(DOCKER_MANIFEST), DOCKER_MANIFEST),
        (Some("Application/VND.oci.image.manifest.v1+json; x=y"), OCI_MANIFEST),
    ] {
        let manifest = manifest(content_type, OCI);
        assert_eq!(manifest.media_type, expected);
        assert_eq!(manifest.layer_kinds().unwrap(), [LayerKind::TarZstd]);
        assert_eq!(manifest.annotations["k"], "v");
    }
    let bare = r#"{"schemaVersion":2,"manifests":[]}"#;
    assert_eq!(parse(None, bare).unwrap().media_type(), OCI_INDEX);
    assert_eq!(parse(Some(DOCKER_LIST), bare).unwrap().media_type(), DOCKER_LIST);
    assert_eq!(parse(None, r#"{"mediaType":"","manifests":[]}"#).unwrap().media_type(), OCI_INDEX);
}

#[test]
fn null_is_an_empty_list_or_nothing_at_all() {
    let text = r#"{"schemaVersion":2,"mediaType":null,"config":{"mediaType":"c","digest":"AAA","size":2},"layers":null,
        "annotations":null,"subject":null,"artifactType":null}"#;
    let manifest = manifest(None, text);
    assert_eq!((manifest.layers.len(), manifest.subject, manifest.artifact_type), (0, None, None));
    assert_eq!(index(None, r#"{"manifests":null}"#).manifests, []);
}

#[test]
fn artifacts_parse_and_are_told_apart_later() {
    let text = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.lab.thing",
        "config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"AAA","size":2},
        "layers":[{"mediaType":"text/plain","digest":"BBB","size":2}],
        "subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"BBB","size":5}}"#;
    let manifest = manifest(Some(OCI_MANIFEST), text);
    assert_eq!(manifest.artifact_type.as_deref(), Some("application/vnd.lab.thing"));
    assert_eq!(manifest.subject.as_ref().map(|subject| subject.size), Some(5));
    assert!(manifest.check_layers().unwrap_err().to_string().contains("`application/vnd.lab.thing`"));
}

#[test]
fn schema_1_is_refused_by_name() {
    let body = r#"{"schemaVersion":1,"name":"library/x","tag":"1","architecture":"amd64","fsLayers":[{"blobSum":"AAA"}],
        "history":[{"v1Compatibility":"{}"}],"signatures":[{"header":{},"signature":"x","protected":"y"}]}"#;
    let unnumbered = r#"{"fsLayers":[]}"#;
    let stated = format!(r#"{{"mediaType":"{DOCKER_SCHEMA1_SIGNED}"}}"#);
    for (content_type, text, named) in [
        (Some(DOCKER_SCHEMA1_SIGNED), body, DOCKER_SCHEMA1_SIGNED),
        (Some(DOCKER_SCHEMA1_SIGNED), "no JSON at all", DOCKER_SCHEMA1_SIGNED),
        (Some("application/json"), body, DOCKER_SCHEMA1),
        (None, body, DOCKER_SCHEMA1),
        (Some(DOCKER_MANIFEST), body, DOCKER_SCHEMA1),
        (None, unnumbered, DOCKER_SCHEMA1),
        (None, &stated, DOCKER_SCHEMA1_SIGNED),
    ] {
        let error = parse(content_type, text).unwrap_err();
        assert_eq!(error.to_string(), format!("manifest type `{named}` (schema 1) is no longer supported"));
        assert!(error.hint().is_some());
    }
}

#[test]
fn what_could_mean_two_things_is_refused() {
    let config = r#""config":{"mediaType":"c","digest":"AAA","size":2}"#;
    for (content_type, members, error) in [
        (None, format!(r#""manifests":[],{config},"layers":[]"#), "ambiguous: it has `manifests` and `layers`"),
        (None, format!(r#""manifests":[],{config}"#), "ambiguous: it has `manifests` and `config`"),
        (None, r#""manifests":[],"layers":[]"#.to_owned(), "ambiguous: it has `manifests` and `layers`"),
        (None, r#""manifests":null,"layers":[]"#.to_owned(), "ambiguous"),
        (Some(OCI_MANIFEST), format!(r#""manifests":null,{config},"layers":[]"#), "ambiguous"),
        (Some(OCI_INDEX), r#""manifests":[],"layers":null"#.to_owned(), "ambiguous"),
        (None, format!(r#""fsLayers":[],{config},"layers":[]"#), "ambiguous: it has `layers` and `fsLayers`"),
        (None, r#""fsLayers":null,"manifests":[]"#.to_owned(), "ambiguous: it has `manifests` and `fsLayers`"),
        (Some(OCI_INDEX), format!(r#"{config},"layers":[]"#), "has no `manifests`"),
        (Some(DOCKER_MANIFEST), r#""manifests":[]"#.to_owned(), "has no `config`"),
        (None, config.to_owned(), "has no `layers`"),
        (None, r#""layers":[]"#.to_owned(), "has no `config`"),
        (None, r#""config":null,"layers":[]"#.to_owned(), "has no `config`"),
        (None, String::new(), "has no `config`"),
        (None, r#""layers":[],"layers":[]"#.to_owned(), "duplicate field `layers`"),
        (None, r#""manifests":[],"manifests":[]"#.to_owned(), "duplicate field `manifests`"),
        (None, r#""mediaType":"a","mediaType":"b""#.to_owned(), "duplicate field `mediaType`"),
    ] {
        let comma = if members.is_empty() { "" } else { "," };
        let text = format!(r#"{{"schemaVersion":2{comma}{members}}}"#);
        let refused = refusal(content_type, &text);
        assert!(refused.contains(error), "{text}: {refused}");
    }
}

#[test]
fn header_and_body_must_agree() {
    for (served, text) in [
        (OCI_INDEX, SCHEMA2),
        (OCI_MANIFEST, SCHEMA2),
        (DOCKER_MANIFEST, LIST),
        (DOCKER_LIST, BUILT),
        (OCI_MANIFEST, BUILT),
    ] {
        let error = parse(Some(served), text).unwrap_err();
        assert!(matches!(&error, DocumentError::Contradiction { served: s, .. } if s == served), "{error}");
    }
    let error = refusal(Some(OCI_INDEX), SCHEMA2);
    assert_eq!(error, format!("the manifest was served as `{OCI_INDEX}`, but says that it is `{DOCKER_MANIFEST}`"));
    for stated in ["application/vnd.oci.artifact.manifest.v1+json", "application/vnd.oci.image.config.v1+json", "x"] {
        let text =
            format!(r#"{{"mediaType":"{stated}","config":{{"mediaType":"c","digest":"AAA","size":2}},"layers":[]}}"#);
        assert_eq!(refusal(None, &text), format!("unsupported manifest type `{stated}`"));
    }
    assert_eq!(refusal(None, r#"{"schemaVersion":3}"#), "manifest schema version 3 is not supported, only 2 is");
}

#[test]
fn what_is_no_object_is_an_error() {
    for text in ["", "null", "[]", "1", "\"x\"", "true", "{", "{}{}", "{} x", "\u{feff}{}", "[2,null]", "{\"a\":NaN}"] {
        let error = refusal(None, text);
        assert!(error.starts_with("parse the manifest: "), "{text}: {error}");
    }
    // A derived parser would take these arrays for objects.
    let array = r#"{"config":["c","AAA",2],"layers":[]}"#;
    assert!(refusal(None, array).contains("expected an object"));
    let array = r#"{"config":{"mediaType":"c","digest":"AAA","size":2},"layers":[["l","AAA",2]]}"#;
    assert!(refusal(None, array).contains("expected an object"));
    for text in [
        r#"{"layers":{}}"#,
        r#"{"layers":[null]}"#,
        r#"{"manifests":["AAA"]}"#,
        r#"{"schemaVersion":"2"}"#,
        r#"{"schemaVersion":2.0}"#,
    ] {
        assert!(refusal(None, text).starts_with("parse the manifest: "), "{text}");
    }
}

#[test]
fn everything_has_an_end() {
    let deep = |n: usize| format!(r#"{{"x":{}{},"manifests":[]}}"#, "[".repeat(n), "]".repeat(n));
    assert!(parse(None, &deep(63)).is_ok());
    assert_eq!(refusal(None, &deep(64)), "the manifest nests deeper than 64 levels");
    assert_eq!(refusal(None, &"[".repeat(MAX_BYTES)), "the manifest nests deeper than 64 levels");

    let long = |n: usize| format!(r#"{{"x":"{}","manifests":[]}}"#, "x".repeat(n));
    let rest = long(0).len();
    assert!(parse(None, &long(MAX_BYTES - rest)).is_ok());
    let error = refusal(None, &long(MAX_BYTES - rest + 1));
    assert_eq!(error, "the manifest has 4194305 bytes, more than the 4194304 that are taken");

    let list = |n: usize| vec![r#"{"mediaType":"m","digest":"AAA","size":1}"#; n].join(",");
    let layers = |n| format!(r#"{{"config":{{"mediaType":"c","digest":"AAA","size":2}},"layers":[{}]}}"#, list(n));
    assert_eq!(manifest(None, &layers(500)).layers.len(), 500);
    assert_eq!(refusal(None, &layers(501)), "501 layers are more than the 500 that are taken");
    let entries = |n| format!(r#"{{"manifests":[{}]}}"#, list(n));
    assert_eq!(index(None, &entries(1000)).manifests.len(), 1000);
    assert_eq!(refusal(None, &entries(1001)), "1001 manifests are more than the 1000 that are taken");
    let bomb = format!(r#"{{"manifests":[{}]}}"#, vec!["0"; 1_000_000].join(","));
    assert!(refusal(None, &bomb).contains("expected an object"));
}

/// Any JSON, of a shape that comes near to a document now and then.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let words = [
        "schemaVersion",
        "mediaType",
        "config",
        "layers",
        "manifests",
        "digest",
        "size",
        "platform",
        "annotations",
        "fsLayers",
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (1..3).prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,12}".prop_map(Into::into),
        proptest::sample::select(vec![A, OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_SCHEMA1_SIGNED])
            .prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        let key = prop_oneof![proptest::sample::select(words.to_vec()).prop_map(str::to_owned), ".{0,6}"];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            proptest::collection::btree_map(key, inner, 0..8)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

fn descriptor() -> impl Strategy<Value = serde_json::Value> {
    let platform = proptest::option::of(("[a-z]{1,5}", "[a-z0-9]{1,5}", proptest::option::of("v[0-9]")));
    let annotations = proptest::option::of(proptest::collection::btree_map("[a-z.]{1,6}", ".{0,6}", 0..3));
    ("[a-z]{1,5}/[a-z+.]{1,9}", any::<[u8; 4]>(), 0..=i64::MAX, platform, annotations).prop_map(
        |(media_type, seed, size, platform, annotations)| {
            let mut value = serde_json::json!({
                "mediaType": media_type, "digest": layer_digest::Digest::sha256(&seed), "size": size,
            });
            if let Some((os, architecture, variant)) = platform {
                value["platform"] = serde_json::json!({ "os": os, "architecture": architecture, "variant": variant });
            }
            if let Some(annotations) = annotations {
                value["annotations"] = serde_json::json!(annotations);
            }
            value
        },
    )
}

proptest! {
    #[test]
    fn any_bytes_are_taken_or_refused_without_panic(bytes: Vec<u8>, content_type: Option<String>) {
        let _ = Document::parse(content_type.as_deref(), &bytes);
    }

    #[test]
    fn any_json_is_taken_or_refused_without_panic(value in json(), served in 0..4) {
        let served = [None, Some(OCI_INDEX), Some(OCI_MANIFEST), Some("application/json")][served as usize];
        match Document::parse(served, value.to_string().as_bytes()) {
            Ok(Document::Index(index)) => {
                prop_assert!(value.get("layers").is_none() && value.get("config").is_none());
                prop_assert!(index.manifests.len() <= MAX_ENTRIES);
                let _ = index.choose(&Platform::host());
            }
            Ok(Document::Manifest(manifest)) => {
                prop_assert!(value.get("manifests").is_none() && value["config"].is_object());
                let _ = manifest.check_layers();
            }
            Err(error) => prop_assert!(!error.to_string().contains(char::is_control)),
        }
    }

    #[test]
    fn cut_documents_are_refused_without_panic(cut in 0..SCHEMA2.len()) {
        let whole = fill(SCHEMA2);
        prop_assert!(Document::parse(None, &whole.as_bytes()[..cut]).is_err());
    }

    #[test]
    fn we_see_what_the_reference_types_see(
        config in descriptor(),
        layers in proptest::collection::vec(descriptor(), 0..5),
        annotations in proptest::option::of(proptest::collection::btree_map("[a-z]{1,6}", ".{0,6}", 0..3)),
    ) {
        let text = serde_json::json!({ "schemaVersion": 2, "config": config, "layers": layers, "annotations": annotations }).to_string();
        let theirs = ImageManifest::from_reader(text.as_bytes()).unwrap();
        let ours = manifest(None, &text);
        let view = |d: &oci_spec::image::Descriptor| (d.media_type().to_string(), d.digest().to_string(), d.size());
        let our_view = |d: &Descriptor| (d.media_type.clone(), d.digest.to_string(), d.size);
        prop_assert_eq!(our_view(&ours.config), view(theirs.config()));
        prop_assert_eq!(ours.layers.iter().map(our_view).collect::<Vec<_>>(), theirs.layers().iter().map(view).collect::<Vec<_>>());
        prop_assert_eq!(ours.annotations, theirs.annotations().clone().unwrap_or_default().into_iter().collect());

        let text = serde_json::json!({ "schemaVersion": 2, "manifests": layers }).to_string();
        let theirs = ImageIndex::from_reader(text.as_bytes()).unwrap();
        let platform = |p: &oci_spec::image::Platform| (p.os().to_string(), p.architecture().to_string(), p.variant().clone());
        let theirs: Vec<_> = theirs.manifests().iter().map(|d| (view(d), d.platform().as_ref().map(platform))).collect();
        let our_platform = |p: &Platform| (p.os.clone(), p.architecture.clone(), p.variant.clone());
        let ours: Vec<_> = index(None, &text).manifests.iter().map(|d| (our_view(d), d.platform.as_ref().map(our_platform))).collect();
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn a_descriptor_reads_back(value in descriptor()) {
        let descriptor: Descriptor = serde_json::from_value(value).unwrap();
        let text = serde_json::to_string(&descriptor).unwrap();
        prop_assert_eq!(serde_json::from_str::<Descriptor>(&text).unwrap(), descriptor);
    }
}
