//! Why a login can't be found, kept or forgotten. No text here quotes what may hold a secret.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A failure around logins.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CredentialsError {
    /// A file can't be read.
    #[error("read the logins in `{}`", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A file is none of logins.
    #[error("read the logins in `{}`: {reason}", .path.display())]
    Malformed { path: PathBuf, reason: String },
    /// One login of a file makes no sense.
    #[error("the login for `{key}` in `{}` can't be read", .path.display())]
    Entry { path: PathBuf, key: String },
    /// A file can't be written.
    #[error("keep logins in `{}`", .path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Nobody knows where logins belong.
    #[error("there is no folder to keep logins in: neither HOME nor DOCKER_CONFIG is set")]
    NoHome,
    /// A helper's name leads elsewhere.
    #[error("`{name}` in `{}` is no name of a credential helper", .file.display())]
    BadHelper { name: String, file: PathBuf },
    /// A helper is missing.
    #[error("credential helper `{program}` is not installed")]
    NoHelper { program: String, file: PathBuf },
    /// A helper can't be started.
    #[error("start credential helper `{program}`")]
    Start {
        program: String,
        #[source]
        source: io::Error,
    },
    /// A helper says no.
    #[error("credential helper `{program}` failed at `{verb}`: {words}")]
    Failed { program: String, verb: &'static str, words: String },
    /// A helper doesn't come to an end.
    #[error("credential helper `{program}` took more than {} seconds for `{verb}`, and was stopped", .limit.as_secs())]
    Slow { program: String, verb: &'static str, limit: Duration },
    /// A helper's answer is none.
    #[error("credential helper `{program}` gave an answer to `{verb}` that can't be read")]
    Answer { program: String, verb: &'static str },
}

impl CredentialsError {
    /// What the reader can do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::NoHelper { program, file } => Some(format!(
                "install `{program}`, or take it out of `credsStore` and `credHelpers` in `{}`",
                file.display()
            )),
            Self::Entry { .. } => Some("log in again with `layer login`, which replaces it".into()),
            Self::Malformed { path, .. } => {
                Some(format!("repair `{}`, or move it away and log in again", path.display()))
            }
            Self::NoHome => Some("set HOME, or DOCKER_CONFIG to a folder of your own".into()),
            Self::Read { .. }
            | Self::Write { .. }
            | Self::BadHelper { .. }
            | Self::Start { .. }
            | Self::Failed { .. }
            | Self::Slow { .. }
            | Self::Answer { .. } => None,
        }
    }
}
