//! `layer load`.

use crate::api::{Api, PullStream};
use crate::cli::LoadArgs;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::progress::{Layers, Screen};
use crate::render::text::clean;
use crate::upload;

/// Sends an archive, and prints which images it had.
pub(super) async fn run(api: &Api, args: LoadArgs) -> Result<Exit, Error> {
    let name = args.input.as_ref().map_or_else(|| "-".to_owned(), |path| path.display().to_string());
    let body = upload::body(args.input.as_deref())?;
    let screen = Screen::new(args.quiet);
    let load = async {
        let mut stream = api.load(body, &args.platform, args.quiet).await?;
        follow(&mut stream, &screen, screen.layers("")).await
    };
    load.await.map_err(|error: Error| error.during("load", name))?;
    Ok(Exit::Done)
}

async fn follow(stream: &mut PullStream, screen: &Screen, mut layers: Layers) -> Result<(), Error> {
    while let Some(line) = stream.next().await? {
        if let Some(failure) = line.failure() {
            return Err(Error::Refused { message: failure.message, hint: failure.hint, login: failure.login });
        }
        match line.stream.as_deref() {
            Some(text) => screen.outcome(&clean(text.trim_end()))?,
            None => layers.show(&line),
        }
    }
    Ok(())
}
