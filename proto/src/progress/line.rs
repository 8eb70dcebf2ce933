//! One line of progress.

use std::io;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

use super::bar;
use super::status::{DIGEST, DOWNLOADED, LayerStatus, PULLING_FROM, UP_TO_DATE};
use crate::tolerant::null_as_default;

/// One line of progress. Which members it has says what kind of line it is; the constructors make each kind that there is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ProgressLine {
    /// Text to print as it is, with its line ends. Loads send it, pulls don't.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// What is going on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// How far it is. On the line of a layer it is always there, if empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress_detail: Option<ProgressDetail>,
    /// The same, drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    /// What the line is about: the first 12 hex digits of a layer's blob, or the tag being pulled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What went wrong. Nothing comes after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_detail: Option<ErrorDetail>,
    /// The message of `error_detail` again, for old clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Data for programs; docker's client passes over it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aux: Option<Value>,
}

/// How far something is. Members that are zero or empty are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct ProgressDetail {
    /// What is done. Negative only from foreign daemons, for "unknown".
    #[serde(skip_serializing_if = "is_zero")]
    pub current: i64,
    /// What there is to do. Negative only from foreign daemons, for "unknown".
    #[serde(skip_serializing_if = "is_zero")]
    pub total: i64,
    /// When it began, in seconds since 1970.
    #[serde(skip_serializing_if = "is_zero")]
    pub start: i64,
    /// Whether clients should draw no numbers.
    #[serde(rename = "hidecounts", skip_serializing_if = "std::ops::Not::not")]
    pub hide_counts: bool,
    /// What is counted; empty for bytes.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_as_default")]
    pub units: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes members by reference")]
const fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// What went wrong after the stream began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct ErrorDetail {
    /// A number for the kind of error. Left out when zero, as it is on every line seen so far.
    #[serde(skip_serializing_if = "is_zero")]
    pub code: i64,
    /// What went wrong, in one line.
    #[serde(deserialize_with = "null_as_default")]
    pub message: String,
    /// What the reader can do about it. Docker has no such member; left out when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The registry at which a login may help, as in an [`ErrorBody`](crate::ErrorBody). Docker has no such member; left out when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
}

/// The `aux` of the very last line of a pull that went well. Docker has no such line; its client passes over it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Pulled {
    /// The image's ID, `sha256:<hex>`.
    #[serde(rename = "ID", deserialize_with = "null_as_default")]
    pub id: String,
    /// The full name it was pulled by: `docker.io/library/alpine:latest`.
    #[serde(deserialize_with = "null_as_default")]
    pub reference: String,
}

impl ProgressLine {
    /// A message about the whole.
    pub fn message(text: impl Into<String>) -> Self {
        Self { status: Some(text.into()), ..Self::default() }
    }

    /// A text to print as it is.
    pub fn text(text: impl Into<String>) -> Self {
        Self { stream: Some(text.into()), ..Self::default() }
    }

    /// The first line of a pull. `path` is the repository without its registry (`library/alpine`), `id` the tag, or the full reference of a
    /// pull by digest.
    pub fn pulling(path: &str, id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..Self::message(format!("{PULLING_FROM}{path}")) }
    }

    /// The line with the digest of what the name points at.
    pub fn digest(digest: &str) -> Self {
        Self::message(format!("{DIGEST}{digest}"))
    }

    /// The last line of a pull that docker knows. `name` is familiar (`alpine:latest`); `newer` says whether anything changed.
    pub fn done(name: &str, newer: bool) -> Self {
        Self::message(format!("{}{name}", if newer { DOWNLOADED } else { UP_TO_DATE }))
    }

    /// The line after the last.
    pub fn pulled(pulled: &Pulled) -> Self {
        let members = [("ID", &pulled.id), ("Reference", &pulled.reference)];
        let aux = members.into_iter().map(|(name, text)| (name.to_owned(), Value::from(text.as_str()))).collect();
        Self { progress_detail: Some(ProgressDetail::default()), aux: Some(Value::Object(aux)), ..Self::default() }
    }

    /// A layer comes into another state. `id` is the beginning of its blob's digest.
    pub fn layer(id: impl Into<String>, status: LayerStatus) -> Self {
        let detail = ProgressDetail { hide_counts: status.hides_counts(), ..ProgressDetail::default() };
        Self { progress_detail: Some(detail), id: Some(id.into()), ..Self::message(status.to_string()) }
    }

    /// A layer gets on. `current` and `total` are bytes; a total of zero is unknown.
    pub fn layer_progress(id: impl Into<String>, status: LayerStatus, current: u64, total: u64) -> Self {
        Self { id: Some(id.into()), ..Self::progress(status.to_string(), current, total) }
    }

    /// The whole gets on. `current` and `total` are bytes; a total of zero is unknown.
    pub fn progress(status: impl Into<String>, current: u64, total: u64) -> Self {
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        let detail = ProgressDetail { current: signed(current), total: signed(total), ..ProgressDetail::default() };
        let drawn = bar::draw(&detail);
        Self { progress: (!drawn.is_empty()).then_some(drawn), progress_detail: Some(detail), ..Self::message(status) }
    }

    /// The line that ends a stream that went wrong.
    pub fn error(message: impl Into<String>, hint: Option<String>) -> Self {
        let message = message.into();
        Self {
            error: Some(message.clone()),
            error_detail: Some(ErrorDetail { code: 0, message, hint, login: None }),
            ..Self::default()
        }
    }

    /// The same line, with the registry at which a login may help, if there is one. Only a line that tells an error can say so.
    #[must_use]
    pub fn with_login(mut self, login: Option<String>) -> Self {
        if let Some(detail) = &mut self.error_detail {
            detail.login = login;
        }
        self
    }

    /// The state of the layer that this line is about. `None` for a line about the whole and for words that are not known.
    pub fn layer_status(&self) -> Option<LayerStatus> {
        self.id.as_ref()?;
        LayerStatus::parse(self.status.as_deref()?)
    }

    /// What went wrong, from whichever member says so.
    pub fn failure(&self) -> Option<ErrorDetail> {
        match (&self.error_detail, &self.error) {
            (Some(detail), Some(text)) if detail.message.is_empty() => {
                Some(ErrorDetail { message: text.clone(), ..detail.clone() })
            }
            (Some(detail), _) => Some(detail.clone()),
            (None, Some(text)) => Some(ErrorDetail { message: text.clone(), ..ErrorDetail::default() }),
            (None, None) => None,
        }
    }

    /// The data of the line after the last, if this is it.
    pub fn as_pulled(&self) -> Option<Pulled> {
        let aux = self.aux.as_ref().filter(|aux| aux.is_object())?;
        let pulled = Pulled::deserialize(aux).ok()?;
        (!pulled.id.is_empty()).then_some(pulled)
    }

    /// Writes the line with its end to `out`, escaped as Go does it: `<`, `>` and `&` never stand for themselves.
    ///
    /// # Errors
    /// Those of `out`; none when it is a `Vec`.
    pub fn write_to(&self, out: impl io::Write) -> io::Result<()> {
        let mut serializer = Serializer::with_formatter(out, GoEscapes);
        self.serialize(&mut serializer)?;
        serializer.into_inner().write_all(b"\r\n")
    }

    /// The bytes of the line with its end.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(160);
        match self.write_to(&mut bytes) {
            Ok(()) => bytes,
            // Neither a `Vec` nor a type without maps of odd keys can fail; if it did, half a line must not go out.
            Err(_) => Vec::new(),
        }
    }
}

/// Compact JSON whose texts are safe inside HTML, which is what Go's encoder writes into streams.
struct GoEscapes;

impl Formatter for GoEscapes {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            CompactFormatter.write_string_fragment(writer, &rest[..at])?;
            let mut characters = rest[at..].chars();
            if let Some(character) = characters.next() {
                write!(writer, "\\u{:04x}", u32::from(character))?;
            }
            rest = characters.as_str();
        }
        CompactFormatter.write_string_fragment(writer, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &ProgressLine) -> String {
        String::from_utf8(line.to_bytes()).unwrap()
    }

    #[test]
    fn lines_are_dockers_to_the_byte() {
        let cases = [
            (
                ProgressLine::pulling("library/busybox", "latest"),
                r#"{"status":"Pulling from library/busybox","id":"latest"}"#,
            ),
            (
                ProgressLine::layer("b05093807bb0", LayerStatus::PullingFsLayer),
                r#"{"status":"Pulling fs layer","progressDetail":{},"id":"b05093807bb0"}"#,
            ),
            (
                ProgressLine::layer_progress("d4e6fd67dcf7", LayerStatus::Downloading, 1_048_576, 3_490_290),
                concat!(
                    r#"{"status":"Downloading","progressDetail":{"current":1048576,"total":3490290},"#,
                    r#""progress":"[===============\u003e                                   ]  1.049MB/3.49MB","id":"d4e6fd67dcf7"}"#
                ),
            ),
            (
                ProgressLine::layer("b05093807bb0", LayerStatus::PullComplete),
                r#"{"status":"Pull complete","progressDetail":{"hidecounts":true},"id":"b05093807bb0"}"#,
            ),
            (ProgressLine::digest("sha256:0cdb"), r#"{"status":"Digest: sha256:0cdb"}"#),
            (ProgressLine::done("busybox:1", true), r#"{"status":"Status: Downloaded newer image for busybox:1"}"#),
            (ProgressLine::done("busybox:1", false), r#"{"status":"Status: Image is up to date for busybox:1"}"#),
            (ProgressLine::error("a \"b\"", None), r#"{"errorDetail":{"message":"a \"b\""},"error":"a \"b\""}"#),
            (
                ProgressLine::pulled(&Pulled {
                    id: "sha256:0c".into(),
                    reference: "docker.io/library/busybox:1".into(),
                }),
                r#"{"progressDetail":{},"aux":{"ID":"sha256:0c","Reference":"docker.io/library/busybox:1"}}"#,
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(text(&line), format!("{expected}\r\n"));
            assert_eq!(serde_json::from_str::<ProgressLine>(expected).unwrap(), line);
        }
    }

    #[test]
    fn a_layer_without_bytes_draws_no_bar() {
        let line = ProgressLine::layer_progress("aa", LayerStatus::Downloading, 0, 0);
        assert_eq!(text(&line), "{\"status\":\"Downloading\",\"progressDetail\":{},\"id\":\"aa\"}\r\n");
    }

    #[test]
    fn html_is_escaped_and_reads_back() {
        let line = ProgressLine::message("<a & b>\u{2028}\n\"é\"");
        let written = text(&line);
        assert_eq!(written, "{\"status\":\"\\u003ca \\u0026 b\\u003e\\u2028\\n\\\"é\\\"\"}\r\n");
        assert_eq!(serde_json::from_str::<ProgressLine>(&written).unwrap(), line);
    }

    #[test]
    fn a_failure_is_found_in_either_member() {
        let read = |text: &str| serde_json::from_str::<ProgressLine>(text).unwrap().failure();
        assert_eq!(read(r#"{"status":"fine"}"#), None);
        assert_eq!(read(r#"{"error":"old"}"#).unwrap().message, "old");
        assert_eq!(read(r#"{"errorDetail":{"code":5,"message":null},"error":"old"}"#).unwrap().message, "old");
        let hinted = ProgressLine::error("new", Some("try".into()));
        assert_eq!(
            read(&text(&hinted)).unwrap(),
            ErrorDetail { message: "new".into(), hint: Some("try".into()), ..ErrorDetail::default() }
        );
        let refused = ProgressLine::error("no", None).with_login(Some("docker.io".into()));
        assert_eq!(
            text(&refused),
            "{\"errorDetail\":{\"message\":\"no\",\"login\":\"docker.io\"},\"error\":\"no\"}\r\n"
        );
        assert_eq!(read(&text(&refused)).unwrap().login.as_deref(), Some("docker.io"));
    }

    #[test]
    fn only_an_aux_with_an_id_is_the_end_of_a_pull() {
        let read = |text: &str| serde_json::from_str::<ProgressLine>(text).unwrap().as_pulled();
        assert_eq!(
            read(r#"{"aux":{"ID":"sha256:0c"}}"#),
            Some(Pulled { id: "sha256:0c".into(), reference: String::new() })
        );
        assert_eq!(read(r#"{"aux":{"Tag":"1"}}"#), None);
        assert_eq!(read(r#"{"aux":["x"]}"#), None);
        assert_eq!(read(r#"{"status":"x"}"#), None);
    }

    #[test]
    fn a_status_about_the_whole_is_no_layers() {
        assert_eq!(ProgressLine::message("Waiting").layer_status(), None);
        assert_eq!(ProgressLine::layer("aa", LayerStatus::Waiting).layer_status(), Some(LayerStatus::Waiting));
        assert_eq!(ProgressLine::pulling("a/b", "latest").layer_status(), None);
    }
}
