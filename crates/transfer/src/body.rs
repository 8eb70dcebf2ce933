//! A body on its way to a blocking thread: that of a request, or of what is fetched.

use std::error::Error;
use std::io::{self, BufRead, Read};

use bytes::{Buf as _, Bytes};
use futures_util::stream::{Stream, StreamExt as _};
use tokio::sync::mpsc;

/// How many pieces of the body may wait for the thread.
const WAITING: usize = 8;

/// What comes of a body.
enum Piece {
    Bytes(Bytes),
    /// Why nothing comes any more.
    Failed(io::Error),
    /// It has ended as it should: a body that breaks off has no such piece.
    End,
}

/// The sending side.
pub(crate) struct BodySender(mpsc::Sender<Piece>);

/// The receiving side: reads like a file, on a thread that may wait.
pub(crate) struct BodyReader {
    pieces: mpsc::Receiver<Piece>,
    chunk: Bytes,
    ended: bool,
}

/// A channel for one body.
pub(crate) fn channel() -> (BodySender, BodyReader) {
    let (sender, pieces) = mpsc::channel(WAITING);
    (BodySender(sender), BodyReader { pieces, chunk: Bytes::new(), ended: false })
}

impl BodySender {
    /// Sends the body of a request to its end. When the reader has gone, what still comes is thrown away: to whoever is told "no" while still
    /// sending, the connection breaks before he hears it.
    pub(crate) async fn send<E>(self, body: impl Stream<Item = Result<Bytes, E>>) {
        tokio::pin!(body);
        while let Some(piece) = body.next().await {
            // Broken off; that the end is never sent tells the reader.
            let Ok(bytes) = piece else { return };
            let _ = self.0.send(Piece::Bytes(bytes)).await;
        }
        let _ = self.0.send(Piece::End).await;
    }

    /// Sends what this side fetches, until it ends or fails, or nobody reads it any more. The reader fails with what the body failed with.
    pub(crate) async fn send_fetched<E>(self, body: impl Stream<Item = Result<Bytes, E>>)
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        tokio::pin!(body);
        while let Some(piece) = body.next().await {
            let (piece, is_last) = match piece {
                Ok(bytes) => (Piece::Bytes(bytes), false),
                Err(error) => (Piece::Failed(io::Error::other(error)), true),
            };
            if self.0.send(piece).await.is_err() || is_last {
                return;
            }
        }
        let _ = self.0.send(Piece::End).await;
    }
}

impl Read for BodyReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let len = bytes.len().min(buf.len());
        buf[..len].copy_from_slice(&bytes[..len]);
        self.consume(len);
        Ok(len)
    }
}

impl BufRead for BodyReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.chunk.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(Piece::Bytes(bytes)) => self.chunk = bytes,
                Some(Piece::Failed(error)) => return Err(error),
                Some(Piece::End) => self.ended = true,
                None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the body of the request broke off")),
            }
        }
        Ok(&self.chunk)
    }

    fn consume(&mut self, amount: usize) {
        self.chunk.advance(amount);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn only_a_body_that_ends_as_it_should_has_an_end() {
        for (pieces, whole) in
            [(vec![Ok("ab"), Ok(""), Ok("c")], Some("abc")), (vec![Ok("ab"), Err(())], None), (vec![], Some(""))]
        {
            let (sender, mut reader) = channel();
            let read = tokio::task::spawn_blocking(move || {
                let mut text = String::new();
                reader.read_to_string(&mut text).map(|_| text)
            });
            sender.send(stream::iter(pieces).map(|piece| piece.map(Bytes::from))).await;
            assert_eq!(read.await.unwrap().ok().as_deref(), whole);
        }
    }

    #[tokio::test]
    async fn what_is_fetched_fails_in_its_own_words_and_ends_when_nobody_reads() {
        let (sender, mut reader) = channel();
        let read = tokio::task::spawn_blocking(move || reader.read_to_end(&mut Vec::new()));
        sender.send_fetched(stream::iter([Ok(Bytes::from("ab")), Err("it rains")])).await;
        assert_eq!(read.await.unwrap().unwrap_err().to_string(), "it rains");
        let (sender, reader) = channel();
        drop(reader);
        sender.send_fetched(stream::repeat_with(|| Ok::<_, io::Error>(Bytes::from("x")))).await;
    }

    #[tokio::test]
    async fn a_body_is_sent_to_its_end_though_nobody_reads_it() {
        let (sender, reader) = channel();
        drop(reader);
        sender.send(stream::iter((0..1000).map(|_| Ok::<_, ()>(Bytes::from_static(b"x"))))).await;
    }
}
