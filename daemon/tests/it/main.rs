//! The daemon from outside: the real program on a store and a socket of its own, against a registry inside the test.

#![expect(clippy::unwrap_used, reason = "a test that can't be set up fails")]

mod activation;
mod api;
mod auth;
mod daemon;
mod distribution;
mod elsewhere;
mod events;
mod golden;
mod http;
mod images;
mod life;
mod mounts;
mod notify;
mod platforms;
mod prune;
mod pull;
mod push;
mod registries;
mod running;
mod units;
mod verify;

/// Every file here is listed above; one that isn't would never run.
#[test]
fn no_file_is_forgotten() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".rs").map(str::to_owned))
        .filter(|name| name != "main")
        .collect();
    found.sort();
    let listed: Vec<_> = include_str!("main.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';').map(str::to_owned))
        .collect();
    assert_eq!(found, listed);
}
