//! Pushes that are broken off, refused, or lost on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::Method;
use layer_reference::Repository;
use layer_registry::{Client, Kind, UploadError};

use crate::server::{Server, answer, options};
use crate::uploads::{Fake, Memory, SIZE, UPLOADS, serve};

#[tokio::test]
async fn what_the_registry_has_kept_is_not_sent_again() {
    // The second chunk is kept in part, and the answer is a failure.
    let fake = Fake::start(|seen, before, kept| {
        (seen.method == Method::PATCH && before == 1).then(|| {
            kept.uploads.get_mut("0").unwrap().extend_from_slice(&seen.body[..12_345]);
            answer(503, &[], "")
        })
    })
    .await;
    let blob = Memory::new(SIZE);
    blob.push(&fake.in_chunks()).await.unwrap();
    assert!(fake.has(&blob));
    let story = fake.story();
    assert_eq!(story[3..7], ["PATCH 30000-59999", "GET 0", "PATCH 42345-72344", "PATCH 72345-99999"]);
    assert_eq!(fake.server.count(UPLOADS), 1);
}

#[tokio::test]
async fn a_piece_that_broke_off_is_gone_on_with() {
    // Sent in one piece, kept in part.
    let fake = Fake::start(|seen, before, kept| {
        (seen.method == Method::PUT && before == 0).then(|| {
            kept.uploads.get_mut("0").unwrap().extend_from_slice(&seen.body[..70_000]);
            answer(500, &[], "")
        })
    })
    .await;
    let blob = Memory::new(SIZE);
    blob.push(&fake.client()).await.unwrap();
    assert!(fake.has(&blob));
    assert_eq!(fake.story()[3..], ["GET 0", "PATCH 70000-99999", "PUT 0"]);
}

#[tokio::test]
async fn an_answer_that_was_lost_does_not_send_the_blob_twice() {
    let fake = Fake::start(|seen, before, kept| {
        (seen.method == Method::PUT && before == 0).then(|| {
            serve(seen, kept);
            answer(502, &[], "")
        })
    })
    .await;
    let blob = Memory::new(SIZE);
    blob.push(&fake.client()).await.unwrap();
    assert_eq!(fake.story(), ["HEAD 0", "POST 0", "PUT 100000", "GET 0", "HEAD 0"]);
}

#[tokio::test]
async fn a_registry_that_is_out_of_step_is_asked_where_it_is() {
    // It has dropped the half of the first chunk without saying so.
    let fake = Fake::start(|seen, before, kept| {
        (seen.method == Method::PATCH && before == 1).then(|| {
            kept.uploads.get_mut("0").unwrap().truncate(15_000);
            serve(seen, kept)
        })
    })
    .await;
    let blob = Memory::new(SIZE);
    blob.push(&fake.in_chunks()).await.unwrap();
    assert!(fake.has(&blob));
    assert_eq!(fake.story()[3..6], ["PATCH 30000-59999", "GET 0", "PATCH 15000-44999"]);
}

#[tokio::test]
async fn an_upload_that_the_registry_forgot_begins_anew() {
    let fake = Fake::start(|seen, before, kept| {
        (seen.method == Method::PATCH && before == 2).then(|| {
            kept.uploads.remove("0");
            kept.uploads.insert("other".to_owned(), Vec::new());
            serve(seen, kept)
        })
    })
    .await;
    let blob = Memory::new(SIZE);
    blob.push(&fake.in_chunks()).await.unwrap();
    assert!(fake.has(&blob));
    assert_eq!(fake.server.count(UPLOADS), 2);
}

#[tokio::test]
async fn an_address_in_a_storage_that_has_run_out_is_asked_for_anew() {
    let storage = Server::start(|seen, _| match (&seen.method, seen.query.starts_with("signature=0")) {
        (_, true) => answer(403, &[], "expired"),
        (&Method::PUT, false) => answer(201, &[], ""),
        _ => answer(405, &[], ""),
    })
    .await;
    let elsewhere = storage.url("/bucket/1");
    let fake = Fake::start(move |seen, before, _| {
        let location = format!("{elsewhere}?signature={before}");
        (seen.method == Method::POST).then(|| answer(202, &[("location", &location)], ""))
    })
    .await;
    let blob = Memory::new(SIZE);
    blob.push(&fake.client()).await.unwrap();
    assert_eq!(fake.server.count(UPLOADS), 2);
    assert_eq!(storage.seen().last().unwrap().body, blob.bytes);
}

#[tokio::test]
async fn troubles_pass_and_refusals_stay() {
    for (status, passes) in
        [(429, true), (500, true), (503, true), (401, false), (403, false), (413, false), (507, false)]
    {
        let fake = Fake::start(move |seen, before, _| {
            (seen.method == Method::POST && (before < 2 || !passes))
                .then(|| answer(status, &[("retry-after", "0")], ""))
        })
        .await;
        let blob = Memory::new(SIZE);
        let pushed = blob.push(&fake.client()).await;
        assert_eq!(pushed.is_ok(), passes, "{status}");
        assert_eq!(fake.server.count(UPLOADS), if passes { 3 } else { 1 }, "{status}");
        if let Err(error) = pushed {
            let refusal = error.registry().and_then(|error| error.refusal()).unwrap();
            assert_eq!(refusal.status.as_u16(), status);
        }
    }
}

#[tokio::test]
async fn a_registry_that_keeps_failing_is_given_up() {
    let fake =
        Fake::start(|seen, before, _| (seen.method == Method::PATCH && before > 0).then(|| answer(500, &[], ""))).await;
    let blob = Memory::new(SIZE);
    let error = blob.push(&fake.in_chunks()).await.unwrap_err();
    assert_eq!(error.to_string(), "at byte 30000 of 100000, after 5 tries");
    assert_eq!(error.registry().unwrap().kind(), Kind::Unavailable);
}

#[tokio::test]
async fn bytes_that_are_not_the_blob_s_are_refused_after_a_second_try() {
    let fake = Fake::start(|seen, _, kept| {
        if seen.method == Method::PUT {
            // As if a proxy had changed a byte.
            kept.uploads.values_mut().for_each(|held| held.push(1));
        }
        None
    })
    .await;
    let blob = Memory::new(SIZE);
    let error = blob.push(&fake.client()).await.unwrap_err();
    assert!(matches!(error, UploadError::Rejected(_)), "{error}");
    assert_eq!(blob.reads().len(), 2);
}

#[tokio::test]
async fn a_source_that_fails_is_not_the_registry_s_fault() {
    let fake = Fake::start(|_, _, _| None).await;
    let blob = Memory { fails: true, ..Memory::new(SIZE) };
    let error = blob.push(&fake.client()).await.unwrap_err();
    assert!(matches!(&error, UploadError::Source(source) if source.to_string() == "bad sector"), "{error:?}");
    assert_eq!(blob.reads().len(), 1);
}

/// A registry that opens uploads and takes nothing that is sent to them: it answers 413 before it has read it, or never. Tells how many it was sent.
async fn deaf(refuses: bool) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let puts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&puts);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        // TLS, or the end.
                        Ok(byte) if !head.is_empty() || byte.is_ascii_uppercase() => head.push(byte),
                        _ => return,
                    }
                }
                let answer = match &head[..4] {
                    b"POST" => "202 Accepted\r\nLocation: /upload",
                    b"PUT " => {
                        counted.fetch_add(1, Ordering::SeqCst);
                        if !refuses {
                            return std::future::pending().await;
                        }
                        "413 Payload Too Large"
                    }
                    _ => "404 Not Found",
                };
                let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
                // What is still on its way is let in, or the answer would be lost with the connection.
                stream.shutdown().await.unwrap();
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            });
        }
    });
    (address, puts)
}

#[tokio::test]
async fn a_registry_that_stops_reading_counts_as_broken() {
    let (address, puts) = deaf(false).await;
    let mut options = options();
    options.retry.tries = 2;
    let repository = Repository::parse(&format!("{address}/lib/app")).unwrap();
    let client = Client::new(options).unwrap().pushing(&repository, None);
    // More than all the buffers on the way hold.
    let blob = Memory { bytes: vec![7; 24 << 20], ..Memory::default() };
    let error = blob.push(&client).await.unwrap_err();
    assert_eq!(error.to_string(), format!("at byte 0 of {}, after 2 tries", 24 << 20));
    assert_eq!((error.registry().unwrap().kind(), puts.load(Ordering::SeqCst)), (Kind::Timeout, 2));
}

#[tokio::test]
async fn a_refusal_is_heard_while_the_body_is_still_on_its_way() {
    let (address, puts) = deaf(true).await;
    let repository = Repository::parse(&format!("{address}/lib/app")).unwrap();
    let client = Client::new(options()).unwrap().pushing(&repository, None);
    let blob = Memory { bytes: vec![7; 24 << 20], ..Memory::default() };
    let error = blob.push(&client).await.unwrap_err();
    let refusal = error.registry().and_then(|error| error.refusal()).unwrap();
    assert_eq!((refusal.status.as_u16(), puts.load(Ordering::SeqCst)), (413, 1));
}
