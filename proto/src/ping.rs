//! `/_ping`: no body to speak of, but headers that clients choose their API version by.

/// The body of `GET /_ping`; `HEAD` has none.
pub const BODY: &str = "OK";

/// The header with the newest API version that the daemon advertises. It stands on every answer.
pub const API_VERSION: &str = "Api-Version";
/// The header with the operating system that the daemon runs on, `linux`. It stands on every answer.
pub const OS_TYPE: &str = "Ostype";
/// The header that says whether experimental features are on. It stands on every answer.
pub const EXPERIMENTAL: &str = "Docker-Experimental";
/// The header that names the builder, on the answer to a ping: `2` is BuildKit.
pub const BUILDER_VERSION: &str = "Builder-Version";
/// The header with the state of the swarm, on the answer to a ping: `inactive`.
pub const SWARM: &str = "Swarm";
