//! Small files that other threads make.
//!
//! A file whose name nothing in the layer has had so far can be made at any time before the next entry that has to do with the name. So it is
//! put aside, content and all, and a batch of such files goes to a thread of its own. Before something is done at a name that was used before,
//! or follows a path or a link that may lead to one, all that was put aside is waited for: whoever looks at the folder then sees what the order
//! of the tar has left there.

use std::collections::HashSet;
use std::ffi::CString;
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use layer_fs::Dir;
use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::folder::times;
use super::tree::Place;
use crate::UnpackError;
use crate::manifest::{Content, Contents};
use crate::tar::{Entry, Time};
use crate::writers::Writers;

/// The largest file that is put aside. Larger ones go to the disk straight from the buffer that they came in.
pub(super) const SMALL: u64 = 64 << 10;

/// When a batch is full, whatever number of files it has.
const BATCH_BYTES: usize = 128 << 10;
/// Each of its folders is kept open.
const BATCH_FOLDERS: usize = 8;

/// How many names are remembered, in some 5 MiB, or twice that while there is more room made for them. The files of a layer with more are made one
/// after the other from there on.
const MAX_NAMES: usize = 400_000;

/// The bits of a mode that the kernel clears when the owner changes.
pub(super) const SET_ID_BITS: u32 = 0o6000;

/// What this process gives to whatever it makes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Maker {
    /// The bits that the kernel takes away from the mode.
    pub(super) umask: u32,
    /// Whose it is.
    pub(super) owner: (u32, u32),
}

/// What a file is to have beside content and attributes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dress {
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: Time,
}

impl Dress {
    pub(super) fn of(entry: &Entry) -> Self {
        Self { mode: entry.mode, uid: entry.uid, gid: entry.gid, mtime: entry.mtime }
    }
}

impl Maker {
    /// Makes a file where nothing is.
    pub(super) fn create(dir: impl AsFd, name: &CString, dress: Dress) -> Result<File, Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(dress.mode & !SET_ID_BITS)).map(File::from)
    }

    /// Gives a file that was made just now its owner, and then the mode that the kernel has not given it.
    pub(super) fn own(self, file: &File, dress: Dress, path: &[u8]) -> Result<(), UnpackError> {
        if (dress.uid, dress.gid) != self.owner {
            let (uid, gid) = (Uid::from_raw(dress.uid), Gid::from_raw(dress.gid));
            rustix::fs::fchown(file, Some(uid), Some(gid)).map_err(UnpackError::write("set the owner of", path))?;
        }
        if dress.mode & (SET_ID_BITS | self.umask) != 0 {
            rustix::fs::fchmod(file, Mode::from_raw_mode(dress.mode))
                .map_err(UnpackError::write("set the mode of", path))?;
        }
        Ok(())
    }

    /// Gives a file its time, which must be the last thing that it gets.
    pub(super) fn date(file: &File, dress: Dress, path: &[u8]) -> Result<(), UnpackError> {
        rustix::fs::futimens(file, &times(dress.mtime)).map_err(UnpackError::write("set the time of", path))
    }
}

/// A file of a batch. Its content lies in the batch, behind that of the one before.
#[derive(Debug)]
struct Small {
    dir: Arc<Dir>,
    name: CString,
    /// What the tar calls it.
    path: Vec<u8>,
    dress: Dress,
    len: usize,
}

/// Files on their way to the disk.
#[derive(Debug, Default)]
struct Batch {
    files: Vec<Small>,
    bytes: Vec<u8>,
    folders: usize,
}

/// What has become of a batch: its buffers, and the digests of its files by inode. `None` if it is lost.
type Made = Option<Result<(Batch, Vec<(u64, Content)>), UnpackError>>;

impl Batch {
    /// Makes the files.
    fn make(mut self, maker: Maker) -> Result<(Self, Vec<(u64, Content)>), UnpackError> {
        let mut made = Vec::with_capacity(self.files.len());
        let mut rest = self.bytes.as_slice();
        for file in self.files.drain(..) {
            let (bytes, others) = rest.split_at_checked(file.len).unwrap_or((rest, &[]));
            rest = others;
            made.push(file.make(bytes, maker)?);
        }
        self.bytes.clear();
        self.folders = 0;
        Ok((self, made))
    }

    fn is_full(&self, files: usize) -> bool {
        self.files.len() >= files || self.bytes.len() >= BATCH_BYTES || self.folders >= BATCH_FOLDERS
    }
}

impl Small {
    fn make(&self, bytes: &[u8], maker: Maker) -> Result<(u64, Content), UnpackError> {
        let file = Maker::create(&self.dir, &self.name, self.dress)
            .map_err(UnpackError::write("make the file", &self.path))?;
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match rustix::io::pwrite(&file, rest, written as u64) {
                Ok(0) => return Err(UnpackError::write("write", &self.path)(ErrorKind::WriteZero)),
                Ok(more) => written += more,
                Err(Errno::INTR) => {}
                Err(error) => return Err(UnpackError::write("write", &self.path)(error)),
            }
        }
        let stat = rustix::fs::fstat(&file).map_err(UnpackError::write("look up", &self.path))?;
        maker.own(&file, self.dress, &self.path)?;
        Maker::date(&file, self.dress, &self.path)?;
        Ok((stat.st_ino, Content::of(bytes)))
    }
}

/// Tells what has become of a batch, whatever becomes of the thread.
struct Reply(Option<Sender<Made>>);

impl Reply {
    fn tell(mut self, made: Made) {
        if let Some(sender) = self.0.take() {
            // It is waited for: nobody leaves before.
            let _ = sender.send(made);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(sender) = self.0.take() {
            let _ = sender.send(None);
        }
    }
}

/// What of a layer is put aside.
#[derive(Debug)]
pub(super) struct Aside<'a> {
    writers: &'a Writers,
    maker: Maker,
    pub(super) contents: &'a mut Contents,
    /// Hashes of the paths of all that was made; `None` once they are too many.
    names: Option<HashSet<u64>>,
    hasher: RandomState,
    batch: Batch,
    spare: Vec<Batch>,
    under_way: usize,
    reply: Sender<Made>,
    replies: Receiver<Made>,
}

impl<'a> Aside<'a> {
    pub(super) fn new(writers: &'a Writers, maker: Maker, contents: &'a mut Contents) -> Self {
        let (reply, replies) = channel();
        Self {
            writers,
            maker,
            contents,
            names: Some(HashSet::new()),
            hasher: RandomState::new(),
            batch: Batch::default(),
            spare: Vec::new(),
            under_way: 0,
            reply,
            replies,
        }
    }

    /// Takes down that something is made at a real path. Says whether it is certain that nothing was there before.
    pub(super) fn is_new(&mut self, path: &[u8]) -> bool {
        let Some(names) = &mut self.names else { return false };
        if names.len() >= MAX_NAMES {
            self.names = None;
            return false;
        }
        names.insert(self.hasher.hash_one(path))
    }

    /// Whether something is put aside, or being made elsewhere.
    pub(super) fn is_busy(&self) -> bool {
        self.under_way > 0 || !self.batch.files.is_empty()
    }

    /// Whether it makes sense to put a file aside now.
    pub(super) fn has_room(&self) -> bool {
        !self.batch.files.is_empty() || self.writers.have_room()
    }

    /// Puts a file aside. Its content follows in pieces, by [`Self::append`].
    pub(super) fn put(&mut self, place: Place, entry: &Entry, len: usize) {
        let dir = Arc::clone(&place.folder.dir);
        let batch = &mut self.batch;
        batch.folders += usize::from(batch.files.last().is_none_or(|last| !Arc::ptr_eq(&last.dir, &dir)));
        batch.bytes.reserve(len);
        let (name, path) = (place.name, entry.path.clone());
        batch.files.push(Small { dir, name, path, dress: Dress::of(entry), len });
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.batch.bytes.extend_from_slice(bytes);
    }

    /// Hands over what was put aside, if that is enough for a thread.
    ///
    /// # Errors
    ///
    /// When a file could not be made, this one or one put aside before.
    pub(super) fn pass_on(&mut self) -> Result<(), UnpackError> {
        if !self.batch.is_full(self.writers.batch()) {
            return Ok(());
        }
        while let Ok(made) = self.replies.try_recv() {
            self.take(made)?;
        }
        let batch = std::mem::replace(&mut self.batch, self.spare.pop().unwrap_or_default());
        let (maker, reply) = (self.maker, Reply(Some(self.reply.clone())));
        self.under_way += 1;
        let task = Box::new(move || reply.tell(Some(batch.make(maker))));
        // They may have got enough to do meanwhile: then it is done here.
        self.writers.offer(task).unwrap_or_else(|task| task());
        Ok(())
    }

    /// Waits until nothing is put aside any more.
    ///
    /// # Errors
    ///
    /// When a file could not be made.
    pub(super) fn catch_up(&mut self) -> Result<(), UnpackError> {
        if !self.batch.files.is_empty() {
            let made = std::mem::take(&mut self.batch).make(self.maker);
            self.keep(made)?;
        }
        while self.under_way > 0 {
            // This side has a sender, too: there is always something to come.
            let Ok(made) = self.replies.recv() else { break };
            self.take(made)?;
        }
        Ok(())
    }

    fn take(&mut self, made: Made) -> Result<(), UnpackError> {
        self.under_way -= 1;
        let lost = || UnpackError::write("make files for", b"/")(std::io::Error::other("the thread has panicked"));
        self.keep(made.unwrap_or_else(|| Err(lost())))
    }

    fn keep(&mut self, made: Result<(Batch, Vec<(u64, Content)>), UnpackError>) -> Result<(), UnpackError> {
        let (batch, made) = made?;
        made.into_iter().for_each(|(inode, content)| self.contents.add(inode, content));
        self.spare.push(batch);
        Ok(())
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        // The folder is cleared after an error, and nothing may come into it then.
        while self.under_way > 0 && self.replies.recv().is_ok() {
            self.under_way -= 1;
        }
    }
}
