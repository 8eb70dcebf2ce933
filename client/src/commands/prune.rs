//! `layer prune`.

use std::io::{self, BufRead as _, Write as _};

use layer_proto::{CollectRequest, Collected, Removed};
use serde_json::Value;

use crate::api::Api;
use crate::cli::PruneArgs;
use crate::error::Error;
use crate::exit::Exit;
use crate::filters;
use crate::render::text::{clean, short_id};
use crate::render::{age, output, size};

/// Removes what nobody uses, once that is agreed to, and prints what went away in docker's words.
pub(super) async fn run(api: &Api, args: PruneArgs) -> Result<Exit, Error> {
    if args.dry_run {
        // To keep nothing is what a prune does.
        let taken = api.collect(&request(&args, args.keep_storage.unwrap_or(0))).await?;
        told(&taken, age::now())?;
        return Ok(Exit::Done);
    }
    if !args.force && !agreed(warning(&args)).await? {
        output::talk("nothing was removed");
        return Ok(Exit::Failed);
    }
    let (removed, bytes) = match args.keep_storage {
        None => {
            let report = api.prune(&filters(&args)).await?;
            (report.images_deleted.unwrap_or_default(), report.space_reclaimed)
        }
        Some(keep) => {
            let taken = api.collect(&request(&args, keep)).await?;
            let bytes = taken.bytes;
            (taken.images.into_iter().flat_map(|image| removals(image.id, image.names)).collect(), bytes)
        }
    };
    for one in removed {
        let line = match one {
            Removed::Untagged(name) => format!("Untagged: {name}"),
            Removed::Deleted(id) => format!("Deleted: {id}"),
        };
        output::outcome(&clean(&line))?;
    }
    output::outcome(&format!("Total reclaimed space: {}", size::in_bar(bytes)))?;
    Ok(Exit::Done)
}

fn removals(id: String, names: Vec<String>) -> impl Iterator<Item = Removed> {
    names.into_iter().map(Removed::Untagged).chain([Removed::Deleted(id)])
}

fn request(args: &PruneArgs, keep: u64) -> CollectRequest {
    CollectRequest {
        all: args.all,
        keep_storage: Some(keep),
        unused_for: None,
        leftovers_for: Some(0),
        dry_run: args.dry_run,
    }
}

/// What of the images is to go, in docker's form.
fn filters(args: &PruneArgs) -> Value {
    let given = args.filters.iter().map(|(key, value)| (&**key, &**value));
    filters::json(given.chain(args.all.then_some(("dangling", "false"))))
}

fn warning(args: &PruneArgs) -> &'static str {
    match (args.all, args.keep_storage.is_some()) {
        (true, false) => {
            "This removes all images that are neither mounted nor pinned, and what pulls have left behind."
        }
        (false, false) => "This removes all images without a name, and what pulls have left behind.",
        (true, true) => "This removes images that are neither mounted nor pinned until the store is small enough.",
        (false, true) => "This removes images without a name until the store is small enough.",
    }
}

/// Asks whether to go on. Everything but a yes is a no, the end of the input too.
async fn agreed(warning: &'static str) -> Result<bool, Error> {
    let ask = move || -> io::Result<bool> {
        let mut out = io::stderr().lock();
        out.write_all(format!("{warning}\nGo on? [y/N] ").as_bytes())?;
        out.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    };
    // A thread that waits for a person does not keep the program from ending.
    match tokio::task::spawn_blocking(ask).await {
        Ok(answer) => answer.map_err(Error::Output),
        Err(error) => Err(Error::Output(error.into())),
    }
}

/// Prints what would go.
fn told(taken: &Collected, now: i64) -> Result<(), Error> {
    for image in &taken.images {
        let used = image.last_used.map_or_else(|| "at an unknown time".to_owned(), |then| age::since(then, now));
        let (id, bytes) = (short_id(&image.id), size::in_table(image.bytes));
        let line = format!("Would remove: {} ({id}), {bytes}, last used {used}", image.names.join(", "));
        output::data(&clean(&line))?;
    }
    if taken.leftovers + taken.partials > 0 {
        let line = format!(
            "Would remove: {} blobs and layers of no image, {} partial downloads",
            taken.leftovers, taken.partials
        );
        output::data(&line)?;
    }
    output::data(&format!("Space that would be reclaimed: {}", size::in_bar(taken.bytes)))
}
