//! What can go wrong, and how it is told.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;

use layer_proto::progress::BadLine;

use crate::credentials::{CredentialsError, Registry};
use crate::render::output;
use crate::render::text::clean;

/// A failure of a command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// There is nobody at the other end of the socket.
    #[error("{}", .reason.describe(.socket))]
    Unreachable { socket: String, reason: Unreachable },
    /// The daemon says no, in its own words.
    #[error("{message}")]
    Refused {
        message: String,
        hint: Option<String>,
        /// The registry at which a login may help.
        login: Option<String>,
    },
    /// The connection broke.
    #[error("the connection to the daemon broke before it had answered")]
    Broken {
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The stream of progress ended without saying how the work ended.
    #[error("the daemon ended the answer before the work was done")]
    Ended,
    /// The answer is no JSON, or of another shape.
    #[error("read the answer of the daemon")]
    Unreadable {
        #[source]
        source: serde_json::Error,
    },
    /// A line of the stream of progress is none.
    #[error(transparent)]
    BadLine(BadLine),
    /// The answer has no end.
    #[error("read the answer of the daemon: it has more than {} MiB", .limit >> 20)]
    TooLarge { limit: usize },
    /// What was typed does not fit in a request.
    #[error("the request has {length} bytes, which is too long")]
    TooLong { length: usize },
    /// A folder's name can't be written in JSON.
    #[error("the name of folder `{}` is no UTF-8", .folder.display())]
    NotText { folder: PathBuf },
    /// The working folder can't be read, so that a relative name means nothing.
    #[error("resolve folder `{}`", .folder.display())]
    Folder {
        folder: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A login can't be found, kept or forgotten.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// A question was to be asked, and nobody is there.
    #[error("standard input or standard error is no terminal to ask for a login on")]
    NoTerminal,
    /// Whoever was asked for a login gave none.
    #[error("no login was given")]
    NothingTyped,
    /// The answer to a question can't be read.
    #[error("read a login")]
    Ask(#[source] io::Error),
    /// A file can't be read or written.
    #[error("{verb} `{}`", .path.display())]
    File {
        verb: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// An archive is not for terminals.
    #[error("{} is a terminal, and an archive is not to be typed or looked at", if *.reads { "standard input" } else { "standard output" })]
    Terminal { reads: bool },
    /// Standard output was closed by its reader, who has seen enough.
    #[error("standard output was closed")]
    ReaderGone,
    /// Standard output can't be written.
    #[error("write to standard output")]
    Output(#[source] io::Error),
    /// The program itself can't start.
    #[error("start")]
    Start(#[source] io::Error),
    /// What was being done when another error came.
    #[error("{verb} `{object}`")]
    During {
        verb: &'static str,
        object: String,
        #[source]
        source: Box<Error>,
    },
}

/// Why there is nobody at the other end of the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreachable {
    /// There is no such file.
    NoSocket,
    /// There is a file, but it is something else.
    NotASocket,
    /// We may not connect.
    Denied,
    /// Nobody listens.
    NotRunning,
    /// Something else, by its kind.
    Other(io::ErrorKind),
}

impl Unreachable {
    fn describe(self, socket: &str) -> String {
        match self {
            Self::NoSocket => format!("no daemon listens on `{socket}`: there is no such socket"),
            Self::NotASocket => format!("no daemon listens on `{socket}`: that is not a socket"),
            Self::Denied => format!("no permission to connect to the daemon on `{socket}`"),
            Self::NotRunning => {
                format!("the daemon of `{socket}` is not running: the socket is there, but nobody answers")
            }
            Self::Other(kind) => format!("connect to the daemon on `{socket}`: {kind}"),
        }
    }

    fn hint(self, socket: &str) -> String {
        match self {
            Self::Denied => {
                "join the group `layerd` (`usermod -aG layerd NAME`, then log in again), or run it as root".into()
            }
            Self::NoSocket | Self::NotRunning if socket == crate::host::DEFAULT_SOCKET => {
                "start it with `systemctl start layerd.socket`, or run `layerd` as root".into()
            }
            Self::NoSocket | Self::NotRunning => {
                format!(
                    "start it with `layerd --listen unix://{socket}`, or name another socket by `--host` or LAYERD_HOST"
                )
            }
            Self::NotASocket | Self::Other(_) => "name another socket by `--host` or LAYERD_HOST".into(),
        }
    }
}

impl From<BadLine> for Error {
    fn from(line: BadLine) -> Self {
        Self::BadLine(line)
    }
}

impl Error {
    /// Says what was being done, and to what.
    pub(crate) fn during(self, verb: &'static str, object: impl Into<String>) -> Self {
        match self {
            // Neither has to do with the object.
            Self::Unreachable { .. } | Self::ReaderGone | Self::Output(_) => self,
            _ => Self::During { verb, object: object.into(), source: Box::new(self) },
        }
    }

    /// The error with all its causes in one line, fit for a terminal.
    pub(crate) fn line(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        let mut next: Option<&dyn StdError> = Some(self);
        while let Some(error) = next {
            let part = error.to_string();
            // The daemon may begin its message with the very words that stand in front already, and some libraries repeat their cause.
            match parts.last_mut() {
                Some(last) if says_again(&part, last) => *last = part,
                Some(last) if last.ends_with(&part) => {}
                _ => parts.push(part),
            }
            next = error.source();
        }
        clean(&parts.join(": ")).into_owned()
    }

    /// What the reader can do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { socket, reason } => Some(reason.hint(socket)),
            Self::Refused { hint, .. } => hint.as_deref().map(|hint| clean(hint).into_owned()),
            Self::Broken { .. } | Self::Ended => {
                Some("see the daemon's log (`journalctl -u layerd`), then run it again: finished layers and partial downloads are kept".into())
            }
            Self::During { source, .. } => source.hint(),
            Self::Credentials(error) => error.hint().map(|hint| clean(&hint).into_owned()),
            Self::NoTerminal => Some("give the user by `--username` and the password on standard input, with `--password-stdin`".into()),
            Self::Unreadable { .. } | Self::BadLine(_) => Some("is it layerd that listens there? `layer version` says who answers".into()),
            Self::Terminal { reads: true } => Some("name a file, or redirect standard input".into()),
            Self::Terminal { reads: false } => Some("name a file by `--output`, or redirect standard output".into()),
            Self::TooLarge { .. }
            | Self::File { .. }
            | Self::TooLong { .. }
            | Self::NotText { .. }
            | Self::Folder { .. }
            | Self::NothingTyped
            | Self::Ask(_)
            | Self::ReaderGone
            | Self::Output(_)
            | Self::Start(_) => None,
        }
    }

    /// The registry at which a login may help.
    pub(crate) fn wants_login(&self) -> Option<Registry> {
        match self {
            Self::Refused { login: Some(registry), .. } => Some(Registry::named(registry)),
            Self::During { source, .. } => source.wants_login(),
            _ => None,
        }
    }

    /// Tells it on standard error, unless there is nothing to tell.
    pub(crate) fn report(&self) {
        if matches!(self, Self::ReaderGone) {
            return;
        }
        output::talk(&format!("error: {}", self.line()));
        if let Some(hint) = self.hint() {
            output::talk(&format!("hint: {hint}"));
        }
    }
}

/// Whether `part` begins with all that `last` says. The daemon adds the tag that was left out: "pull `a:latest`" says "pull `a`" again.
fn says_again(part: &str, last: &str) -> bool {
    let goes_on = |open: &str| part.strip_prefix(open).is_some_and(|rest| rest.starts_with(":latest`"));
    part.starts_with(last) || last.strip_suffix('`').is_some_and(goes_on)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(message: &str) -> Error {
        Error::Refused { message: message.into(), hint: None, login: None }
    }

    #[test]
    fn the_chain_reads_as_one_line() {
        assert_eq!(
            refused("No such image: x:latest").during("inspect", "x").line(),
            "inspect `x`: No such image: x:latest"
        );
        let broken = Error::Broken { source: "reset by peer".into() };
        assert_eq!(
            broken.during("pull", "x").line(),
            "pull `x`: the connection to the daemon broke before it had answered: reset by peer"
        );
    }

    #[test]
    fn words_of_the_daemon_are_not_doubled() {
        assert_eq!(
            refused("pull `x`: layer `sha256:00`: no space left").during("pull", "x").line(),
            "pull `x`: layer `sha256:00`: no space left"
        );
        // With the tag that was left out.
        assert_eq!(refused("pull `x:latest`: no").during("pull", "x").line(), "pull `x:latest`: no");
        assert_eq!(refused("pull `xyz`: no").during("pull", "x").line(), "pull `x`: pull `xyz`: no");
    }

    #[test]
    fn nothing_from_outside_steers_the_terminal() {
        assert_eq!(
            refused("\u{1b}[2Jgone\nnext").during("pull", "a\u{202e}b").line(),
            "pull `a\\u{202e}b`: \\u{1b}[2Jgone\\nnext"
        );
    }

    #[test]
    fn each_way_of_not_reaching_the_daemon_has_its_own_way_out() {
        let told = |reason, socket: &str| {
            let error = Error::Unreachable { socket: socket.into(), reason }.during("pull", "x");
            (error.line(), error.hint().unwrap())
        };
        let default = crate::host::DEFAULT_SOCKET;
        let (line, hint) = told(Unreachable::NoSocket, default);
        assert_eq!(line, "no daemon listens on `/run/layerd/layerd.sock`: there is no such socket");
        assert_eq!(hint, "start it with `systemctl start layerd.socket`, or run `layerd` as root");
        let (_, hint) = told(Unreachable::NotRunning, "/tmp/x.sock");
        assert!(hint.starts_with("start it with `layerd --listen unix:///tmp/x.sock`"), "{hint}");
        let (line, hint) = told(Unreachable::Denied, default);
        assert!(line.contains("no permission") && hint.contains("group `layerd`"));
    }
}
