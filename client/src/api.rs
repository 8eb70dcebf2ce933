//! The requests that the commands are made of.

use std::fmt::Write as _;

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use layer_proto::{
    HistoryItem, ImageSummary, LineReader, Mount, MountRequest, Preview, ProgressLine, Removed, mount, preview,
};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::connection::{Connection, VERSION_PREFIX};
use crate::error::Error;
use crate::name;

/// What the daemon can be asked for. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    connection: Connection,
}

impl Api {
    pub(crate) const fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// `GET /version` or `GET /info`, in the daemon's own words.
    pub(crate) async fn about(&self, what: &str) -> Result<Box<RawValue>, Error> {
        self.get(&format!("{VERSION_PREFIX}/{what}")).await
    }

    /// The images; all that are stored, or those that `pattern` names. `all` adds those that only other images use.
    pub(crate) async fn images(&self, pattern: Option<&str>, all: bool) -> Result<Vec<ImageSummary>, Error> {
        let mut target = Target::new(&[VERSION_PREFIX, "/images/json"]);
        if all {
            target.query("all", "1");
        }
        if let Some(pattern) = pattern {
            let filters = serde_json::json!({ "reference": { pattern: true } });
            target.query("filters", &filters.to_string());
        }
        self.get(&target.text).await
    }

    /// All that is known about one image, in the daemon's own words.
    pub(crate) async fn inspect(&self, image: &str) -> Result<Box<RawValue>, Error> {
        self.get(&Target::image(image, "/json").text).await
    }

    /// The steps that made an image, newest first.
    pub(crate) async fn history(&self, image: &str) -> Result<Vec<HistoryItem>, Error> {
        self.get(&Target::image(image, "/history").text).await
    }

    /// Gives an image another name.
    pub(crate) async fn tag(&self, image: &str, new: &str) -> Result<(), Error> {
        let (repository, tag) = name::split_tag(new);
        let mut target = Target::image(image, "/tag");
        target.query("repo", repository);
        if let Some(tag) = tag {
            target.query("tag", tag);
        }
        self.connection.ask(Method::POST, &target.text, None).await.map(|_empty| ())
    }

    /// Takes a name from an image, and the image away with its last name.
    pub(crate) async fn remove(&self, image: &str, force: bool) -> Result<Vec<Removed>, Error> {
        let mut target = Target::image(image, "");
        if force {
            target.query("force", "1");
        }
        read(&self.connection.ask(Method::DELETE, &target.text, None).await?)
    }

    /// What a pull would do; `platform` is as it was typed.
    pub(crate) async fn preview(&self, image: &str, platform: Option<&str>) -> Result<Preview, Error> {
        self.get(&Target::pull(&[preview::PATH], image, platform).text).await
    }

    /// Begins a pull; `platform` is as it was typed.
    pub(crate) async fn pull(&self, image: &str, platform: Option<&str>) -> Result<PullStream, Error> {
        let target = Target::pull(&[VERSION_PREFIX, "/images/create"], image, platform);
        let answer = self.connection.send(Method::POST, &target.text, None).await?;
        Ok(PullStream { body: answer.into_body(), lines: LineReader::new(), ended: false })
    }

    /// Begins a push of one tag, or of all that the repository has here; `platform` is as it was typed.
    pub(crate) async fn push(
        &self,
        repository: &str,
        tag: Option<&str>,
        platform: Option<&str>,
    ) -> Result<PullStream, Error> {
        let mut target = Target::image(repository, "/push");
        for (name, value) in [("tag", tag), ("platform", platform)] {
            if let Some(value) = value {
                target.query(name, value);
            }
        }
        let answer = self.connection.send(Method::POST, &target.text, None).await?;
        Ok(PullStream { body: answer.into_body(), lines: LineReader::new(), ended: false })
    }

    /// Mounts an image.
    pub(crate) async fn mount(&self, request: &MountRequest) -> Result<Mount, Error> {
        let json = serde_json::to_vec(request).map_err(|source| Error::Unreadable { source })?;
        read(&self.connection.ask(Method::POST, mount::PATH, Some(json)).await?)
    }

    /// The images that are mounted.
    pub(crate) async fn mounts(&self) -> Result<Vec<Mount>, Error> {
        self.get(mount::PATH).await
    }

    /// Takes down the mounts that `what` names: a folder, an image or the ID of a mount.
    pub(crate) async fn unmount(&self, what: &str) -> Result<Vec<Mount>, Error> {
        let mut target = Target::new(&[mount::PATH]);
        target.query("what", what);
        read(&self.connection.ask(Method::DELETE, &target.text, None).await?)
    }

    async fn get<T: DeserializeOwned>(&self, target: &str) -> Result<T, Error> {
        read(&self.connection.ask(Method::GET, target, None).await?)
    }
}

fn read<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, Error> {
    // Bytes that are no UTF-8 are shown as such; they are no reason to show nothing.
    serde_json::from_str(&String::from_utf8_lossy(bytes)).map_err(|source| Error::Unreadable { source })
}

/// The progress of a pull or a push. Dropping it closes the connection, which is how the daemon learns that nobody waits any more.
#[derive(Debug)]
pub(crate) struct PullStream {
    body: Incoming,
    lines: LineReader,
    ended: bool,
}

impl PullStream {
    /// The next line; `None` at the end of a body that came whole.
    pub(crate) async fn next(&mut self) -> Result<Option<ProgressLine>, Error> {
        loop {
            if let Some(line) = self.lines.next_line() {
                return Ok(Some(line?));
            }
            if self.ended {
                return Ok(None);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.lines.push(&data);
                    }
                }
                Some(Err(error)) => return Err(Error::Broken { source: error.into() }),
                None => {
                    self.ended = true;
                    self.lines.finish();
                }
            }
        }
    }
}

/// A request's path and query, encoded as it grows.
struct Target {
    text: String,
    queried: bool,
}

impl Target {
    fn new(parts: &[&str]) -> Self {
        Self { text: parts.concat(), queried: false }
    }

    /// The path of one image. Slashes, colons and the like stand for themselves, as in what docker sends.
    fn image(image: &str, rest: &str) -> Self {
        let mut text = format!("{VERSION_PREFIX}/images/");
        encode(&mut text, image, b"/:@");
        text.push_str(rest);
        Self { text, queried: false }
    }

    /// What to pull.
    fn pull(path: &[&str], image: &str, platform: Option<&str>) -> Self {
        let mut target = Self::new(path);
        target.query("fromImage", image);
        if !name::says_which(image) {
            // Without a tag the daemon would pull them all.
            target.query("tag", "latest");
        }
        if let Some(platform) = platform {
            target.query("platform", platform);
        }
        target
    }

    fn query(&mut self, name: &str, value: &str) {
        self.text.push(if self.queried { '&' } else { '?' });
        self.queried = true;
        self.text.push_str(name);
        self.text.push('=');
        encode(&mut self.text, value, b"");
    }
}

/// Appends `text` with all bytes encoded but the unreserved ones and those in `plain`.
fn encode(target: &mut String, text: &str, plain: &[u8]) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || plain.contains(&byte) {
            target.push(char::from(byte));
        } else {
            // Writing to a `String` can't fail.
            let _ok = write!(target, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_carry_names_as_typed() {
        let image = |name| Target::image(name, "/json").text;
        assert_eq!(image("127.0.0.1:5600/lab/app:2"), "/v1.51/images/127.0.0.1:5600/lab/app:2/json");
        assert_eq!(image("a@sha256:00"), "/v1.51/images/a@sha256:00/json");
        assert_eq!(image("a b?c#d%é"), "/v1.51/images/a%20b%3Fc%23d%25%C3%A9/json");
    }

    #[test]
    fn queries_are_encoded_whole() {
        let mut target = Target::new(&["/x"]);
        target.query("fromImage", "h:1/a&b=c");
        target.query("tag", "latest");
        assert_eq!(target.text, "/x?fromImage=h%3A1%2Fa%26b%3Dc&tag=latest");
    }
}
