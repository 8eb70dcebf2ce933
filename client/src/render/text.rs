//! Text from outside, made fit for a screen.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character would do something to the terminal, or to how the text around it is read.
pub(crate) fn is_unsafe(character: char) -> bool {
    character.is_control()
        // Marks, embeddings, overrides and isolates of direction, with which one name can be made to look like another.
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        // Line and paragraph separators.
        || matches!(character, '\u{2028}' | '\u{2029}')
}

/// Spells out every character that would do something to the terminal: `\n`, `\t`, `\u{1b}`.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_unsafe(character) {
            // Writing to a `String` can't fail.
            let _ok = match character {
                '\n' | '\r' | '\t' => write!(cleaned, "{}", character.escape_default()),
                _ => write!(cleaned, "{}", character.escape_unicode()),
            };
        } else {
            cleaned.push(character);
        }
    }
    Cow::Owned(cleaned)
}

/// The first `length` characters of `text`, the last of them an ellipsis if anything was cut off.
pub(crate) fn shorten(text: &str, length: usize) -> Cow<'_, str> {
    if text.chars().count() <= length {
        return Cow::Borrowed(text);
    }
    let kept: String = text.chars().take(length.saturating_sub(1)).collect();
    Cow::Owned(kept + "…")
}

/// An image's ID as it is shown in tables: 12 hex digits, without the algorithm.
pub(crate) fn short_id(id: &str) -> String {
    let hex = id.split_once(':').map_or(id, |(_, hex)| hex);
    hex.chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_spelled_out() {
        let cases = [
            ("plain é 漢 🦀", "plain é 漢 🦀"),
            ("a\u{1b}[31mred", "a\\u{1b}[31mred"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\u{9b}2J\u{7f}", "\\u{9b}2J\\u{7f}"),
            ("x\u{202e}gnp.exe", "x\\u{202e}gnp.exe"),
            ("a\u{2028}b\u{0}", "a\\u{2028}b\\u{0}"),
        ];
        for (text, cleaned) in cases {
            assert_eq!(clean(text), cleaned);
        }
    }

    #[test]
    fn long_text_ends_in_an_ellipsis() {
        assert_eq!(shorten("abc", 3), "abc");
        assert_eq!(shorten("abcd", 3), "ab…");
        assert_eq!(shorten("éééé", 3), "éé…");
    }

    #[test]
    fn ids_lose_their_algorithm() {
        assert_eq!(short_id("sha256:0cdb4c5716699f8e4c068f58b52bf3c4"), "0cdb4c571669");
        assert_eq!(short_id("<missing>"), "<missing>");
    }
}
