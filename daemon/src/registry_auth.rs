//! The header in which a client lends its login for one pull.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use layer_engine::{Credentials, Secret};
use layer_proto::AuthConfig;
use layer_proto::auth::HEADER;

/// Clients disagree about the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The login that a request brings. What can't be read is passed over, as docker does: the registry has the last word.
pub(crate) fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    let credentials = read(headers.get(HEADER)?.as_bytes());
    if credentials.is_none() {
        tracing::debug!("the login in {HEADER} can't be read, and is passed over");
    }
    credentials.filter(|credentials| !credentials.is_empty())
}

fn read(header: &[u8]) -> Option<Credentials> {
    // Some clients use the other alphabet.
    let text: Vec<u8> = header
        .iter()
        .map(|byte| match byte {
            b'+' => b'-',
            b'/' => b'_',
            other => *other,
        })
        .collect();
    serde_json::from_slice(&BASE64.decode(text.trim_ascii()).ok()?).ok().map(from_wire)
}

/// The engine's form of a login.
pub(crate) fn from_wire(login: AuthConfig) -> Credentials {
    let token = |token: &layer_proto::Secret| (!token.is_empty()).then(|| Secret::new(token.expose()));
    Credentials {
        username: login.username,
        password: Secret::new(login.password.expose()),
        identity_token: token(&login.identitytoken),
        registry_token: token(&login.registrytoken),
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE as PADDED, URL_SAFE_NO_PAD};
    use http::HeaderValue;

    use super::*;

    fn login(value: &str) -> Option<Credentials> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_str(value).unwrap());
        credentials(&headers)
    }

    #[test]
    fn a_login_is_read_in_every_spelling_of_base64() {
        let json = r#"{"username":"bob","password":"p?>ö~ss","auth":null,"serveraddress":"h:1","email":"x"}"#;
        for text in [STANDARD.encode(json), PADDED.encode(json), URL_SAFE_NO_PAD.encode(json)] {
            let credentials = login(&text).expect(&text);
            assert_eq!((&*credentials.username, credentials.password.expose()), ("bob", "p?>ö~ss"));
        }
        let token = PADDED.encode(r#"{"username":"<token>","identitytoken":"secret","registrytoken":null}"#);
        let credentials = login(&token).unwrap();
        assert_eq!(credentials.identity_token.unwrap().expose(), "secret");
        assert!(credentials.registry_token.is_none());
    }

    #[test]
    fn nothing_and_nonsense_are_no_login() {
        for text in ["e30=", "e30", "", "null", "%%%", "bm90IGpzb24=", "W10="] {
            assert!(login(text).is_none(), "{text}");
        }
        assert!(credentials(&HeaderMap::new()).is_none());
    }
}
