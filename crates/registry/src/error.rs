//! What can go wrong between this machine and a registry, in words for people and in kinds for programs.

use std::sync::Arc;
use std::time::Duration;

use layer_digest::{Digest, VerifyError};

mod network;
mod refusal;
mod reply;

pub use network::NetworkError;
pub use refusal::Refusal;
pub use reply::Reply;

use crate::auth::RealmError;
use crate::context::{Context, Role};
use crate::host::HostConfigError;
use crate::redirect::RedirectError;
use crate::retry::Retry;

/// The client could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("set up the registry client: {reason}")]
pub struct SetupError {
    pub(crate) reason: String,
}

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The registry does not have it.
    NotFound,
    /// The registry wants a login, or does not accept this one.
    Unauthorized,
    /// The registry knows who asks, and says no.
    Denied,
    /// The registry was asked too often.
    RateLimited,
    /// The registry has troubles of its own.
    Unavailable,
    /// No connection came about, or it broke.
    Network,
    /// The other side was too slow.
    Timeout,
    /// The other side could not prove who it is.
    Tls,
    /// The server cannot send that part of the blob: ask for all of it, from byte 0.
    Range,
    /// The bytes are not those that the digest names.
    Corrupt,
    /// The registry does not keep to the protocol, or the request made no sense.
    Invalid,
    /// What the administrator says about the registry makes no sense, or leaves nobody to ask.
    Settings,
}

/// Why a registry's answer is no use, or did not come.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The answer has a status that is no success.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// No connection came about, or it broke before the answer was complete.
    #[error("cannot {}", .context.deed())]
    Network {
        /// What was asked of whom.
        context: Box<Context>,
        /// Why bytes did not get through.
        #[source]
        source: NetworkError,
    },
    /// The other side took the request and did not answer.
    #[error("{} did not answer for {} within {waited:?}", .context.peer, .context.asked)]
    NoAnswer {
        /// What was asked of whom.
        context: Box<Context>,
        /// The time limit.
        waited: Duration,
    },
    /// The other side stopped sending in the middle.
    #[error("{} went silent: not a byte of {} for {waited:?} after byte {at}", .context.peer, .context.asked)]
    Stalled {
        /// What was asked of whom.
        context: Box<Context>,
        /// The time limit.
        waited: Duration,
        /// The place in the blob or document that was reached.
        at: u64,
    },
    /// The other side sends, but so little that it might as well be silent.
    #[error(
        "{} sent {} at {speed} bytes a second for {waited:?}, which is slower than the {least} it must come by, and \
         reached byte {at}", .context.peer, .context.asked
    )]
    Crawled {
        /// What was asked of whom.
        context: Box<Context>,
        /// The speed in bytes a second.
        speed: u64,
        /// The least speed that is taken.
        least: u64,
        /// The time over which the speed was taken.
        waited: Duration,
        /// The place in the blob that was reached.
        at: u64,
    },
    /// A short document took too long, byte by byte.
    #[error("{} needed more than {waited:?} to send {}", .context.peer, .context.asked)]
    TooSlow {
        /// What was asked of whom.
        context: Box<Context>,
        /// The time limit.
        waited: Duration,
    },
    /// A document has no end, or is larger than it may be.
    #[error("{} from {} is larger than the {limit} bytes it may have", .context.asked, .context.peer)]
    TooLarge {
        /// What was asked of whom.
        context: Box<Context>,
        /// The limit in bytes.
        limit: u64,
    },
    /// The bytes are not the ones that were asked for.
    #[error("{} sent something else than {}", .context.peer, .context.asked)]
    Corrupt {
        /// What was asked of whom.
        context: Box<Context>,
        /// How they differ.
        #[source]
        source: VerifyError,
    },
    /// The digest in the answer's header and the bytes of the answer disagree.
    #[error("{} announces {} as `{announced}`, but sent `{computed}`", .context.peer, .context.asked)]
    Announced {
        /// What was asked of whom.
        context: Box<Context>,
        /// The digest in the header.
        announced: Digest,
        /// The digest of the bytes.
        computed: Digest,
    },
    /// The server has no bytes at that place, or does not want to send them from there.
    #[error("{} cannot send {} from byte {offset}", .context.peer, .context.asked)]
    RangeNotSatisfiable {
        /// What was asked of whom.
        context: Box<Context>,
        /// The first byte that was asked for.
        offset: u64,
        /// The size of the blob, as far as the server told it.
        total: Option<u64>,
    },
    /// The server sent another part of the blob than the one asked for.
    #[error("{} was asked for {} from byte {offset}, and answered with {answer}", .context.peer, .context.asked)]
    WrongRange {
        /// What was asked of whom.
        context: Box<Context>,
        /// The first byte that was asked for.
        offset: u64,
        /// What its `Content-Range` says.
        answer: String,
    },
    /// The registry sent the request on to a place where it must not go.
    #[error("{} sends {} on to a place that is not allowed", .context.peer, .context.asked)]
    Redirect {
        /// What was asked of whom.
        context: Box<Context>,
        /// What is wrong with the place.
        #[source]
        source: RedirectError,
    },
    /// The registry names a token server that must not be asked.
    #[error("{} names a token server that is not allowed", .context.peer)]
    Realm {
        /// What was asked of whom.
        context: Box<Context>,
        /// What is wrong with the server.
        #[source]
        source: RealmError,
    },
    /// No access token could be had.
    #[error("no access to {}", .context.peer)]
    Token {
        /// What was asked of whom.
        context: Box<Context>,
        /// Why; shared by all that waited for the same token.
        #[source]
        source: Arc<RegistryError>,
    },
    /// A document is not what the protocol says it is.
    #[error("{} sent {} in a form that cannot be read: {reason}", .context.peer, .context.asked)]
    Malformed {
        /// What was asked of whom.
        context: Box<Context>,
        /// What is wrong with it.
        reason: String,
    },
    /// What the administrator says about the registry makes no sense.
    #[error("the settings for {}", .context.peer)]
    Settings {
        /// What was to be asked of whom.
        context: Box<Context>,
        /// What is wrong; shared by all that ask this registry.
        #[source]
        source: Arc<HostConfigError>,
    },
    /// None of the registry's servers may be asked for this, or is worth it now.
    #[error("there is nobody to ask for {}: no server of registry `{}` is good for it now", .context.asked, .context.peer.registry)]
    NobodyToAsk {
        /// What was to be asked of whom.
        context: Box<Context>,
    },
    /// What was asked for cannot be part of an address.
    #[error("`{text}` is no {what}")]
    BadRequest {
        /// What it should be.
        what: &'static str,
        /// What it is.
        text: String,
    },
}

impl RegistryError {
    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Refused(refusal) => refusal.kind(),
            Self::Network { source, .. } => match source {
                NetworkError::Tls(_)
                | NetworkError::NoTls
                | NetworkError::Untrusted
                | NetworkError::ClientCertificate => Kind::Tls,
                NetworkError::ConnectTimeout => Kind::Timeout,
                NetworkError::Dns(_) | NetworkError::Refused | NetworkError::Reset | NetworkError::Other(_) => {
                    Kind::Network
                }
            },
            Self::NoAnswer { .. } | Self::Stalled { .. } | Self::Crawled { .. } | Self::TooSlow { .. } => Kind::Timeout,
            Self::Corrupt { .. } | Self::Announced { .. } => Kind::Corrupt,
            Self::RangeNotSatisfiable { .. } | Self::WrongRange { .. } => Kind::Range,
            Self::Token { source, .. } => source.kind(),
            Self::Settings { .. } | Self::NobodyToAsk { .. } => Kind::Settings,
            Self::TooLarge { .. }
            | Self::Redirect { .. }
            | Self::Realm { .. }
            | Self::Malformed { .. }
            | Self::BadRequest { .. } => Kind::Invalid,
        }
    }

    /// Whether another try may succeed.
    ///
    /// Wrong bytes may: a caller should try those once more and not oftener.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Refused(refusal) => refusal.retry(),
            Self::Network { source, .. } if !source.may_pass() => Retry::Never,
            Self::Network { .. }
            | Self::NoAnswer { .. }
            | Self::Stalled { .. }
            | Self::Crawled { .. }
            | Self::TooSlow { .. } => Retry::After(None),
            Self::Corrupt { .. } | Self::Announced { .. } => Retry::After(None),
            Self::Token { source, .. } => source.retry(),
            // The caller can go on from byte 0, which is another request.
            Self::RangeNotSatisfiable { .. } | Self::WrongRange { .. } => Retry::Never,
            Self::TooLarge { .. }
            | Self::Redirect { .. }
            | Self::Realm { .. }
            | Self::Malformed { .. }
            | Self::Settings { .. }
            | Self::NobodyToAsk { .. }
            | Self::BadRequest { .. } => Retry::Never,
        }
    }

    /// What was asked of whom; nothing when nobody was asked.
    pub fn context(&self) -> Option<&Context> {
        match self {
            Self::Refused(refusal) => Some(&refusal.context),
            Self::Network { context, .. }
            | Self::NoAnswer { context, .. }
            | Self::Stalled { context, .. }
            | Self::Crawled { context, .. }
            | Self::TooSlow { context, .. }
            | Self::TooLarge { context, .. }
            | Self::Corrupt { context, .. }
            | Self::Announced { context, .. }
            | Self::RangeNotSatisfiable { context, .. }
            | Self::WrongRange { context, .. }
            | Self::Redirect { context, .. }
            | Self::Realm { context, .. }
            | Self::Token { context, .. }
            | Self::Settings { context, .. }
            | Self::NobodyToAsk { context }
            | Self::Malformed { context, .. } => Some(context),
            Self::BadRequest { .. } => None,
        }
    }

    /// The refusal behind this error, if the reason is an answer: its status and the registry's own words.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Token { source, .. } => source.refusal(),
            _ => None,
        }
    }

    /// The error in the few words that fit beside a progress bar.
    pub fn brief(&self) -> String {
        let peer = match self.context().map(|context| &context.peer.role) {
            Some(Role::TokenServer(_)) => "the token server",
            Some(Role::Storage(_)) => "the storage behind the registry",
            Some(Role::Mirror(_)) => "a mirror of the registry",
            Some(Role::Site(_)) => "the server",
            Some(Role::Registry) | None => "the registry",
        };
        match self {
            Self::Token { source, .. } => source.brief(),
            Self::Refused(refusal) => format!("{} from {peer}", refusal.status.as_u16()),
            Self::Network { source, .. } => match source {
                NetworkError::Refused => format!("{peer} refuses connections"),
                NetworkError::ConnectTimeout => format!("{peer} can't be reached"),
                NetworkError::Reset | NetworkError::Other(_) => "the connection broke".to_owned(),
                other => other.to_string(),
            },
            Self::NoAnswer { .. } | Self::Stalled { .. } => format!("{peer} is silent"),
            Self::Crawled { .. } | Self::TooSlow { .. } => format!("{peer} is too slow"),
            Self::Corrupt { .. } | Self::Announced { .. } => "the bytes were wrong".to_owned(),
            other => other.to_string(),
        }
    }

    /// What the user could do, as one sentence without a full stop. What the registry's mirrors had to say follows.
    pub fn hint(&self) -> Option<String> {
        let mirrors = self.context().map(|context| context.mirrors.join("; ")).filter(|words| !words.is_empty());
        match (self.advice(), mirrors) {
            (Some(advice), Some(mirrors)) => Some(format!("{advice}; before that, {mirrors}")),
            (advice, mirrors) => advice.or_else(|| mirrors.map(|mirrors| format!("before that, {mirrors}"))),
        }
    }

    fn advice(&self) -> Option<String> {
        let context = self.context()?;
        let registry = &context.peer.registry;
        match self {
            Self::Refused(refusal) => refusal.hint(),
            Self::Token { source, .. } => source.advice(),
            Self::Settings { .. } => {
                Some("correct it and ask again: these files are read anew when they change".to_owned())
            }
            Self::Network { source, .. } => {
                let host = context.peer.host();
                Some(match source {
                    NetworkError::Dns(_) => {
                        format!("is `{host}` spelled right, and does this machine reach a name server?")
                    }
                    NetworkError::Refused if matches!(context.peer.role, Role::Site(_)) => {
                        format!("does a server run at `{host}`?")
                    }
                    NetworkError::Refused => format!("is a registry running at `{host}`?"),
                    NetworkError::ConnectTimeout => {
                        format!("does a firewall stand between this machine and `{host}`, or is a proxy needed?")
                    }
                    NetworkError::NoTls => {
                        format!("it may speak plain http: list `{host}` as insecure if you trust the network")
                    }
                    NetworkError::Untrusted => format!(
                        "put the certificate of that authority into `/etc/layerd/certs.d/{host}/ca.crt` (or below another folder of \
                         `certs-dir`), or list `{host}` as insecure if you trust the network"
                    ),
                    NetworkError::ClientCertificate => format!(
                        "put a certificate that it accepts, and its key, into `/etc/layerd/certs.d/{host}` as `client.cert` and `client.key`"
                    ),
                    NetworkError::Tls(_) => format!("is `{host}` the right name, and is this machine's clock right?"),
                    NetworkError::Reset | NetworkError::Other(_) => return None,
                })
            }
            Self::Corrupt { .. } | Self::Announced { .. } => {
                Some("a proxy or a cache on the way may have changed the content".to_owned())
            }
            Self::NoAnswer { .. } | Self::Stalled { .. } | Self::Crawled { .. } | Self::TooSlow { .. }
                if matches!(context.peer.role, Role::Registry) =>
            {
                Some(format!("`{registry}` may be overloaded: try again later"))
            }
            _ => None,
        }
    }
}
