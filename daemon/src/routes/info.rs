//! `GET /info`.

use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use layer_digest::Digest;
use layer_engine::{InsecureHost, StoreInfo};
use layer_proto::{IndexConfig, Info, RegistryConfig, decimal_size};
use tracing::level_filters::LevelFilter;

use super::{App, machine};
use crate::answer;
use crate::failure::Failure;

/// The registry behind names without a host, as clients know it.
const HUB: &str = "docker.io";

pub(super) async fn show(State(app): State<App>) -> Result<Response, Failure> {
    let store = app.engine.info().await?;
    Ok(answer::found(&info(&store, &app.insecure)))
}

fn info(store: &StoreInfo, insecure: &[InsecureHost]) -> Info {
    let root = store.root.display().to_string();
    let (operating_system, os_version) = machine::system();
    let facts = [
        ("Layers", store.layers.to_string()),
        ("Mounts", store.mounts.to_string()),
        ("Free space", decimal_size(store.free_bytes, 4)),
    ];
    Info {
        id: id(&format!("{} {root}", machine::id())),
        images: store.images as u64,
        driver_status: facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        debug: LevelFilter::current() >= LevelFilter::DEBUG,
        open_files: machine::open_files(),
        system_time: Timestamp::now().to_string(),
        kernel_version: machine::kernel(),
        operating_system,
        os_version,
        architecture: machine::processor(),
        registry_config: Some(registries(insecure)),
        cpus: std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64),
        mem_total: machine::memory(),
        docker_root_dir: root,
        http_proxy: proxy("HTTP_PROXY"),
        https_proxy: proxy("HTTPS_PROXY"),
        no_proxy: variable("NO_PROXY"),
        name: machine::name(),
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Info::default()
    }
}

/// A name that stays, of the form that docker's have.
fn id(text: &str) -> String {
    let hex = Digest::sha256(text.as_bytes()).hex();
    let cut = [0..8, 8..12, 12..16, 16..20, 20..32];
    cut.map(|range| hex.get(range).unwrap_or_default().to_owned()).join("-")
}

fn registries(insecure: &[InsecureHost]) -> RegistryConfig {
    let mut config = RegistryConfig {
        insecure_registry_cidrs: vec!["::1/128".to_owned(), "127.0.0.0/8".to_owned()],
        ..RegistryConfig::default()
    };
    let registry = |name: &str, official| IndexConfig {
        name: name.to_owned(),
        official,
        secure: official,
        ..IndexConfig::default()
    };
    config.index_configs.insert(HUB.to_owned(), registry(HUB, true));
    for host in insecure.iter().map(ToString::to_string) {
        if host.contains('/') {
            config.insecure_registry_cidrs.push(host);
        } else {
            config.index_configs.insert(host.clone(), registry(&host, false));
        }
    }
    config
}

/// A variable of the environment; many write these in small letters.
fn variable(name: &str) -> String {
    let value = std::env::var(name).or_else(|_| std::env::var(name.to_ascii_lowercase()));
    value.unwrap_or_default()
}

fn proxy(name: &str) -> String {
    without_login(&variable(name))
}

/// The address of a proxy without the name and password in it.
fn without_login(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").map_or(("", address), |(scheme, rest)| (scheme, rest));
    match rest.rsplit_once('@') {
        None => address.to_owned(),
        Some((_, host)) if scheme.is_empty() => format!("xxxxx:xxxxx@{host}"),
        Some((_, host)) => format!("{scheme}://xxxxx:xxxxx@{host}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stays_and_looks_like_dockers() {
        assert_eq!(id("x"), id("x"));
        assert_ne!(id("x"), id("y"));
        let lengths: Vec<_> = id("x").split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
    }

    #[test]
    fn logins_of_proxies_are_not_shown() {
        assert_eq!(without_login("http://bob:p@ss@proxy:3128/"), "http://xxxxx:xxxxx@proxy:3128/");
        assert_eq!(without_login("bob:pass@proxy:3128"), "xxxxx:xxxxx@proxy:3128");
        assert_eq!(without_login("http://proxy:3128"), "http://proxy:3128");
        assert_eq!(without_login(""), "");
    }

    #[test]
    fn insecure_registries_are_listed_by_kind() {
        let insecure = ["10.0.0.0/8", "lab.test:5000"].map(|text| text.parse().unwrap());
        let config = registries(&insecure);
        assert_eq!(config.insecure_registry_cidrs, ["::1/128", "127.0.0.0/8", "10.0.0.0/8"]);
        let names: Vec<_> = config.index_configs.keys().collect();
        assert_eq!(names, ["docker.io", "lab.test:5000"]);
        assert!(config.index_configs["docker.io"].secure && !config.index_configs["lab.test:5000"].secure);
    }
}
