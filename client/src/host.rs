//! Where the daemon is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where the daemon listens unless it is told otherwise.
pub(crate) const DEFAULT_SOCKET: &str = "/run/layerd/layerd.sock";

/// The socket of a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    socket: PathBuf,
}

/// Why a text names no socket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ParseHostError {
    /// It asks for something else than a Unix socket.
    #[error("`{0}` is not supported: layerd listens on a Unix socket, `unix://PATH`")]
    Scheme(String),
    /// There is nothing behind `unix://`.
    #[error("there is no path behind `unix://`")]
    NoPath,
    /// The path is relative and the working folder can't be read.
    #[error("the path is relative and there is no working folder")]
    NoWorkingFolder,
}

impl Host {
    /// The path of the socket, absolute.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }
}

impl FromStr for Host {
    type Err = ParseHostError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = match text.split_once("://") {
            Some(("unix", "")) => return Err(ParseHostError::NoPath),
            Some(("unix", path)) => path,
            Some((scheme, _)) => return Err(ParseHostError::Scheme(format!("{scheme}://"))),
            // An empty variable means the same as none.
            None if text.is_empty() => DEFAULT_SOCKET,
            None => text,
        };
        let socket = std::path::absolute(path).map_err(|_| ParseHostError::NoWorkingFolder)?;
        Ok(Self { socket })
    }
}

impl Default for Host {
    fn default() -> Self {
        Self { socket: DEFAULT_SOCKET.into() }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix://{}", self.socket.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_path_with_or_without_its_scheme() {
        for text in ["unix:///tmp/x.sock", "/tmp/x.sock"] {
            assert_eq!(text.parse::<Host>().unwrap().socket(), Path::new("/tmp/x.sock"));
        }
        assert_eq!("".parse::<Host>().unwrap(), Host::default());
        assert_eq!(Host::default().to_string(), "unix:///run/layerd/layerd.sock");
        let here = std::env::current_dir().unwrap();
        assert_eq!("x.sock".parse::<Host>().unwrap().socket(), here.join("x.sock"));
    }

    #[test]
    fn other_schemes_are_refused_by_name() {
        assert_eq!("tcp://1.2.3.4:5".parse::<Host>(), Err(ParseHostError::Scheme("tcp://".into())));
        assert_eq!("unix://".parse::<Host>(), Err(ParseHostError::NoPath));
    }
}
