//! The routes and the document about them say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use axum::body::Body;
use layer_engine::{Marks, Options};
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;

/// Set to have the document in `docs/` written anew.
const UPDATE: &str = "UPDATE_OPENAPI";

/// The operations that the document knows: a method and a path each.
fn documented() -> BTreeSet<(String, String)> {
    let document: Value = serde_json::from_str(&document::Document::text().unwrap()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let of = |(path, methods): (&String, &Value)| {
        let methods: Vec<_> = methods.as_object().unwrap().keys().cloned().collect();
        methods.into_iter().map(|method| (method.to_uppercase(), path.clone())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

/// A router over an empty store.
async fn router(folder: &Path) -> Router {
    let options = Options { root: folder.join("root"), ..Options::default() };
    let app = App { engine: Engine::open(options).await.unwrap(), collection: nothing() };
    let router = table().into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    elsewhere::add(router)
        .fallback(|| async { page_not_found() })
        .layer(middleware::from_fn(envelope::handle))
        .with_state(app)
}

fn nothing() -> Collection {
    Collection {
        all: false,
        unused_for: None,
        keep_storage: None,
        marks: None::<Marks>,
        leftovers_for: std::time::Duration::MAX,
        dry_run: true,
    }
}

/// The status of an answer, and whether it only says that there is no such page.
async fn asked(router: &Router, method: &str, path: &str) -> (u16, bool) {
    let request = http::Request::builder().method(method).uri(path).extension(layer_proto::ApiVersion::CURRENT);
    let answer = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let is_none = answer.headers().get("Api-Version").is_none();
    (status, is_none)
}

/// A path with something in each of its holes.
fn filled(path: &str) -> String {
    path.replace("{*name}", "lab/app").replace("{name}", "lab/app")
}

#[tokio::test]
async fn every_operation_of_the_document_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let router = router(folder.path()).await;
    for (method, path) in documented() {
        // It ends when somebody leaves.
        let query = if path == "/events" { "?until=0" } else { "" };
        let (status, is_none) = asked(&router, &method, &format!("{}{query}", filled(&path))).await;
        assert!(!is_none && status != 405 && status != 501, "{method} {path}: {status}");
    }
}

#[tokio::test]
async fn every_operation_that_is_answered_is_in_the_document() {
    let folder = tempfile::tempdir().unwrap();
    let router = router(folder.path()).await;
    let documented = documented();
    let mut answered = BTreeSet::new();
    for (path, _) in table() {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"] {
            let query = if path == "/events" { "?until=0" } else { "" };
            let (status, is_none) = asked(&router, method, &format!("{}{query}", filled(path))).await;
            // A GET answers a HEAD too, and all that begins like an image can be the name of one.
            let is_name = path.starts_with("/images/") && method == "DELETE" || path.contains("{*name}");
            let is_head = method == "HEAD" && !documented.contains(&("HEAD".to_owned(), path.to_owned()));
            if !is_none && status != 405 && status != 501 && !is_name && !is_head {
                answered.insert((method.to_owned(), path.to_owned()));
            }
        }
    }
    answered.extend(named::paths().into_iter().map(|(method, path)| (method.to_string(), path)));
    let missing: Vec<_> = answered.difference(&documented).collect();
    assert!(missing.is_empty(), "not in the document: {missing:?}");
    let known = ["/containers/{name}/json", "/distribution/{name}/json", "/networks", "/volumes"];
    let beyond: Vec<_> = documented.difference(&answered).filter(|(_, path)| !known.contains(&&**path)).collect();
    assert!(beyond.is_empty(), "only in the document: {beyond:?}");
}

#[test]
fn the_document_in_docs_is_what_the_code_says() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let text = document::Document::text().unwrap();
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&kept, &text).unwrap();
    }
    let kept = std::fs::read_to_string(kept).unwrap_or_default();
    assert!(kept == text, "docs/openapi.json is out of date: run this test with {UPDATE}=1, and look at what changes");
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    let document: Value = serde_json::from_str(&document::Document::text().unwrap()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut ids = BTreeMap::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            let before = ids.insert(id, format!("{method} {path}"));
            assert_eq!(before, None, "the same operationId as {method} {path}");
        }
    }
    let mut open = vec![&document];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    let place = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(place).is_some(), "{reference}");
                }
                open.extend(members.values());
            }
            Value::Array(values) => open.extend(values),
            _ => {}
        }
    }
}
