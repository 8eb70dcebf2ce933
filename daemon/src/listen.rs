//! The sockets: taken over from systemd, or made with the right mode from their first moment.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::config::{Address, Group};
use crate::group;

/// Where the daemon listens when nobody says otherwise and systemd passes no socket.
const DEFAULT_SOCKET: &str = "/run/layerd/layerd.sock";
/// Whoever can write to a socket can do what root can: mount images anywhere. So root and the group may, nobody else.
const SOCKET_MODE: u32 = 0o660;
/// The mode of the socket's folder, when it has to be made.
const FOLDER_MODE: u32 = 0o755;
/// How many clients may wait to be accepted. The kernel cuts it to its own limit.
const BACKLOG: i32 = 4096;

/// A socket that clients connect to. Dropping it closes it, and removes its file if this process made it.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: UnixListener,
    address: Address,
    file: Option<SocketFile>,
}

/// The file of a socket of our own.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ListenError {
    /// `fd://` was asked for, and nothing was passed.
    #[error("listen at `fd://`: no sockets were passed")]
    NothingPassed,
    /// What was passed is something else.
    #[error("listen at the passed socket {number}")]
    Passed { number: usize, source: io::Error },
    /// Somebody listens there.
    #[error("listen at `unix://{}`: another process listens there", .path.display())]
    InUse { path: PathBuf },
    /// There is something that must not be replaced.
    #[error("listen at `unix://{}`: there is a file that is no socket", .path.display())]
    NotASocket { path: PathBuf },
    /// The kernel takes no path of that length for a socket.
    #[error("listen at `unix://{}`: the path of a socket can't be that long", .path.display())]
    TooLong { path: PathBuf },
    /// The group doesn't exist.
    #[error("let group `{name}` use the socket: there is no such group")]
    NoGroup { name: String },
    /// The list of groups can't be read.
    #[error("look up group `{name}`")]
    Groups { name: String, source: io::Error },
    /// The kernel refused.
    #[error("listen at `unix://{}`: {action}", .path.display())]
    Io { path: PathBuf, action: &'static str, source: io::Error },
}

impl ListenError {
    pub(crate) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NothingPassed => "`fd://` is for services that a systemd socket unit starts".to_owned(),
            Self::InUse { .. } => "stop the other daemon, or give this one a `--listen` of its own".to_owned(),
            Self::NotASocket { path } => format!("move `{}` away, or listen elsewhere with `--listen`", path.display()),
            Self::TooLong { .. } => "107 bytes are the most that Linux takes".to_owned(),
            Self::NoGroup { name } => {
                format!("make it with `groupadd --system {name}`, or name another with `--group`")
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "layerd needs to run as root".to_owned()
            }
            Self::Passed { .. } | Self::Groups { .. } | Self::Io { .. } => return None,
        })
    }
}

/// Takes the sockets that were passed. There must be some if the addresses say so.
pub(crate) fn take(addresses: &[Address], passed: &mut ListenFd) -> Result<Vec<Socket>, ListenError> {
    let mut sockets = Vec::new();
    for number in 0..passed.len() {
        let failed = |source| ListenError::Passed { number, source };
        let Some(listener) = passed.take_unix_listener(number).map_err(failed)? else { continue };
        let address = match listener.local_addr().map_err(failed)?.as_pathname() {
            Some(path) => Address::Unix(path.to_owned()),
            None => Address::Passed,
        };
        sockets.push(Socket::new(listener, address, None).map_err(failed)?);
    }
    if sockets.is_empty() && addresses.contains(&Address::Passed) {
        return Err(ListenError::NothingPassed);
    }
    Ok(sockets)
}

/// Opens all sockets that are asked for besides those that were passed. If one can't be had, none is left behind.
pub(crate) fn open(addresses: &[Address], group: &Group, mut sockets: Vec<Socket>) -> Result<Vec<Socket>, ListenError> {
    let default = [Address::Unix(DEFAULT_SOCKET.into())];
    let addresses = if addresses.is_empty() && sockets.is_empty() { &default } else { addresses };
    for address in addresses {
        let Address::Unix(path) = address else { continue };
        // The one that systemd listens at for us is the one that the settings mean.
        if !sockets.iter().any(|socket| socket.address == *address) {
            sockets.push(bind(path, gid(group)?)?);
        }
    }
    Ok(sockets)
}

/// The group that a socket is given to, if any.
fn gid(group: &Group) -> Result<Option<u32>, ListenError> {
    let (name, must_be) = match group {
        Group::Named(name) => (name.as_str(), true),
        Group::Default(name) => (*name, false),
    };
    match group::number_of(name) {
        Ok(None) if must_be => Err(ListenError::NoGroup { name: name.to_owned() }),
        Ok(number) => Ok(number),
        Err(source) => Err(ListenError::Groups { name: name.to_owned(), source }),
    }
}

/// Makes a socket at `path`, in place of one that nobody listens at any more.
fn bind(path: &Path, gid: Option<u32>) -> Result<Socket, ListenError> {
    let failed = |action| move |source: io::Error| ListenError::Io { path: path.to_owned(), action, source };
    let folder = path.parent().unwrap_or(Path::new("/"));
    make_folder(folder).map_err(failed("make its folder"))?;
    // Whoever else starts at the same moment waits here, so that of two daemons each sees the other's socket either finished or not at all.
    let lock = fs::File::open(folder).map_err(failed("open its folder"))?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed("lock its folder")(error.into()))?;
    let name = SocketAddrUnix::new(path).map_err(|_| ListenError::TooLong { path: path.to_owned() })?;
    clear(path, &name)?;
    let socket = unconnected().map_err(failed("make a socket"))?;
    rustix::net::bind(&socket, &name).map_err(|error| failed("bind")(error.into()))?;
    let file = SocketFile::new(path).map_err(failed("find its file"))?;
    // Until `listen` the kernel refuses all who connect, so that nobody gets in before the mode is set.
    std::os::unix::fs::chown(path, None, gid).map_err(failed("give it to its group"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE)).map_err(failed("set its mode"))?;
    rustix::net::listen(&socket, BACKLOG).map_err(|error| failed("listen")(error.into()))?;
    Socket::new(socket.into(), Address::Unix(path.to_owned()), Some(file)).map_err(failed("set it up"))
}

/// Makes the folder and those above it, as far as they are missing, whatever the umask.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_folder(parent)?;
    }
    match fs::DirBuilder::new().mode(FOLDER_MODE).create(folder) {
        Ok(()) => fs::set_permissions(folder, fs::Permissions::from_mode(FOLDER_MODE)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes the socket of a daemon that is gone. One that answers stays, and so does anything else.
fn clear(path: &Path, name: &SocketAddrUnix) -> Result<(), ListenError> {
    let failed = |action| move |source: io::Error| ListenError::Io { path: path.to_owned(), action, source };
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {}
        Ok(_) => return Err(ListenError::NotASocket { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at what is there")(error)),
    }
    let probe = unconnected().map_err(failed("make a socket"))?;
    match rustix::net::connect(&probe, name) {
        Err(Errno::CONNREFUSED) => {
            tracing::info!(path = %path.display(), "replacing the socket of a daemon that is gone");
            fs::remove_file(path).map_err(failed("remove the old socket"))
        }
        Err(Errno::NOENT) => Ok(()),
        // Full of clients that wait, or of another type: somebody is there.
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE | Errno::INPROGRESS) => {
            Err(ListenError::InUse { path: path.to_owned() })
        }
        Err(error) => Err(failed("ask who is there")(error.into())),
    }
}

fn unconnected() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

impl Socket {
    fn new(listener: UnixListener, address: Address, file: Option<SocketFile>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { listener, address, file })
    }

    /// The parts: the listener, and the file that is removed when the second value is dropped.
    pub(crate) fn into_parts(self) -> (UnixListener, Option<SocketFile>) {
        (self.listener, self.file)
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody may have put another socket there; that one isn't ours to remove.
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == (self.device, self.inode));
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "could not remove the socket");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn one(path: &Path) -> Result<Socket, ListenError> {
        let address = Address::Unix(path.to_owned());
        open(&[address], &Group::Default("no such group"), Vec::new()).map(|mut sockets| sockets.remove(0))
    }

    #[test]
    fn a_socket_is_for_root_and_the_group_and_its_folder_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/layerd/x.sock");
        let gid = fs::metadata(folder.path()).unwrap().gid();
        let group = Group::Named(gid.to_string());
        let sockets = open(&[Address::Unix(path.clone())], &group, Vec::new()).unwrap();
        let metadata = fs::symlink_metadata(&path).unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.gid()), (0o660, gid));
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o7777, 0o755);
        UnixStream::connect(&path).unwrap();
        assert_eq!(sockets[0].to_string(), format!("unix://{}", path.display()));
        drop(sockets);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        // Dropping a listener of std leaves the file.
        drop(UnixListener::bind(&path).unwrap());
        let live = one(&path).unwrap();
        assert!(matches!(one(&path), Err(ListenError::InUse { .. })));
        UnixStream::connect(&path).expect("the first still listens");
        drop(live);
        assert!(!path.exists());
    }

    #[test]
    fn another_ones_socket_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        let ours = one(&path).unwrap();
        fs::rename(&path, folder.path().join("moved")).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        drop(ours);
        UnixStream::connect(&path).unwrap();
        drop(other);
    }

    #[test]
    fn what_is_no_socket_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(one(&path), Err(ListenError::NotASocket { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        let link = folder.path().join("link.sock");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(one(&link), Err(ListenError::NotASocket { .. })));
    }

    #[test]
    fn what_cannot_be_is_said() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(one(&folder.path().join("x".repeat(120))), Err(ListenError::TooLong { .. })));
        let group = Group::Named("no such group".into());
        let path = Address::Unix(folder.path().join("x.sock"));
        let error = open(&[path], &group, Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "let group `no such group` use the socket: there is no such group");
        let error = take(&[Address::Passed], &mut ListenFd::empty()).unwrap_err();
        assert!(matches!(error, ListenError::NothingPassed));
    }

    #[test]
    fn if_one_socket_fails_none_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let first = folder.path().join("first.sock");
        let second = folder.path().join("second.sock");
        fs::write(&second, "").unwrap();
        let addresses = [Address::Unix(first.clone()), Address::Unix(second)];
        open(&addresses, &Group::Default("none"), Vec::new()).unwrap_err();
        assert!(!first.exists());
    }
}
