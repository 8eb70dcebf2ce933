//! What systemd would hear.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// No daemon takes so long to start or stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A socket for notifications.
#[derive(Debug)]
pub(crate) struct Notifications {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Notifications {
    /// Listens in `folder`.
    pub(crate) fn new(folder: &Path) -> Self {
        let path = folder.join("notify.sock");
        // The daemon before this one had it, too.
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The next notification, a line a fact.
    pub(crate) fn next(&self) -> Option<Vec<String>> {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).lines().map(str::to_owned).collect())
    }
}
