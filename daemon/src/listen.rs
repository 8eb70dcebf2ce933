//! The sockets.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

use crate::config::Config;

/// Its owner and its group may use a socket, which makes them as good as root.
const MODE: u32 = 0o660;

/// The sockets, and those of them that are to be removed at the end.
pub(crate) struct Sockets {
    pub(crate) listeners: Vec<UnixListener>,
    own: Vec<PathBuf>,
}

/// Why the daemon can't listen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error("another daemon listens on `{}`", .0.display())]
    Taken(PathBuf),
    #[error("`{}` is in the way: it is no socket", .0.display())]
    InTheWay(PathBuf),
    #[error("listen on `{}`", .path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("use the sockets that the service manager has passed")]
    Passed(#[source] io::Error),
}

impl Sockets {
    /// Takes the sockets that the service manager has opened, if it has, else opens those of the settings.
    pub(crate) fn open(config: &Config) -> Result<Self, ListenError> {
        let mut passed = listenfd::ListenFd::from_env();
        let mut listeners = Vec::new();
        for index in 0..passed.len() {
            if let Some(socket) = passed.take_unix_listener(index).map_err(ListenError::Passed)? {
                socket.set_nonblocking(true).map_err(ListenError::Passed)?;
                listeners.push(UnixListener::from_std(socket).map_err(ListenError::Passed)?);
            }
        }
        if !listeners.is_empty() {
            return Ok(Self { listeners, own: Vec::new() });
        }
        let mut sockets = Self { listeners, own: Vec::new() };
        for path in &config.sockets {
            let listener = bind(path, &config.group)?;
            sockets.listeners.push(listener);
            sockets.own.push(path.clone());
        }
        Ok(sockets)
    }

    /// Removes the sockets that this process has made.
    pub(crate) fn remove(self) {
        for path in self.own {
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!(%error, path = %path.display(), "could not remove the socket");
            }
        }
    }
}

fn bind(path: &Path, group: &str) -> Result<UnixListener, ListenError> {
    let failed = |source| ListenError::Io { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    clear_stale(path)?;
    // Nobody else may connect before the group is set: the socket is made under a name of its own, in full, and then takes its place.
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let _ = std::fs::remove_file(&temporary);
    let make = || -> io::Result<UnixListener> {
        let old = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
        let listener = UnixListener::bind(&temporary);
        rustix::process::umask(old);
        let listener = listener?;
        if let Some(gid) = group_id(group) {
            std::os::unix::fs::chown(&temporary, None, Some(gid))?;
        }
        std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(MODE))?;
        std::fs::rename(&temporary, path)?;
        Ok(listener)
    };
    make().map_err(failed)
}

/// Removes the socket of a daemon that is gone. One that answers is left alone, and so is anything that is no socket.
fn clear_stale(path: &Path) -> Result<(), ListenError> {
    let failed = |source| ListenError::Io { path: path.to_owned(), source };
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(ListenError::InTheWay(path.to_owned())),
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(ListenError::Taken(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path).map_err(failed),
        Err(error) => Err(failed(error)),
    }
}

/// The number of a group, from the file that has local ones.
fn group_id(name: &str) -> Option<u32> {
    let text = std::fs::read_to_string("/etc/group").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/layerd.sock");
        let listener = bind(&path, "no such group").unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, MODE);
        assert!(matches!(bind(&path, ""), Err(ListenError::Taken(_))));
        drop(listener);
        let listener = bind(&path, "").unwrap();
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        drop(listener);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(bind(&path, ""), Err(ListenError::InTheWay(_))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn groups_are_found_by_name() {
        assert_eq!(group_id("root"), Some(0));
        assert_eq!(group_id("nobody has such a group"), None);
    }
}
