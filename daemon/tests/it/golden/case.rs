//! The recorded exchanges, as the files in `cases` have them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// In the order in which they are replayed: what one does, the next ones see.
const CASES: [&str; 10] = [
    include_str!("cases/daemon.json"),
    include_str!("cases/pull.json"),
    include_str!("cases/refused.json"),
    include_str!("cases/list.json"),
    include_str!("cases/inspect.json"),
    include_str!("cases/registry.json"),
    include_str!("cases/push.json"),
    include_str!("cases/archive.json"),
    include_str!("cases/remove.json"),
    include_str!("cases/later.json"),
];

const SHAPES: &str = include_str!("shapes.json");

/// One exchange: what was asked, what dockerd answered, and what layerd answers if that is another thing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    #[serde(rename = "case")]
    pub(super) name: String,
    /// Why it can't be asked here; then there is nothing else.
    pub(super) not_replayed: Option<String>,
    /// Requests that come before it, which all must go well.
    #[serde(default)]
    pub(super) before: Vec<String>,
    /// Whether a client hangs up in the middle of a pull before it.
    #[serde(default)]
    pub(super) after_a_hang_up: bool,
    /// Whether the next exchange begins before this one ends.
    #[serde(default)]
    pub(super) with_the_next: bool,
    /// Method and target. `retries` is layerd's own: with it a case does not wait for a name server that is out of order.
    #[serde(default)]
    pub(super) ask: String,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Option<Body>,
    pub(super) dockerd: Option<Expected>,
    /// How layerd differs on purpose; `layerd` is then what it answers.
    pub(super) differs: Option<Differs>,
    pub(super) layerd: Option<Expected>,
    /// Whether layerd does not answer like this yet, and will.
    #[serde(default)]
    pub(super) pending: bool,
    /// What is wrong with layerd's answer, and is to be mended.
    pub(super) todo: Option<String>,
}

/// A difference in words, as the document has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Differs {
    pub(super) dockerd: String,
    pub(super) layerd: String,
    pub(super) why: String,
}

/// What is sent along.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Body {
    Json(Value),
    Text(String),
    /// A tar with a file.
    Tar,
    /// The body of the answer to an earlier case.
    AnswerTo(String),
}

/// An answer. Of its body at most one kind is told; if none is, it is empty.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    pub(super) status: u16,
    /// Its headers by the name that `shapes.json` has for them, if they are not those of its kind.
    pub(super) headers: Option<String>,
    pub(super) text: Option<String>,
    /// The message of a failure.
    pub(super) error: Option<String>,
    pub(super) json: Option<Value>,
    pub(super) stream: Option<Vec<Step>>,
    /// The kinds of events; those that repeat, alone or in pairs, are told once.
    pub(super) events: Option<Vec<String>>,
    pub(super) tar: Option<Tar>,
}

/// Some lines of progress.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Step {
    /// One line, as `id: words` or `words`.
    Line(String),
    /// The lines of several layers, in any order, and perhaps one with an `aux` among them.
    Layers { layers: BTreeMap<String, Way>, aux: Option<Value> },
    /// The line of a failure.
    Error { error: String },
    /// A line with this `stream`.
    Stream { stream: String },
}

/// The words that are said of a layer one after the other; those with a `?` perhaps.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Way {
    /// As `shapes.json` has it under this name.
    Named(String),
    Words(Vec<String>),
}

/// What lies in an archive.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tar {
    pub(super) entries: Vec<String>,
    /// The shapes of some of its files.
    #[serde(default)]
    pub(super) files: Map<String, Value>,
}

/// What several cases have in common.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Common {
    /// By the kind of the answer; `null` for what must not be there.
    pub(super) headers: BTreeMap<String, BTreeMap<String, Option<String>>>,
    pub(super) ways: BTreeMap<String, Vec<String>>,
    /// Lines of progress by what their words begin with.
    pub(super) lines: BTreeMap<String, Value>,
    /// The same for lines that dockerd doesn't have, or has in another form.
    pub(super) own_lines: BTreeMap<String, Value>,
    /// Events by their action.
    pub(super) events: BTreeMap<String, Value>,
    pub(super) shapes: Map<String, Value>,
    /// How all answers differ from dockerd's.
    pub(super) everywhere: BTreeMap<String, Differs>,
}

pub(super) fn common() -> Common {
    serde_json::from_str(SHAPES).expect("`shapes.json` can be read")
}

pub(super) fn cases() -> Vec<Case> {
    let read = |text: &&str| -> Vec<Case> {
        let start = text.lines().nth(1).unwrap_or_default();
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}, in the file with {start}"))
    };
    CASES.iter().flat_map(read).collect()
}
