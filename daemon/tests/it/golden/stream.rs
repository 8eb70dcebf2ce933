//! Streams of progress and of events: the order of their lines, and the form of each.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::case::{Step, Way};
use super::compare::Comparison;
use super::names::is_like;
use super::shape;
use crate::http::Answer;

/// Lines of progress, with those that layerd adds everywhere taken out.
pub(super) fn progress(told: &mut Comparison<'_>, steps: &[Step], answer: &Answer) -> Result<(), String> {
    let lines = lines(answer, "\r\n")?;
    let named = told.fill_ids(steps);
    let mut rest = Vec::new();
    let mut lines = lines.into_iter().peekable();
    while let Some(line) = lines.next() {
        let words = line["status"].as_str().unwrap_or_default().to_owned();
        let is_new = !line["id"].as_str().is_some_and(|id| named.iter().any(|named| named == id));
        form(told, &words, &line)?;
        match &*words {
            "Waiting" => told.meet("waiting"),
            "Already exists" if is_new => told.meet("present layers"),
            _ => rest.push(line),
        }
        for (beginning, name, members) in [
            ("Status: ", "last line", json!({"ID": "digest", "Reference": "string"})),
            (
                "{*}: digest: sha256:{*}",
                "last line of a push",
                json!({"Tag": "string", "Digest": "digest", "Size": "number"}),
            ),
        ] {
            if words.starts_with(beginning) || is_like(&words, beginning) {
                let line = lines.next().ok_or_else(|| format!("nothing comes after `{words}`"))?;
                told.shape(
                    &json!({"progressDetail": {}, "aux": members}),
                    &line,
                    &format!("the line after `{words}`"),
                )?;
                told.meet(name);
            }
        }
    }
    let mut rest = &rest[..];
    for step in steps {
        rest = take(told, step, rest)?;
    }
    match rest.first() {
        None => Ok(()),
        Some(line) => Err(format!("the stream should end before {line}")),
    }
}

/// Events: which come one after the other, and the form of each.
pub(super) fn events(told: &mut Comparison<'_>, kinds: &[String], answer: &Answer) -> Result<(), String> {
    let mut found: Vec<String> = Vec::new();
    for line in lines(answer, "\n")? {
        let action = line["Action"].as_str().ok_or_else(|| format!("{line} has no action"))?;
        let form = told.common.events.get(action).ok_or_else(|| format!("`{action}` is no event"))?.clone();
        told.shape(&form, &line, &format!("the event `{action}`"))?;
        found.push(action.to_owned());
        if found.len() > 1 && found[found.len() - 2] == action {
            found.pop();
        }
        if let [.., a, b, c, d] = &found[..]
            && (a, b) == (c, d)
        {
            found.truncate(found.len() - 2);
        }
    }
    if found == kinds { Ok(()) } else { Err(format!("the events are {found:?}, expected {kinds:?}")) }
}

fn lines(answer: &Answer, end: &str) -> Result<Vec<Value>, String> {
    let text = answer.text();
    if !text.is_empty() && !text.ends_with(end) || text.matches('\n').count() != text.matches(end).count() {
        return Err(format!("not all lines end in {end:?}: {text}"));
    }
    text.split_terminator(end)
        .map(|line| serde_json::from_str(line).map_err(|error| format!("{error}: {line}")))
        .collect()
}

/// Checks the form of a line: which members it has beside its words.
fn form(told: &mut Comparison<'_>, words: &str, line: &Value) -> Result<(), String> {
    if words.is_empty() {
        return Ok(());
    }
    let at = format!("the line `{words}`");
    let (lines, own) = (&told.common.lines, &told.common.own_lines);
    let form = match (form_of(lines, words), form_of(own, words)) {
        (None, None) => return Err(format!("no line has the words `{words}`")),
        (Some(form), None) | (None, Some(form)) => form,
        (Some(dockers), Some(_)) if told.shape(dockers, line, &at).is_ok() => {
            return Err(format!("{at} has the form that dockerd gives it, and is said to differ"));
        }
        (Some(_), Some(own)) => {
            told.meet("extracting");
            own
        }
    };
    told.shape(form, line, &at)
}

/// The form whose beginning says most of the words.
fn form_of<'a>(forms: &'a BTreeMap<String, Value>, words: &str) -> Option<&'a Value> {
    let fitting = forms.iter().filter(|(beginning, _)| is_like(words, &format!("{beginning}{{*}}")));
    fitting.max_by_key(|(beginning, _)| beginning.len()).map(|(_, form)| form)
}

/// Takes the lines of a step off the front.
fn take<'a>(told: &mut Comparison<'_>, step: &Step, lines: &'a [Value]) -> Result<&'a [Value], String> {
    let Step::Layers { layers, aux } = step else {
        let Some((line, rest)) = lines.split_first() else { return Err(format!("the stream ends before {step:?}")) };
        return one(told, step, line).map(|()| rest);
    };
    let ways: BTreeMap<String, &Way> = layers.iter().map(|(id, way)| (told.names.fill(id), way)).collect();
    let is_one =
        |line: &&Value| line.get("aux").is_some() || line["id"].as_str().is_some_and(|id| ways.contains_key(id));
    let count = lines.iter().take_while(is_one).count();
    let (taken, rest) = lines.split_at(count);
    let extra: Vec<_> = taken.iter().filter(|line| line.get("aux").is_some()).collect();
    match (aux, &extra[..]) {
        (None, []) => {}
        (Some(aux), [line]) => told.shape(&json!({"progressDetail": {}, "aux": aux}), line, "the line with an aux")?,
        _ => return Err(format!("the lines with an aux are {extra:?}")),
    }
    for (id, way) in &ways {
        let words = taken.iter().filter(|line| line["id"] == **id).filter_map(|line| line["status"].as_str());
        let mut words: Vec<&str> = words.collect();
        words.dedup();
        let expected = match way {
            Way::Named(name) => told.common.ways.get(name).unwrap_or_else(|| panic!("there is no way `{name}`")),
            Way::Words(words) => words,
        };
        if !goes(&words, expected) {
            let next = rest.first();
            return Err(format!("layer {id} goes {words:?}, expected {expected:?}; behind the layers comes {next:?}"));
        }
    }
    Ok(rest)
}

/// Checks a line that is alone.
fn one(told: &mut Comparison<'_>, step: &Step, line: &Value) -> Result<(), String> {
    match step {
        Step::Line(expected) => {
            let words = line["status"].as_str().unwrap_or_default();
            let found = line["id"].as_str().map_or_else(|| words.to_owned(), |id| format!("{id}: {words}"));
            let expected = told.names.fill(expected);
            if is_like(&found, &expected) { Ok(()) } else { Err(format!("the line is {line}, expected `{expected}`")) }
        }
        Step::Error { error } => {
            let mut line = line.clone();
            told.without_help(&mut line["errorDetail"]);
            let text = format!("={error}");
            told.shape(&json!({"errorDetail": {"message": text}, "error": text}), &line, "the line of a failure")
        }
        Step::Stream { stream } => told.shape(&json!({"stream": format!("={stream}")}), line, "the line"),
        Step::Layers { .. } => Err("these are several lines".to_owned()),
    }
}

/// Whether these words were said in this order; words with a `?` may be missing.
fn goes(words: &[&str], expected: &[String]) -> bool {
    let mut words = words.iter();
    let mut next = words.next();
    for one in expected {
        let (one, is_optional) = one.strip_suffix('?').map_or((one.as_str(), false), |one| (one, true));
        if next.is_some_and(|words| is_like(words, one)) {
            next = words.next();
        } else if !is_optional {
            return false;
        }
    }
    next.is_none()
}

impl Comparison<'_> {
    /// The IDs of the layers that the steps name.
    fn fill_ids(&self, steps: &[Step]) -> Vec<String> {
        let layers = steps.iter().filter_map(|step| match step {
            Step::Layers { layers, .. } => Some(layers.keys()),
            _ => None,
        });
        layers.flatten().map(|id| self.names.fill(id)).collect()
    }

    pub(super) fn shape(&self, shape: &Value, value: &Value, at: &str) -> Result<(), String> {
        match shape::wrong(&self.shapes, &self.names.fill_all(shape), value, at) {
            None => Ok(()),
            Some(wrong) => Err(wrong),
        }
    }
}

#[test]
fn words_come_in_their_order() {
    let expected = ["Pulling", "Waiting?", "Mounted from {*}"].map(str::to_owned);
    assert!(
        goes(&["Pulling", "Waiting", "Mounted from a"], &expected) && goes(&["Pulling", "Mounted from b"], &expected)
    );
    assert!(!goes(&["Pulling"], &expected) && !goes(&["Waiting", "Pulling", "Mounted from b"], &expected));
    assert!(!goes(&["Pulling", "Mounted from b", "Waiting"], &expected));
}
