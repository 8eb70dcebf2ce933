//! `layer history`.

use layer_proto::HistoryItem;
use serde::Serialize;

use crate::api::Api;
use crate::cli::{Format, HistoryArgs};
use crate::error::Error;
use crate::exit::Exit;
use crate::render::table::Table;
use crate::render::text::{clean, short_id, shorten};
use crate::render::{age, json, output, size};

/// How much of a command a table shows, in characters.
const COMMAND: usize = 45;

/// Prints the steps that made an image.
pub(super) async fn run(api: &Api, args: HistoryArgs) -> Result<Exit, Error> {
    let steps = api.history(&args.image, args.platform.as_deref()).await;
    let steps = steps.map_err(|error| error.during("history", args.image.as_str()))?;
    let now = age::now();
    if args.quiet {
        for step in &steps {
            output::data(&clean(&shown_id(step, args.no_trunc)))?;
        }
        return Ok(Exit::Done);
    }
    match args.format {
        Format::Json => {
            for step in &steps {
                output::data(&json::line(&Row::of(step, args.no_trunc, now)))?;
            }
        }
        Format::Table => output::data(&table(&steps, args.no_trunc, now))?,
    }
    Ok(Exit::Done)
}

fn shown_id(step: &HistoryItem, whole: bool) -> String {
    if whole { step.id.clone() } else { short_id(&step.id) }
}

fn table(steps: &[HistoryItem], whole: bool, now: i64) -> String {
    let mut table = Table::new(&["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"]);
    for step in steps {
        let row = Row::of(step, whole, now);
        table.row([&row.id, &row.created_since, &row.created_by, &row.size, &row.comment]);
    }
    table.text()
}

/// One step as docker writes it into JSON: all texts.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    comment: String,
    created_at: String,
    created_by: String,
    created_since: String,
    #[serde(rename = "ID")]
    id: String,
    size: String,
}

impl Row {
    fn of(step: &HistoryItem, whole: bool, now: i64) -> Self {
        let command = step.created_by.replace('\t', " ");
        Self {
            comment: step.comment.clone(),
            created_at: age::timestamp(step.created),
            created_by: if whole { command } else { shorten(&command, COMMAND).into_owned() },
            created_since: age::since(step.created, now),
            id: shown_id(step, whole),
            size: size::in_table(step.size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_shown_newest_first_and_shortened() {
        let steps = [
            HistoryItem {
                created: 1_725_661_207,
                created_by: "/bin/sh -c #(nop)  CMD [\"/bin/sh\"]".into(),
                id: "sha256:de462c6f748219762f68cbf7660ca7d4abdc8f5deeda5e678e082961d9650923".into(),
                comment: "by hand".into(),
                ..Default::default()
            },
            HistoryItem {
                created: 1_725_661_207,
                created_by: "/bin/sh -c #(nop) ADD file:5758b97d8301c84a204a6e516241275d785a7cade40b2fb9 in / ".into(),
                id: "<missing>".into(),
                size: 8_032_256,
                ..Default::default()
            },
        ];
        insta::assert_snapshot!(table(&steps, false, 1_725_661_207 + 3 * 7 * 86_400), @r#"
        IMAGE          CREATED       CREATED BY                                      SIZE      COMMENT
        de462c6f7482   3 weeks ago   /bin/sh -c #(nop)  CMD ["/bin/sh"]              0B        by hand
        <missing>      3 weeks ago   /bin/sh -c #(nop) ADD file:5758b97d8301c84a2…   8.03MB    
        "#);
        assert!(table(&steps, true, 0).contains("a7cade40b2fb9 in / "));
    }
}
