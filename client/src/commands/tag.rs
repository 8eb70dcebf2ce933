//! `layer tag`.

use crate::api::Api;
use crate::cli::TagArgs;
use crate::error::Error;
use crate::exit::Exit;

/// Gives an image another name. There is nothing to print.
pub(super) async fn run(api: &Api, args: TagArgs) -> Result<Exit, Error> {
    api.tag(&args.source, &args.target).await.map_err(|error| error.during("tag", args.source))?;
    Ok(Exit::Done)
}
