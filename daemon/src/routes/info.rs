//! `GET /info`.

use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use layer_digest::Digest;
use layer_engine::{Form, ProxyUrl, RegistryOptions, StoreInfo};
use layer_proto::{IndexConfig, Info, RegistryConfig, decimal_size};
use tracing::level_filters::LevelFilter;

use super::{App, machine};
use crate::answer;
use crate::failure::Failure;

/// The registry behind names without a host, as clients know it.
const HUB: &str = "docker.io";

#[utoipa::path(
    get,
    path = "/info",
    tag = "Docker",
    operation_id = "SystemInfo",
    responses(
        (status = 200, description = "What the daemon says about itself.", body = Info),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn show(State(app): State<App>) -> Result<Response, Failure> {
    let store = app.engine.info().await?;
    Ok(answer::found(&info(&store, &app.engine.registries())))
}

fn info(store: &StoreInfo, reached: &RegistryOptions) -> Info {
    let proxies = reached.proxies.clone().unwrap_or_default();
    let shown = |proxy: Option<ProxyUrl>| proxy.map(|proxy| proxy.to_string()).unwrap_or_default();
    let root = store.root.display().to_string();
    let (operating_system, os_version) = machine::system();
    let facts = [
        ("Layers", store.layers.to_string()),
        ("New layers", if store.form == Form::Image { "EROFS images" } else { "folders" }.to_owned()),
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
        registry_config: Some(registries(reached)),
        cpus: std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64),
        mem_total: machine::memory(),
        docker_root_dir: root,
        http_proxy: shown(proxies.http),
        https_proxy: shown(proxies.https),
        no_proxy: proxies.no_proxy.unwrap_or_default(),
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

fn registries(reached: &RegistryOptions) -> RegistryConfig {
    let mut config = RegistryConfig {
        insecure_registry_cidrs: vec!["::1/128".to_owned(), "127.0.0.0/8".to_owned()],
        ..RegistryConfig::default()
    };
    let registry = |name: &str, secure| IndexConfig {
        name: name.to_owned(),
        official: name == HUB,
        secure,
        ..IndexConfig::default()
    };
    config.index_configs.insert(HUB.to_owned(), registry(HUB, true));
    for host in reached.insecure.iter().map(ToString::to_string) {
        if host.contains('/') {
            config.insecure_registry_cidrs.push(host);
        } else {
            config.index_configs.insert(host.clone(), registry(&host, false));
        }
    }
    for (name, mirrors) in &reached.mirrors {
        let mirrors: Vec<_> = mirrors.iter().map(ToString::to_string).collect();
        if name == HUB {
            config.mirrors = Some(mirrors.clone());
        }
        config.index_configs.entry(name.clone()).or_insert_with(|| registry(name, true)).mirrors = mirrors;
    }
    config
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
    fn insecure_registries_are_listed_by_kind() {
        let insecure = ["10.0.0.0/8", "lab.test:5000"].map(|text| text.parse().unwrap()).into();
        let config = registries(&RegistryOptions { insecure, ..RegistryOptions::default() });
        assert_eq!(config.insecure_registry_cidrs, ["::1/128", "127.0.0.0/8", "10.0.0.0/8"]);
        let names: Vec<_> = config.index_configs.keys().collect();
        assert_eq!(names, ["docker.io", "lab.test:5000"]);
        assert!(config.index_configs["docker.io"].secure && !config.index_configs["lab.test:5000"].secure);
    }

    #[test]
    fn mirrors_are_listed_by_registry_and_those_of_the_hub_as_docker_does() {
        let mirrors = [("docker.io", "https://m.lab:5000"), ("lab.test", "http://n.lab/x")];
        let mirrors = mirrors.map(|(name, url)| (name.to_owned(), vec![url.parse().unwrap()])).into();
        let insecure = vec!["lab.test".parse().unwrap()];
        let config = registries(&RegistryOptions { insecure, mirrors, ..RegistryOptions::default() });
        assert_eq!(config.mirrors.unwrap(), ["https://m.lab:5000/"]);
        assert_eq!(config.index_configs["docker.io"].mirrors, ["https://m.lab:5000/"]);
        assert_eq!(config.index_configs["lab.test"].mirrors, ["http://n.lab/x/"]);
        assert!(!config.index_configs["lab.test"].secure && config.index_configs["docker.io"].official);
    }
}
