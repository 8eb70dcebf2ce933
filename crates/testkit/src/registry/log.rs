//! What was asked of the registry, and how each request ended.

use std::time::{Duration, Instant};

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is being answered.
    Open,
    /// All of the answer was sent.
    Complete,
    /// The registry broke it off, by a fault or at its end.
    Cut,
    /// The client closed the connection first.
    Left,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its connection, numbered from 0 in the order they were opened.
    pub connection: u64,
    /// `GET`, `HEAD`, `POST`.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query, undecoded.
    pub query: String,
    /// The Range header.
    pub range: Option<String>,
    /// All headers as they came.
    pub headers: Vec<(String, String)>,
    /// The status of the answer; 0 until there is one, and for connections that were closed without.
    pub status: u16,
    /// Bytes of the body handed to the system so far; the client may not have read them yet.
    pub sent: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// When it came in.
    pub started: Instant,
    /// When it ended.
    pub ended: Option<Instant>,
}

impl Request {
    /// Whether it carried an Authorization header.
    pub fn authorized(&self) -> bool {
        self.header("authorization").is_some()
    }

    /// The first header of that name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().find(named).map(|(_, value)| value.as_str())
    }

    /// Whether it is a GET of a blob that authentication let through.
    pub fn is_blob_get(&self) -> bool {
        self.method == "GET" && self.path.contains("/blobs/") && self.status != 401
    }

    /// Whether it asks for a manifest by GET or HEAD and authentication let it through.
    pub fn is_manifest(&self) -> bool {
        self.path.contains("/manifests/") && self.status != 401
    }

    /// Whether it asks for a token.
    pub fn is_token(&self) -> bool {
        self.path == "/token"
    }
}

/// The largest number of `requests` that were open at one moment.
pub fn peak(requests: &[Request]) -> usize {
    let mut changes: Vec<(Instant, i64)> = Vec::new();
    for request in requests {
        changes.push((request.started, 1));
        // One that is still open outlasts all others.
        let end = request.ended.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
        changes.push((end, -1));
    }
    changes.sort();
    let mut open = 0_i64;
    let peak = changes.iter().map(|(_, change)| {
        open += change;
        open
    });
    usize::try_from(peak.max().unwrap_or(0)).unwrap_or(0)
}
