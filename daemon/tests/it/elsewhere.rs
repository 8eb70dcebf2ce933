//! What is elsewhere: searches, and tars that lie at an address.

use layer_testkit::layer::LayerBuilder;
use layer_testkit::registry::{Fault, Registry, Target};
use layer_testkit::{Blob, sha256};
use serde_json::json;

use crate::daemon::Place;

/// What Docker Hub answers to a search, as far as anybody reads it.
fn found() -> Fault {
    let results = json!([
        {"name": "busybox", "description": "small", "star_count": 70, "is_official": true, "is_automated": false},
        {"name": "lab/busy", "description": "", "star_count": 3, "is_official": false, "is_automated": false},
    ]);
    let body = json!({"num_results": 2, "query": "busy", "results": results}).to_string().into_bytes();
    let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    Fault::Status { code: 200, headers, body }
}

#[tokio::test]
async fn a_search_is_answered_as_docker_hub_answers_it() {
    let registry = Registry::start().unwrap();
    registry.fault(Target::Path("/v1/search".to_owned()), found());
    let place = Place::new();
    let daemon = place.start_with(place.command().args(["--search-registry", &registry.host()]));
    let all = daemon.get("/v1.51/images/search?term=busy").await;
    assert_eq!(
        all.json(),
        json!([
            {"star_count": 70, "is_official": true, "name": "busybox", "is_automated": false, "description": "small"},
            {"star_count": 3, "is_official": false, "name": "lab/busy", "is_automated": false, "description": ""},
        ])
    );
    let asked = registry.requests().into_iter().find(|request| request.path == "/v1/search").unwrap();
    assert_eq!(asked.query, "q=busy&n=25");
    let official = daemon.get("/images/search?term=b&filters=%7B%22is-official%22%3A%5B%22true%22%5D%7D").await.json();
    assert_eq!(official.as_array().unwrap().len(), 1);
    let stars = daemon.get("/images/search?term=b&limit=2&filters=%7B%22stars%22%3A%7B%2271%22%3Atrue%7D%7D").await;
    assert_eq!(stars.json(), json!([]));
    for (query, message) in [
        ("term=b&limit=1000", "limit 1000 is outside the range of [1, 100]"),
        ("term=b&limit=x", "invalid limit specified"),
        ("term=b&filters=%7B%22nope%22%3A%5B%22x%22%5D%7D", "invalid filter 'nope'"),
        ("term=b&filters=%7B%22stars%22%3A%5B%22x%22%5D%7D", "invalid filter 'stars=[x]'"),
    ] {
        let answer = daemon.get(&format!("/images/search?{query}")).await;
        assert_eq!((answer.status, answer.message()), (400, message.to_owned()), "{query}");
    }
}

#[tokio::test]
async fn a_term_can_name_its_registry_and_one_without_search_says_so() {
    let registry = Registry::start().unwrap();
    let place = Place::new();
    let daemon = place.start();
    let host = registry.host().replace(':', "%3A");
    let answer = daemon.get(&format!("/images/search?term={host}%2Flab%2Fapp")).await;
    assert_eq!(answer.status, 404, "{}", answer.text());
    assert!(answer.message().contains("knows no search"), "{}", answer.message());
    registry.fault(Target::Path("/v1/search".to_owned()), found());
    let answer = daemon.get(&format!("/images/search?term={host}%2Flab%2Fapp")).await;
    assert_eq!(answer.json().as_array().unwrap().len(), 2);
}

/// A registry that has a tar, and the address at which that lies.
fn tar_at_an_address() -> (Registry, String) {
    let registry = Registry::start().unwrap();
    let tar = LayerBuilder::new().dir("etc").file("etc/motd", "hello\n").tar();
    let digest = sha256(&tar);
    registry.put_blob("files/root", &Blob { digest: digest.clone(), content: tar.into() });
    let address = format!("{}/v2/files/root/blobs/{digest}", registry.url());
    (registry, address)
}

fn encoded(address: &str) -> String {
    address.replace(':', "%3A").replace('/', "%2F")
}

#[tokio::test]
async fn root_a_tar_at_an_address_is_imported_by_the_daemon() {
    let (_registry, address) = tar_at_an_address();
    let place = Place::new();
    let daemon = place.start();
    // Without a scheme, as docker takes it.
    for (address, repository) in [(&*address, "lab/one"), (address.strip_prefix("http://").unwrap(), "lab/two")] {
        let target = format!("/images/create?fromSrc={}&repo={repository}&message=why", encoded(address));
        let answer = daemon.ask("POST", &target).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let told = answer.told();
        assert!(told[0].starts_with("Downloading from http://127.0.0.1:"), "{told:?}");
        let image = told.last().unwrap();
        let inspected = daemon.get(&format!("/images/{repository}/json")).await.json();
        assert_eq!(&inspected["Id"], image);
        assert_eq!(inspected["Comment"], "why");
    }
}

#[tokio::test]
async fn root_what_an_address_does_not_give_is_told_and_leaves_nothing() {
    let (registry, address) = tar_at_an_address();
    let place = Place::new();
    let daemon = place.start();
    let import = |address: &str| format!("/images/create?fromSrc={}&repo=lab/app", encoded(address));
    let missing = daemon.ask("POST", &import(&format!("{}/v2/files/none/blobs/x", registry.url()))).await;
    assert_eq!(missing.status, 404, "{}", missing.text());
    let bad = daemon.ask("POST", &import("file:///etc/shadow")).await;
    assert_eq!((bad.status, bad.message()), (400, "`file:///etc/shadow` is no address of the web".to_owned()));
    registry.fault(Target::AnyBlob, Fault::Cut { after: 700 });
    let cut = daemon.ask("POST", &import(&address)).await;
    assert_eq!(cut.status, 200);
    let last = cut.lines().pop().unwrap();
    assert!(last["error"].as_str().unwrap().starts_with("fetch the tar: cannot get `http://127.0.0.1:"), "{last}");
    registry.heal();
    let page = Fault::Body(b"<html>".repeat(100));
    registry.fault(Target::AnyBlob, page);
    let last = daemon.ask("POST", &import(&address)).await.lines().pop().unwrap();
    assert!(last.get("errorDetail").is_some(), "{last}");
    assert_eq!(daemon.get("/images/json").await.json(), json!([]));
}
