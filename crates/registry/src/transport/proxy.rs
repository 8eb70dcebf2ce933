//! Proxies between this machine and registries.

use std::fmt;
use std::str::FromStr;

use reqwest::{NoProxy, Proxy, Url};

/// The proxies by which registries are reached. This machine never is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For registries that are spoken to in plain http.
    pub http: Option<ProxyUrl>,
    /// For registries that are spoken to under TLS.
    pub https: Option<ProxyUrl>,
    /// The hosts that are reached without: names (with all below them), addresses, ranges such as `10.0.0.0/8`, or `*` for all; with commas
    /// between.
    pub no_proxy: Option<String>,
}

/// The address of a proxy. What prints it masks the name and password that may be in it.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl(Url);

/// Why a text is no address of a proxy. The text is not shown: it may have a password in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} is no address of a proxy: write `http://host:port`, with `https`, `socks5` or `socks5h` in place of `http` if it is such a one"
)]
pub struct ParseProxyError {
    what: String,
}

impl ParseProxyError {
    /// The setting `name` is no address of a proxy.
    pub fn of(name: &str) -> Self {
        Self { what: format!("what `{name}` is set to") }
    }
}

impl Proxies {
    /// What `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say, or the same in small letters. Empty ones say nothing.
    ///
    /// # Errors
    ///
    /// When one of them is no address.
    pub fn from_environment() -> Result<Self, ParseProxyError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ParseProxyError> {
        let text = |name: &str| {
            let filled = |name: &str| variable(name).filter(|text| !text.is_empty());
            filled(name).or_else(|| filled(&name.to_ascii_lowercase()))
        };
        let proxy = |name: &str| match text(name) {
            Some(text) => text.parse().map(Some).map_err(|_| ParseProxyError::of(name)),
            None => Ok(None),
        };
        let all = proxy("ALL_PROXY")?;
        Ok(Self {
            http: proxy("HTTP_PROXY")?.or_else(|| all.clone()),
            https: proxy("HTTPS_PROXY")?.or(all),
            no_proxy: text("NO_PROXY"),
        })
    }

    /// These, and where they leave something open, `others`.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            http: self.http.or(others.http),
            https: self.https.or(others.https),
            no_proxy: self.no_proxy.or(others.no_proxy),
        }
    }

    /// The same for the HTTP library.
    pub(super) fn all(&self) -> Result<Vec<Proxy>, reqwest::Error> {
        let spared = self.no_proxy.as_deref().and_then(NoProxy::from_string);
        let http = self.http.as_ref().map(|url| Proxy::http(url.0.clone()));
        let https = self.https.as_ref().map(|url| Proxy::https(url.0.clone()));
        http.into_iter().chain(https).map(|proxy| Ok(proxy?.no_proxy(spared.clone()))).collect()
    }
}

impl ProxyUrl {
    /// One for whatever is asked over it.
    pub(super) fn for_all(&self) -> Result<Proxy, reqwest::Error> {
        Proxy::all(self.0.clone())
    }
}

impl FromStr for ProxyUrl {
    type Err = ParseProxyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseProxyError { what: "this text".to_owned() };
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url: Url = with_scheme.parse().map_err(|_| error())?;
        let known = matches!(url.scheme(), "http" | "https" | "socks4" | "socks4a" | "socks5" | "socks5h");
        let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        if known && bare && url.host_str().is_some_and(|host| !host.is_empty()) { Ok(Self(url)) } else { Err(error()) }
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0.host_str().unwrap_or_default();
        let login = if self.0.username().is_empty() && self.0.password().is_none() { "" } else { "xxxxx:xxxxx@" };
        write!(f, "{}://{login}{host}", self.0.scheme())?;
        match self.0.port() {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for (text, shown) in [
            ("http://bob:hidden@proxy:3128/", "http://xxxxx:xxxxx@proxy:3128"),
            ("bob:hidden@proxy:3128", "http://xxxxx:xxxxx@proxy:3128"),
            ("http://proxy:3128", "http://proxy:3128"),
            ("proxy", "http://proxy"),
            ("socks5h://[::1]:1080", "socks5h://[::1]:1080"),
        ] {
            let proxy: ProxyUrl = text.parse().unwrap();
            assert_eq!((proxy.to_string(), format!("{proxy:?}")), (shown.to_owned(), shown.to_owned()));
        }
        for text in ["ftp://bob:hidden@proxy", "http://bob:hidden@proxy/path", "http://", "", "hidden:x:y"] {
            assert!(!text.parse::<ProxyUrl>().unwrap_err().to_string().contains("hidden"), "{text}");
        }
    }

    #[test]
    fn the_environment_is_read_in_both_spellings_and_fills_what_is_left_open() {
        let variables = |all: &'static [(&str, &str)]| {
            Proxies::from_variables(move |name| {
                all.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            })
        };
        let found = variables(&[
            ("HTTP_PROXY", ""),
            ("http_proxy", "http://small"),
            ("ALL_PROXY", "http://all"),
            ("no_proxy", "a,b"),
        ])
        .unwrap();
        assert_eq!(found.http.as_ref().unwrap().to_string(), "http://small");
        assert_eq!(found.https.as_ref().unwrap().to_string(), "http://all");
        assert_eq!(found.no_proxy.as_deref(), Some("a,b"));
        let own = Proxies { http: Some("http://own".parse().unwrap()), ..Proxies::default() };
        let both = own.or(found);
        assert_eq!(both.http.unwrap().to_string(), "http://own");
        assert_eq!(both.no_proxy.as_deref(), Some("a,b"));
        let error = variables(&[("HTTPS_PROXY", "nonsense://x:hidden@y")]).unwrap_err().to_string();
        assert!(
            error.starts_with("what `HTTPS_PROXY` is set to is no address") && !error.contains("hidden"),
            "{error}"
        );
    }
}
