//! One command a file, and what they have in common: a runtime, ^C, and errors that are told.

mod about;
mod bundle;
mod events;
mod history;
mod images;
mod import;
mod inspect;
mod load;
mod login;
mod logins;
mod mount;
mod pin;
mod preview;
mod prune;
mod pull;
mod push;
mod remove;
mod running;
mod save;
mod search;
mod tag;
mod usage;
mod verify;

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::api::Api;
use crate::cli::{Cli, Command};
use crate::connection::Connection;
use crate::error::Error;
use crate::exit::Exit;
use crate::render::output;

/// How long a command that was interrupted gets to clear the screen. It needs no time unless its output is stuck in a full pipe.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Runs the command, and tells how it ended.
pub(crate) fn run(cli: Cli) -> Exit {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(source) => {
            let error = Error::Start(source);
            error.report();
            return Exit::from(&error);
        }
    };
    let exit = runtime.block_on(until_interrupted(cli));
    // A worker that is stuck in a write must not keep us.
    runtime.shutdown_background();
    exit
}

/// Runs the command until it ends or ^C is pressed. The command has a thread of its own, so that ^C is heard whatever that is doing.
async fn until_interrupted(cli: Cli) -> Exit {
    let parting = match &cli.command {
        Command::Pull(_) | Command::Image(crate::cli::ImageCommand::Pull(_)) => {
            "interrupted: the partial download is kept, pull again to go on from there"
        }
        Command::Push(_) | Command::Image(crate::cli::ImageCommand::Push(_)) => {
            "interrupted: what the registry has by now is not sent again"
        }
        _ => "interrupted",
    };
    // Heard from here on, before the command does anything.
    let mut interrupts = match signal(SignalKind::interrupt()) {
        Ok(interrupts) => interrupts,
        Err(source) => {
            let error = Error::Start(source);
            error.report();
            return Exit::from(&error);
        }
    };
    let mut command = tokio::spawn(dispatch(cli));
    tokio::select! {
        ended = &mut command => match ended {
            Ok(Ok(exit)) => exit,
            Ok(Err(error)) => {
                error.report();
                Exit::from(&error)
            }
            // It panicked, and the panic has told what it had to tell.
            Err(_) => Exit::Failed,
        },
        Some(()) = interrupts.recv() => {
            // Dropping the command closes its connections, by which the daemon learns that nobody waits any more.
            command.abort();
            let _dropped = tokio::time::timeout(LAST_WORDS, command).await;
            output::talk(parting);
            Exit::Interrupted
        }
    }
}

async fn dispatch(cli: Cli) -> Result<Exit, Error> {
    let host = cli.host.unwrap_or_default();
    let api = Api::new(Connection::new(host.socket()));
    let command = match cli.command {
        Command::Image(command) => command.into(),
        command => command,
    };
    match command {
        Command::Pull(args) if args.dry_run => preview::run(&api, args).await,
        Command::Pull(args) => pull::run(&api, args).await,
        Command::Push(args) => push::run(&api, args).await,
        Command::Search(args) => search::run(&api, args).await,
        Command::Pulls(args) => running::list(&api, args).await,
        Command::Follow(args) => running::follow(&api, args).await,
        Command::Cancel(args) => running::cancel(&api, args).await,
        Command::Images(args) if args.tree => images::tree(&api, args).await,
        Command::Images(args) => images::run(&api, args).await,
        Command::Inspect(args) => inspect::run(&api, args).await,
        Command::History(args) => history::run(&api, args).await,
        Command::Tag(args) => tag::run(&api, args).await,
        Command::Rmi(args) => remove::run(&api, args).await,
        Command::Prune(args) => prune::run(&api, args).await,
        Command::Df(args) => usage::run(&api, args).await,
        Command::Pin(args) => pin::run(&api, args).await,
        Command::Unpin(args) => pin::unpin(&api, args).await,
        Command::Pins(args) => pin::list(&api, args).await,
        Command::Save(args) => save::run(&api, args).await,
        Command::Load(args) => load::run(&api, args).await,
        Command::Import(args) => import::run(&api, args).await,
        Command::Mount(args) => mount::run(&api, args).await,
        Command::Umount(args) => mount::unmount(&api, args).await,
        Command::Mounts(args) => mount::list(&api, args).await,
        Command::Login(args) => login::run(&api, args).await,
        Command::Logout(args) => login::logout(args).await,
        Command::Events(args) => events::run(&api, args).await,
        Command::Bundle(args) => bundle::run(&api, args).await,
        Command::Verify(args) => verify::run(&api, args).await,
        Command::Version(args) => about::version(&api, &host, args).await,
        Command::Info(args) => about::info(&api, args).await,
        // `into` above gives no such command.
        Command::Image(_) => Ok(Exit::Done),
    }
}

/// Tells an error about one of several things and goes on with the others, unless it would be the same for all.
fn go_on(error: Error, exit: &mut Exit) -> Result<(), Error> {
    if matches!(error, Error::Unreachable { .. } | Error::ReaderGone | Error::Output(_)) {
        return Err(error);
    }
    error.report();
    *exit = Exit::Failed;
    Ok(())
}
