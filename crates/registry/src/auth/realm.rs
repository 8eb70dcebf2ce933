//! Which token servers a registry may send us to.

use reqwest::Url;

use crate::redirect::authority;

/// Why a token server must not be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RealmError {
    /// The challenge names none.
    #[error("its challenge has no realm")]
    Missing,
    /// What it names is no address.
    #[error("its realm is no address")]
    NotAnAddress,
    /// It is not on the web.
    #[error("its realm begins with `{0}:`, and is neither http nor https")]
    Scheme(String),
    /// It would get credentials in the open, although the registry itself is protected.
    #[error("its token server `{0}` is not protected by TLS")]
    Unprotected(String),
    /// Its address has a user name or a password in it.
    #[error("the address of its token server `{0}` has credentials in it")]
    Credentials(String),
}

/// The address of the token server that `registry` names.
pub(super) fn token_server(registry: &Url, realm: Option<&str>) -> Result<Url, RealmError> {
    let realm: Url = realm.ok_or(RealmError::Missing)?.parse().map_err(|_| RealmError::NotAnAddress)?;
    match realm.scheme() {
        "https" => {}
        "http" if registry.scheme() == "http" => {}
        "http" => return Err(RealmError::Unprotected(authority(&realm))),
        scheme => return Err(RealmError::Scheme(scheme.to_owned())),
    }
    if !realm.username().is_empty() || realm.password().is_some() {
        return Err(RealmError::Credentials(authority(&realm)));
    }
    Ok(realm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protected_registry_has_a_protected_token_server() {
        let https = "https://r.example/v2/";
        let http = "http://localhost:5000/v2/";
        for (registry, realm, want) in [
            (https, Some("https://auth.example/token?x=1"), Ok("https://auth.example/token?x=1")),
            (https, Some("http://auth.example/token"), Err(RealmError::Unprotected("auth.example".to_owned()))),
            (http, Some("http://localhost:5001/token"), Ok("http://localhost:5001/token")),
            (http, Some("https://auth.example/token"), Ok("https://auth.example/token")),
            (http, Some("file:///etc/shadow"), Err(RealmError::Scheme("file".to_owned()))),
            (https, Some("https://u:p@auth.example/"), Err(RealmError::Credentials("auth.example".to_owned()))),
            (https, Some("Registry Realm"), Err(RealmError::NotAnAddress)),
            (https, Some(""), Err(RealmError::NotAnAddress)),
            (https, None, Err(RealmError::Missing)),
        ] {
            let found = token_server(&registry.parse().unwrap(), realm);
            assert_eq!(found.map(String::from), want.map(str::to_owned), "{registry} {realm:?}");
        }
    }
}
