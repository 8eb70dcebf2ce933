//! `layerd`: the image daemon. HTTP on a Unix socket over the engine.
//!
//! This crate owns words that travel: routes, status codes, API versions, and how events become progress lines; and the life of a service:
//! configuration, sockets, signals, systemd. It holds no logic of images. What it can do, the engine can do without it.

mod auth;
mod config;
mod error;
mod filters;
mod listen;
mod progress;
mod routes;
mod server;
mod signals;
mod version;

use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use crate::config::{Args, Config};

fn main() -> ExitCode {
    let args = Args::parse();
    let config = match Config::load(args) {
        Ok(config) => config,
        Err(error) => return fail(&error, None),
    };
    start_log(&config.log);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("layerd").build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, None),
    };
    let result = runtime.block_on(server::run(config));
    // Threads that still read or write files end with the process: whatever they leave, the next start clears.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, error.hint()),
    }
}

/// Says on one line why the daemon doesn't run, and on another what to do.
#[expect(clippy::print_stderr, reason = "the log may go elsewhere, and whoever started the daemon must see this")]
fn fail(error: &dyn std::error::Error, hint: Option<String>) -> ExitCode {
    eprintln!("layerd: {}", error::chain(error));
    if let Some(hint) = hint {
        eprintln!("hint: {hint}");
    }
    ExitCode::FAILURE
}

fn start_log(filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // The journal has its own clock, and draws its own colours.
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        log.without_time().with_ansi(false).init();
    } else {
        log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init();
    }
}
