//! An answer as it should be, what faults make of it, and how it goes over the wire.

use std::io::{self, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Fault, Gate};
use crate::Content;
use crate::layer::noise;

/// How much is written at once where nothing happens in between.
const CHUNK: u64 = 64 * 1024;

/// An answer and its faults.
pub(super) struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    content: Content,
    /// The part of the content that is sent.
    part: (u64, u64),
    /// Whether this is a part that was asked for by a Range.
    partial: bool,
    length: Length,
    /// Bytes behind the content.
    behind: u64,
    flips: Vec<u64>,
    holds: Vec<Gate>,
    stalls: Vec<(u64, Gate)>,
    latency: Duration,
    rate: Option<u64>,
    end: Option<(u64, End)>,
    hang_up: bool,
}

#[derive(Clone, Copy)]
enum Length {
    True,
    Told(u64),
    Chunked,
}

#[derive(Clone, Copy)]
enum End {
    Close,
    Reset,
}

/// How sending ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// Completely; the connection can be used again.
    Whole,
    /// Completely, but the connection can't be used again.
    WholeAndClosed,
    /// Broken off by a fault.
    Cut,
    /// The client had gone.
    Left,
}

impl Answer {
    pub(super) fn new(status: u16, content: Content) -> Self {
        let part = (0, content.len());
        Self {
            status,
            headers: vec![("Docker-Distribution-Api-Version".to_owned(), "registry/2.0".to_owned())],
            content,
            part,
            partial: false,
            length: Length::True,
            behind: 0,
            flips: Vec::new(),
            holds: Vec::new(),
            stalls: Vec::new(),
            latency: Duration::ZERO,
            rate: None,
            end: None,
            hang_up: false,
        }
    }

    pub(super) fn json(status: u16, body: &Value) -> Self {
        let mut answer = Self::new(status, body.to_string().into_bytes().into());
        answer.set_header("Content-Type", "application/json");
        answer
    }

    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        Self::json(status, &json!({"errors": [{"code": code, "message": message}]}))
    }

    /// Content, or the part `range` of it.
    pub(super) fn content(content: Content, range: Option<(u64, u64)>) -> Self {
        let total = content.len();
        let mut answer = Self::new(200, content);
        answer.set_header("Accept-Ranges", "bytes");
        if let Some(part) = range {
            answer.status = 206;
            answer.part = part;
            answer.partial = true;
            answer.set_header("Content-Range", &format!("bytes {}-{}/{total}", part.0, part.1 - 1));
        }
        answer
    }

    pub(super) fn status(&self) -> u16 {
        self.status
    }

    pub(super) fn hangs_up(&self) -> bool {
        self.hang_up
    }

    /// Sets a header, or takes it away if the value is empty.
    pub(super) fn set_header(&mut self, name: &str, value: &str) {
        self.headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        if !value.is_empty() {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
    }

    /// Lets a fault strike. `target` is the path and query that were asked for.
    pub(super) fn strike(&mut self, fault: Fault, target: &str) {
        match fault {
            Fault::Stall { after, gate } => self.stalls.push((after, gate)),
            Fault::Hold(gate) => self.holds.push(gate),
            Fault::Cut { after } => self.end = Some((after, End::Close)),
            Fault::Reset { after } => self.end = Some((after, End::Reset)),
            Fault::HangUp => self.hang_up = true,
            Fault::Throttle { bytes_per_second } => self.rate = Some(bytes_per_second.max(1)),
            Fault::Latency(time) => self.latency += time,
            Fault::Flip { at } => self.flips.push(at),
            Fault::DeclareLength(length) => self.length = Length::Told(length),
            Fault::NoLength => self.length = Length::Chunked,
            Fault::Shorter(count) => self.part.1 = self.part.1.saturating_sub(count).max(self.part.0),
            Fault::Longer(count) => self.behind = count,
            Fault::Endless => {
                self.behind = u64::MAX / 2;
                self.length = Length::Chunked;
            }
            // Known before the answer was made; see `Registry`.
            Fault::IgnoreRange => {}
            Fault::OtherRange { start } => {
                let total = self.content.len();
                if self.partial && start < total {
                    self.part = (start, total);
                    self.set_header("Content-Range", &format!("bytes {start}-{}/{total}", total - 1));
                }
            }
            Fault::WrongContentRange { start } => {
                let last = (start + self.part.1 - self.part.0).saturating_sub(1);
                self.set_header("Content-Range", &format!("bytes {start}-{last}/{}", self.content.len()));
            }
            Fault::RangeRefused => {
                let total = self.content.len();
                self.replace(416, Vec::new());
                self.set_header("Content-Range", &format!("bytes */{total}"));
            }
            Fault::Status { code, headers, body } => {
                self.replace(code, body);
                for (name, value) in headers {
                    self.set_header(&name, &value);
                }
            }
            Fault::Redirect { to } => {
                self.replace(307, Vec::new());
                self.set_header("Location", &format!("{}{target}", to.trim_end_matches('/')));
            }
            Fault::Header(name, value) => self.set_header(&name, &value),
            Fault::Body(body) => {
                self.content = body.into();
                self.part = (0, self.content.len());
            }
        }
    }

    fn replace(&mut self, status: u16, body: Vec<u8>) {
        self.status = status;
        self.content = body.into();
        self.part = (0, self.content.len());
        for name in ["Content-Type", "Content-Range", "Docker-Content-Digest", "Accept-Ranges"] {
            self.set_header(name, "");
        }
    }

    /// Sends it. `gone` tells whether waiting for anything is in vain, `progress` hears how many bytes of the body went out.
    pub(super) fn send(
        &self,
        to: &mut TcpStream,
        head_only: bool,
        gone: &dyn Fn() -> bool,
        progress: &mut dyn FnMut(u64),
    ) -> Sent {
        if !pause(self.latency, gone) || !self.holds.iter().all(|gate| gate.pass(gone)) {
            return Sent::Left;
        }
        if self.hang_up {
            return Sent::Cut;
        }
        match self.write(to, head_only, gone, progress) {
            Ok(sent) => sent,
            Err(_) => Sent::Left,
        }
    }

    fn write(
        &self,
        to: &mut TcpStream,
        head_only: bool,
        gone: &dyn Fn() -> bool,
        progress: &mut dyn FnMut(u64),
    ) -> io::Result<Sent> {
        let own = self.part.1 - self.part.0;
        let total = own.saturating_add(self.behind);
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let (length, closes) = match self.length {
            Length::True => (format!("Content-Length: {total}\r\n"), false),
            Length::Told(told) => (format!("Content-Length: {told}\r\nConnection: close\r\n"), true),
            Length::Chunked => ("Transfer-Encoding: chunked\r\n".to_owned(), false),
        };
        head.push_str(&length);
        head.push_str("\r\n");
        to.write_all(head.as_bytes())?;
        let chunked = matches!(self.length, Length::Chunked);
        let whole = if closes { Sent::WholeAndClosed } else { Sent::Whole };
        if head_only {
            return Ok(whole);
        }
        let begun = Instant::now();
        let mut stalls: Vec<_> = self.stalls.iter().collect();
        stalls.sort_by_key(|(after, _)| *after);
        let mut stalls = stalls.into_iter().peekable();
        let mut at = 0;
        loop {
            while let Some((_, gate)) = stalls.next_if(|(after, _)| *after <= at) {
                if !gate.pass(gone) {
                    return Ok(Sent::Left);
                }
            }
            if let Some((_, end)) = self.end.filter(|(after, _)| *after <= at) {
                if let End::Reset = end {
                    rustix::net::sockopt::set_socket_linger(&*to, Some(Duration::ZERO))?;
                }
                return Ok(Sent::Cut);
            }
            if at == total {
                break;
            }
            let mut next = (at + self.chunk()).min(total);
            if at < own {
                next = next.min(own);
            }
            next = stalls.peek().map_or(next, |(after, _)| next.min(*after));
            next = self.end.map_or(next, |(after, _)| next.min(after));
            let bytes = self.bytes(at, next - at, own)?;
            if chunked {
                write!(to, "{:x}\r\n", bytes.len())?;
            }
            to.write_all(&bytes)?;
            if chunked {
                to.write_all(b"\r\n")?;
            }
            at = next;
            progress(at);
            if let Some(rate) = self.rate {
                #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
                let due = Duration::from_secs_f64(at as f64 / rate as f64);
                if !pause(due.saturating_sub(begun.elapsed()), gone) {
                    return Ok(Sent::Left);
                }
            }
        }
        if chunked {
            to.write_all(b"0\r\n\r\n")?;
        }
        Ok(whole)
    }

    /// A throttled answer goes in small steps, so that it flows.
    fn chunk(&self) -> u64 {
        self.rate.map_or(CHUNK, |rate| (rate / 50).clamp(1, CHUNK))
    }

    fn bytes(&self, at: u64, count: u64, own: u64) -> io::Result<Vec<u8>> {
        let count = usize::try_from(count).map_err(|_| io::ErrorKind::InvalidInput)?;
        if at >= own {
            return Ok(noise(at, count));
        }
        let start = self.part.0 + at;
        let mut bytes = vec![0; count];
        let mut filled = 0;
        while filled < count {
            match self.content.read_at(start + filled as u64, &mut bytes[filled..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => filled += more,
            }
        }
        for flip in &self.flips {
            let place = flip.checked_sub(start).and_then(|place| usize::try_from(place).ok());
            if let Some(byte) = place.and_then(|place| bytes.get_mut(place)) {
                *byte = !*byte;
            }
        }
        Ok(bytes)
    }
}

/// Sleeps, unless the client goes; whether it is still there.
fn pause(time: Duration, gone: &dyn Fn() -> bool) -> bool {
    let end = Instant::now() + time;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
        if gone() {
            return false;
        }
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        307 => "Temporary Redirect",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    }
}
