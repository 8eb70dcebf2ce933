//! `layer pulls`, `layer follow`, `layer cancel`: pulls that run, whoever began them.

use layer_proto::RunningPull;

use super::{go_on, pull};
use crate::api::Api;
use crate::cli::{CancelArgs, FollowArgs, Format, PullsArgs};
use crate::error::Error;
use crate::exit::Exit;
use crate::render::progress::Screen;
use crate::render::table::Table;
use crate::render::text::clean;
use crate::render::{age, json, output, size};

/// Prints the pulls that run.
pub(super) async fn list(api: &Api, args: PullsArgs) -> Result<Exit, Error> {
    let pulls = api.pulls().await?;
    match args.format {
        _ if args.quiet => pulls.iter().try_for_each(|pull| output::data(&pull.id.to_string()))?,
        Format::Json => pulls.iter().try_for_each(|pull| output::data(&json::line(pull)))?,
        Format::Table => output::data(&table(&pulls, age::now()))?,
    }
    Ok(Exit::Done)
}

/// Shows the progress of a pull, and prints what came of it.
pub(super) async fn follow(api: &Api, args: FollowArgs) -> Result<Exit, Error> {
    let screen = Screen::new(false);
    let told = async {
        let stream = api.follow(&args.what).await?;
        pull::watch(stream, screen.layers("")).await
    };
    for outcome in told.await.map_err(|error| error.during("follow", args.what.clone()))? {
        screen.outcome(&outcome.text(false))?;
    }
    Ok(Exit::Done)
}

/// Ends pulls, and prints which.
pub(super) async fn cancel(api: &Api, args: CancelArgs) -> Result<Exit, Error> {
    let mut exit = Exit::Done;
    for what in args.what {
        match api.cancel(&what).await {
            Ok(ended) => ended.iter().try_for_each(|pull| output::outcome(&clean(&pull.reference)))?,
            Err(error) => go_on(error.during("cancel", what), &mut exit)?,
        }
    }
    Ok(exit)
}

fn table(pulls: &[RunningPull], now: i64) -> String {
    let mut table = Table::new(&["PULL", "IMAGE", "PLATFORM", "STARTED", "LAYERS", "COMING"]);
    for pull in pulls {
        let done = pull.layers.iter().filter(|layer| matches!(&*layer.status, "Pull complete" | "Already exists"));
        let counted = |of: fn(&layer_proto::RunningLayer) -> u64| {
            size::in_table(pull.layers.iter().map(of).fold(0, u64::saturating_add))
        };
        let coming = format!("{} of {}", counted(|layer| layer.current), counted(|layer| layer.total));
        table.row([
            &pull.id.to_string(),
            &pull.reference,
            pull.platform.as_deref().unwrap_or(""),
            &age::of(&pull.started, now),
            &format!("{} of {}", done.count(), pull.layers.len()),
            &coming,
        ]);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use layer_proto::RunningLayer;

    use super::*;

    #[test]
    fn a_pull_is_listed_with_how_far_it_is() {
        let layer = |status: &str, current, total| RunningLayer {
            status: status.into(),
            current,
            total,
            ..RunningLayer::default()
        };
        let pull = RunningPull {
            id: 3,
            reference: "docker.io/library/debian:12".into(),
            platform: Some("linux/arm64".into()),
            started: "2026-05-13T02:21:49.5Z".into(),
            layers: vec![
                layer("Already exists", 0, 0),
                layer("Downloading", 1_500_000, 48_000_000),
                layer("Extracting", 2_000_000, 2_000_000),
            ],
        };
        insta::assert_snapshot!(table(&[pull], 1_778_638_909 + 90), @r"
        PULL      IMAGE                         PLATFORM      STARTED              LAYERS    COMING
        3         docker.io/library/debian:12   linux/arm64   About a minute ago   1 of 3    3.5MB of 50MB
        ");
    }
}
