//! Logins: what a client lends the daemon for one request, and what comes of trying one out.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::tolerant::null_as_default;

/// The path at which a login is tried out, without the version in front.
pub const PATH: &str = "/auth";

/// The header that lends a login for one pull: an [`AuthConfig`] in JSON, in URL-safe base64.
pub const HEADER: &str = "X-Registry-Auth";

/// The user name that docker's credential helpers give in place of one when the secret is an identity token.
pub const TOKEN_USER: &str = "<token>";

/// A text that must not be seen: its `Debug` and `Display` print a mask. JSON has it in the clear, for that is how it travels.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes in a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one place that needs it.
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

/// A login at a registry: the body of `POST` [`PATH`], and the content of [`HEADER`]. Every part may be empty; those that are, are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct AuthConfig {
    /// The user's name.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_as_default")]
    pub username: String,
    /// The user's password or personal access token.
    #[serde(skip_serializing_if = "Secret::is_empty", deserialize_with = "null_as_default")]
    pub password: Secret,
    /// The registry: a host, or Docker Hub's `https://index.docker.io/v1/`.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_as_default")]
    pub serveraddress: String,
    /// A refresh token, used in place of the password.
    #[serde(alias = "identityToken", skip_serializing_if = "Secret::is_empty", deserialize_with = "null_as_default")]
    pub identitytoken: Secret,
    /// An access token, sent to the registry as it is.
    #[serde(alias = "registryToken", skip_serializing_if = "Secret::is_empty", deserialize_with = "null_as_default")]
    pub registrytoken: Secret,
}

impl AuthConfig {
    /// Whether there is nothing to show to a registry.
    pub fn is_empty(&self) -> bool {
        self.username.is_empty() && self.identitytoken.is_empty() && self.registrytoken.is_empty()
    }
}

/// The answer to a login that was accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct AuthAnswer {
    /// A token that the registry gave to be kept in place of the password; empty when it gave none.
    #[serde(deserialize_with = "null_as_default")]
    pub identity_token: Secret,
    /// How it went, for people: `Login Succeeded`.
    #[serde(deserialize_with = "null_as_default")]
    pub status: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_travels_as_docker_writes_it() {
        let login = AuthConfig {
            username: "bob".into(),
            password: Secret::new("pw"),
            serveraddress: "r.example:5000".into(),
            ..AuthConfig::default()
        };
        let text = r#"{"username":"bob","password":"pw","serveraddress":"r.example:5000"}"#;
        assert_eq!(serde_json::to_string(&login).unwrap(), text);
        assert_eq!(serde_json::from_str::<AuthConfig>(text).unwrap(), login);
        assert_eq!(serde_json::to_string(&AuthConfig::default()).unwrap(), "{}");
        let foreign = r#"{"username":null,"auth":"x","email":"y","identityToken":"t","registrytoken":null}"#;
        let read = serde_json::from_str::<AuthConfig>(foreign).unwrap();
        assert_eq!(read, AuthConfig { identitytoken: Secret::new("t"), ..AuthConfig::default() });
        assert!(!read.is_empty() && AuthConfig::default().is_empty());
    }

    #[test]
    fn an_answer_has_its_token_even_when_there_is_none() {
        let answer = AuthAnswer { status: "Login Succeeded".into(), ..AuthAnswer::default() };
        let text = r#"{"IdentityToken":"","Status":"Login Succeeded"}"#;
        assert_eq!(serde_json::to_string(&answer).unwrap(), text);
        // Newer daemons of docker's leave the empty token out.
        assert_eq!(serde_json::from_str::<AuthAnswer>(r#"{"Status":"Login Succeeded"}"#).unwrap(), answer);
    }

    #[test]
    fn no_secret_is_printed() {
        let login = AuthConfig {
            username: "bob".into(),
            password: Secret::new("hidden-1"),
            identitytoken: Secret::new("hidden-2"),
            registrytoken: Secret::new("hidden-3"),
            ..AuthConfig::default()
        };
        let answer = AuthAnswer { identity_token: Secret::new("hidden-4"), ..AuthAnswer::default() };
        let text = format!("{login:?} {login:#?} {answer:?} {}", login.password);
        assert!(text.contains("bob") && text.contains("****") && !text.contains("hidden"), "{text}");
    }
}
