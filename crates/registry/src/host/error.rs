//! What is wrong with the files that say how a registry is reached.

use std::io;
use std::path::PathBuf;

/// What is wrong with the files that say how a registry is reached. They are the administrator's, and are never passed over in silence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostConfigError {
    /// A file or folder can't be read.
    #[error("read `{}`", .path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file is larger than any of its kind.
    #[error("`{}` is larger than {limit} bytes", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most bytes it may have.
        limit: u64,
    },
    /// A `hosts.toml` says something that makes no sense.
    #[error("`{}`, line {line}: {reason}", .path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A client certificate has no key, or a key no certificate.
    #[error("`{}` has no `{}` beside it: a client certificate is a pair of `.cert` and `.key`", .path.display(), .missing.display())]
    Unpaired {
        /// The file that is there.
        path: PathBuf,
        /// The one that is not.
        missing: PathBuf,
    },
    /// A file holds no certificates, or no key, or some that can't be used.
    #[error("`{}` {reason}", .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A key is not that of its certificate.
    #[error("the key `{}` does not belong to the certificate `{}`", .key.display(), .certificate.display())]
    WrongPair {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// Connections can't be set up with what the files say.
    #[error("set up connections to `{host}`: {reason}")]
    Setup {
        /// The host.
        host: String,
        /// Why not.
        reason: String,
    },
}
