//! What can be asked for. Each file below has the requests about one thing; this one says which path leads where.
//!
//! Paths are docker's, with its quirk that a path is looked up together with its method: `GET /images/json` is the list, and
//! `DELETE /images/json` removes an image called `json`.

mod archives;
mod auth;
mod bundles;
mod containers;
mod distribution;
mod elsewhere;
mod events;
mod image_form;
mod images;
mod info;
mod machine;
mod mounts;
mod named;
mod ping;
mod pins;
mod preview;
mod prune;
mod pull;
mod push;
mod running;
mod search;
mod usage;
mod verify;
mod version;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware;
use axum::routing::{MethodRouter, any, delete, get, head, post};
use hyper::body::Incoming;
use layer_engine::{Collection, Engine};
use layer_proto::{
    auth as auth_path, bundle, collection, mount, pin, preview as preview_path, pull as pull_path, store_usage,
    verify as verification,
};
use tower::util::MapRequest;

use crate::envelope;
use crate::failure::page_not_found;

pub(crate) use image_form::entry as descriptor;

/// The largest body of a request that is read into memory. None that is answered so far has more than a line.
pub(crate) const MAX_BODY: usize = 1 << 20;

/// What every request can use.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) engine: Engine,
    /// What the daemon collects by itself.
    pub(crate) collection: Collection,
}

/// The service that answers requests.
pub(crate) type Service = MapRequest<Router, fn(http::Request<Incoming>) -> Request>;

/// Puts the service together.
pub(crate) fn service(engine: Engine, collection: Collection) -> Service {
    let app = App { engine, collection };
    let router = Router::new()
        .route("/_ping", head(ping::head).get(ping::get))
        .route("/version", get(version::show))
        .route("/info", get(info::show))
        .route(auth_path::PATH, post(auth::log_in))
        .route("/events", get(events::follow))
        .route("/images/json", or_named(get(images::list)))
        .route("/images/create", or_named(post(archives::create)))
        .route("/images/load", or_named(post(archives::load)))
        .route("/images/prune", or_named(post(prune::prune)))
        .route("/images/get", or_named(get(archives::save)))
        .route("/images/search", or_named(get(search::search)))
        .route("/images/", any(named::named))
        .route("/images/{*name}", any(named::named))
        .route("/distribution/{*name}", get(distribution::inspect))
        .route("/system/df", get(usage::docker))
        .route("/containers/json", get(containers::list))
        .route("/containers/{*name}", any(containers::named))
        .route(mount::PATH, post(mounts::mount).get(mounts::list).merge(delete(mounts::unmount)))
        .route(preview_path::PATH, get(preview::show))
        .route(pull_path::PATH, get(running::list).merge(delete(running::cancel)))
        .route(pull_path::PROGRESS_PATH, get(running::follow))
        .route(pin::PATH, post(pins::pin).get(pins::list).merge(delete(pins::unpin)))
        .route(store_usage::PATH, get(usage::store))
        .route(collection::PATH, post(prune::collect))
        .route(bundle::PATH, post(bundles::make))
        .route(verification::PATH, post(verify::verify));
    let router = elsewhere::add(router)
        .method_not_allowed_fallback(|| async { page_not_found() })
        .fallback(|| async { page_not_found() })
        .layer(middleware::from_fn(envelope::handle))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(app);
    // The version must be off the path before the router looks at it.
    MapRequest::new(router, envelope::unwrap)
}

/// A path that is also that of an image with such a name, for other methods.
fn or_named(methods: MethodRouter<App>) -> MethodRouter<App> {
    methods.fallback(named::named)
}
