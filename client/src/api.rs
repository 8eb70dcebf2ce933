//! The requests that the commands are made of.

mod archives;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use http::{HeaderValue, Method, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use layer_proto::bundle::{self, Bundle, BundleRequest};
use layer_proto::{
    AuthAnswer, AuthConfig, CollectRequest, Collected, Event, HistoryItem, ImageSummary, LineReader, Mount,
    MountRequest, Pin, PinRequest, Preview, ProgressLine, PruneReport, Removed, RunningPull, SearchResult,
    VerifyRequest, auth, collection, mount, pin, preview, pull, store_usage, verify,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::connection::{Connection, VERSION_PREFIX};
use crate::error::Error;
use crate::filters::{self, Filter};
use crate::name;

/// What the daemon can be asked for. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    connection: Connection,
}

/// How an image is to be pulled, where that is not left to the daemon.
#[derive(Clone, Debug, Default)]
pub(crate) struct PullWishes {
    /// Whether a name without a tag means all tags.
    pub(crate) all_tags: bool,
    /// The platform, as it was typed.
    pub(crate) platform: Option<String>,
    /// How often the registry is asked again.
    pub(crate) retries: Option<u32>,
    /// How many seconds it may be silent.
    pub(crate) stall_timeout: Option<u32>,
    /// The login that is lent to the daemon for it.
    pub(crate) login: Option<AuthConfig>,
}

impl PullWishes {
    /// The header that lends the login.
    fn lent(&self) -> Result<Option<HeaderValue>, Error> {
        self.login.as_ref().map(lent).transpose()
    }
}

/// The header that lends a login.
fn lent(login: &AuthConfig) -> Result<HeaderValue, Error> {
    let json = serde_json::to_vec(login).map_err(|source| Error::Unreadable { source })?;
    let mut header = HeaderValue::try_from(URL_SAFE.encode(json)).expect("base64 has only characters of headers");
    header.set_sensitive(true);
    Ok(header)
}

impl Api {
    pub(crate) const fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// `GET /version` or `GET /info`, in the daemon's own words.
    pub(crate) async fn about(&self, what: &str) -> Result<Box<RawValue>, Error> {
        self.get(&format!("{VERSION_PREFIX}/{what}")).await
    }

    /// The images; all that are stored, or those that `pattern` names and `given` filters choose. `all` adds those that only other images use,
    /// `manifests` the platforms of each.
    pub(crate) async fn images(
        &self,
        pattern: Option<&str>,
        given: &[Filter],
        all: bool,
        manifests: bool,
    ) -> Result<Vec<ImageSummary>, Error> {
        let mut target = Target::new(&[VERSION_PREFIX, "/images/json"]);
        for (name, is_set) in [("all", all), ("manifests", manifests)] {
            if is_set {
                target.query(name, "1");
            }
        }
        if pattern.is_some() || !given.is_empty() {
            let pattern = pattern.map(|pattern| ("reference", pattern));
            let given = given.iter().map(|(key, value)| (&**key, &**value));
            target.query("filters", &filters::json(given.chain(pattern)).to_string());
        }
        self.get(&target.text).await
    }

    /// All that is known about one image, in the daemon's own words.
    pub(crate) async fn inspect(&self, image: &str, platform: Option<&str>) -> Result<Box<RawValue>, Error> {
        self.get(&Target::image_for(image, "/json", platform).text).await
    }

    /// The steps that made an image, newest first.
    pub(crate) async fn history(&self, image: &str, platform: Option<&str>) -> Result<Vec<HistoryItem>, Error> {
        self.get(&Target::image_for(image, "/history", platform).text).await
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

    /// Takes a name from an image, and the image away with its last name; or only these platforms of it, as they were typed.
    pub(crate) async fn remove(
        &self,
        image: &str,
        force: bool,
        no_prune: bool,
        platforms: &[String],
    ) -> Result<Vec<Removed>, Error> {
        let mut target = Target::image(image, "");
        for (name, is_set) in [("force", force), ("noprune", no_prune)] {
            if is_set {
                target.query(name, "1");
            }
        }
        platforms.iter().for_each(|platform| target.query("platforms", platform));
        read(&self.connection.ask(Method::DELETE, &target.text, None).await?)
    }

    /// What a registry has to offer for a term.
    pub(crate) async fn search(
        &self,
        term: &str,
        limit: u32,
        given: &[Filter],
        login: Option<&AuthConfig>,
    ) -> Result<Vec<SearchResult>, Error> {
        let mut target = Target::new(&[VERSION_PREFIX, "/images/search"]);
        target.query("term", term);
        target.query("limit", &limit.to_string());
        if !given.is_empty() {
            let given = given.iter().map(|(key, value)| (&**key, &**value));
            target.query("filters", &filters::json(given).to_string());
        }
        let login = login.map(lent).transpose()?;
        read(&self.connection.ask_with(Method::GET, &target.text, None, login).await?)
    }

    /// The pulls that run.
    pub(crate) async fn pulls(&self) -> Result<Vec<RunningPull>, Error> {
        self.get(pull::PATH).await
    }

    /// Begins to follow a pull that runs.
    pub(crate) async fn follow(&self, what: &str) -> Result<PullStream, Error> {
        let mut target = Target::new(&[pull::PROGRESS_PATH]);
        target.query("what", what);
        Ok(Lines::new(self.connection.send(Method::GET, &target.text, None).await?))
    }

    /// Ends pulls that run.
    pub(crate) async fn cancel(&self, what: &str) -> Result<Vec<RunningPull>, Error> {
        let mut target = Target::new(&[pull::PATH]);
        target.query("what", what);
        read(&self.connection.ask(Method::DELETE, &target.text, None).await?)
    }

    /// Removes the images that nobody uses and that `filters`, in docker's form, choose.
    pub(crate) async fn prune(&self, filters: &serde_json::Value) -> Result<PruneReport, Error> {
        let mut target = Target::new(&[VERSION_PREFIX, "/images/prune"]);
        target.query("filters", &filters.to_string());
        read(&self.connection.ask(Method::POST, &target.text, None).await?)
    }

    /// Removes what was not used for the longest time.
    pub(crate) async fn collect(&self, request: &CollectRequest) -> Result<Collected, Error> {
        self.post(collection::PATH, request).await
    }

    /// What the store takes on the disk, in the daemon's own words.
    pub(crate) async fn store_usage(&self) -> Result<Box<RawValue>, Error> {
        self.get(store_usage::PATH).await
    }

    /// Pins a name or an image.
    pub(crate) async fn pin(&self, image: &str) -> Result<Pin, Error> {
        self.post(pin::PATH, &PinRequest { image: image.to_owned() }).await
    }

    /// What is pinned.
    pub(crate) async fn pins(&self) -> Result<Vec<Pin>, Error> {
        self.get(pin::PATH).await
    }

    /// Takes the pin off a name, or all pins off an image.
    pub(crate) async fn unpin(&self, image: &str) -> Result<Vec<Pin>, Error> {
        let mut target = Target::new(&[pin::PATH]);
        target.query("image", image);
        read(&self.connection.ask(Method::DELETE, &target.text, None).await?)
    }

    /// What a pull as `wishes` say would do.
    pub(crate) async fn preview(&self, image: &str, wishes: &PullWishes) -> Result<Preview, Error> {
        let target = Target::pull(&[preview::PATH], image, wishes);
        read(&self.connection.ask_with(Method::GET, &target.text, None, wishes.lent()?).await?)
    }

    /// Begins a pull as `wishes` say.
    pub(crate) async fn pull(&self, image: &str, wishes: &PullWishes) -> Result<PullStream, Error> {
        let target = Target::pull(&[VERSION_PREFIX, "/images/create"], image, wishes);
        Ok(Lines::new(self.connection.send_with(Method::POST, &target.text, None, wishes.lent()?).await?))
    }

    /// Finds out whether there is a daemon.
    pub(crate) async fn ping(&self) -> Result<(), Error> {
        self.connection.ask(Method::GET, "/_ping", None).await.map(|_words| ())
    }

    /// Has a login tried out at its registry.
    pub(crate) async fn log_in(&self, login: &AuthConfig) -> Result<AuthAnswer, Error> {
        let json = serde_json::to_vec(login).map_err(|source| Error::Unreadable { source })?;
        let target = Target::new(&[VERSION_PREFIX, auth::PATH]);
        read(&self.connection.ask(Method::POST, &target.text, Some(json)).await?)
    }

    /// Has a bundle made.
    pub(crate) async fn bundle(&self, request: &BundleRequest) -> Result<Bundle, Error> {
        self.post(bundle::PATH, request).await
    }

    /// Begins to verify images.
    pub(crate) async fn verify(&self, request: &VerifyRequest) -> Result<PullStream, Error> {
        let json = serde_json::to_vec(request).map_err(|source| Error::Unreadable { source })?;
        Ok(Lines::new(self.connection.send(Method::POST, verify::PATH, Some(json)).await?))
    }

    /// Begins a push of one tag, or of all that the repository has here; `platform` is as it was typed, and `login` is lent to the daemon for it.
    pub(crate) async fn push(
        &self,
        repository: &str,
        tag: Option<&str>,
        platform: Option<&str>,
        login: Option<&AuthConfig>,
    ) -> Result<PullStream, Error> {
        let mut target = Target::image(repository, "/push");
        for (name, value) in [("tag", tag), ("platform", platform)] {
            if let Some(value) = value {
                target.query(name, value);
            }
        }
        let login = login.map(lent).transpose()?;
        Ok(Lines::new(self.connection.send_with(Method::POST, &target.text, None, login).await?))
    }

    /// Mounts an image.
    pub(crate) async fn mount(&self, request: &MountRequest) -> Result<Mount, Error> {
        self.post(mount::PATH, request).await
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

    /// Follows what happens to images, in the time between two moments as they were typed.
    pub(crate) async fn events(
        &self,
        since: Option<&str>,
        until: Option<&str>,
        filters: &[(String, String)],
    ) -> Result<Lines<Event>, Error> {
        let mut target = Target::new(&[VERSION_PREFIX, "/events"]);
        for (name, moment) in [("since", since), ("until", until)] {
            if let Some(moment) = moment {
                target.query(name, moment);
            }
        }
        let mut lists = BTreeMap::<&str, Vec<&str>>::new();
        for (name, value) in filters {
            lists.entry(name).or_default().push(value);
        }
        if !lists.is_empty() {
            target.query("filters", &serde_json::json!(lists).to_string());
        }
        Ok(Lines::new(self.connection.send(Method::GET, &target.text, None).await?))
    }

    async fn post<T: DeserializeOwned>(&self, target: &str, body: &impl Serialize) -> Result<T, Error> {
        let json = serde_json::to_vec(body).map_err(|source| Error::Unreadable { source })?;
        read(&self.connection.ask(Method::POST, target, Some(json)).await?)
    }

    async fn get<T: DeserializeOwned>(&self, target: &str) -> Result<T, Error> {
        read(&self.connection.ask(Method::GET, target, None).await?)
    }
}

fn read<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, Error> {
    // Bytes that are no UTF-8 are shown as such; they are no reason to show nothing.
    serde_json::from_str(&String::from_utf8_lossy(bytes)).map_err(|source| Error::Unreadable { source })
}

/// What the daemon tells line by line. Dropping it closes the connection, which is how the daemon learns that nobody waits any more.
#[derive(Debug)]
pub(crate) struct Lines<T> {
    body: Incoming,
    lines: LineReader<T>,
    ended: bool,
}

impl<T: DeserializeOwned> Lines<T> {
    fn new(answer: Response<Incoming>) -> Self {
        Self { body: answer.into_body(), lines: LineReader::new(), ended: false }
    }

    /// The next line; `None` at the end of a body that came whole.
    pub(crate) async fn next(&mut self) -> Result<Option<T>, Error> {
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

/// The progress of a pull.
pub(crate) type PullStream = Lines<ProgressLine>;

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

    /// The same, for a platform as it was typed.
    fn image_for(image: &str, rest: &str, platform: Option<&str>) -> Self {
        let mut target = Self::image(image, rest);
        if let Some(platform) = platform {
            target.query("platform", platform);
        }
        target
    }

    /// What to pull.
    fn pull(path: &[&str], image: &str, wishes: &PullWishes) -> Self {
        let mut target = Self::new(path);
        target.query("fromImage", image);
        if !wishes.all_tags && !name::says_which(image) {
            // Without a tag the daemon would pull them all.
            target.query("tag", "latest");
        }
        if let Some(platform) = &wishes.platform {
            target.query("platform", platform);
        }
        if let Some(retries) = wishes.retries {
            target.query("retries", &retries.to_string());
        }
        if let Some(seconds) = wishes.stall_timeout {
            target.query("stallTimeout", &seconds.to_string());
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
