//! The body of an answer that says no.

use serde::{Deserialize, Serialize};

use crate::tolerant::null_as_default;

/// The body of every answer with a status of 400 or more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct ErrorBody {
    /// What went wrong, in one line.
    #[serde(deserialize_with = "null_as_default")]
    pub message: String,
    /// What the reader can do about it. Docker has no such member and its clients ignore it; left out when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The registry at which a login may help, as images are named by it (`docker.io`, `host:port`). It is there when a registry refused for lack
    /// of a login, or didn't accept the one that was lent. Docker has no such member; left out when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
}

impl ErrorBody {
    /// An error without a hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, login: None }
    }

    /// The same error, with a hint if there is one.
    #[must_use]
    pub fn with_hint(self, hint: Option<String>) -> Self {
        Self { hint, ..self }
    }

    /// The same error, with the registry at which a login may help, if there is one.
    #[must_use]
    pub fn with_login(self, login: Option<String>) -> Self {
        Self { login, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_left_out_when_there_is_none() {
        let plain = ErrorBody::new("No such image: nosuch:latest");
        assert_eq!(serde_json::to_string(&plain).unwrap(), r#"{"message":"No such image: nosuch:latest"}"#);
        let hinted = plain.clone().with_hint(Some("pull it first".into()));
        let text = serde_json::to_string(&hinted).unwrap();
        assert_eq!(text, r#"{"message":"No such image: nosuch:latest","hint":"pull it first"}"#);
        assert_eq!(serde_json::from_str::<ErrorBody>(&text).unwrap(), hinted);
        assert_eq!(
            serde_json::from_str::<ErrorBody>(r#"{"message":"x","code":3,"hint":null}"#).unwrap(),
            ErrorBody::new("x")
        );
    }

    #[test]
    fn the_registry_that_wants_a_login_is_named() {
        let refused = ErrorBody::new("no").with_login(Some("r.example:5000".into()));
        let text = r#"{"message":"no","login":"r.example:5000"}"#;
        assert_eq!(serde_json::to_string(&refused).unwrap(), text);
        assert_eq!(serde_json::from_str::<ErrorBody>(text).unwrap(), refused);
    }
}
