//! Changes to how an image is run, as lines of a Dockerfile: what `docker import --change` takes.

mod words;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use words::{list, pairs, split_options, words};

/// How to run an image, as the `config` of its config says it. What nobody said is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Changes {
    #[serde(skip_serializing_if = "Option::is_none")]
    cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env: Vec<String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    exposed_ports: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    on_build: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_signal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    volumes: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    working_dir: Option<String>,
}

/// Why a change can't be made. The words that programs look for are docker's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// There is no such instruction, or none that changes how an image is run.
    #[error("{0} is not a valid change command")]
    NotAChange(String),
    /// The instruction makes no sense.
    #[error("change `{instruction}`: {reason}")]
    Malformed {
        /// Its name.
        instruction: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// How many ports a range may stand for: there are no more.
const MAX_PORT: u32 = 65_535;

impl Changes {
    /// Reads changes, one a text. Later ones win over earlier ones.
    ///
    /// # Errors
    ///
    /// When one is none.
    ///
    /// Spec: Dockerfile reference, for each instruction.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Self, ChangeError> {
        let mut changes = Self::default();
        for line in lines.into_iter().flat_map(str::lines).map(str::trim) {
            if !line.is_empty() && !line.starts_with('#') {
                changes.change(line)?;
            }
        }
        Ok(changes)
    }

    fn change(&mut self, line: &str) -> Result<(), ChangeError> {
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        let name = name.to_ascii_uppercase();
        let Some(instruction) = KNOWN.iter().find(|known| **known == name) else {
            return Err(ChangeError::NotAChange(name.chars().take(40).collect()));
        };
        let malformed = |reason: &str| ChangeError::Malformed { instruction, reason: reason.to_owned() };
        if rest.is_empty() {
            return Err(malformed("it needs an argument"));
        }
        match *instruction {
            "CMD" => self.cmd = Some(command(rest)),
            "ENTRYPOINT" => {
                self.entrypoint = Some(command(rest));
            }
            "ENV" => {
                for (name, value) in pairs(rest).map_err(&malformed)? {
                    let start = format!("{name}=");
                    self.env.retain(|entry| !entry.starts_with(&start));
                    self.env.push(format!("{name}={value}"));
                }
            }
            "LABEL" => self.labels.extend(pairs(rest).map_err(&malformed)?),
            "EXPOSE" => {
                for word in words(rest).map_err(&malformed)? {
                    for port in ports(&word).ok_or_else(|| malformed(&format!("`{word}` is no port")))? {
                        self.exposed_ports.insert(port, json!({}));
                    }
                }
            }
            "HEALTHCHECK" => self.healthcheck = Some(healthcheck(rest).map_err(|reason| malformed(&reason))?),
            "ONBUILD" => {
                let inner = rest.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
                match inner.as_str() {
                    "ONBUILD" => return Err(malformed("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")),
                    "FROM" | "MAINTAINER" => {
                        return Err(malformed(&format!("{inner} isn't allowed as an ONBUILD trigger")));
                    }
                    _ => self.on_build.push(rest.to_owned()),
                }
            }
            "STOPSIGNAL" => self.stop_signal = Some(single(rest).map_err(&malformed)?),
            "USER" => self.user = Some(single(rest).map_err(&malformed)?),
            "VOLUME" => {
                let folders = match list(rest) {
                    Some(folders) => folders,
                    None => words(rest).map_err(&malformed)?,
                };
                if folders.iter().any(|folder| folder.trim().is_empty()) {
                    return Err(malformed("a volume needs a name"));
                }
                self.volumes.extend(folders.into_iter().map(|folder| (folder, json!({}))));
            }
            _ => {
                let folder = single(rest).map_err(malformed)?;
                let folder = if folder.starts_with('/') {
                    folder
                } else {
                    format!("{}/{folder}", self.working_dir.as_deref().unwrap_or_default().trim_end_matches('/'))
                };
                self.working_dir = Some(folder);
            }
        }
        Ok(())
    }
}

const KNOWN: [&str; 11] = [
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// A command: a list in JSON, or a line for the shell.
fn command(text: &str) -> Vec<String> {
    list(text).unwrap_or_else(|| ["/bin/sh", "-c", text].map(str::to_owned).into())
}

fn single(text: &str) -> Result<String, &'static str> {
    let mut all = words(text)?;
    match (all.pop(), all.is_empty()) {
        (Some(word), true) => Ok(word),
        _ => Err("it takes one argument"),
    }
}

/// The ports of `80`, `80/udp`, `8000-8010` or `8000-8010/tcp`.
fn ports(text: &str) -> Option<Vec<String>> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return None;
    }
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |text: &str| text.parse::<u32>().ok().filter(|port| *port <= MAX_PORT);
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then(|| (first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

fn healthcheck(text: &str) -> Result<Value, String> {
    let (options, rest) = split_options(text);
    let mut check = Map::new();
    for (name, value) in options {
        let (member, value) = match name.as_str() {
            "interval" => ("Interval", nanoseconds(&value)),
            "timeout" => ("Timeout", nanoseconds(&value)),
            "start-period" => ("StartPeriod", nanoseconds(&value)),
            "start-interval" => ("StartInterval", nanoseconds(&value)),
            "retries" => ("Retries", value.parse::<i64>().ok().filter(|retries| *retries >= 0)),
            _ => return Err(format!("there is no option `--{name}`")),
        };
        let value = value.ok_or_else(|| format!("the value of `--{name}` makes no sense"))?;
        check.insert(member.to_owned(), value.into());
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let command = command.trim();
    let test: Vec<String> = match (kind.to_ascii_uppercase().as_str(), command) {
        ("NONE", "") if check.is_empty() => vec!["NONE".to_owned()],
        ("NONE", _) => return Err("HEALTHCHECK NONE takes no arguments".to_owned()),
        ("CMD", "") => return Err("Missing command after HEALTHCHECK CMD".to_owned()),
        ("CMD", command) => match list(command) {
            Some(words) => ["CMD".to_owned()].into_iter().chain(words).collect(),
            None => vec!["CMD-SHELL".to_owned(), command.to_owned()],
        },
        (kind, _) => return Err(format!("Unknown type \"{kind}\" in HEALTHCHECK (try CMD)")),
    };
    check.insert("Test".to_owned(), test.into());
    Ok(Value::Object(check))
}

/// A duration as Go writes it, `1h30m`, `500ms`, in nanoseconds. None is negative.
fn nanoseconds(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let (mut rest, mut sum) = (text, 0f64);
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit() && char != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|char: char| char.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let factor = match unit {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * factor;
        rest = after;
    }
    // Nine million seconds and more keep their nanoseconds in this type.
    #[expect(clippy::cast_possible_truncation, reason = "it is in range")]
    (!text.is_empty() && sum < 9e18).then_some(sum as i64)
}

#[cfg(test)]
mod tests;
