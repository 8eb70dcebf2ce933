//! Files on their way into requests.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc;

use crate::connection::RequestBody;
use crate::error::Error;

/// How much is read at a time, and how many pieces may wait to be sent.
const PIECE: usize = 128 << 10;
const WAITING: usize = 4;

/// The file at `path`, or standard input, as the body of a request. It is read as it is sent.
///
/// # Errors
/// When it can't be opened, or standard input is a terminal.
pub(crate) fn body(path: Option<&Path>) -> Result<RequestBody, Error> {
    let source: Box<dyn Read + Send> = match path {
        Some(path) => {
            let failed = |source| Error::File { verb: "open", path: path.to_owned(), source };
            Box::new(File::open(path).map_err(failed)?)
        }
        None if io::stdin().is_terminal() => return Err(Error::Terminal { reads: true }),
        None => Box::new(io::stdin()),
    };
    let (sender, pieces) = mpsc::channel(WAITING);
    // A thread of its own: reading standard input may take for ever, and must keep nobody from ending.
    std::thread::spawn(move || send(source, &sender));
    Ok(Upload(pieces).boxed_unsync())
}

/// Reads to the end, or until nobody takes it any more.
fn send(mut source: impl Read, sender: &mpsc::Sender<io::Result<Bytes>>) {
    let mut buffer = vec![0; PIECE];
    loop {
        let piece = match source.read(&mut buffer) {
            Ok(0) => return,
            Ok(len) => Ok(Bytes::copy_from_slice(&buffer[..len])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let failed = piece.is_err();
        if sender.blocking_send(piece).is_err() || failed {
            return;
        }
    }
}

/// A body that somebody else reads.
struct Upload(mpsc::Receiver<io::Result<Bytes>>);

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}
