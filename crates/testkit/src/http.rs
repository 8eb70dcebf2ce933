//! A minimal blocking HTTP/1.1 client: one request a connection. For tests that look at a registry from outside, and for pushing into one.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::Content;

/// No registry of ours is silent for so long, unless it was told to.
const SILENCE: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body, as far as it came.
    pub body: Vec<u8>,
    /// Why the body ended early, if it did.
    pub broken: Option<String>,
}

impl Response {
    /// The first header of that name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().find(named).map(|(_, value)| value.as_str())
    }
}

/// Asks by GET, with more headers if any.
///
/// # Errors
/// No connection, or no whole head came.
pub fn get(address: impl ToSocketAddrs, target: &str, headers: &[(&str, &str)]) -> Result<Response> {
    request(address, "GET", target, headers, &Content::from(Vec::new()))
}

/// Sends a request and reads its answer to the end.
///
/// # Errors
/// No connection, or no whole head came. A body that breaks off is an answer; see [`Response::broken`].
pub fn request(
    address: impl ToSocketAddrs,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &Content,
) -> Result<Response> {
    let asked = || format!("{method} {target}");
    let mut stream = TcpStream::connect(address).with_context(asked)?;
    stream.set_read_timeout(Some(SILENCE)).with_context(asked)?;
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    if method != "GET" && method != "HEAD" {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).with_context(asked)?;
    io::copy(&mut body.reader(), &mut stream).with_context(asked)?;
    let mut bytes = Vec::new();
    let broken = stream.read_to_end(&mut bytes).err().map(|error| error.to_string());
    parse(&bytes, broken, method == "HEAD").with_context(asked)
}

fn parse(bytes: &[u8], broken: Option<String>, head_only: bool) -> Result<Response> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        bail!("no answer ({} bytes, {})", bytes.len(), broken.unwrap_or_else(|| "closed".to_owned()));
    };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let mut response = Response {
        status: status.context("no status")?,
        headers: lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect(),
        body: bytes[end + 4..].to_vec(),
        broken,
    };
    if response.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        let (body, whole) = unchunk(&response.body);
        response.body = body;
        if !whole {
            response.broken.get_or_insert("the last chunk is missing".to_owned());
        }
    } else if let Some(length) = response.header("content-length").and_then(|text| text.parse::<usize>().ok())
        && length > response.body.len()
        && !head_only
    {
        response.broken.get_or_insert(format!("{} of {length} bytes", response.body.len()));
    }
    Ok(response)
}

/// The bytes of a chunked body, and whether its end came.
fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(line) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = String::from_utf8_lossy(&rest[..line]);
        let Ok(size) = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16) else {
            break;
        };
        if size == 0 {
            return (body, true);
        }
        rest = &rest[line + 2..];
        body.extend_from_slice(&rest[..size.min(rest.len())]);
        rest = rest.get(size + 2..).unwrap_or_default();
    }
    (body, false)
}
