//! Between blocking streams and the asynchronous codecs.

use std::io::{self, BufRead};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

/// A blocking source in asynchronous dress. It blocks in `poll`, and so is never pending.
pub(crate) struct Blocking<R>(pub(crate) R);

impl<R: BufRead + Unpin> AsyncRead for Blocking<R> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let len = self.0.read(buf.initialize_unfilled())?;
        buf.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl<R: BufRead + Unpin> AsyncBufRead for Blocking<R> {
    fn poll_fill_buf(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        Poll::Ready(self.get_mut().0.fill_buf())
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        self.0.consume(amount);
    }
}

/// Reads from a codec over a [`Blocking`] source.
pub(crate) fn read(codec: &mut (impl AsyncRead + Unpin), buf: &mut [u8]) -> io::Result<usize> {
    let mut buf = ReadBuf::new(buf);
    match Pin::new(codec).poll_read(&mut Context::from_waker(Waker::noop()), &mut buf) {
        Poll::Ready(result) => result.map(|()| buf.filled().len()),
        Poll::Pending => Err(io::Error::other("the decompressor waits, though its input never does")),
    }
}
