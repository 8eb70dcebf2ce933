//! Registries that are not there, or do not speak.

use std::time::Duration;

use layer_reference::Repository;
use layer_registry::{Client, Credentials, Kind, ManifestAt, Options, Retry};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::server::{Server, answer, chain, options};

fn tag() -> ManifestAt {
    ManifestAt::Tag("1".to_owned())
}

#[tokio::test]
async fn nobody_listens() {
    // Bound and closed again: nobody else gets the port so soon.
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let repository = Repository::parse(&format!("{address}/lib/app")).unwrap();
    let client = Client::new(options()).unwrap().repository(&repository, Some(Credentials::basic("bob", "hidden")));
    let error = client.manifest(&tag()).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (Kind::Network, Retry::After(None)));
    assert_eq!(chain(&error), format!("cannot get manifest `lib/app:1` from registry `{address}`: connection refused"));
    assert_eq!(error.hint(), Some(format!("is a registry running at `{address}`?")));
}

#[tokio::test]
async fn nobody_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            open.push(listener.accept().await.unwrap());
        }
    });
    let mut options = Options { first_byte_timeout: Duration::from_millis(100), ..options() };
    options.retry.tries = 2;
    let repository = Repository::parse(&format!("{address}/lib/app")).unwrap();
    let error = Client::new(options).unwrap().repository(&repository, None).manifest(&tag()).await.unwrap_err();
    server.abort();
    assert_eq!((error.kind(), error.retry()), (Kind::Timeout, Retry::After(None)));
    assert_eq!(error.to_string(), format!("registry `{address}` did not answer for manifest `lib/app:1` within 100ms"));
}

#[tokio::test]
async fn the_connection_is_closed_without_an_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut first = [0; 1024];
            let _ = stream.read(&mut first).await;
        }
    });
    let repository = Repository::parse(&format!("{address}/lib/app")).unwrap();
    let error = Client::new(options()).unwrap().repository(&repository, None).manifest(&tag()).await.unwrap_err();
    server.abort();
    assert_eq!((error.kind(), error.retry()), (Kind::Network, Retry::After(None)), "{}", chain(&error));
}

#[tokio::test]
async fn something_else_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n").await;
            let mut first = [0; 1024];
            let _ = stream.read(&mut first).await;
        }
    });
    let repository = Repository::parse(&format!("{address}/lib/app")).unwrap();
    let error = Client::new(options()).unwrap().repository(&repository, None).manifest(&tag()).await.unwrap_err();
    server.abort();
    assert_eq!(error.kind(), Kind::Network, "{}", chain(&error));
    assert!(!chain(&error).contains("http://"), "{}", chain(&error));
}

#[tokio::test]
async fn clients_of_one_registry_look_once_for_how_it_answers() {
    let server = Server::start(|_, _| answer(200, &[], "{}")).await;
    let client = Client::new(options()).unwrap();
    let all: Vec<_> = (0..16)
        .map(|_| {
            let client = client.repository(&server.repository(), None);
            tokio::spawn(async move { client.manifest(&tag()).await.unwrap() })
        })
        .collect();
    for one in all {
        one.await.unwrap();
    }
    // The question whether it speaks TLS ends in the handshake; it is no request.
    assert_eq!(server.seen().len(), 16);
}
