//! `layer search`.

use layer_proto::SearchResult;

use super::logins::Logins;
use crate::api::Api;
use crate::cli::{Format, SearchArgs};
use crate::error::Error;
use crate::exit::Exit;
use crate::render::progress::Screen;
use crate::render::table::Table;
use crate::render::{json, output};

/// How much of a description fits into a table.
const WIDTH: usize = 45;

/// Prints the repositories that a registry has to offer.
pub(super) async fn run(api: &Api, args: SearchArgs) -> Result<Exit, Error> {
    let login = Logins::new(Screen::new(false)).find(&args.term).await;
    let found = api.search(&args.term, args.limit, &args.filters, login.as_ref()).await;
    let found = found.map_err(|error| error.during("search for", args.term.clone()))?;
    match args.format {
        Format::Json => found.iter().try_for_each(|one| output::data(&json::line(one)))?,
        Format::Table => output::data(&table(&found, args.no_trunc))?,
    }
    Ok(Exit::Done)
}

fn table(found: &[SearchResult], whole: bool) -> String {
    let mut table = Table::new(&["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]);
    for one in found {
        // One line each, whatever the registry says.
        let words: Vec<&str> = one.description.split_whitespace().collect();
        let mut description = words.join(" ");
        if !whole && description.chars().count() > WIDTH {
            description = description.chars().take(WIDTH - 1).chain(['…']).collect();
        }
        let official = if one.is_official { "[OK]" } else { "" };
        table.row([&one.name, &description, &one.star_count.to_string(), official]);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_listed_as_docker_does() {
        let found = [
            SearchResult {
                name: "nginx".into(),
                description: "Official build of\nNginx, which serves a great many things to many".into(),
                star_count: 20_000,
                is_official: true,
                ..SearchResult::default()
            },
            SearchResult { name: "lab/nginx".into(), ..SearchResult::default() },
        ];
        insta::assert_snapshot!(table(&found, false), @r"
        NAME        DESCRIPTION                                     STARS     OFFICIAL
        nginx       Official build of Nginx, which serves a grea…   20000     [OK]
        lab/nginx                                                   0
        ");
        assert!(table(&found, true).contains("many things to many"));
    }
}
