//! What a registry wants before it answers: the `WWW-Authenticate` header.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// Real challenges have one or two schemes; a header with more than this is noise, and the rest of it is not read.
const MAX_CHALLENGES: usize = 16;

/// Real parameters are a realm, a service, a scope and an error text.
const MAX_PARAMETERS: usize = 32;

/// One way of authenticating that a registry offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// The scheme's name in lower case: `bearer`, `basic`.
    pub(crate) scheme: String,
    /// The parameters in their order, names in lower case.
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// The first value of the parameter `name`, which is spelled in lower case.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Reads every challenge of an answer, in the order the registry gave them.
///
/// A header may hold several challenges, and there may be several headers. What cannot be read is left out: the registry then looks as if it
/// had not offered that scheme, which is the truth for this client.
///
/// Spec: RFC 9110, section 11.6.1.
pub(crate) fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let mut all = Vec::new();
    for value in headers.get_all(WWW_AUTHENTICATE) {
        // A header is bytes; what is not UTF-8 can only stand in a text for people, such as an error description.
        all.extend(parse(&String::from_utf8_lossy(value.as_bytes())));
    }
    all.truncate(MAX_CHALLENGES);
    all
}

/// Reads the challenges of one header value.
fn parse(text: &str) -> Vec<Challenge> {
    let mut scanner = Scanner { rest: text };
    let mut all: Vec<Challenge> = Vec::new();
    while all.len() <= MAX_CHALLENGES {
        scanner.skip_separators();
        let word = scanner.token();
        if word.is_empty() {
            // Not the start of anything: go on after the next comma.
            if !scanner.skip_item() {
                break;
            }
            continue;
        }
        // `name = value` continues the challenge before it; any other word starts a new one.
        if let Some(value) = scanner.value() {
            if let Some(challenge) = all.last_mut()
                && challenge.parameters.len() < MAX_PARAMETERS
            {
                challenge.parameters.push((word.to_ascii_lowercase(), value));
            }
        } else {
            all.push(Challenge { scheme: word.to_ascii_lowercase(), parameters: Vec::new() });
        }
    }
    all.truncate(MAX_CHALLENGES);
    all
}

/// A place in a header value.
struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    /// Takes the characters in front that satisfy `wanted`.
    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn skip_space(&mut self) {
        self.take_while(|c| c == ' ' || c == '\t');
    }

    fn skip_separators(&mut self) {
        self.take_while(|c| c == ' ' || c == '\t' || c == ',');
    }

    fn token(&mut self) -> &'a str {
        self.take_while(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
    }

    /// Skips to the next comma; says whether there is anything left.
    fn skip_item(&mut self) -> bool {
        self.take_while(|c| c != ',');
        !self.rest.is_empty()
    }

    /// Takes `= value` if it comes next, and nothing otherwise.
    fn value(&mut self) -> Option<String> {
        let before = self.rest;
        self.skip_space();
        if let Some(rest) = self.rest.strip_prefix('=') {
            self.rest = rest;
            self.skip_space();
            return Some(match self.rest.strip_prefix('"') {
                Some(rest) => {
                    self.rest = rest;
                    self.quoted()
                }
                // The grammar wants a token here, but URLs without quotes are seen; they end at a comma or a space as well.
                None => self.take_while(|c| c != ',' && c != ' ' && c != '\t').to_owned(),
            });
        }
        self.rest = before;
        None
    }

    /// Takes the rest of a quoted string; one that is never closed ends with the header.
    fn quoted(&mut self) -> String {
        let mut value = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return value;
                }
                '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
                _ => value.push(c),
            }
        }
        self.rest = "";
        value
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn challenge(scheme: &str, parameters: &[(&str, &str)]) -> Challenge {
        let parameters = parameters.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Challenge { scheme: scheme.to_owned(), parameters }
    }

    #[test]
    fn reads_what_registries_send() {
        let hub = challenge(
            "bearer",
            &[
                ("realm", "https://auth.docker.io/token"),
                ("service", "registry.docker.io"),
                ("scope", "repository:library/alpine:pull,push"),
            ],
        );
        for (text, want) in [
            ("Basic realm=\"Registry Realm\"", vec![challenge("basic", &[("realm", "Registry Realm")])]),
            (
                "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",\
                 scope=\"repository:library/alpine:pull,push\"",
                vec![hub.clone()],
            ),
            (
                "BEARER Realm = \"https://auth.docker.io/token\" , SERVICE=registry.docker.io, \
                 scope=\"repository:library/alpine:pull,push\"",
                vec![hub],
            ),
            (
                "Basic realm=\"a, b\", Bearer realm=\"https://x/t\", service=\"y\"",
                vec![
                    challenge("basic", &[("realm", "a, b")]),
                    challenge("bearer", &[("realm", "https://x/t"), ("service", "y")]),
                ],
            ),
            ("Negotiate, Basic realm=x", vec![challenge("negotiate", &[]), challenge("basic", &[("realm", "x")])]),
            (
                "Bearer realm=https://x/t?a=b,service=y",
                vec![challenge("bearer", &[("realm", "https://x/t?a=b"), ("service", "y")])],
            ),
            (r#"Basic realm="say \"hi\" \\ there""#, vec![challenge("basic", &[("realm", r#"say "hi" \ there"#)])]),
            ("Basic realm=\"never closed", vec![challenge("basic", &[("realm", "never closed")])]),
            ("Basic realm=\"\"", vec![challenge("basic", &[("realm", "")])]),
            (", ,, Basic", vec![challenge("basic", &[])]),
            ("realm=\"nobody's\"", vec![]),
            ("\"quoted\", Basic", vec![challenge("basic", &[])]),
            ("", vec![]),
        ] {
            assert_eq!(parse(text), want, "{text}");
        }
    }

    #[test]
    fn joins_several_headers() {
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"x\""));
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"https://x/t\""));
        let schemes: Vec<_> = challenges(&headers).into_iter().map(|challenge| challenge.scheme).collect();
        assert_eq!(schemes, ["basic", "bearer"]);
    }

    #[test]
    fn stays_small_whatever_comes() {
        assert_eq!(parse(&"Basic,".repeat(10_000)).len(), MAX_CHALLENGES);
        assert_eq!(parse(&format!("Basic {}", "a=b,".repeat(10_000)))[0].parameters.len(), MAX_PARAMETERS);
    }

    fn print(challenges: &[Challenge]) -> String {
        let quote = |text: &str| format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""));
        let print_one = |challenge: &Challenge| {
            let parameters: Vec<_> =
                challenge.parameters.iter().map(|(name, value)| format!("{name}={}", quote(value))).collect();
            format!("{} {}", challenge.scheme, parameters.join(", "))
        };
        challenges.iter().map(print_one).collect::<Vec<_>>().join(", ")
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(
            list in prop::collection::vec(
                ("[a-z][a-z0-9-]{0,8}", prop::collection::vec(("[a-z]{1,8}", "[ -~]{0,20}"), 1..4)),
                0..4,
            )
        ) {
            let list: Vec<_> =
                list.into_iter().map(|(scheme, parameters)| Challenge { scheme, parameters }).collect();
            prop_assert_eq!(parse(&print(&list)), list);
        }

        #[test]
        fn any_text_is_read_without_panic(text: String) {
            prop_assert!(parse(&text).len() <= MAX_CHALLENGES);
        }
    }
}
