//! `layer push`.

use layer_proto::ProgressLine;
use layer_proto::progress::{BadLine, PUSHING_TO, Pushed};

use super::logins::Logins;
use crate::api::Api;
use crate::cli::PushArgs;
use crate::error::Error;
use crate::exit::Exit;
use crate::name;
use crate::render::progress::Screen;
use crate::render::text::clean;

/// Pushes one image, or all of a repository. Results are printed as they come.
pub(super) async fn run(api: &Api, args: PushArgs) -> Result<Exit, Error> {
    let (repository, tag) = name::split_tag(&args.name);
    if args.all_tags && tag.is_some() {
        let message = format!("`{}` has a tag, and with --all-tags all of them are meant", args.name);
        return Err(Error::Refused {
            message,
            hint: Some(format!("name the repository alone: `{repository}`")),
            login: None,
        });
    }
    let tag = match (args.all_tags, tag) {
        (true, _) => None,
        // The daemon says why there is no pushing by digest.
        (false, None) if name::says_which(&args.name) => None,
        (false, tag) => Some(tag.unwrap_or("latest")),
    };
    let pushed = stream(api, &args, repository, tag).await;
    pushed.map_err(|error| error.during("push", args.name.clone()))
}

async fn stream(api: &Api, args: &PushArgs, repository: &str, tag: Option<&str>) -> Result<Exit, Error> {
    let screen = Screen::new(args.quiet);
    let mut layers = screen.layers("");
    let mut full = repository.to_owned();
    let mut ended = 0;
    let mut bad: Option<Error> = None;
    let login = Logins::new(screen.clone()).find(&args.name).await;
    let mut stream = api.push(repository, tag, args.platform.as_deref(), login.as_ref()).await?;
    loop {
        let line = match stream.next().await {
            Ok(Some(line)) => line,
            Ok(None) => break,
            // The push itself goes on behind a line that can't be read.
            Err(error @ Error::BadLine(BadLine::Unreadable { .. })) => {
                bad.get_or_insert(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        if let Some(failure) = line.failure() {
            return Err(Error::Refused { message: failure.message, hint: failure.hint, login: failure.login });
        }
        if let Some(name) = repository_of(&line) {
            name.clone_into(&mut full);
        }
        if let Some(replaced) = line.as_index_replaced() {
            let manifest = &replaced.selected_manifest;
            let platform = manifest.platform.as_ref().map(|platform| format!(" for {platform}")).unwrap_or_default();
            layers.show(&ProgressLine::message(format!(
                "the image has platforms that are not here: only the one{platform} is pushed, under its own digest"
            )));
        }
        if let Some(pushed) = tagged(&line) {
            ended += 1;
            screen.outcome(&text(&pushed, &full, args.quiet))?;
            continue;
        }
        layers.show(&line);
    }
    if ended == 0 {
        return Err(bad.unwrap_or(Error::Ended));
    }
    Ok(Exit::Done)
}

/// The full name in docker's first line.
fn repository_of(line: &ProgressLine) -> Option<&str> {
    line.status.as_deref()?.strip_prefix(PUSHING_TO)?.strip_prefix('[')?.strip_suffix(']')
}

/// What docker's line about a tag that was pushed says. layerd's line for programs says the same again, and is not needed.
fn tagged(line: &ProgressLine) -> Option<Pushed> {
    let text = line.status.as_deref().filter(|_| line.id.is_none())?;
    let (tag, rest) = text.split_once(": digest: ")?;
    let (digest, size) = rest.split_once(" size: ")?;
    Some(Pushed { tag: tag.to_owned(), digest: digest.to_owned(), size: size.parse().ok()? })
}

/// What is printed about it.
fn text(pushed: &Pushed, repository: &str, quiet: bool) -> String {
    let Pushed { tag, digest, size } = pushed;
    let name = format!("{repository}:{tag}");
    let text = if quiet { name } else { format!("{tag}: digest: {digest} size: {size}\n{name}") };
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_s_lines_are_read_and_the_result_is_told() {
        let line = ProgressLine::message("1: digest: sha256:0c size: 610");
        let pushed = tagged(&line).unwrap();
        assert_eq!(text(&pushed, "lab.test/a", false), "1: digest: sha256:0c size: 610\nlab.test/a:1");
        assert_eq!(text(&pushed, "lab.test/a", true), "lab.test/a:1");
        assert_eq!(tagged(&ProgressLine::message("1: digest: sha256:0c")), None);
        assert_eq!(repository_of(&ProgressLine::pushing("lab.test/a")), Some("lab.test/a"));
        assert_eq!(repository_of(&line), None);
        let evil = Pushed { tag: "\u{1b}[2J".into(), ..pushed };
        assert!(!text(&evil, "a", false).contains('\u{1b}'));
    }
}
