//! `layer pull`.

use std::collections::VecDeque;

use layer_proto::ImageInspect;
use layer_proto::progress::{BadLine, DIGEST, DOWNLOADED, UP_TO_DATE};
use tokio::task::JoinSet;

use super::login;
use super::logins::Logins;
use crate::api::{Api, PullStream, PullWishes};
use crate::cli::PullArgs;
use crate::credentials::Registry;
use crate::error::Error;
use crate::exit::Exit;
use crate::name;
use crate::render::progress::{Layers, Screen};
use crate::render::text::clean;
use crate::terminal;

/// How many images are asked for at once. The daemon bounds the downloads itself; more would only crowd the screen.
const AT_ONCE: usize = 4;

/// How one pull ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// docker's line with the digest.
    digest: String,
    /// docker's line with the outcome.
    status: String,
    /// The full name of the image.
    reference: String,
    /// The image's ID; empty when it isn't asked for or already gone.
    id: String,
}

/// Pulls all images. Results are printed in the order of the names, errors as they happen.
///
/// What a registry refuses for lack of a login waits until all else has ended. Then whoever sits at the terminal is asked for one, once for each
/// registry, and the rest is pulled with it.
pub(super) async fn run(api: &Api, args: PullArgs) -> Result<Exit, Error> {
    let screen = Screen::new(args.quiet);
    if args.all_tags
        && let Some(name) = args.names.iter().find(|name| name::says_which(name))
    {
        let message = format!("`{name}` has a tag or a digest, and with --all-tags all tags are meant");
        let (repository, _) = name::split_tag(name.split('@').next().unwrap_or(name));
        return Err(Error::Refused {
            message,
            hint: Some(format!("name the repository alone: `{repository}`")),
            login: None,
        });
    }
    let wishes = PullWishes {
        all_tags: args.all_tags,
        platform: args.platform,
        retries: args.retries,
        stall_timeout: args.stall_timeout,
        login: None,
    };
    let several = args.names.len() > 1;
    let may_ask = !args.quiet && terminal::is_there();
    let mut exit = Exit::Done;
    let mut logins = Logins::new(screen.clone());
    let mut running = JoinSet::new();
    let mut refused: Vec<Refused> = Vec::new();
    // What has ended but not been printed, since one in front of it has not ended.
    let mut ended: Vec<Option<Vec<Outcome>>> = args.names.iter().map(|_| None).collect();
    let mut waiting: VecDeque<_> = args.names.into_iter().enumerate().collect();
    let mut printed = 0;
    loop {
        while running.len() < AT_ONCE
            && let Some((number, name)) = waiting.pop_front()
        {
            let label = if several { format!("{name}: ") } else { String::new() };
            let layers = screen.layers(&label);
            let (api, quiet, logins) = (api.clone(), args.quiet, logins.clone());
            let mut wishes = wishes.clone();
            running.spawn(async move {
                wishes.login = logins.find(&name).await;
                let mut outcomes = Vec::new();
                let result = pull(&api, &name, &wishes, layers, quiet, &mut outcomes).await;
                (number, outcomes, result.map_err(|error| error.during("pull", &*name)), name)
            });
        }
        match running.join_next().await {
            None if refused.is_empty() => return Ok(exit),
            None => {
                let registry = refused[0].registry.clone();
                let login = login::offer(api, &registry).await?;
                for one in refused.extract_if(.., |one| one.registry == registry) {
                    if login.is_some() {
                        waiting.push_back((one.number, one.name));
                    } else {
                        screen.report(&one.error);
                        exit = Exit::Failed;
                        ended[one.number] = Some(one.outcomes);
                    }
                }
                logins.given.insert(registry, login);
            }
            Some(Ok((number, outcomes, Ok(()), _))) => ended[number] = Some(outcomes),
            Some(Ok((_, _, Err(error @ Error::Unreachable { .. }), _))) => return Err(error),
            Some(Ok((number, outcomes, Err(error), name))) => match error.wants_login() {
                // Who was asked once has said what there is to say.
                Some(registry) if may_ask && !logins.given.contains_key(&registry) => {
                    refused.push(Refused { number, name, registry, outcomes, error });
                }
                _ => {
                    screen.report(&error);
                    exit = Exit::Failed;
                    ended[number] = Some(outcomes);
                }
            },
            // It panicked, and the panic has told what it had to tell. Nothing behind it could be printed in order.
            Some(Err(_)) => return Ok(Exit::Failed),
        }
        while let Some(outcomes) = ended.get_mut(printed).and_then(Option::take) {
            printed += 1;
            for outcome in outcomes {
                screen.outcome(&outcome.text(args.quiet))?;
            }
        }
    }
}

/// A pull that may go on with a login.
struct Refused {
    number: usize,
    name: String,
    registry: Registry,
    /// The tags that had come before.
    outcomes: Vec<Outcome>,
    error: Error,
}

/// Pulls one image, or all tags of a repository, with the layers on the screen until that has ended. What has come is in `outcomes`, also when
/// something fails behind it.
async fn pull(
    api: &Api,
    name: &str,
    wishes: &PullWishes,
    layers: Layers,
    quiet: bool,
    outcomes: &mut Vec<Outcome>,
) -> Result<(), Error> {
    let stream = api.pull(name, wishes).await?;
    let told = read(stream, layers, wishes.all_tags, outcomes).await?;
    if !told.unfinished.status.is_empty() {
        // A daemon without layerd's last line: the name as it shows it.
        let mut outcome = told.unfinished;
        outcome.reference = name_in(&outcome.status).unwrap_or(name).to_owned();
        if !quiet {
            // The image is pulled; that it may be gone again already is no failure of the pull.
            outcome.id = id_of(api, &outcome.reference).await.unwrap_or_default();
        }
        outcomes.push(outcome);
    }
    if outcomes.is_empty() { Err(told.bad.unwrap_or(Error::Ended)) } else { Ok(()) }
}

/// Shows the progress of a pull that somebody else has begun, until that has ended.
pub(super) async fn watch(stream: PullStream, layers: Layers) -> Result<Vec<Outcome>, Error> {
    let mut outcomes = Vec::new();
    let told = read(stream, layers, false, &mut outcomes).await?;
    if outcomes.is_empty() { Err(told.bad.unwrap_or(Error::Ended)) } else { Ok(outcomes) }
}

/// What was read of a pull besides what has come of it.
struct Told {
    /// What came behind the last image, without its end.
    unfinished: Outcome,
    /// A line that couldn't be read.
    bad: Option<Error>,
}

/// Reads a pull's progress to its end. The images that come of it are put into `outcomes`, also when something fails behind them.
async fn read(
    mut stream: PullStream,
    mut layers: Layers,
    all_tags: bool,
    outcomes: &mut Vec<Outcome>,
) -> Result<Told, Error> {
    let mut outcome = Outcome::default();
    let mut bad: Option<Error> = None;
    loop {
        let line = match stream.next().await {
            Ok(Some(line)) => line,
            Ok(None) => break,
            // The pull itself goes on behind a line that can't be read.
            Err(error @ Error::BadLine(BadLine::Unreadable { .. })) => {
                bad.get_or_insert(error);
                continue;
            }
            // All that docker ever says has been said.
            Err(Error::Broken { .. }) if !all_tags && (!outcome.status.is_empty() || !outcomes.is_empty()) => {
                break;
            }
            Err(error) => return Err(error),
        };
        if let Some(failure) = line.failure() {
            return Err(Error::Refused { message: failure.message, hint: failure.hint, login: failure.login });
        }
        if let Some(pulled) = line.as_pulled() {
            outcomes.push(Outcome { id: pulled.id, reference: pulled.reference, ..std::mem::take(&mut outcome) });
            continue;
        }
        match line.status.as_deref() {
            Some(text) if line.id.is_none() && text.starts_with(DIGEST) => outcome.digest = text.to_owned(),
            Some(text) if line.id.is_none() && name_in(text).is_some() => outcome.status = text.to_owned(),
            _ => layers.show(&line),
        }
    }
    Ok(Told { unfinished: outcome, bad })
}

/// The familiar name in docker's last line.
fn name_in(status: &str) -> Option<&str> {
    [DOWNLOADED, UP_TO_DATE].iter().find_map(|words| status.strip_prefix(words))
}

async fn id_of(api: &Api, name: &str) -> Option<String> {
    let answer = api.inspect(name, None).await.ok()?;
    let image: ImageInspect = serde_json::from_str(answer.get()).ok()?;
    Some(image.id)
}

impl Outcome {
    /// What is printed about it.
    pub(super) fn text(&self, quiet: bool) -> String {
        let lines =
            if quiet { vec![&self.reference] } else { vec![&self.digest, &self.status, &self.reference, &self.id] };
        let lines: Vec<_> = lines.into_iter().filter(|line| !line.is_empty()).map(|line| clean(line)).collect();
        lines.join("\n")
    }
}
