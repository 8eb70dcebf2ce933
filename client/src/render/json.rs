//! JSON of the daemon, laid out for people without a member being lost or moved.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::value::RawValue;

use super::text::is_unsafe;

/// One step of indentation, as docker's.
const STEP: &str = "    ";

/// Lays out `value` over several lines. Members stay as they are and where they are, unknown ones too; characters that would steer a
/// terminal are escaped, which changes nothing for a program.
pub(crate) fn pretty(value: &RawValue) -> String {
    let mut out = String::with_capacity(value.get().len() * 2);
    append(&mut out, value.get(), 0);
    out
}

/// Lays out several values as one array.
pub(crate) fn pretty_array<'a>(values: impl IntoIterator<Item = &'a RawValue>) -> String {
    let mut out = String::from("[");
    for (number, value) in values.into_iter().enumerate() {
        out.push_str(if number == 0 { "\n" } else { ",\n" });
        out.push_str(STEP);
        append(&mut out, value.get(), 1);
    }
    if out.len() > 1 {
        out.push('\n');
    }
    out.push(']');
    out
}

/// Writes `value` in one line.
pub(crate) fn line(value: &impl Serialize) -> String {
    // Our own rows are texts by name, which can always be written.
    let json = serde_json::to_string(value).unwrap_or_default();
    let mut out = String::with_capacity(json.len());
    json.chars().for_each(|character| push_safely(&mut out, character));
    out
}

/// Appends `json`, which is known to be valid, laid out `depth` steps deep.
fn append(out: &mut String, json: &str, mut depth: usize) {
    let mut in_text = false;
    let mut escaped = false;
    let mut rest = json.chars().peekable();
    while let Some(character) = rest.next() {
        if in_text {
            push_safely(out, character);
            in_text = escaped || character != '"';
            escaped = !escaped && character == '\\';
            continue;
        }
        match character {
            // Blanks between tokens are ours to choose.
            ' ' | '\t' | '\r' | '\n' => {}
            '"' => {
                in_text = true;
                out.push('"');
            }
            '{' | '[' => {
                out.push(character);
                while rest.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(close) = rest.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    new_line(out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(out, depth);
                out.push(character);
            }
            ',' => {
                out.push(',');
                new_line(out, depth);
            }
            ':' => out.push_str(": "),
            _ => out.push(character),
        }
    }
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    for _ in 0..depth {
        out.push_str(STEP);
    }
}

fn push_safely(out: &mut String, character: char) {
    if is_unsafe(character) {
        // None of them lies beyond the four digits that such an escape has. Writing to a `String` can't fail.
        let _ok = write!(out, "\\u{:04x}", u32::from(character));
    } else {
        out.push(character);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn laid_out(json: &str) -> String {
        pretty(&RawValue::from_string(json.into()).unwrap())
    }

    #[test]
    fn members_keep_their_order() {
        let json = r#"{"b":[1,{"x":null}],"a":{},"l":[ ],"t":"a:\"{,}\" \\","n":-1.5e3,"z":true}"#;
        insta::assert_snapshot!(laid_out(json), @r#"
        {
            "b": [
                1,
                {
                    "x": null
                }
            ],
            "a": {},
            "l": [],
            "t": "a:\"{,}\" \\",
            "n": -1.5e3,
            "z": true
        }
        "#);
    }

    #[test]
    fn laying_out_changes_nothing() {
        let cases = [
            r#""""#,
            "0",
            "[[[]],{}]",
            r#"{ "a" : [ 1 , 2 ] , "\\" : "\\\"" , "\u001b" : "\u202e" }"#,
            "\"\u{9b}2J \u{7f} é\u{2028}\"",
        ];
        for json in cases {
            let before: Value = serde_json::from_str(json).unwrap();
            let laid_out = laid_out(json);
            assert_eq!(serde_json::from_str::<Value>(&laid_out).unwrap(), before, "{laid_out}");
            assert!(!laid_out.contains(|c| is_unsafe(c) && c != '\n'), "{laid_out:?}");
        }
    }

    #[test]
    fn several_values_are_one_array() {
        let one = RawValue::from_string(r#"{"a":1}"#.into()).unwrap();
        let none: [&RawValue; 0] = [];
        assert_eq!(pretty_array(none), "[]");
        insta::assert_snapshot!(pretty_array([&*one, &*one]), @r#"
        [
            {
                "a": 1
            },
            {
                "a": 1
            }
        ]
        "#);
    }
}
