//! What can go wrong, where, and how often.

use std::sync::Arc;
use std::time::Duration;

use super::Gate;
use super::wire::{Asked, Incoming};
use crate::watched::Watched;

/// Which requests a fault meets.
#[derive(Clone, Debug)]
pub enum Target {
    /// Every request that passed authentication.
    Any,
    /// `GET /v2/`.
    Ping,
    /// The token endpoint.
    Token,
    /// Lists of tags.
    Tags,
    /// Every manifest.
    AnyManifest,
    /// The manifest asked for by this tag or digest.
    Manifest(String),
    /// Every blob.
    AnyBlob,
    /// The blob of this digest.
    Blob(String),
    /// This path, without its query.
    Path(String),
}

impl Target {
    fn meets(&self, asked: &Asked, path: &str) -> bool {
        match (self, asked) {
            (Self::Any, _)
            | (Self::Ping, Asked::Ping)
            | (Self::Token, Asked::Token)
            | (Self::Tags, Asked::Tags { .. })
            | (Self::AnyManifest, Asked::Manifest { .. })
            | (Self::AnyBlob, Asked::Blob { .. }) => true,
            (Self::Manifest(wanted), Asked::Manifest { reference, .. }) => wanted == reference,
            (Self::Blob(wanted), Asked::Blob { digest, .. }) => wanted == digest,
            (Self::Path(wanted), _) => wanted == path,
            _ => false,
        }
    }
}

/// One thing that goes wrong with an answer. Bytes are counted from the start of the answer's body, unless a fault says otherwise.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Sends so many bytes of the body and then nothing until the gate opens; the rest follows then.
    Stall {
        /// The number of bytes.
        after: u64,
        /// Where it waits; `arrived` tells how many answers have stalled.
        gate: Gate,
    },
    /// Keeps the request at the gate before anything is answered.
    Hold(Gate),
    /// Closes the connection after so many bytes of the body.
    Cut {
        /// The number of bytes.
        after: u64,
    },
    /// Resets the connection after so many bytes of the body; bytes under way may be lost.
    Reset {
        /// The number of bytes.
        after: u64,
    },
    /// Closes the connection without an answer.
    HangUp,
    /// Sends so many bytes a second.
    Throttle {
        /// The rate.
        bytes_per_second: u64,
    },
    /// Waits before it answers, as a long line does.
    Latency(Duration),
    /// Inverts the byte at this offset of the whole content, when the answer holds it.
    Flip {
        /// The offset, from the start of the blob or manifest.
        at: u64,
    },
    /// Tells another length, sends the true body and closes the connection.
    DeclareLength(u64),
    /// Tells no length: a chunked body.
    NoLength,
    /// Sends so many bytes less, and says so.
    Shorter(u64),
    /// Sends so many bytes more, and says so.
    Longer(u64),
    /// Goes on sending behind the content for as long as the client reads.
    Endless,
    /// Answers a ranged request with the whole content. Other requests don't meet it.
    IgnoreRange,
    /// Answers a ranged request with a true range that starts elsewhere. Other requests don't meet it.
    OtherRange {
        /// Where it starts.
        start: u64,
    },
    /// Answers a ranged request as asked, with a header that names another start. Other requests don't meet it.
    WrongContentRange {
        /// What the header names.
        start: u64,
    },
    /// Answers a ranged request with 416. Other requests don't meet it.
    RangeRefused,
    /// Answers something else.
    Status {
        /// The status.
        code: u16,
        /// All headers but the length.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// Answers 307 and the same path and query at another place.
    Redirect {
        /// The place, such as `http://127.0.0.1:4000`.
        to: String,
    },
    /// Sets a header of the answer, or takes it away if the value is empty.
    Header(String, String),
    /// Sends another body, its length told truly, all headers unchanged.
    Body(Vec<u8>),
}

impl Fault {
    /// A status with the body and error code that registries send with it.
    pub fn status(code: u16) -> Self {
        let (name, message) = match code {
            401 => ("UNAUTHORIZED", "authentication required"),
            403 => ("DENIED", "requested access to the resource is denied"),
            404 => ("MANIFEST_UNKNOWN", "manifest unknown"),
            429 => ("TOOMANYREQUESTS", "you have reached your pull rate limit"),
            503 => ("UNAVAILABLE", "service unavailable"),
            _ => ("UNKNOWN", "unknown error"),
        };
        let body = serde_json::json!({"errors": [{"code": name, "message": message}]});
        let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        Self::Status { code, headers, body: body.to_string().into_bytes() }
    }

    /// 429 or 503 with a `Retry-After` of seconds or of a date, as given.
    pub fn retry_after(code: u16, value: &str) -> Self {
        match Self::status(code) {
            Self::Status { code, mut headers, body } => {
                headers.push(("Retry-After".to_owned(), value.to_owned()));
                Self::Status { code, headers, body }
            }
            other => other,
        }
    }

    fn needs_range(&self) -> bool {
        matches!(
            self,
            Self::IgnoreRange | Self::OtherRange { .. } | Self::WrongContentRange { .. } | Self::RangeRefused
        )
    }
}

/// A fault, where it strikes and when.
#[derive(Clone, Debug)]
pub struct Rule {
    target: Target,
    fault: Fault,
    method: Option<String>,
    ranged: bool,
    skip: u64,
    times: u64,
}

impl Rule {
    /// A fault that meets every GET and HEAD of its target, always.
    pub fn new(target: Target, fault: Fault) -> Self {
        let ranged = fault.needs_range();
        Self { target, fault, method: None, ranged, skip: 0, times: u64::MAX }
    }

    /// Strikes so many times, then no more.
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// Spares the first so many requests.
    pub fn skip(self, skip: u64) -> Self {
        Self { skip, ..self }
    }

    /// Meets requests of this method alone.
    pub fn method(self, method: &str) -> Self {
        Self { method: Some(method.to_owned()), ..self }
    }

    /// Meets ranged requests alone.
    pub fn ranged(self) -> Self {
        Self { ranged: true, ..self }
    }
}

/// A rule in force. Dropping this value changes nothing.
#[derive(Clone)]
pub struct ActiveRule(Arc<Counted>);

struct Counted {
    rule: Rule,
    counts: Watched<Counts>,
}

struct Counts {
    met: u64,
    struck: u64,
    lifted: bool,
}

impl ActiveRule {
    pub(super) fn new(rule: Rule) -> Self {
        Self(Arc::new(Counted { rule, counts: Watched::new(Counts { met: 0, struck: 0, lifted: false }) }))
    }

    /// How often it struck.
    pub fn struck(&self) -> u64 {
        self.0.counts.read(|counts| counts.struck)
    }

    /// Waits until it has struck so many times.
    pub async fn until(&self, count: u64) {
        self.0.counts.until(|counts| counts.struck >= count).await;
    }

    /// Ends it; answers under way keep their fault.
    pub fn lift(&self) {
        self.0.counts.update(|counts| counts.lifted = true);
    }

    /// The fault, if it strikes this request.
    pub(super) fn strike(&self, asked: &Asked, request: &Incoming) -> Option<Fault> {
        let rule = &self.0.rule;
        let meets = rule.target.meets(asked, &request.path)
            && rule.method.as_ref().is_none_or(|method| *method == request.method)
            && (!rule.ranged || request.header("range").is_some());
        let strikes = meets
            && self.0.counts.update(|counts| {
                counts.met += 1;
                let strikes = !counts.lifted && counts.met > rule.skip && counts.struck < rule.times;
                counts.struck += u64::from(strikes);
                strikes
            });
        strikes.then(|| rule.fault.clone())
    }
}
