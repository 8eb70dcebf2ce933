//! Requests over the Unix socket of a daemon, as Docker's clients make them: a connection each.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

/// A daemon that says nothing for so long hangs.
const SILENCE: Duration = Duration::from_secs(60);

/// Asks for a path by GET, and returns how long the whole answer took, in milliseconds.
pub(crate) fn get(socket: &Path, path: &str) -> Result<f64> {
    ask(socket, "GET", path)
}

/// Removes an image, and returns how long that took, in milliseconds.
pub(crate) fn remove(socket: &Path, image: &str) -> Result<f64> {
    ask(socket, "DELETE", &format!("/images/{image}"))
}

fn ask(socket: &Path, method: &str, path: &str) -> Result<f64> {
    let begun = Instant::now();
    let mut stream = UnixStream::connect(socket).with_context(|| format!("connect to `{}`", socket.display()))?;
    stream.set_read_timeout(Some(SILENCE))?;
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let took = begun.elapsed().as_secs_f64() * 1e3;
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    ensure!(line.starts_with("HTTP/1.1 200"), "`{path}`: {line}");
    Ok(took)
}

/// Whether it answers at all.
pub(crate) fn ping(socket: &Path) -> Result<f64> {
    get(socket, "/_ping")
}
