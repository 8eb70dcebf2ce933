//! Words, pairs and lists, as a Dockerfile writes them.

use std::iter::Peekable;
use std::str::Chars;

/// A list of texts in JSON; `None` for anything else.
pub(super) fn list(text: &str) -> Option<Vec<String>> {
    if text.starts_with('[') { serde_json::from_str(text).ok() } else { None }
}

/// Splits a text into words, at blanks outside of quotes. Quotes go, and so do backslashes in front of what they protect.
pub(super) fn words(text: &str) -> Result<Vec<String>, &'static str> {
    let mut chars = text.chars().peekable();
    let mut words = Vec::new();
    loop {
        while chars.next_if(|char| char.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(words);
        }
        words.push(word(&mut chars, |_| false)?);
    }
}

/// Reads `name=value name="other value"`, or the old form `name value`, whose value is the rest of the line.
pub(super) fn pairs(text: &str) -> Result<Vec<(String, String)>, &'static str> {
    if !text.split(char::is_whitespace).next().unwrap_or_default().contains(['=', '"', '\'']) {
        let (name, value) = text.split_once(char::is_whitespace).ok_or("it needs a name and a value")?;
        return Ok(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    let mut chars = text.chars().peekable();
    let mut pairs = Vec::new();
    loop {
        while chars.next_if(|char| char.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(pairs);
        }
        let name = word(&mut chars, |char| char == '=')?;
        if name.is_empty() {
            return Err("a name is empty");
        }
        if chars.next() != Some('=') {
            return Err("a name has no value: it should read `name=value`");
        }
        pairs.push((name, word(&mut chars, |_| false)?));
    }
}

/// Takes `--name=value` words off the front.
pub(super) fn split_options(text: &str) -> (Vec<(String, String)>, &str) {
    let (mut options, mut rest) = (Vec::new(), text.trim_start());
    while let Some(option) = rest.strip_prefix("--") {
        let (word, after) = option.split_once(char::is_whitespace).unwrap_or((option, ""));
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        options.push((name.to_owned(), value.to_owned()));
        rest = after.trim_start();
    }
    (options, rest)
}

/// Reads a word up to a blank or what ends it, which stays.
fn word(chars: &mut Peekable<Chars<'_>>, ends: impl Fn(char) -> bool) -> Result<String, &'static str> {
    let mut word = String::new();
    let mut quote = None;
    while let Some(&char) = chars.peek() {
        match (quote, char) {
            (None, char) if char.is_whitespace() || ends(char) => break,
            (None, '"' | '\'') => quote = Some(char),
            (Some(open), char) if open == char => quote = None,
            // Between single quotes a backslash is one.
            (None | Some('"'), '\\') => {
                chars.next();
                match chars.peek() {
                    // Between double quotes it protects these alone.
                    Some(&next) if quote.is_none() || matches!(next, '"' | '\\' | '$') => word.push(next),
                    Some(&next) => word.extend(['\\', next]),
                    None => return Err("it ends in a backslash"),
                }
            }
            (_, char) => word.push(char),
        }
        chars.next();
    }
    if quote.is_some() { Err("a quote is not closed") } else { Ok(word) }
}
