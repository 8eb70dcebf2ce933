//! Who asks: user names, passwords and tokens, in types that never show their content.

use std::fmt;

use layer_digest::Digest;

/// A text that must not be seen: its `Debug` and `Display` print a mask.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes in a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing to hide.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

/// What a user has to show to a registry. Every part may be empty.
///
/// A registry sees none of it before it has asked by a challenge. Only a search shows a password unasked, since what answers searches asks for none.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// The user's name; empty for none.
    pub username: String,
    /// The user's password or personal access token; empty for none.
    pub password: Secret,
    /// A refresh token, traded for access tokens at the registry's token server; it is used in place of the password.
    pub identity_token: Option<Secret>,
    /// An access token, sent to the registry as it is; it is used in place of everything else.
    pub registry_token: Option<Secret>,
}

impl Credentials {
    /// Nothing to show.
    pub const NONE: Self =
        Self { username: String::new(), password: Secret(String::new()), identity_token: None, registry_token: None };

    /// A user's name and password.
    pub fn basic(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self { username: username.into(), password: Secret::new(password), ..Self::default() }
    }

    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.basic_pair().is_none() && self.refresh_token().is_none() && self.access_token().is_none()
    }

    /// The name and password, when there is a name.
    pub(crate) fn basic_pair(&self) -> Option<(&str, &str)> {
        (!self.username.is_empty()).then_some((&*self.username, self.password.expose()))
    }

    pub(crate) fn refresh_token(&self) -> Option<&str> {
        self.identity_token.as_ref().map(Secret::expose).filter(|token| !token.is_empty())
    }

    pub(crate) fn access_token(&self) -> Option<&str> {
        self.registry_token.as_ref().map(Secret::expose).filter(|token| !token.is_empty())
    }

    /// How errors call the one who asks; `None` for a stranger.
    pub(crate) fn shown_name(&self) -> Option<String> {
        // Docker's clients write `<token>` where a helper gave a token and no name.
        let named = !self.username.is_empty() && self.username != "<token>";
        (!self.is_empty()).then(|| if named { self.username.clone() } else { "(token)".to_owned() })
    }

    /// What tells these credentials from others in a cache of tokens.
    ///
    /// It covers the secrets as well as the name: whoever has the name but not the password must not be served with a token that the
    /// password brought.
    pub(crate) fn fingerprint(&self) -> Digest {
        let mut text = Vec::new();
        for part in [
            &*self.username,
            self.password.expose(),
            self.refresh_token().unwrap_or_default(),
            self.access_token().unwrap_or_default(),
        ] {
            text.extend((part.len() as u64).to_le_bytes());
            text.extend(part.as_bytes());
        }
        Digest::sha256(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_printed() {
        let credentials = Credentials {
            identity_token: Some(Secret::new("hidden-2")),
            registry_token: Some(Secret::new("hidden-3")),
            ..Credentials::basic("ci-bot", "hidden-1")
        };
        let text = format!("{credentials:?} {:#?} {}", credentials, credentials.password);
        assert!(text.contains("ci-bot") && text.contains("****"), "{text}");
        assert!(!text.contains("hidden"), "{text}");
    }

    #[test]
    fn a_fingerprint_covers_every_part() {
        let all = [
            Credentials::default(),
            Credentials::basic("a", "b"),
            Credentials::basic("ab", ""),
            Credentials::basic("", "ab"),
            Credentials { identity_token: Some(Secret::new("b")), ..Credentials::basic("a", "") },
            Credentials { registry_token: Some(Secret::new("b")), ..Credentials::basic("a", "") },
        ];
        for (index, one) in all.iter().enumerate() {
            for other in &all[index + 1..] {
                assert_ne!(one.fingerprint(), other.fingerprint(), "{one:?} {other:?}");
            }
        }
        assert_eq!(Credentials::basic("a", "b").fingerprint(), all[1].fingerprint());
    }

    #[test]
    fn empty_parts_are_no_credentials() {
        let empty = Credentials { identity_token: Some(Secret::default()), ..Credentials::default() };
        assert!(empty.is_empty());
        assert!(!Credentials::basic("a", "").is_empty());
    }
}
