//! The two streams: standard output for data, standard error for talk.
//!
//! The macros that print panic when their reader has gone away, so nothing else in the program writes to either.

use std::io::{self, Write as _};

use crate::error::Error;

/// Writes `text` and a line end to standard output, and sees to it that it is gone out.
///
/// # Errors
/// [`Error::ReaderGone`] when nobody reads it any more: the command should end, quietly.
pub(crate) fn data(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Error::ReaderGone,
        _ => Error::Output(error),
    })
}

/// Writes what an action has done, as [`data`] does. The action is worth going on with when nobody reads about it any more.
pub(crate) fn outcome(text: &str) -> Result<(), Error> {
    match data(text) {
        Err(Error::ReaderGone) => Ok(()),
        written => written,
    }
}

/// Writes `text` and a line end to standard error. Nobody can be told when that fails.
pub(crate) fn talk(text: &str) {
    let mut out = io::stderr().lock();
    let _told = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n"));
}
