//! An answer, and what it should be.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::archive;
use super::case::{Common, Expected};
use super::names::{Names, is_like};
use super::shape::Shapes;
use super::stream;
use crate::http::Answer;

/// What answers are compared by, and which of the differences that are everywhere were met.
pub(super) struct Comparison<'a> {
    pub(super) names: &'a Names,
    pub(super) common: &'a Common,
    /// Those of `common`, with the names filled in.
    pub(super) shapes: Shapes,
    pub(super) met: BTreeSet<String>,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(names: &'a Names, common: &'a Common) -> Self {
        let shapes = names.fill_all(&Value::Object(common.shapes.clone()));
        Self { names, common, shapes: shapes.as_object().unwrap().clone(), met: BTreeSet::new() }
    }

    /// Notes a difference that is everywhere.
    pub(super) fn meet(&mut self, name: &str) {
        assert!(self.common.everywhere.contains_key(name), "`{name}` is no difference that is everywhere");
        self.met.insert(name.to_owned());
    }

    /// Takes out what layerd's failures tell beside the message.
    pub(super) fn without_help(&mut self, failure: &mut Value) {
        for name in ["hint", "login"] {
            if failure.as_object_mut().and_then(|failure| failure.remove(name)).is_some_and(|help| help.is_string()) {
                self.meet(name);
            }
        }
    }

    /// What is wrong with an answer, if anything is.
    pub(super) fn compare(&mut self, expected: &Expected, answer: &Answer) -> Result<(), String> {
        if answer.status != expected.status {
            let text = String::from_utf8_lossy(&answer.body).chars().take(2000).collect::<String>();
            return Err(format!("the status is {}, expected {}: {text}", answer.status, expected.status));
        }
        let (kind, body) = self.body(expected, answer);
        body?;
        self.headers(expected.headers.as_deref().unwrap_or(kind), answer)
    }

    /// The kind of the body, and what is wrong with it.
    fn body(&mut self, expected: &Expected, answer: &Answer) -> (&'static str, Result<(), String>) {
        if let Some(error) = &expected.error {
            ("json", self.failure(error, answer))
        } else if let Some(shape) = &expected.json {
            ("json", json_of(answer).and_then(|json| self.shape(shape, &json, "the answer")))
        } else if let Some(steps) = &expected.stream {
            ("stream", stream::progress(self, steps, answer))
        } else if let Some(kinds) = &expected.events {
            ("stream", stream::events(self, kinds, answer))
        } else if let Some(tar) = &expected.tar {
            let entries = archive::entries(&answer.body);
            let found = archive::told(&entries);
            let told = if found == tar.entries { Ok(()) } else { Err(format!("the archive has {found:?}")) };
            let files = tar.files.iter().try_for_each(|(name, shape)| {
                let content = archive::file(&entries, name).ok_or_else(|| format!("there is no `{name}`"))?;
                let json = serde_json::from_slice(content).map_err(|error| format!("`{name}`: {error}"))?;
                self.shape(shape, &json, name)
            });
            if files.is_ok() && tar.files.contains_key("manifest.json") {
                // Its shape has no room for them.
                self.meet("sources");
            }
            ("tar", told.and(files))
        } else {
            let expected = expected.text.as_deref().unwrap_or_default();
            let is_it = is_like(answer.text(), &self.names.fill(expected));
            ("nothing", if is_it { Ok(()) } else { Err(format!("the text is {:?}", answer.text())) })
        }
    }

    fn failure(&mut self, error: &str, answer: &Answer) -> Result<(), String> {
        let mut json = json_of(answer)?;
        self.without_help(&mut json);
        self.shape(&json!({"message": format!("={error}")}), &json, "the answer")
    }

    fn headers(&mut self, set: &str, answer: &Answer) -> Result<(), String> {
        let headers = self.common.headers.get(set).unwrap_or_else(|| panic!("there are no headers `{set}`"));
        for (name, expected) in headers {
            let found = answer.header(name);
            let is_it = match expected {
                Some(expected) => found.is_some_and(|found| is_like(found, expected)),
                None => found.is_none(),
            };
            if !is_it {
                return Err(format!("the header `{name}` is {found:?}, expected {expected:?}"));
            }
        }
        if answer.header("Server").is_some_and(|server| server.starts_with("layerd/")) {
            self.meet("server");
        }
        if answer.header("X-Request-Id").is_some() {
            self.meet("request id");
        }
        Ok(())
    }
}

fn json_of(answer: &Answer) -> Result<Value, String> {
    let text = answer.text();
    if !text.ends_with('\n') || text.ends_with("\r\n") {
        return Err(format!("the answer does not end as a line does: {text}"));
    }
    serde_json::from_str(text).map_err(|error| format!("{error}: {text}"))
}
