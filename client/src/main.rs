//! `layer`, the command line of `layerd`.
//!
//! The client is thin: it reads its arguments, sends requests over a Unix socket and shows the answers. It knows the wire contract and nothing
//! else: names, platforms and images mean what the daemon says they mean. It never writes to the store, and keeps nothing between two runs but logins.
//!
//! What a program would read goes to standard output, what a person would read goes to standard error, and the exit status says how it ended.

mod api;
mod cli;
mod commands;
mod connection;
mod credentials;
mod error;
mod exit;
mod filters;
mod host;
mod name;
mod render;
mod terminal;
mod upload;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::Cli::try_parse() {
        Ok(cli) => commands::run(cli).into(),
        Err(error) => {
            // Help and version come here too, with code 0. A reader that went away needs no message.
            let _gone = error.print();
            u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
        }
    }
}
