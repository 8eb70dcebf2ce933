//! `hosts.toml`: whom to ask for what a registry has, in containerd's words.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::Url;
use serde::Deserialize;
use toml::Spanned;

use super::address::api;
use super::certificates::TlsFiles;
use super::error::HostConfigError;
use crate::transport::{ParseProxyError, ProxyUrl};

/// What a server may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// Content by its digest.
    pub(crate) pull: bool,
    /// What a tag stands for.
    pub(crate) resolve: bool,
}

impl Capabilities {
    pub(crate) const ALL: Self = Self { pull: true, resolve: true };

    /// Whether all of `needed` may be asked for.
    pub(crate) fn cover(self, needed: Self) -> bool {
        (self.pull || !needed.pull) && (self.resolve || !needed.resolve)
    }
}

/// A `hosts.toml` that makes sense.
#[derive(Debug, PartialEq)]
pub(super) struct HostsFile {
    /// Those who are asked first, in the file's order.
    pub(super) mirrors: Vec<Server>,
    /// The one who is asked last. Without an address it is the registry itself.
    pub(super) last: Server,
}

/// One server of a `hosts.toml`.
#[derive(Debug, PartialEq)]
pub(super) struct Server {
    /// The address of its API, with a slash at its end.
    pub(super) api: Option<Url>,
    pub(super) capabilities: Capabilities,
    pub(super) tls: TlsFiles,
    /// Sent with every request to it.
    pub(super) headers: HeaderMap,
    pub(super) dial_timeout: Option<Duration>,
    /// The proxy to it, in place of all that is said of proxies elsewhere.
    pub(super) proxy: Option<ProxyUrl>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    server: Option<Spanned<String>>,
    #[serde(default)]
    host: BTreeMap<Spanned<String>, Entry>,
    capabilities: Option<Vec<Spanned<String>>>,
    ca: Option<OneOrMany>,
    client: Option<Clients>,
    skip_verify: Option<bool>,
    #[serde(default)]
    override_path: bool,
    #[serde(default)]
    header: BTreeMap<Spanned<String>, OneOrMany>,
    dial_timeout: Option<Spanned<String>>,
    proxy: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Entry {
    capabilities: Option<Vec<Spanned<String>>>,
    ca: Option<OneOrMany>,
    client: Option<Clients>,
    skip_verify: Option<bool>,
    override_path: bool,
    header: BTreeMap<Spanned<String>, OneOrMany>,
    dial_timeout: Option<Spanned<String>>,
    proxy: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a path, a list of paths, or a list of pairs of paths")]
enum Clients {
    One(String),
    Many(Vec<Client>),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a path or a pair of paths")]
enum Client {
    One(String),
    Pair([String; 2]),
}

/// What is wrong, and where it stands in the text.
type Wrong = (usize, String);

impl HostsFile {
    /// Reads the text of `path`. Paths in it are relative to its folder.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, HostConfigError> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let parsed = toml::from_str(text).map_err(|error| {
            // Parsers explain themselves over several lines; ours is one.
            let reason = error.message().lines().collect::<Vec<_>>().join(", ");
            (error.span().map_or(0, |span| span.start), reason)
        });
        parsed.and_then(|document| Self::of(document, folder)).map_err(|(at, reason)| {
            let line = 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
            HostConfigError::Parse { path: path.to_owned(), line, reason }
        })
    }

    fn of(document: Document, folder: &Path) -> Result<Self, Wrong> {
        let Document {
            server,
            host,
            capabilities,
            ca,
            client,
            skip_verify,
            override_path,
            header,
            dial_timeout,
            proxy,
        } = document;
        let entry = Entry { capabilities, ca, client, skip_verify, override_path, header, dial_timeout, proxy };
        let mut last = Server::of(server.as_ref(), entry, folder)?;
        if last.api.is_none() {
            // The registry itself can do all that there is to do.
            last.capabilities = Capabilities::ALL;
        }
        // A map of the parser's is sorted by name; the order of the file is the one that counts.
        let mut hosts: Vec<_> = host.into_iter().collect();
        hosts.sort_by_key(|(name, _)| name.span().start);
        let mirrors = hosts.into_iter().map(|(name, entry)| Server::of(Some(&name), entry, folder));
        Ok(Self { mirrors: mirrors.collect::<Result<_, _>>()?, last })
    }
}

impl Server {
    fn of(address: Option<&Spanned<String>>, entry: Entry, folder: &Path) -> Result<Self, Wrong> {
        let at = |path: &String| folder.join(path);
        let api = address
            .map(|address| {
                let url = api(address.get_ref(), entry.override_path);
                url.map_err(|error| (address.span().start, error.to_string()))
            })
            .transpose()?;
        let pairs = match entry.client {
            None => Vec::new(),
            Some(Clients::One(both)) => vec![(at(&both), at(&both))],
            Some(Clients::Many(all)) => all.iter().map(|one| one.files(folder)).collect(),
        };
        let tls = TlsFiles {
            authorities: entry.ca.iter().flat_map(OneOrMany::all).map(at).collect(),
            pairs,
            skip_verify: entry.skip_verify,
        };
        let dial_timeout = entry.dial_timeout.as_ref().map(duration).transpose()?;
        let proxy = entry.proxy.map(|text| {
            let url = text.get_ref().parse::<ProxyUrl>();
            url.map_err(|_| (text.span().start, ParseProxyError::of("proxy").to_string()))
        });
        Ok(Self {
            api,
            capabilities: capabilities(entry.capabilities.as_deref().unwrap_or_default())?,
            tls,
            headers: headers(&entry.header)?,
            dial_timeout,
            proxy: proxy.transpose()?,
        })
    }
}

impl Client {
    fn files(&self, folder: &Path) -> (PathBuf, PathBuf) {
        match self {
            Self::One(both) => (folder.join(both), folder.join(both)),
            Self::Pair([both, key]) if key.is_empty() => (folder.join(both), folder.join(both)),
            Self::Pair([certificate, key]) => (folder.join(certificate), folder.join(key)),
        }
    }
}

impl OneOrMany {
    fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(all) => all,
        }
    }
}

/// None at all means all of them.
fn capabilities(words: &[Spanned<String>]) -> Result<Capabilities, Wrong> {
    if words.is_empty() {
        return Ok(Capabilities::ALL);
    }
    let mut found = Capabilities { pull: false, resolve: false };
    for word in words {
        match word.get_ref().to_ascii_lowercase().as_str() {
            "pull" => found.pull = true,
            "resolve" => found.resolve = true,
            // Nothing is pushed by this program.
            "push" => {}
            _ => {
                let reason = format!("`{}` is no capability: there are `pull`, `resolve` and `push`", word.get_ref());
                return Err((word.span().start, reason));
            }
        }
    }
    Ok(found)
}

fn headers(all: &BTreeMap<Spanned<String>, OneOrMany>) -> Result<HeaderMap, Wrong> {
    let mut found = HeaderMap::new();
    for (name, values) in all {
        let wrong = |what: &str| (name.span().start, format!("`{}` {what}", name.get_ref().escape_default()));
        let key: HeaderName = name.get_ref().parse().map_err(|_| wrong("is no name of a header"))?;
        for value in values.all() {
            // Its text may be a secret: it is neither shown here nor in the log.
            let mut value = HeaderValue::from_str(value).map_err(|_| wrong("has a value that no header may have"))?;
            value.set_sensitive(true);
            found.append(key.clone(), value);
        }
    }
    Ok(found)
}

fn duration(text: &Spanned<String>) -> Result<Duration, Wrong> {
    let parsed = text.get_ref().parse::<jiff::SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
    parsed.filter(|time| !time.is_zero()).ok_or_else(|| {
        (text.span().start, format!("`{}` is no time to wait: write `3s` or `500ms`", text.get_ref().escape_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<HostsFile, (usize, String)> {
        HostsFile::parse(Path::new("/certs.d/r.example/hosts.toml"), text).map_err(|error| match error {
            HostConfigError::Parse { line, reason, .. } => (line, reason),
            other => panic!("{other}"),
        })
    }

    fn addresses(file: &HostsFile) -> Vec<&str> {
        file.mirrors.iter().map(|mirror| mirror.api.as_ref().unwrap().as_str()).collect()
    }

    #[test]
    fn an_empty_file_leaves_the_registry_as_it_is() {
        let file = parse("# nothing\n").unwrap();
        assert!(file.mirrors.is_empty() && file.last.api.is_none() && file.last.tls.is_empty());
        assert_eq!(file.last.capabilities, Capabilities::ALL);
    }

    #[test]
    fn servers_come_in_the_order_of_the_file() {
        let file = parse(
            "server = 'https://up.example'\n[host.'https://z.example']\n[host.'http://a.example:5000/x']\n\
             [host.'https://m.example/v2/hub']\noverride_path = true\n",
        )
        .unwrap();
        assert_eq!(
            addresses(&file),
            ["https://z.example/v2/", "http://a.example:5000/x/v2/", "https://m.example/v2/hub/"]
        );
        assert_eq!(file.last.api.unwrap().as_str(), "https://up.example/v2/");
    }

    #[test]
    fn all_that_can_be_said_of_a_server_is_read() {
        let file = parse(
            "ca = 'up.crt'\nskip_verify = true\ncapabilities = ['push']\n\n[host.'m.example']\ncapabilities = ['pull', 'Push']\n\
             ca = ['one.crt', '/abs/two.crt']\nclient = [['c.cert', 'c.key'], 'both.pem', ['other.pem', '']]\n\
             dial_timeout = '1m1.5s'\nproxy = 'http://bob:hidden@p.example:1'\n[host.'m.example'.header]\nx-one = 'a'\nX-Two = ['b', 'c']\n",
        )
        .unwrap();
        let at = |name: &str| Path::new("/certs.d/r.example").join(name);
        // Without an address, what the file's head says is about the registry itself, but it can always be asked for everything.
        assert_eq!((file.last.tls.authorities, file.last.tls.skip_verify), (vec![at("up.crt")], Some(true)));
        assert_eq!(file.last.capabilities, Capabilities::ALL);
        let mirror = &file.mirrors[0];
        assert_eq!(mirror.api.as_ref().unwrap().as_str(), "https://m.example/v2/");
        assert_eq!(mirror.capabilities, Capabilities { pull: true, resolve: false });
        assert_eq!(mirror.tls.authorities, [at("one.crt"), "/abs/two.crt".into()]);
        let pairs = [("c.cert", "c.key"), ("both.pem", "both.pem"), ("other.pem", "other.pem")];
        assert_eq!(mirror.tls.pairs, pairs.map(|(certificate, key)| (at(certificate), at(key))));
        assert_eq!(mirror.dial_timeout, Some(Duration::from_millis(61_500)));
        assert_eq!(mirror.proxy.as_ref().unwrap().to_string(), "http://xxxxx:xxxxx@p.example:1");
        assert_eq!(mirror.headers["x-one"], "a");
        assert_eq!(mirror.headers.get_all("x-two").iter().collect::<Vec<_>>(), ["b", "c"]);
        assert!(!format!("{:?}", mirror.headers).contains("\"a\""));
        let one = parse("client = 'both.pem'\n").unwrap().last.tls.pairs;
        assert_eq!(one, [(at("both.pem"), at("both.pem"))]);
    }

    #[test]
    fn what_makes_no_sense_is_named_with_its_line() {
        for (text, line, named) in [
            ("server = 'ftp://x'", 1, "ftp://x"),
            ("\n[host.'https://x?y']", 2, "https://x?y"),
            ("[host.'x']\ncapabilities = ['pull',\n'fly']", 3, "`fly` is no capability"),
            ("[host.'x']\nskip_verfy = true", 2, "skip_verfy"),
            ("ca = 5", 1, "expected a text or a list of texts"),
            ("\nclient = [['a', 'b', 'c']]", 2, "expected a path"),
            ("dial_timeout = 'soon'", 1, "`soon` is no time"),
            ("dial_timeout = '-3s'", 1, "`-3s` is no time"),
            ("[header]\nok = 'x'\n'a b' = 'y'", 3, "`a b` is no name of a header"),
            ("[header]\nx = \"a\\nb\"", 2, "`x` has a value"),
            ("\nproxy = 'ftp://p'", 2, "what `proxy` is set to is no address of a proxy"),
            ("server = ", 1, ""),
        ] {
            let (at, reason) = parse(text).expect_err(text);
            assert_eq!(at, line, "{text}: {reason}");
            assert!(reason.contains(named) && !reason.contains('\n'), "{text}: {reason}");
        }
    }
}
