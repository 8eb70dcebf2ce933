//! `layer inspect`.

use super::go_on;
use crate::api::Api;
use crate::cli::InspectArgs;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::{json, output};

/// Prints what is known about the images as one JSON array, then the errors about those that are not here.
pub(super) async fn run(api: &Api, args: InspectArgs) -> Result<Exit, Error> {
    let mut exit = Exit::Done;
    let mut found = Vec::with_capacity(args.images.len());
    let mut errors = Vec::new();
    for image in args.images {
        match api.inspect(&image, args.platform.as_deref()).await {
            Ok(answer) => found.push(answer),
            Err(error @ Error::Unreachable { .. }) => return Err(error),
            Err(error) => errors.push(error.during("inspect", image)),
        }
    }
    output::data(&json::pretty_array(found.iter().map(|answer| &**answer)))?;
    for error in errors {
        go_on(error, &mut exit)?;
    }
    Ok(exit)
}
