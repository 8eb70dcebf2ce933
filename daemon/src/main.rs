//! `layerd`: keeps container images for whoever asks on its Unix socket.
//!
//! This crate is the skin over [`layer_engine`]: it reads the configuration, owns the sockets and the signals, turns HTTP requests into calls
//! of the engine and what comes of them into answers of the Docker Engine API. It must never touch the store, a registry or a layer by
//! itself, and nothing in it decides about images.
//!
//! Read it in the order of a start: [`cli`] and [`config`] give the [`config::Settings`], [`start`] opens the engine and the sockets
//! ([`listen`]), [`server`] serves [`routes`] until a signal comes ([`signals`]).

mod answer;
mod body;
mod cli;
mod collection;
mod config;
mod envelope;
mod failure;
mod filters;
mod group;
mod limits;
mod listen;
mod log;
mod notify;
mod params;
mod path;
mod progress;
mod registry_auth;
mod routes;
mod server;
mod signals;
mod start;
mod status;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

/// Reads the arguments, and runs the daemon until it is told to stop. Arguments that make no sense end it with status 2.
fn main() -> ExitCode {
    let args = cli::Args::parse();
    match start::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = format!("layerd: {}\n", layer_engine::chain(&error));
            if let Some(hint) = error.hint() {
                text.push_str(&format!("hint: {hint}\n"));
            }
            // Without anybody to read it there is nothing left to do; the exit status says the same.
            let _ = std::io::stderr().write_all(text.as_bytes());
            ExitCode::FAILURE
        }
    }
}
