//! A client for HTTP on a Unix socket, one request a connection.

use std::path::Path;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

/// An answer that has come whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// An answer whose body is being read. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) status: u16,
    headers: HeaderMap,
    body: Incoming,
    buffer: Vec<u8>,
    connection: JoinHandle<()>,
}

impl Stream {
    pub(crate) async fn open(
        socket: &Path,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Self {
        let stream = UnixStream::connect(socket).await.expect("the daemon listens");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(async move {
            // What breaks is seen by whoever reads the answer.
            let _ = connection.await;
        });
        let mut request = Request::builder().method(method).uri(target).header("Host", "layerd");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let answer = sender.send_request(request).await.expect("an answer");
        let (head, body) = answer.into_parts();
        Self { status: head.status.as_u16(), headers: head.headers, body, buffer: Vec::new(), connection }
    }

    /// The rest of the body.
    pub(crate) async fn whole(mut self) -> Answer {
        let mut body = std::mem::take(&mut self.buffer);
        while let Some(frame) = self.body.frame().await {
            body.extend(frame.expect("the body comes whole").into_data().unwrap_or_default());
        }
        Answer { status: self.status, headers: self.headers.clone(), body: body.into() }
    }

    /// The next line of progress or of events; `None` at the end.
    pub(crate) async fn line(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = self.body.frame().await?.expect("the body goes on");
            self.buffer.extend(frame.into_data().unwrap_or_default());
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The words of a failure.
    pub(crate) fn message(&self) -> String {
        self.json()["message"].as_str().expect("a message").to_owned()
    }

    /// The lines of progress.
    pub(crate) fn lines(&self) -> Vec<Value> {
        assert!(self.text().ends_with("\r\n"), "{}", self.text());
        self.text().split_terminator("\r\n").map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The status lines, each as `id: words`.
    pub(crate) fn told(&self) -> Vec<String> {
        self.lines()
            .iter()
            .filter_map(|line| {
                let status = line["status"].as_str()?;
                Some(line["id"].as_str().map_or(status.to_owned(), |id| format!("{id}: {status}")))
            })
            .collect()
    }
}
