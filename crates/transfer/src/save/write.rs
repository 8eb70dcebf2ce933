//! The archive, written in the order in which dockerd writes it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};

use bytes::Bytes;
use layer_archive::{INDEX_FILE, LAYOUT, LAYOUT_FILE, MANIFEST_FILE, Writer, blob_name};
use layer_digest::{BlobId, Digest, Verifier};
use tokio::sync::mpsc;

use super::SavePlan;

/// How large the pieces are that the archive is sent in.
const PIECE: usize = 128 << 10;

/// Blobs and the layout's mark never change; the tables are an archive's own.
const READ_ONLY: u32 = 0o444;
const WRITABLE: u32 = 0o644;

/// Writes an archive to its end.
pub(super) fn write(plan: &SavePlan, out: impl Write) -> io::Result<()> {
    let mut archive = Writer::new(out);
    let algorithms: BTreeSet<&str> = plan.blobs.keys().map(|digest| digest.algorithm().name()).collect();
    if !algorithms.is_empty() {
        archive.folder("blobs")?;
    }
    for algorithm in algorithms {
        archive.folder(&format!("blobs/{algorithm}"))?;
    }
    for (digest, size) in &plan.blobs {
        blob(plan, *digest, *size, &mut archive)?;
    }
    table(&mut archive, INDEX_FILE, WRITABLE, &plan.layout.to_json()?)?;
    if !plan.docker.images.is_empty() {
        table(&mut archive, MANIFEST_FILE, WRITABLE, &plan.docker.to_json()?)?;
    }
    table(&mut archive, LAYOUT_FILE, READ_ONLY, LAYOUT)?;
    archive.finish().map(drop)
}

fn table(archive: &mut Writer<impl Write>, name: &str, mode: u32, mut bytes: &[u8]) -> io::Result<()> {
    archive.file(name, mode, bytes.len() as u64, &mut bytes)
}

/// Writes a blob, and proves it on the way: one that has gone bad on the disk ends the archive.
fn blob(plan: &SavePlan, digest: Digest, size: u64, archive: &mut Writer<impl Write>) -> io::Result<()> {
    let file = plan.store.open_blob(BlobId(digest)).map_err(io::Error::other)?;
    let mut proven = Proven { file, verifier: Verifier::new(BlobId(digest), Some(size)) };
    archive.file(&blob_name(digest), READ_ONLY, size, &mut proven)?;
    proven.verifier.finish().map(drop).map_err(io::Error::other)
}

/// A file whose bytes are proven as they are read.
struct Proven {
    file: File,
    verifier: Verifier<BlobId>,
}

impl Read for Proven {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read(buf)?;
        self.verifier.update(&buf[..len]).map_err(io::Error::other)?;
        Ok(len)
    }
}

/// Sends what is written, in pieces.
pub(super) struct Pieces {
    sender: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Pieces {
    pub(super) fn new(sender: mpsc::Sender<io::Result<Bytes>>) -> Self {
        Self { sender, piece: Vec::with_capacity(PIECE) }
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..len]);
        if self.piece.len() == PIECE {
            self.flush()?;
        }
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.sender.blocking_send(Ok(piece.into())).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}
