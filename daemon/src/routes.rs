//! What can be asked for. Each file below has the requests about one thing; this one says which path leads where.
//!
//! Paths are docker's, with its quirk that a path is looked up together with its method: `GET /images/json` is the list, and
//! `DELETE /images/json` removes an image called `json`.

mod archives;
mod auth;
mod bundles;
mod containers;
mod distribution;
mod document;
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
    let router = table().into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    let router = elsewhere::add(router)
        .method_not_allowed_fallback(|| async { page_not_found() })
        .fallback(|| async { page_not_found() })
        .layer(middleware::from_fn(envelope::handle))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(app);
    // The version must be off the path before the router looks at it.
    MapRequest::new(router, envelope::unwrap)
}

/// Which path leads where. What is not here is in [`elsewhere`].
fn table() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![
        ("/_ping", head(ping::head).get(ping::get)),
        ("/version", get(version::show)),
        ("/info", get(info::show)),
        (auth_path::PATH, post(auth::log_in)),
        ("/events", get(events::follow)),
        ("/images/json", or_named(get(images::list))),
        ("/images/create", or_named(post(archives::create))),
        ("/images/load", or_named(post(archives::load))),
        ("/images/prune", or_named(post(prune::prune))),
        ("/images/get", or_named(get(archives::save))),
        ("/images/search", or_named(get(search::search))),
        ("/images/", any(named::named)),
        ("/images/{*name}", any(named::named)),
        ("/distribution/{*name}", get(distribution::inspect)),
        ("/system/df", get(usage::docker)),
        ("/containers/json", get(containers::list)),
        ("/containers/{*name}", any(containers::named)),
        (mount::PATH, post(mounts::mount).get(mounts::list).merge(delete(mounts::unmount))),
        (preview_path::PATH, get(preview::show)),
        (document::PATH, get(document::show)),
        (pull_path::PATH, get(running::list).merge(delete(running::cancel))),
        (pull_path::PROGRESS_PATH, get(running::follow)),
        (pin::PATH, post(pins::pin).get(pins::list).merge(delete(pins::unpin))),
        (store_usage::PATH, get(usage::store)),
        (collection::PATH, post(prune::collect)),
        (bundle::PATH, post(bundles::make)),
        (verification::PATH, post(verify::verify)),
    ]
}

/// A path that is also that of an image with such a name, for other methods.
fn or_named(methods: MethodRouter<App>) -> MethodRouter<App> {
    methods.fallback(named::named)
}

#[cfg(test)]
mod tests;
