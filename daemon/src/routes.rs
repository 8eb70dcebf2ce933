//! Which path leads where.

mod images;
mod mounts;
mod names;
mod pull;
mod system;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef};
use axum::routing::{get, post};
use layer_engine::Engine;

use crate::error::ApiError;

/// No request that is answered here has more to say.
const MAX_BODY: usize = 1 << 20;

/// What every handler can ask for.
#[derive(Clone)]
pub(crate) struct App {
    engine: Engine,
}

impl FromRef<App> for Engine {
    fn from_ref(app: &App) -> Self {
        app.engine.clone()
    }
}

/// All routes, without versions.
pub(crate) fn router(engine: Engine) -> Router {
    Router::new()
        .route("/_ping", get(system::ping))
        .route("/version", get(system::version))
        .route("/info", get(system::info))
        .route("/images/json", get(images::list))
        .route("/images/create", post(pull::create))
        // Names of images have slashes: what is behind the name is found from the end.
        .route("/images/{*rest}", get(images::one).post(names::tag).delete(names::remove))
        .route("/containers/json", get(system::no_containers))
        .route("/containers/{id}/json", get(system::no_such_container))
        .route(layer_proto::mount::PATH, get(mounts::list).post(mounts::mount).delete(mounts::unmount))
        .route("/containers/create", post(system::images_only))
        .route("/build", post(system::images_only))
        .fallback(|| async { ApiError::page_not_found() })
        .method_not_allowed_fallback(|| async { ApiError::page_not_found() })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(App { engine })
}

/// A switch in a query: dockerd takes anything for "on" but these.
fn is_on(value: Option<&str>) -> bool {
    !matches!(value.map(str::to_ascii_lowercase).as_deref(), None | Some("" | "0" | "no" | "false" | "none"))
}

#[cfg(test)]
mod tests {
    use super::is_on;

    #[test]
    fn switches() {
        for off in [None, Some(""), Some("0"), Some("False"), Some("NO"), Some("none")] {
            assert!(!is_on(off), "{off:?}");
        }
        for on in ["1", "true", "yes", "banana"] {
            assert!(is_on(Some(on)), "{on}");
        }
    }
}
