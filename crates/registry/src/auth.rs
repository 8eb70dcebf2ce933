//! Showing a registry who asks, and no more than it asked to see.
//!
//! A registry gets nothing before it has answered 401 with a challenge. What was shown to it then, an access token or a name and password, is
//! kept as a *grant* and shown at once with the next requests. Grants are kept per registry, scope and account, in memory alone.

use http::HeaderValue;
use reqwest::Url;

mod challenge;
mod credentials;
mod grant;
mod realm;
mod token;

pub(crate) use challenge::{Challenge, challenges};
pub use credentials::{Credentials, Secret};
pub(crate) use grant::{Grants, Slot};
pub use realm::RealmError;
pub(crate) use token::log_in;

use crate::context::Context;
use crate::error::RegistryError;
use crate::transport::{Patience, Transport};
use grant::Issued;

/// One account at one registry that wants to read or write a repository.
#[derive(Debug)]
pub(crate) struct Applicant<'a> {
    pub(crate) transport: &'a Transport,
    pub(crate) patience: Patience,
    /// The registry, and [`crate::context::Asked::Token`].
    pub(crate) context: &'a Context,
    /// The address of the registry's API.
    pub(crate) registry: &'a Url,
    /// What access is asked for; empty for a login, which asks for none in particular.
    pub(crate) scope: &'a str,
    pub(crate) credentials: &'a Credentials,
}

impl Applicant<'_> {
    /// Meets the best of the challenges that can be met: a token before a password. Returns `None` when none can.
    pub(crate) async fn apply(&self, challenges: &[Challenge]) -> Result<Option<Issued>, RegistryError> {
        let of = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme == scheme);
        if let Some(bearer) = of("bearer") {
            return match self.credentials.access_token() {
                Some(token) => Ok(bearer_header(token).map(Issued::lasting)),
                None => token::fetch(self, bearer).await.map(Some),
            };
        }
        let basic = of("basic").and(self.credentials.basic_pair());
        Ok(basic.map(|(username, password)| Issued::lasting(basic_header(username, password))))
    }
}

/// The header that shows an access token; `None` when it has characters that no header may have.
fn bearer_header(token: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// The header that shows a name and a password.
///
/// Spec: RFC 7617.
pub(crate) fn basic_header(username: &str, password: &str) -> HeaderValue {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
    let mut header = HeaderValue::try_from(format!("Basic {text}")).expect("base64 has only characters of headers");
    header.set_sensitive(true);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_made_as_the_standards_say_and_never_printed() {
        let basic = basic_header("Aladdin", "open sesame");
        assert_eq!(basic.to_str().unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        let bearer = bearer_header("abc").unwrap();
        assert_eq!(bearer.to_str().unwrap(), "Bearer abc");
        assert!(!format!("{basic:?} {bearer:?}").contains('b'));
        assert!(bearer_header("a\nHost: b").is_none());
    }
}
