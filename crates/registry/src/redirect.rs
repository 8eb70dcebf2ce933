//! Where an answer may send a request on to, and when credentials may go along.

use reqwest::Url;

/// The most redirects of one request. Registries need one; a mirror behind a load balancer may need three.
pub(crate) const MAX_HOPS: usize = 10;

/// What is wrong with the place a redirect leads to. The address itself is not shown, for it may be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedirectError {
    /// There is none.
    #[error("the answer names no address")]
    NoLocation,
    /// It is no address.
    #[error("its address cannot be read")]
    NotAnAddress,
    /// It is not on the web.
    #[error("`{0}` is neither http nor https")]
    Scheme(String),
    /// It would carry on in the open what began under TLS.
    #[error("`{0}` is not protected by TLS, but the registry is")]
    Downgrade(String),
    /// It has a user name or a password in it.
    #[error("the address of `{0}` has credentials in it")]
    Credentials(String),
    /// It goes on and on.
    #[error("more than {MAX_HOPS} redirects")]
    TooMany,
}

/// The address that `location` means in an answer from `from`.
///
/// `http` and `https` only, and never from the second to the first.
pub(crate) fn target(from: &Url, location: Option<&str>) -> Result<Url, RedirectError> {
    let mut to = from.join(location.ok_or(RedirectError::NoLocation)?).map_err(|_| RedirectError::NotAnAddress)?;
    let host = authority(&to);
    if !matches!(to.scheme(), "http" | "https") {
        return Err(RedirectError::Scheme(to.scheme().to_owned()));
    }
    if from.scheme() == "https" && to.scheme() == "http" {
        return Err(RedirectError::Downgrade(host));
    }
    if !to.username().is_empty() || to.password().is_some() {
        return Err(RedirectError::Credentials(host));
    }
    to.set_fragment(None);
    Ok(to)
}

/// Whether credentials for `a` are credentials for `b`: the same scheme, host and port.
pub(crate) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme() && a.host() == b.host() && a.port_or_known_default() == b.port_or_known_default()
}

/// `host` or `host:port`: the part of an address that can be shown.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn goes_only_where_it_may() {
        let from = url("https://r.example/v2/x/blobs/1");
        for (location, want) in [
            (Some("https://cdn.example/a?sig=1#part"), Ok("https://cdn.example/a?sig=1")),
            (Some("/other"), Ok("https://r.example/other")),
            (Some("2"), Ok("https://r.example/v2/x/blobs/2")),
            (Some("//cdn.example/a"), Ok("https://cdn.example/a")),
            (Some("http://cdn.example:81/a"), Err(RedirectError::Downgrade("cdn.example:81".to_owned()))),
            (Some("ftp://cdn.example/a"), Err(RedirectError::Scheme("ftp".to_owned()))),
            (Some("file:///etc/passwd"), Err(RedirectError::Scheme("file".to_owned()))),
            (Some("https://a:b@cdn.example/"), Err(RedirectError::Credentials("cdn.example".to_owned()))),
            (Some("https://"), Err(RedirectError::NotAnAddress)),
            (None, Err(RedirectError::NoLocation)),
        ] {
            assert_eq!(target(&from, location).map(String::from), want.map(str::to_owned), "{location:?}");
        }
        let plain = url("http://localhost:5000/v2/");
        assert_eq!(target(&plain, Some("https://cdn.example/")), Ok(url("https://cdn.example/")));
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let origin = url("https://r.example/v2/");
        for (other, same) in [
            ("https://r.example:443/x", true),
            ("https://R.example/x", true),
            ("https://r.example:444/x", false),
            ("http://r.example:443/x", false),
            ("https://cdn.r.example/x", false),
        ] {
            assert_eq!(same_origin(&origin, &url(other)), same, "{other}");
        }
    }
}
