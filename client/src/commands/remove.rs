//! `layer rmi`.

use layer_proto::Removed;

use super::go_on;
use crate::api::Api;
use crate::cli::RemoveArgs;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::output;
use crate::render::text::clean;

/// Removes each image, and prints what went away in docker's words.
pub(super) async fn run(api: &Api, args: RemoveArgs) -> Result<Exit, Error> {
    let mut exit = Exit::Done;
    for image in args.images {
        match api.remove(&image, args.force, args.no_prune, &args.platform).await {
            Ok(removed) => {
                for one in removed {
                    let line = match one {
                        Removed::Untagged(name) => format!("Untagged: {name}"),
                        Removed::Deleted(id) => format!("Deleted: {id}"),
                    };
                    output::outcome(&clean(&line))?;
                }
            }
            Err(error) => go_on(error.during("remove", image), &mut exit)?,
        }
    }
    Ok(exit)
}
