//! The client against servers in this process that do what registries do, and what they should not.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should end where it stands")]

mod auth;
mod blob;
mod download;
mod failure;
mod hosts;
mod login;
mod manifest;
mod patience;
mod push;
mod push_troubles;
mod redirect;
mod search;
mod server;
mod tags;
mod tls;
mod uploads;
