//! From the chunks of a body back to lines: of progress, or of anything else that is told line by line.

use std::fmt;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use super::ProgressLine;

/// The longest line that is read, in bytes. Real lines have some hundred; an error may quote what a registry said.
pub const MAX_LINE: usize = 1 << 20;

/// How much of a line that can't be read is kept for the message about it, in characters.
const SHOWN: usize = 120;

/// Cuts a body into lines as its chunks come in.
///
/// Lines may end with `\n` or `\r\n`, and several objects may share one; empty lines are passed over. Bytes that are no UTF-8 are replaced
/// before parsing.
#[derive(Debug)]
pub struct LineReader<T = ProgressLine> {
    /// Bytes that came in and were not handed out yet.
    buffer: Vec<u8>,
    /// Where the next object begins in `buffer`.
    start: usize,
    /// Up to where `buffer` was searched for a line end.
    searched: usize,
    /// Whether the body has ended.
    finished: bool,
    lines: PhantomData<fn() -> T>,
}

/// A line that is none of those that were expected.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadLine {
    /// It is no JSON object, or one with members of other types.
    Unreadable {
        /// How the line begins.
        text: String,
        /// What the parser says.
        reason: String,
    },
    /// It has more than [`MAX_LINE`] bytes without an end.
    TooLong,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { text, reason } => write!(f, "read line `{text}`: {reason}"),
            Self::TooLong => write!(f, "read line: it has more than {MAX_LINE} bytes"),
        }
    }
}

impl std::error::Error for BadLine {}

impl<T> Default for LineReader<T> {
    fn default() -> Self {
        Self { buffer: Vec::new(), start: 0, searched: 0, finished: false, lines: PhantomData }
    }
}

impl<T: DeserializeOwned> LineReader<T> {
    /// A reader at the beginning of a body.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the next chunk, cut anywhere.
    pub fn push(&mut self, chunk: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.searched = self.searched.saturating_sub(self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(chunk);
    }

    /// Says that the body has ended: what is left counts as a line even without an end.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// Whether bytes are left that made no whole line. After a body was cut off this tells a clean break from one inside a line.
    pub fn has_rest(&self) -> bool {
        !self.buffer[self.start..].trim_ascii().is_empty()
    }

    /// The next line; `None` when more chunks are needed, or after [`Self::finish`] when there are no more.
    pub fn next_line(&mut self) -> Option<Result<T, BadLine>> {
        loop {
            let end = match self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                Some(at) => self.searched + at,
                None if self.buffer.len() - self.start > MAX_LINE => {
                    self.clear();
                    return Some(Err(BadLine::TooLong));
                }
                None if self.finished => self.buffer.len(),
                None => {
                    self.searched = self.buffer.len();
                    return None;
                }
            };
            let line = &self.buffer[self.start..end];
            if line.trim_ascii().is_empty() {
                if end == self.buffer.len() {
                    self.clear();
                    return None;
                }
                self.start = end + 1;
                self.searched = self.start;
                continue;
            }
            let text = String::from_utf8_lossy(line);
            let mut objects = serde_json::Deserializer::from_str(&text).into_iter::<T>();
            let parsed = objects.next()?;
            // After replacement the offsets in the text are not those in the buffer: then the whole line goes.
            let used = if matches!(text, std::borrow::Cow::Borrowed(_)) { objects.byte_offset() } else { line.len() };
            let result = parsed.map_err(|error| BadLine::Unreadable {
                text: text.trim().chars().take(SHOWN).collect(),
                reason: error.to_string(),
            });
            // What follows an unreadable object on its line can't be trusted to begin where it seems to.
            self.start = if result.is_ok() { self.start + used } else { end };
            self.searched = end;
            return Some(result);
        }
    }

    fn clear(&mut self) {
        self.buffer.clear();
        self.start = 0;
        self.searched = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LayerStatus;

    fn statuses(reader: &mut LineReader) -> Vec<String> {
        std::iter::from_fn(|| reader.next_line())
            .map(|line| match line {
                Ok(line) => line.status.unwrap_or_default(),
                Err(error) => format!("!{error}"),
            })
            .collect()
    }

    #[test]
    fn any_cut_into_chunks_gives_the_same_lines() {
        let lines = [
            ProgressLine::pulling("library/é", "latest"),
            ProgressLine::layer_progress("aa", LayerStatus::Downloading, 5, 10),
            ProgressLine::done("é:latest", true),
        ];
        let bytes: Vec<u8> = lines.iter().flat_map(ProgressLine::to_bytes).collect();
        for size in 1..bytes.len() {
            let mut reader = LineReader::<ProgressLine>::new();
            let mut read = Vec::new();
            for chunk in bytes.chunks(size) {
                reader.push(chunk);
                while let Some(line) = reader.next_line() {
                    read.push(line.unwrap());
                }
            }
            assert!(!reader.has_rest());
            assert_eq!(read, lines, "chunks of {size}");
        }
    }

    #[test]
    fn ends_of_lines_may_be_missing_or_many() {
        let mut reader = LineReader::<ProgressLine>::new();
        reader.push(b"\r\n\n  {\"status\":\"a\"}{\"status\":\"b\"} \r\n\r\n{\"status\":\"c\"}\n{\"status\":\"d\"}");
        assert_eq!(statuses(&mut reader), ["a", "b", "c"]);
        assert!(reader.has_rest());
        reader.finish();
        assert_eq!(statuses(&mut reader), ["d"]);
        assert!(!reader.has_rest());
        assert_eq!(reader.next_line(), None);
    }

    #[test]
    fn a_line_that_is_no_json_does_not_spoil_the_next() {
        let mut reader = LineReader::<ProgressLine>::new();
        reader.push(b"gateway timeout\n{\"status\":\"a\"} trash\n{\"status\":\"b\"}\n[1]\n{\"status\":\"c\"}\n");
        let read = statuses(&mut reader);
        assert_eq!(read.len(), 6, "{read:?}");
        assert!(read[0].starts_with("!read line `gateway timeout`: "));
        assert_eq!([&read[1], &read[3], &read[5]], ["a", "b", "c"]);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        let mut reader = LineReader::<ProgressLine>::new();
        reader.push(b"{\"status\":\"\xff\xfeok\"}\r\n{\"status\":\"next\"}\r\n");
        assert_eq!(statuses(&mut reader), ["\u{fffd}\u{fffd}ok", "next"]);
    }

    #[test]
    fn a_line_without_end_is_given_up() {
        let mut reader = LineReader::<ProgressLine>::new();
        let chunk = vec![b'x'; 64 << 10];
        let failed = (0..).find_map(|_| {
            reader.push(&chunk);
            reader.next_line()
        });
        assert_eq!(failed, Some(Err(BadLine::TooLong)));
        assert!(reader.buffer.capacity() <= 4 * MAX_LINE);
    }

    #[test]
    fn half_a_line_at_the_end_is_an_error() {
        let mut reader = LineReader::<ProgressLine>::new();
        reader.push(b"{\"status\":\"a\"}\r\n{\"stat");
        assert_eq!(statuses(&mut reader), ["a"]);
        reader.finish();
        assert!(matches!(reader.next_line(), Some(Err(BadLine::Unreadable { .. }))));
        assert_eq!(reader.next_line(), None);
    }
}
