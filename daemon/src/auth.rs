//! Logins that come with a request.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use layer_engine::{Credentials, Secret};
use serde::Deserialize;

/// The header in which docker's clients send a registry's login.
const HEADER: &str = "x-registry-auth";

/// Clients differ on the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Deserialize)]
#[serde(default)]
struct Login {
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
    /// `user:password`, as it stands in the client's own file.
    auth: String,
}

impl Default for Login {
    fn default() -> Self {
        let empty = String::new;
        Self { username: empty(), password: empty(), identitytoken: empty(), registrytoken: empty(), auth: empty() }
    }
}

/// The login in a request's headers. As dockerd does, one that can't be read counts as none: clients send all kinds of nothing.
pub(crate) fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    let bytes = BASE64.decode(headers.get(HEADER)?.as_bytes()).ok()?;
    let mut login: Login = serde_json::from_slice(&bytes).ok()?;
    if login.username.is_empty()
        && let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(&login.auth)
        && let Ok(text) = String::from_utf8(bytes)
        && let Some((user, password)) = text.split_once(':')
    {
        (login.username, login.password) = (user.to_owned(), password.to_owned());
    }
    let secret = |text: String| (!text.is_empty()).then(|| Secret::new(text));
    let credentials = Credentials {
        username: login.username,
        password: Secret::new(login.password),
        identity_token: secret(login.identitytoken),
        registry_token: secret(login.registrytoken),
    };
    (!credentials.is_empty()).then_some(credentials)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(json: &str) -> Option<Credentials> {
        let text = BASE64.encode(json);
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_str(&text).unwrap());
        credentials(&headers)
    }

    #[test]
    fn logins_are_read_in_every_form() {
        let plain = read(r#"{"username":"ann","password":"s3cret","serveraddress":"x"}"#).unwrap();
        assert_eq!((plain.username.as_str(), plain.password.expose()), ("ann", "s3cret"));
        let token = read(r#"{"identitytoken":"t"}"#).unwrap();
        assert_eq!(token.identity_token.unwrap().expose(), "t");
        let file = read(r#"{"auth":"YW5uOnMzOmNyZXQ="}"#).unwrap();
        assert_eq!((file.username.as_str(), file.password.expose()), ("ann", "s3:cret"));
    }

    #[test]
    fn what_is_no_login_counts_as_none() {
        assert!(read("{}").is_none());
        assert!(read("null").is_none());
        assert!(read("[1]").is_none());
        let mut headers = HeaderMap::new();
        assert!(credentials(&headers).is_none());
        headers.insert(HEADER, HeaderValue::from_static("!!! not base64"));
        assert!(credentials(&headers).is_none());
    }
}
