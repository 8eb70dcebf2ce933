//! Addresses of registries and mirrors, as administrators write them.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;

use super::DOCKER_HUB;
use crate::redirect::authority;

/// The address of a mirror, such as `https://mirror.lab:5000` or `https://cache.lab/hub`.
///
/// Without a scheme it is one under TLS. The API is looked for below `/v2` of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorUrl(Url);

/// Why a text is no address of a registry or mirror.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address of a registry: write `https://host`, `https://host:port` or `https://host/path`")]
pub struct ParseMirrorError(String);

impl FromStr for MirrorUrl {
    type Err = ParseMirrorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        api(text, false).map(Self)
    }
}

impl fmt::Display for MirrorUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.0.path();
        let path = path.strip_suffix("v2/").unwrap_or(path);
        write!(f, "{}://{}{path}", self.0.scheme(), authority(&self.0))
    }
}

impl MirrorUrl {
    /// The address of the API, with a slash at its end.
    pub(super) fn api(&self) -> &Url {
        &self.0
    }
}

/// The address of the API of `server`, with a slash at its end: `/v2` is put behind the path unless it is there, or `as_it_is`.
pub(super) fn api(server: &str, as_it_is: bool) -> Result<Url, ParseMirrorError> {
    let error = || ParseMirrorError(without_login(server));
    let with_scheme = if server.contains("://") { server.to_owned() } else { format!("https://{server}") };
    let mut url: Url = with_scheme.parse().map_err(|_| error())?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || !plain || url.fragment().is_some() {
        return Err(error());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    let whole = if as_it_is || path.ends_with("/v2") { format!("{path}/") } else { format!("{path}/v2/") };
    url.set_path(&whole);
    // Docker Hub's website answers at its own name.
    if url.host_str() == Some(DOCKER_HUB.0) {
        url.set_host(Some(DOCKER_HUB.1)).map_err(|_| error())?;
    }
    Ok(url)
}

/// A text that should have been an address, without what may be a password in it.
fn without_login(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_is_below_v2_unless_the_path_is_taken_as_it_is() {
        for (server, as_it_is, want) in [
            ("https://m.example", false, Some("https://m.example/v2/")),
            ("https://m.example/", false, Some("https://m.example/v2/")),
            ("m.example:5000", false, Some("https://m.example:5000/v2/")),
            ("http://m.example:5000/hub", false, Some("http://m.example:5000/hub/v2/")),
            ("https://m.example/v2", false, Some("https://m.example/v2/")),
            ("https://m.example/v2/hub/", false, Some("https://m.example/v2/hub/v2/")),
            ("https://m.example/v2/hub", true, Some("https://m.example/v2/hub/")),
            ("https://m.example", true, Some("https://m.example/")),
            ("https://docker.io", false, Some("https://registry-1.docker.io/v2/")),
            ("ftp://m.example", false, None),
            ("https://u:p@m.example", false, None),
            ("https://m.example?x", false, None),
            ("", false, None),
        ] {
            assert_eq!(api(server, as_it_is).ok().map(String::from).as_deref(), want, "{server}");
        }
    }

    #[test]
    fn an_address_is_shown_as_it_is_written_and_no_password_is() {
        for text in ["https://m.example/", "http://m.example:5000/hub/"] {
            assert_eq!(text.parse::<MirrorUrl>().unwrap().to_string(), text);
        }
        let error = "https://bob:hidden@m.example".parse::<MirrorUrl>().unwrap_err();
        assert!(!error.to_string().contains("hidden"), "{error}");
    }
}
