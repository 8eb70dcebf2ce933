//! Questions to the one who sits at the terminal.

use std::io::{self, IsTerminal as _, Read as _, Write as _};

use layer_proto::Secret;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::error::Error;

/// The longest password that is taken from standard input. The longest tokens have some thousand bytes.
const MAX_PASSWORD: u64 = 64 << 10;

/// Whether somebody is there who can be asked, and sees the question.
pub(crate) fn is_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a line, and waits for it. `None` when nothing was typed.
pub(crate) async fn line(prompt: &'static str) -> Result<Option<String>, Error> {
    let typed = blocking(move || {
        let mut stderr = io::stderr().lock();
        stderr.write_all(prompt.as_bytes())?;
        stderr.flush()?;
        drop(stderr);
        let mut line = String::new();
        io::stdin().read_line(&mut line)?;
        Ok(line)
    });
    let typed = typed.await?;
    let typed = typed.trim_end_matches(['\r', '\n']);
    Ok((!typed.is_empty()).then(|| typed.to_owned()))
}

/// Asks for a line that the terminal doesn't show.
///
/// The terminal shows again what is typed when the future ends, also when it is dropped.
pub(crate) async fn secret(prompt: &'static str) -> Result<Option<Secret>, Error> {
    let _hidden = Hidden::new().map_err(Error::Ask)?;
    Ok(line(prompt).await?.map(Secret::new))
}

/// Takes a secret from standard input, to its end; a line end behind it is none of it.
pub(crate) async fn secret_from_input() -> Result<Secret, Error> {
    let text = blocking(|| {
        let mut text = String::new();
        io::stdin().lock().take(MAX_PASSWORD + 1).read_to_string(&mut text)?;
        if text.len() as u64 > MAX_PASSWORD {
            return Err(io::Error::other(format!("it has more than {MAX_PASSWORD} bytes")));
        }
        Ok(text)
    });
    let text = text.await?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Secret::new(line.strip_suffix('\r').unwrap_or(line)))
}

/// Waits for input on a thread that may wait for ever, so that ^C is heard meanwhile.
async fn blocking<T: Send + 'static>(read: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, Error> {
    let read = tokio::task::spawn_blocking(read).await.map_err(io::Error::from);
    read.and_then(|read| read).map_err(Error::Ask)
}

/// Keeps the terminal from showing what is typed, for as long as it lives.
struct Hidden {
    before: Termios,
}

impl Hidden {
    fn new() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        // The end of the line is seen, or the next words would stand beside the prompt.
        hidden.local_modes.insert(LocalModes::ECHONL);
        // What was typed ahead is not thrown away.
        tcsetattr(io::stdin(), OptionalActions::Now, &hidden)?;
        Ok(Self { before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // A terminal that is gone shows nothing anyway.
        let _shown = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}
