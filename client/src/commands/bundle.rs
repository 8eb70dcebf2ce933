//! `layer bundle`.

use layer_proto::bundle::BundleRequest;

use super::mount::{absolute, folder, in_json};
use crate::api::Api;
use crate::cli::BundleArgs;
use crate::error::Error;
use crate::exit::Exit;

/// Has a bundle made, and prints its folder.
pub(super) async fn run(api: &Api, args: BundleArgs) -> Result<Exit, Error> {
    let target = absolute(&args.target).and_then(in_json)?;
    let request = BundleRequest { image: args.image, target, platform: args.platform };
    let bundle = api.bundle(&request).await.map_err(|error| error.during("make a bundle of", request.image))?;
    folder(&bundle.target)?;
    Ok(Exit::Done)
}
