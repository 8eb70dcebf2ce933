//! A daemon that answers from a script. It speaks just enough HTTP/1.1, by hand, so that it can also break it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use layer_proto::ProgressLine;
use serde_json::Value;
use tempfile::TempDir;

/// A request as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// `GET /v1.51/images/json`.
    pub(crate) line: String,
    /// The body.
    pub(crate) body: String,
    /// The login that it lends, in JSON.
    pub(crate) login: Option<String>,
}

/// The way back to the client.
#[derive(Debug)]
pub(crate) struct Reply {
    stream: UnixStream,
    /// Whether the connection is good for another request.
    open: bool,
}

/// A daemon on a socket of its own, for as long as the value lives.
#[derive(Debug)]
pub(crate) struct Daemon {
    dir: TempDir,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Daemon {
    /// Starts a daemon that leaves every answer to `answer`.
    pub(crate) fn start(answer: impl Fn(&Request, &mut Reply) + Send + Sync + 'static) -> Self {
        let dir = tempfile::tempdir().expect("a folder for the socket");
        let listener = UnixListener::bind(dir.path().join("layerd.sock")).expect("a socket");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (Arc::new(answer), Arc::clone(&seen));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                std::thread::spawn(move || converse(stream, &*answer, &log));
            }
        });
        Self { dir, seen }
    }

    /// Starts a daemon that answers every request with this JSON.
    pub(crate) fn always(status: u16, body: Value) -> Self {
        Self::start(move |_, reply| reply.json(status, &body))
    }

    /// Starts a daemon whose pulls are these lines, and which knows of no mounts.
    pub(crate) fn pulls(lines: Vec<ProgressLine>) -> Self {
        Self::start(move |_, reply| reply.lines(&lines))
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("layerd.sock")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().expect("no answer panicked").clone()
    }

    /// The request lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|request| request.line).collect()
    }
}

fn converse(stream: UnixStream, answer: &(impl Fn(&Request, &mut Reply) + ?Sized), seen: &Mutex<Vec<Request>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut reply = Reply { stream, open: true };
    while let Some(request) = read(&mut reader) {
        seen.lock().expect("no answer panicked").push(request.clone());
        answer(&request, &mut reply);
        if !reply.open {
            break;
        }
    }
}

fn read(reader: &mut BufReader<UnixStream>) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let length = lines.iter().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let login = lines.iter().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        let bytes = name.eq_ignore_ascii_case("X-Registry-Auth").then(|| URL_SAFE.decode(value))?;
        Some(String::from_utf8(bytes.expect("base64")).expect("UTF-8"))
    });
    let line = lines.first()?.strip_suffix(" HTTP/1.1")?.to_owned();
    Some(Request { line, body: String::from_utf8(body).ok()?, login })
}

impl Reply {
    /// Answers in full.
    pub(crate) fn json(&mut self, status: u16, body: &Value) {
        self.text(status, &format!("{body}\n"));
    }

    /// Answers in full, with anything.
    pub(crate) fn text(&mut self, status: u16, body: &str) {
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len());
        self.raw(head.as_bytes());
        self.raw(body.as_bytes());
    }

    /// Answers with a whole stream of progress.
    pub(crate) fn lines(&mut self, lines: &[ProgressLine]) {
        self.begin();
        for line in lines {
            self.line(line);
        }
        self.raw(b"0\r\n\r\n");
    }

    /// Begins a stream.
    pub(crate) fn begin(&mut self) {
        self.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
    }

    /// One line of a stream, in a chunk of its own.
    pub(crate) fn line(&mut self, line: &ProgressLine) {
        self.chunk(&line.to_bytes());
    }

    /// One chunk of a stream.
    pub(crate) fn chunk(&mut self, bytes: &[u8]) {
        self.raw(format!("{:x}\r\n", bytes.len()).as_bytes());
        self.raw(bytes);
        self.raw(b"\r\n");
    }

    /// Bytes as they are. A client that has gone away doesn't get them.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.open &= self.stream.write_all(bytes).is_ok();
    }

    /// Hangs up.
    pub(crate) fn hang_up(&mut self) {
        self.open = false;
    }

    /// Waits until the client hangs up.
    pub(crate) fn wait_for_hang_up(&mut self) {
        let mut rest = [0; 64];
        while self.stream.read(&mut rest).is_ok_and(|count| count > 0) {}
        self.open = false;
    }
}
