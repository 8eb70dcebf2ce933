//! Files at an address.

use layer_registry::{Client, Kind};

use crate::server::{Server, answer, options, refusal};

async fn whole(client: &Client, address: &str) -> Result<Vec<u8>, layer_registry::RegistryError> {
    let mut download = client.download(address).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = download.next().await? {
        bytes.extend(piece);
    }
    Ok(bytes)
}

#[tokio::test]
async fn a_file_comes_as_it_is() {
    let server = Server::start(|seen, _| match &*seen.path {
        "/moved.tar" => answer(302, &[("location", "/root.tar?signed=1")], ""),
        _ => answer(200, &[("content-type", "application/x-tar")], "the bytes"),
    })
    .await;
    let client = Client::new(options()).unwrap();
    assert_eq!(whole(&client, &server.url("/root.tar")).await.unwrap(), b"the bytes");
    // Without a scheme it is plain http, as docker has it.
    assert_eq!(whole(&client, &format!("{}/moved.tar#top", server.address)).await.unwrap(), b"the bytes");
    let seen = server.seen();
    assert_eq!(seen[0].header("accept-encoding"), Some("identity"));
    assert!(seen.iter().all(|seen| seen.authorization().is_none()));
}

#[tokio::test]
async fn what_is_not_there_is_told_with_its_address_and_no_secret() {
    let server = Server::start(|_, _| refusal(404, "NOT_FOUND", "gone")).await;
    let client = Client::new(options()).unwrap();
    let error = client.download(&server.url("/root.tar?token=hidden")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    let text = error.to_string();
    assert!(text.contains(&format!("`http://{}/root.tar?…`", server.address)) && !text.contains("hidden"), "{text}");
}

#[tokio::test]
async fn a_server_that_fails_once_is_asked_again() {
    let server =
        Server::start(|_, before| if before == 0 { refusal(503, "X", "later") } else { answer(200, &[], "it") }).await;
    let client = Client::new(options()).unwrap();
    assert_eq!(whole(&client, &server.url("/f")).await.unwrap(), b"it");
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_unasked() {
    let client = Client::new(options()).unwrap();
    for address in ["file:///etc/passwd", "ftp://h/x", "http://", "http://bob:hidden@127.0.0.1/x"] {
        let error = client.download(address).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{address}");
        assert!(error.context().is_none() && !error.to_string().contains("hidden"), "{error}");
    }
}
