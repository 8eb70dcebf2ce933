//! What can be asked for. Each file below has the requests about one thing; this one says which path leads where.
//!
//! Paths are docker's, with its quirk that a path is looked up together with its method: `GET /images/json` is the list, and
//! `DELETE /images/json` removes an image called `json`.

mod containers;
mod elsewhere;
mod image_form;
mod images;
mod info;
mod machine;
mod mounts;
mod named;
mod ping;
mod preview;
mod pull;
mod push;
mod version;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware;
use axum::routing::{MethodRouter, any, delete, get, head, post};
use hyper::body::Incoming;
use layer_engine::{Engine, InsecureHost};
use layer_proto::{mount, preview as preview_path};
use tower::util::MapRequest;

use crate::envelope;
use crate::failure::page_not_found;

pub(crate) use image_form::entry as descriptor;

/// The largest body of a request that is read into memory. None that is answered so far has more than a line.
const MAX_BODY: usize = 1 << 20;

/// What every request can use.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) engine: Engine,
    pub(crate) insecure: Arc<[InsecureHost]>,
}

/// The service that answers requests.
pub(crate) type Service = MapRequest<Router, fn(http::Request<Incoming>) -> Request>;

/// Puts the service together.
pub(crate) fn service(engine: Engine, insecure: Vec<InsecureHost>) -> Service {
    let app = App { engine, insecure: insecure.into() };
    let router = Router::new()
        .route("/_ping", head(ping::head).get(ping::get))
        .route("/version", get(version::show))
        .route("/info", get(info::show))
        .route("/images/json", or_named(get(images::list)))
        .route("/images/create", or_named(post(pull::create)))
        .route("/images/load", or_named(post(elsewhere::not_yet)))
        .route("/images/prune", or_named(post(elsewhere::not_yet)))
        .route("/images/get", or_named(get(elsewhere::not_yet)))
        .route("/images/search", or_named(get(elsewhere::not_yet)))
        .route("/images/", any(named::named))
        .route("/images/{*name}", any(named::named))
        .route("/containers/json", get(containers::list))
        .route("/containers/{*name}", any(containers::named))
        .route(mount::PATH, post(mounts::mount).get(mounts::list).merge(delete(mounts::unmount)))
        .route(preview_path::PATH, get(preview::show));
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
