//! Lists of tags.

use layer_registry::Kind;

use crate::server::{Server, answer, refusal};

#[tokio::test]
async fn pages_are_joined() {
    let server = Server::start(|seen, _| match seen.query.as_str() {
        "n=1000" => answer(
            200,
            &[("link", "<http://inner.example/v2/lib/app/tags/list?last=b&n=2>; rel=\"next\"")],
            r#"{"name":"lib/app","tags":["a","b"]}"#,
        ),
        "last=b&n=2" => answer(200, &[], r#"{"name":"lib/app","tags":["c","../no","\u001b[31m"]}"#),
        _ => refusal(400, "PAGINATION_NUMBER_INVALID", "no such page"),
    })
    .await;
    assert_eq!(server.client().tags().await.unwrap(), ["a", "b", "c"]);
    assert_eq!(server.count("/v2/lib/app/tags/list"), 2);
}

#[tokio::test]
async fn no_tags_are_no_error() {
    for body in [r#"{"name":"lib/app","tags":null}"#, r#"{"tags":[]}"#, "{}"] {
        let server = Server::start(move |_, _| answer(200, &[], body)).await;
        assert!(server.client().tags().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_list_that_leads_to_itself_is_an_error() {
    let server =
        Server::start(|_, _| answer(200, &[("link", "</v2/lib/app/tags/list?n=1000>; rel=next")], r#"{"tags":["a"]}"#))
            .await;
    let error = server.client().tags().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.to_string().ends_with("the list of tags has no end"), "{error}");
}

#[tokio::test]
async fn a_repository_that_is_not_there_is_told_in_the_registrys_words() {
    let server = Server::start(|_, _| refusal(404, "NAME_UNKNOWN", "repository name not known to registry")).await;
    let error = server.client().tags().await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(
        error.refusal().unwrap().reply.words().as_deref(),
        Some("name unknown: repository name not known to registry")
    );
}
