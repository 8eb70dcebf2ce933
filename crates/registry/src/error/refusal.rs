//! An answer that says no.

use std::fmt;
use std::time::Duration;

use http::StatusCode;

use super::{Kind, Reply};
use crate::context::{Asked, Context, Role};
use crate::retry::Retry;

/// An answer with a status that is no success.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Refusal {
    /// What was asked of whom.
    pub context: Context,
    /// The status of the answer.
    pub status: StatusCode,
    /// The registry's own words.
    pub reply: Reply,
    /// How long the registry wants to be left alone.
    pub retry_after: Option<Duration>,
    /// The user whose credentials were shown; `None` when nobody's were.
    pub user: Option<String>,
}

impl Refusal {
    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        let code = self.reply.code.as_deref().unwrap_or_default();
        // Storage knows no users: it refuses an address that is not signed, or no longer.
        let storage = matches!(self.context.peer.role, Role::Storage(_));
        match self.status {
            // Some registries count requests and refuse with 403.
            _ if code.eq_ignore_ascii_case("TOOMANYREQUESTS") => Kind::RateLimited,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if storage => Kind::Unavailable,
            StatusCode::UNAUTHORIZED => Kind::Unauthorized,
            StatusCode::FORBIDDEN => Kind::Denied,
            StatusCode::NOT_FOUND => Kind::NotFound,
            StatusCode::TOO_MANY_REQUESTS => Kind::RateLimited,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => Kind::Unavailable,
            StatusCode::RANGE_NOT_SATISFIABLE => Kind::Range,
            StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED => Kind::Invalid,
            status if status.is_server_error() => Kind::Unavailable,
            _ => Kind::Invalid,
        }
    }

    /// Whether another try may succeed.
    pub fn retry(&self) -> Retry {
        match self.kind() {
            // No time makes room in a registry that is full.
            Kind::Unavailable if self.status == StatusCode::INSUFFICIENT_STORAGE => Retry::Never,
            Kind::RateLimited | Kind::Unavailable => Retry::After(self.retry_after),
            _ => Retry::Never,
        }
    }

    /// What the user could do, as one sentence without a full stop.
    pub(super) fn hint(&self) -> Option<String> {
        if let Role::Site(_) = self.context.peer.role {
            // Nobody logs in there.
            return match self.kind() {
                Kind::NotFound => Some("is the address right?".to_owned()),
                Kind::RateLimited | Kind::Unavailable => Some("try again later".to_owned()),
                _ => None,
            };
        }
        let login = match &*self.context.peer.registry {
            "registry-1.docker.io" => "layer login".to_owned(),
            registry => format!("layer login {registry}"),
        };
        match (self.kind(), &self.user) {
            (Kind::Unauthorized, Some(_)) if self.context.asked == Asked::Root => {
                Some("check the name and the password; some registries want an access token in place of it".to_owned())
            }
            (Kind::NotFound, _) if matches!(self.context.asked, Asked::Search { .. }) => Some(
                "few registries but Docker Hub can be searched; `layer pull -a` brings all tags of a repository"
                    .to_owned(),
            ),
            (Kind::Unauthorized, Some(_)) => Some(format!("log in again with `{login}`")),
            (Kind::Unauthorized, None) => Some(format!("is the name right? If it is, log in with `{login}`")),
            (Kind::Denied, Some(user)) if self.context.asked.is_push() => {
                Some(format!("`{user}` may lack the right to push there, or the repository must be made first"))
            }
            (Kind::Denied, Some(user)) => Some(format!("`{user}` may lack the right to read it, or the name is wrong")),
            (Kind::Denied, None) => Some(format!("is the name right? If it is, log in with `{login}`")),
            _ if self.status == StatusCode::PAYLOAD_TOO_LARGE => {
                Some("the registry, or a proxy in front of it, has a limit on the size of uploads".to_owned())
            }
            _ if self.status == StatusCode::INSUFFICIENT_STORAGE => {
                Some("the registry is full, or your share of it is: remove images there".to_owned())
            }
            (Kind::RateLimited | Kind::Unavailable, user) => match (self.retry_after, user) {
                (Some(wait), _) if !wait.is_zero() => {
                    Some(format!("the registry asks to wait {} seconds: try again then", wait.as_secs()))
                }
                (_, None) if self.kind() == Kind::RateLimited => {
                    Some(format!("wait a while, or log in with `{login}`: users may ask more often than strangers"))
                }
                _ => Some("try again later".to_owned()),
            },
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Context { peer, asked, .. } = &self.context;
        match (self.kind(), &self.user) {
            (Kind::Unauthorized, Some(user)) if asked.is_push() => {
                write!(f, "{peer} refused user `{user}`, who is to push {asked}")?;
            }
            (Kind::Unauthorized, None) if asked.is_push() => write!(f, "{peer} wants a login to push {asked}")?,
            (Kind::Denied, Some(user)) if asked.is_push() => {
                write!(f, "{peer} denies user `{user}` to push {asked}")?;
            }
            (Kind::Denied, None) if asked.is_push() => write!(f, "{peer} denies strangers to push {asked}")?,
            (Kind::RateLimited, _) if asked.is_push() => {
                write!(f, "{peer} was asked too often, and did not take {asked}")?;
            }
            _ if asked.is_push() => write!(f, "{peer} did not take {asked}")?,
            (Kind::NotFound, _) if matches!(asked, Asked::Search { .. }) => write!(f, "{peer} knows no {asked}")?,
            (Kind::NotFound, _) => write!(f, "{peer} has no {asked}")?,
            (Kind::Unauthorized, Some(user)) => write!(f, "{peer} refused user `{user}` for {asked}")?,
            (Kind::Unauthorized, None) => write!(f, "{peer} wants a login for {asked}")?,
            (Kind::Denied, Some(user)) => write!(f, "{peer} denies user `{user}` access to {asked}")?,
            (Kind::Denied, None) => write!(f, "{peer} denies access to {asked}")?,
            (Kind::RateLimited, _) => write!(f, "{peer} was asked too often, and did not send {asked}")?,
            _ => write!(f, "{peer} did not send {asked}")?,
        }
        let code = self.reply.code.as_deref().or(self.status.canonical_reason());
        write!(f, " ({}", self.status.as_u16())?;
        if let Some(code) = code {
            write!(f, " {code}")?;
        }
        if let Some(message) = &self.reply.message {
            write!(f, ": {message}")?;
        }
        f.write_str(")")?;
        match self.retry_after {
            Some(wait) if !wait.is_zero() => write!(f, "; it asks to wait {} seconds", wait.as_secs()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Asked;
    use crate::manifest::ManifestAt;

    fn refusal(status: u16, code: Option<&str>, message: Option<&str>, user: Option<&str>) -> Refusal {
        Refusal {
            context: Context::new(
                "ghcr.io",
                Asked::Manifest { repository: "acme/app".to_owned(), at: ManifestAt::Tag("1".to_owned()) },
            ),
            status: StatusCode::from_u16(status).unwrap(),
            reply: Reply { code: code.map(str::to_owned), message: message.map(str::to_owned) },
            retry_after: None,
            user: user.map(str::to_owned),
        }
    }

    #[test]
    fn reads_as_a_sentence() {
        for (refusal, want) in [
            (
                refusal(404, Some("MANIFEST_UNKNOWN"), Some("manifest unknown"), None),
                "registry `ghcr.io` has no manifest `acme/app:1` (404 MANIFEST_UNKNOWN: manifest unknown)",
            ),
            (
                refusal(401, Some("UNAUTHORIZED"), None, Some("ci-bot")),
                "registry `ghcr.io` refused user `ci-bot` for manifest `acme/app:1` (401 UNAUTHORIZED)",
            ),
            (
                refusal(503, None, None, None),
                "registry `ghcr.io` did not send manifest `acme/app:1` (503 Service Unavailable)",
            ),
            (
                refusal(429, Some("TOOMANYREQUESTS"), Some("slow down"), None),
                "registry `ghcr.io` was asked too often, and did not send manifest `acme/app:1` \
                 (429 TOOMANYREQUESTS: slow down)",
            ),
        ] {
            assert_eq!(refusal.to_string(), want);
        }
    }

    #[test]
    fn a_status_has_a_kind_and_says_whether_to_try_again() {
        let again = Retry::After(None);
        for (status, code, kind, retry) in [
            (400, None, Kind::Invalid, Retry::Never),
            (401, None, Kind::Unauthorized, Retry::Never),
            (403, None, Kind::Denied, Retry::Never),
            (403, Some("TOOMANYREQUESTS"), Kind::RateLimited, again),
            (404, None, Kind::NotFound, Retry::Never),
            (408, None, Kind::Unavailable, again),
            (416, None, Kind::Range, Retry::Never),
            (429, None, Kind::RateLimited, again),
            (500, None, Kind::Unavailable, again),
            (501, None, Kind::Invalid, Retry::Never),
            (503, None, Kind::Unavailable, again),
            (599, None, Kind::Unavailable, again),
        ] {
            let refusal = refusal(status, code, None, None);
            assert_eq!((refusal.kind(), refusal.retry()), (kind, retry), "{status}");
        }
    }

    #[test]
    fn a_push_that_is_refused_reads_as_one() {
        let pushed = |status, code, user| {
            let mut refusal = refusal(status, code, None, user);
            refusal.context.asked =
                Asked::PushManifest { repository: "acme/app".to_owned(), at: ManifestAt::Tag("1".to_owned()) };
            (refusal.to_string(), refusal.retry(), refusal.hint().unwrap_or_default())
        };
        let (text, retry, hint) = pushed(413, None, None);
        assert_eq!(text, "registry `ghcr.io` did not take manifest `acme/app:1` (413 Payload Too Large)");
        assert!(retry == Retry::Never && hint.contains("limit on the size"), "{hint}");
        let (text, retry, hint) = pushed(507, None, None);
        assert_eq!(text, "registry `ghcr.io` did not take manifest `acme/app:1` (507 Insufficient Storage)");
        assert!(retry == Retry::Never && hint.contains("full"), "{hint}");
        let (text, retry, hint) = pushed(403, Some("DENIED"), Some("bot"));
        assert_eq!(text, "registry `ghcr.io` denies user `bot` to push manifest `acme/app:1` (403 DENIED)");
        assert!(retry == Retry::Never && hint.contains("right to push"), "{hint}");
        let (text, ..) = pushed(401, None, None);
        assert_eq!(text, "registry `ghcr.io` wants a login to push manifest `acme/app:1` (401 Unauthorized)");
    }

    #[test]
    fn storage_that_refuses_an_old_signature_is_asked_anew() {
        let mut refusal = refusal(403, Some("AccessDenied"), None, None);
        refusal.context.peer.role = Role::Storage("cdn.example".to_owned());
        assert_eq!((refusal.kind(), refusal.retry()), (Kind::Unavailable, Retry::After(None)));
        assert!(refusal.to_string().starts_with("storage `cdn.example` behind registry `ghcr.io` did not send"));
    }
}
