//! `layer import`.

use std::path::Path;

use crate::api::Api;
use crate::cli::ImportArgs;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::output;
use crate::render::text::clean;
use crate::upload;

/// Sends a root file system, and prints the ID of the image that it became.
pub(super) async fn run(api: &Api, args: ImportArgs) -> Result<Exit, Error> {
    let body = match args.source.as_str() {
        "-" => Some(upload::body(None)?),
        url if url.starts_with("http://") || url.starts_with("https://") => None,
        path => Some(upload::body(Some(Path::new(path)))?),
    };
    let import = async {
        let mut stream = api.import(&args, body).await?;
        let mut last = None;
        while let Some(line) = stream.next().await? {
            if let Some(failure) = line.failure() {
                return Err(Error::Refused { message: failure.message, hint: failure.hint, login: failure.login });
            }
            last = line.status.or(last);
        }
        // Before its end, what is told is how far it is.
        last.filter(|image| image.starts_with("sha256:")).ok_or(Error::Ended)
    };
    let image = import.await.map_err(|error| error.during("import", args.source.clone()))?;
    output::outcome(&clean(&image))?;
    Ok(Exit::Done)
}
