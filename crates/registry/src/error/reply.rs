//! The registry's own words about why it refused.

use serde::Deserialize;

/// The most characters of a registry's words that are shown; the rest is for nobody's terminal.
const MAX_WORDS: usize = 400;

/// What a registry wrote into an answer that is no success.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The code of the first error, such as `MANIFEST_UNKNOWN`.
    pub code: Option<String>,
    /// Its message for people, on one line and without control characters.
    pub message: Option<String>,
}

/// The forms of error bodies that registries, token servers and proxies send.
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    errors: Vec<Entry>,
    /// Docker Hub's token server.
    details: Option<serde_json::Value>,
    message: Option<serde_json::Value>,
    /// OAuth2: RFC 6749, section 5.2.
    error: Option<serde_json::Value>,
    error_description: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Entry {
    code: Option<serde_json::Value>,
    message: Option<serde_json::Value>,
    /// Some servers put the only useful words here; others an object for machines.
    detail: Option<serde_json::Value>,
}

impl Reply {
    /// Reads the body of a refusal. A body in no known form is no reply: pages in HTML tell people nothing on a terminal.
    ///
    /// Spec: OCI distribution-spec 1.1, "Error Codes".
    pub(crate) fn parse(content_type: Option<&str>, body: &[u8]) -> Self {
        let text = |value: Option<serde_json::Value>| match value {
            Some(serde_json::Value::String(text)) => tidy(&text),
            Some(serde_json::Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        if let Ok(body) = serde_json::from_slice::<Body>(body) {
            if let Some(first) = body.errors.into_iter().next() {
                return Self { code: text(first.code), message: text(first.message).or_else(|| text(first.detail)) };
            }
            let message = text(body.details).or_else(|| text(body.message)).or_else(|| text(body.error_description));
            let code = text(body.error);
            return match (code, message) {
                (Some(words), None) if words.contains(' ') => Self { code: None, message: Some(words) },
                (code, message) => Self { code, message },
            };
        }
        let plain = content_type.is_some_and(|kind| kind.to_ascii_lowercase().starts_with("text/plain"));
        let words = std::str::from_utf8(body).ok().filter(|words| plain && !words.trim_start().starts_with('<'));
        Self { code: None, message: words.and_then(tidy) }
    }

    /// Code and message as docker spells them: `manifest unknown: no such tag`. `None` when there are no words at all.
    pub fn words(&self) -> Option<String> {
        let code = self.code.as_ref().map(|code| code.to_lowercase().replace('_', " "));
        match (code, &self.message) {
            (Some(code), Some(message)) => Some(format!("{code}: {message}")),
            (code, message) => code.or_else(|| message.clone()),
        }
    }
}

/// One short line of `text`, without anything that could steer a terminal. `None` when nothing is left.
pub(super) fn tidy(text: &str) -> Option<String> {
    // The marks that turn the direction of writing are no control characters to `char`, but can make a line read as another one.
    let steers = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let spaced: String = text.chars().map(|c| if steers(c) { ' ' } else { c }).collect();
    let mut line = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(MAX_WORDS) {
        line.truncate(end);
        line.push('…');
    }
    (!line.is_empty()).then_some(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_servers_write() {
        let json = Some("application/json");
        for (kind, body, code, message) in [
            (json, r#"{"errors":[{"code":"DENIED","message":"no"},{"code":"X"}]}"#, Some("DENIED"), Some("no")),
            (json, r#"{"errors":[{"code":"UNKNOWN","detail":"in detail"}]}"#, Some("UNKNOWN"), Some("in detail")),
            (
                json,
                r#"{"errors":[{"code":"NAME_UNKNOWN","message":"x","detail":{"n":1}}]}"#,
                Some("NAME_UNKNOWN"),
                Some("x"),
            ),
            (json, r#"{"errors":[{"code":404,"message":null}]}"#, Some("404"), None),
            (json, r#"{"errors":[]}"#, None, None),
            (json, r#"{"details":"incorrect username or password"}"#, None, Some("incorrect username or password")),
            (json, r#"{"error":"invalid_grant","error_description":"gone"}"#, Some("invalid_grant"), Some("gone")),
            (json, r#"{"error":"not found here"}"#, None, Some("not found here")),
            (json, r#"{"message":"quota"}"#, None, Some("quota")),
            (json, "null", None, None),
            (json, "[1]", None, None),
            (Some("text/plain; charset=utf-8"), "slow\ndown\r\n", None, Some("slow down")),
            (Some("text/plain"), "<html>", None, None),
            (Some("text/html"), "<h1>502 Bad Gateway</h1>", None, None),
            (None, "words", None, None),
            (None, "", None, None),
        ] {
            let want = Reply { code: code.map(str::to_owned), message: message.map(str::to_owned) };
            assert_eq!(Reply::parse(kind, body.as_bytes()), want, "{body}");
        }
    }

    #[test]
    fn words_are_spelled_as_docker_does() {
        let reply = |code: Option<&str>, message: Option<&str>| {
            Reply { code: code.map(str::to_owned), message: message.map(str::to_owned) }.words()
        };
        assert_eq!(reply(Some("MANIFEST_UNKNOWN"), Some("gone")).as_deref(), Some("manifest unknown: gone"));
        assert_eq!(reply(Some("TOOMANYREQUESTS"), None).as_deref(), Some("toomanyrequests"));
        assert_eq!(reply(None, Some("gone")).as_deref(), Some("gone"));
        assert_eq!(reply(None, None), None);
    }

    #[test]
    fn words_cannot_steer_a_terminal() {
        assert_eq!(tidy("a\u{1b}[31mb\u{202e}c\r\nd\0"), Some("a [31mb c d".to_owned()));
        assert_eq!(tidy(" \n\t"), None);
        assert_eq!(tidy(&"ä".repeat(1000)).unwrap().chars().count(), MAX_WORDS + 1);
    }

    proptest! {
        #[test]
        fn any_body_is_read_without_panic(body: Vec<u8>, text: String) {
            Reply::parse(Some("text/plain"), &body);
            let reply = Reply::parse(Some("text/plain"), text.as_bytes());
            prop_assert!(reply.words().is_none_or(|words| !words.chars().any(char::is_control)));
        }
    }
}
