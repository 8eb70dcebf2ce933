//! Searches.

use layer_registry::{Client, Credentials, Kind, Options, SearchRequest, Secret};

use crate::server::{Server, answer, options, refusal};

const FOUND: &str = r#"{"query":"app","num_results":3,"results":[
    {"name":"lib/app","description":"the app","star_count":-7,"is_official":false,"is_automated":false,"is_trusted":false},
    {"name":"app","description":null,"star_count":90,"is_official":true},
    {"description":"nameless"}]}"#;

fn request(server: &Server, term: &str) -> SearchRequest {
    SearchRequest { registry: Some(server.address.to_string()), term: term.to_owned(), limit: 25 }
}

#[tokio::test]
async fn what_a_registry_finds_is_told_in_its_order() {
    let server = Server::start(|_, _| answer(200, &[("content-type", "application/json")], FOUND)).await;
    let client = Client::new(options()).unwrap();
    let found = client.search(&request(&server, "a b&c"), &Credentials::NONE).await.unwrap();
    let told: Vec<_> =
        found.iter().map(|one| (&*one.name, &*one.description, one.star_count, one.is_official)).collect();
    assert_eq!(told, [("lib/app", "the app", 0, false), ("app", "", 90, true)]);
    let asked = server.seen().into_iter().find(|seen| seen.path == "/v1/search").unwrap();
    assert_eq!(asked.query, "q=a+b%26c&n=25");
    assert_eq!(asked.authorization(), None);
}

#[tokio::test]
async fn more_than_was_asked_for_is_cut_off() {
    let server = Server::start(|_, _| answer(200, &[], FOUND)).await;
    let client = Client::new(options()).unwrap();
    let request = SearchRequest { limit: 1, ..request(&server, "app") };
    assert_eq!(client.search(&request, &Credentials::NONE).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_login_is_shown_to_the_registry_and_to_no_mirror_of_it() {
    let mirror = Server::start(|_, _| refusal(404, "NOT_FOUND", "no search here")).await;
    let server = Server::start(|_, _| answer(200, &[], FOUND)).await;
    let mirrors = [(server.address.to_string(), vec![mirror.url("").parse().unwrap()])];
    let client = Client::new(Options { mirrors: mirrors.into(), ..options() }).unwrap();
    let login = Credentials { username: "bob".to_owned(), password: Secret::new("hidden"), ..Credentials::NONE };
    assert_eq!(client.search(&request(&server, "app"), &login).await.unwrap().len(), 2);
    let seen = |server: &Server| server.seen().into_iter().find(|seen| seen.path == "/v1/search").unwrap();
    assert_eq!(seen(&mirror).authorization(), None);
    assert!(seen(&server).authorization().unwrap().starts_with("Basic "));
}

#[tokio::test]
async fn a_mirror_that_can_search_is_enough() {
    let mirror = Server::start(|_, _| answer(200, &[], FOUND)).await;
    let mirrors = [("docker.io".to_owned(), vec![mirror.url("").parse().unwrap()])];
    let client = Client::new(Options { mirrors: mirrors.into(), ..options() }).unwrap();
    let request = SearchRequest { registry: None, term: "app".to_owned(), limit: 25 };
    assert_eq!(client.search(&request, &Credentials::NONE).await.unwrap().len(), 2);
}

#[tokio::test]
async fn who_names_no_registry_searches_the_one_of_the_settings() {
    let server = Server::start(|_, _| answer(200, &[], FOUND)).await;
    let client = Client::new(Options { search_registry: server.address.to_string(), ..options() }).unwrap();
    let request = SearchRequest { registry: None, term: "app".to_owned(), limit: 25 };
    // The login is one for Docker Hub.
    assert_eq!(client.search(&request, &Credentials::basic("bob", "hidden")).await.unwrap().len(), 2);
    assert_eq!(server.seen().iter().find_map(|seen| seen.authorization()), None);
}

#[tokio::test]
async fn what_is_no_answer_to_a_search_is_an_error() {
    let server = Server::start(|_, _| answer(200, &[], "<html>")).await;
    let client = Client::new(options()).unwrap();
    let error = client.search(&request(&server, "app"), &Credentials::NONE).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    let host = server.address;
    assert_eq!(
        error.to_string(),
        format!(
            "registry `{host}` sent search for `app` in a form that cannot be read: it is no JSON object with results"
        )
    );
    let server = Server::start(|_, _| refusal(404, "NOT_FOUND", "no search here")).await;
    let error = client.search(&request(&server, "app"), &Credentials::NONE).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    let host = server.address;
    assert!(error.to_string().starts_with(&format!("registry `{host}` knows no search for `app` (404")), "{error}");
    assert!(error.hint().unwrap().contains("few registries"));
    // Whatever answers everything alike is no search either.
    let server = Server::start(|_, _| answer(200, &[], "{}")).await;
    let error = client.search(&request(&server, "app"), &Credentials::NONE).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
}

#[tokio::test]
async fn a_token_is_not_shown_to_a_search() {
    let server = Server::start(|_, _| answer(200, &[], FOUND)).await;
    let client = Client::new(options()).unwrap();
    let token = Some(Secret::new("hidden"));
    for login in [
        Credentials { identity_token: token.clone(), ..Credentials::basic("<token>", "") },
        Credentials { registry_token: token, ..Credentials::NONE },
        Credentials::basic("bob", ""),
    ] {
        client.search(&request(&server, "app"), &login).await.unwrap();
    }
    assert_eq!(server.seen().iter().find_map(|seen| seen.authorization()), None);
}

#[tokio::test]
async fn a_registry_that_fails_once_is_asked_again() {
    let server = Server::start(|seen, before| match (&*seen.path, before) {
        ("/v1/search", 0) => refusal(503, "UNAVAILABLE", "later"),
        _ => answer(200, &[], FOUND),
    })
    .await;
    let client = Client::new(options()).unwrap();
    assert_eq!(client.search(&request(&server, "app"), &Credentials::NONE).await.unwrap().len(), 2);
    assert_eq!(server.count("/v1/search"), 2);
}

#[tokio::test]
async fn who_stands_in_the_registrys_place_is_searched_in_its_place() {
    let server = Server::start(|seen, _| match &*seen.path {
        "/v1/search" => answer(200, &[], FOUND),
        _ => answer(200, &[], "the file"),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("_default")).unwrap();
    let hosts = format!("server = 'http://{}'\n", server.address);
    std::fs::write(folder.path().join("_default/hosts.toml"), hosts).unwrap();
    let client = Client::new(Options { certs_dirs: vec![folder.path().to_owned()], ..options() }).unwrap();
    for registry in [None, Some("r.example".to_owned())] {
        let request = SearchRequest { registry, term: "app".to_owned(), limit: 25 };
        assert_eq!(client.search(&request, &Credentials::NONE).await.unwrap().len(), 2);
    }
    // What isn't a registry's has no mirrors.
    assert!(client.download(&server.url("/file")).await.is_ok());
}
