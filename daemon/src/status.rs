//! From what went wrong to the status and words of an answer. The table is in `docs/api.md`.
//!
//! Where programs are known to look for docker's words, those are said; everything else is told in our own.

use http::StatusCode;
use layer_engine::{ChangeError, EngineError, Kind, LoadError, PullError, chain};
use layer_oci::{DocumentError, ParsePlatformError};
use layer_reference::ParseReferenceError;
use layer_transfer::{LayerError, PullCause};

use crate::failure::Failure;

/// The status for a kind of error. No `_` arm: a new kind does not compile until it has one.
pub(crate) fn of(kind: Kind) -> StatusCode {
    match kind {
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Unauthorized => StatusCode::UNAUTHORIZED,
        Kind::Denied => StatusCode::FORBIDDEN,
        Kind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        // The daemon works; who it asked for the client does not, or says what can't be used.
        Kind::Unavailable | Kind::Corrupt => StatusCode::BAD_GATEWAY,
        Kind::NoSpace => StatusCode::INSUFFICIENT_STORAGE,
        Kind::Conflict => StatusCode::CONFLICT,
        // The daemon stops, or somebody has cancelled what another one still waits for.
        Kind::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Whether such an error is a matter for who runs the daemon.
fn is_ours(kind: Kind) -> bool {
    matches!(kind, Kind::Internal | Kind::NoSpace | Kind::Corrupt)
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let failure = Self::new(of(error.kind()), chain(&error)).with_hint(error.hint());
        Self { is_ours: is_ours(error.kind()), ..failure }
    }
}

impl From<ParseReferenceError> for Failure {
    fn from(error: ParseReferenceError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<ParsePlatformError> for Failure {
    fn from(error: ParsePlatformError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        // It has been logged already, where it came about.
        Self::new(of(error.kind()), chain(&error)).with_hint(error.hint())
    }
}

impl From<ChangeError> for Failure {
    fn from(error: ChangeError) -> Self {
        Self::invalid(error.to_string())
    }
}

/// A pull that failed before there was anything to tell. The pull has logged it itself.
pub(crate) fn of_pull(error: &PullError) -> Failure {
    let failure = Failure::new(of(error.kind()), chain(error)).with_hint(error.hint()).with_login(login_wanted(error));
    let with_words = |status, words: String| {
        let (hint, login) = (failure.body.hint.clone(), failure.body.login.clone());
        Failure::new(status, words).with_hint(hint).with_login(login)
    };
    let reference = &error.reference;
    let denied = || {
        let name = reference.repository().familiar();
        format!("pull access denied for {name}, repository does not exist or may require 'docker login'")
    };
    match &*error.cause {
        PullCause::Registry(cause) => {
            let refusal = cause.refusal();
            let is_stranger = refusal.is_none_or(|refusal| refusal.user.is_none());
            match error.kind() {
                Kind::NotFound => with_words(
                    StatusCode::NOT_FOUND,
                    format!("failed to resolve reference \"{reference}\": {reference}: not found"),
                ),
                // A registry that hides what it has from strangers says the same of what it hasn't: so docker calls both "not found".
                Kind::Unauthorized | Kind::Denied if is_stranger => with_words(StatusCode::NOT_FOUND, denied()),
                Kind::Denied => with_words(StatusCode::FORBIDDEN, format!("{}: denied: {}", denied(), chain(cause))),
                _ => failure,
            }
        }
        PullCause::Document(cause @ DocumentError::NoPlatform { .. }) => {
            with_words(StatusCode::NOT_FOUND, format!("{cause}: no match for platform in manifest: not found"))
        }
        _ => failure,
    }
}

/// A registry that was asked what it has. docker hands on here what it says: its status, by which programs tell that a login is wanted, and its
/// words when there is no such manifest.
pub(crate) fn of_inquiry(error: &PullError) -> Failure {
    let failure = of_pull(error);
    match error.kind() {
        Kind::Unauthorized | Kind::Denied => Failure { status: of(error.kind()), ..failure },
        Kind::NotFound => Failure::not_found("manifest unknown: manifest unknown").with_hint(failure.body.hint),
        _ => failure,
    }
}

/// The registry at which a login may help, as images are named by it. `None` where the pull failed for another reason, and where the registry
/// knows very well who asks, and says no.
pub(crate) fn login_wanted(error: &PullError) -> Option<String> {
    let cause = match &*error.cause {
        PullCause::Registry(cause) => cause,
        PullCause::Layer { source, .. } => match &**source {
            LayerError::Fetch { source, .. } => source,
            _ => return None,
        },
        _ => return None,
    };
    let is_stranger = cause.refusal().is_none_or(|refusal| refusal.user.is_none());
    let may_help = match error.kind() {
        Kind::Unauthorized => true,
        Kind::Denied => is_stranger,
        _ => false,
    };
    may_help.then(|| error.reference.repository().domain().to_owned())
}

#[cfg(test)]
mod tests {
    use std::io;

    use layer_oci::Platform;
    use layer_reference::Reference;

    use super::*;

    #[test]
    fn each_kind_has_its_status() {
        for (kind, status) in [
            (Kind::NotFound, 404),
            (Kind::Invalid, 400),
            (Kind::Unauthorized, 401),
            (Kind::Denied, 403),
            (Kind::RateLimited, 429),
            (Kind::Unavailable, 502),
            (Kind::Corrupt, 502),
            (Kind::NoSpace, 507),
            (Kind::Conflict, 409),
            (Kind::Cancelled, 503),
            (Kind::Internal, 500),
        ] {
            assert_eq!(of(kind).as_u16(), status, "{kind:?}");
        }
    }

    #[test]
    fn dockers_words_are_said_where_programs_look_for_them() {
        let failure = Failure::from(EngineError::NoSuchImage { name: "nosuch:latest".to_owned() });
        assert_eq!((failure.status.as_u16(), &*failure.body.message), (404, "No such image: nosuch:latest"));
        assert!(!failure.is_ours);

        let wanted: Platform = "linux/mips64le".parse().unwrap();
        let document = DocumentError::NoPlatform { wanted: Box::new(wanted), available: Vec::new() };
        let reference = Reference::parse("alpine:3.20").unwrap();
        let error = PullError { reference, cause: Box::new(document.into()) };
        let failure = of_pull(&error);
        assert_eq!(failure.status, StatusCode::NOT_FOUND);
        assert_eq!(
            failure.body.message,
            "no matching manifest for linux/mips64le in the manifest list entries: no match for platform in manifest: \
             not found"
        );
    }

    #[test]
    fn what_is_broken_here_is_told_with_its_causes_and_marked() {
        let failure = Failure::from(EngineError::Task(io::Error::other("a thread broke")));
        assert_eq!(failure.body.message, "an internal task failed: a thread broke");
        assert_eq!((failure.status.as_u16(), failure.is_ours), (500, true));
    }
}
