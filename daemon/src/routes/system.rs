//! The daemon itself.

use std::path::Path;

use axum::Json;
use axum::extract::{Path as UrlPath, State};
use axum::response::{IntoResponse, Response};
use http::header;
use layer_engine::Engine;
use layer_oci::Platform;
use layer_proto::{ApiVersion, Component, Info, PlatformName, Version, decimal_size, ping};

use crate::error::ApiError;
use crate::version::lower;

const OWN_VERSION: &str = env!("CARGO_PKG_VERSION");

/// `GET` and `HEAD /_ping`.
pub(super) async fn ping() -> Response {
    let headers = [
        (lower(ping::BUILDER_VERSION), "2"),
        (lower(ping::SWARM), "inactive"),
        (header::CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
        (header::PRAGMA, "no-cache"),
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
    ];
    (headers, ping::BODY).into_response()
}

/// `GET /version`.
pub(super) async fn version() -> Json<Version> {
    let host = Platform::host();
    Json(Version {
        platform: PlatformName { name: "layerd".to_owned() },
        components: vec![Component {
            name: "Engine".to_owned(),
            version: OWN_VERSION.to_owned(),
            ..Component::default()
        }],
        version: OWN_VERSION.to_owned(),
        api_version: ApiVersion::CURRENT,
        min_api_version: ApiVersion::OLDEST,
        os: host.os,
        arch: host.architecture,
        kernel_version: kernel(),
        ..Version::default()
    })
}

/// `GET /info`.
pub(super) async fn info(State(engine): State<Engine>) -> Result<Json<Info>, ApiError> {
    let store = engine.info().await?;
    let uname = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let pair = |name: &str, value: String| (name.to_owned(), value);
    Ok(Json(Info {
        images: store.images as u64,
        driver_status: vec![
            pair("Layers", store.layers.to_string()),
            pair("Mounts", store.mounts.to_string()),
            pair("Free room", decimal_size(store.free_bytes, 4)),
        ],
        system_time: jiff::Timestamp::now().to_string(),
        kernel_version: kernel(),
        operating_system: operating_system(),
        architecture: text(uname.machine()),
        cpus: std::thread::available_parallelism().map_or(0, |count| count.get() as u64),
        mem_total: rustix::system::sysinfo().totalram as u64,
        docker_root_dir: store.root.display().to_string(),
        name: text(uname.nodename()),
        server_version: OWN_VERSION.to_owned(),
        ..Info::default()
    }))
}

/// `GET /containers/json`: there are none.
pub(super) async fn no_containers() -> Json<[(); 0]> {
    Json([])
}

/// `GET /containers/{id}/json`: so that `docker inspect` goes on to look for an image.
pub(super) async fn no_such_container(UrlPath(id): UrlPath<String>) -> ApiError {
    ApiError::not_found(format!("No such container: {id}"))
}

/// What runs or builds.
pub(super) async fn images_only() -> ApiError {
    ApiError::not_implemented("layerd manages images: it doesn't run containers or build images")
}

fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

fn operating_system() -> String {
    let text = std::fs::read_to_string(Path::new("/etc/os-release")).unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "linux".to_owned(), |name| name.trim_matches('"').to_owned())
}
