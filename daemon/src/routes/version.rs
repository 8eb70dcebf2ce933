//! `GET /version`.

use axum::response::Response;
use layer_oci::Platform;
use layer_proto::{ApiVersion, Component, Version};

use super::machine;
use crate::answer;

#[utoipa::path(
    get,
    path = "/version",
    tag = "Docker",
    operation_id = "SystemVersion",
    responses(
        (status = 200, description = "The daemon's version, and that of its API.", body = Version),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn show() -> Response {
    answer::found(&version())
}

/// Members about commits and compilers are empty: layerd has a version, and it isn't written in Go.
fn version() -> Version {
    let (number, arch, kernel) =
        (env!("CARGO_PKG_VERSION").to_owned(), Platform::host().architecture, machine::kernel());
    let details = [
        ("ApiVersion", ApiVersion::CURRENT.to_string()),
        ("Arch", arch.clone()),
        ("BuildTime", String::new()),
        ("Experimental", "false".to_owned()),
        ("GitCommit", String::new()),
        ("GoVersion", String::new()),
        ("KernelVersion", kernel.clone()),
        ("MinAPIVersion", ApiVersion::OLDEST.to_string()),
        ("Os", "linux".to_owned()),
    ];
    let details = details.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let mut version = Version {
        // Clients find the daemon among its parts by this name.
        components: vec![Component { name: "Engine".to_owned(), version: number.clone(), details }],
        version: number,
        api_version: ApiVersion::CURRENT,
        min_api_version: ApiVersion::OLDEST,
        os: "linux".to_owned(),
        arch,
        kernel_version: kernel,
        ..Version::default()
    };
    version.platform.name = "layerd".to_owned();
    version
}
