//! `POST /images/prune`, and layerd's own collections.

use axum::extract::State;
use axum::response::Response;
use layer_engine::Collection;
use layer_proto::{CollectRequest, Collected, Evicted, PruneReport};

use super::{App, image_form};
use crate::answer;
use crate::body::{self, Body};
use crate::failure::Failure;
use crate::filters::Filters;
use crate::params::Params;

/// `POST /images/prune`.
#[utoipa::path(
    post,
    path = "/images/prune",
    tag = "Docker",
    operation_id = "ImagePrune",
    params(
        ("filters" = Option<String>, Query, description = "Filters in JSON, `{\"key\":[\"value\"]}` or `{\"key\":{\"value\":true}}`: `dangling`, `until`, `label`, `label!`."),
    ),
    responses(
        (status = 200, description = "What was removed.", body = PruneReport),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn prune(State(app): State<App>, params: Params) -> Result<Response, Failure> {
    let request = Filters::parse(params.text("filters"))?.prune()?;
    let pruned = app.engine.prune(request).await?;
    let removed: Vec<_> = pruned.removed.into_iter().map(image_form::removed).collect();
    let images_deleted = if removed.is_empty() { None } else { Some(removed) };
    Ok(answer::found(&PruneReport { images_deleted, space_reclaimed: pruned.bytes }))
}

/// `POST /layerd/v1/gc`.
#[utoipa::path(
    post,
    path = layer_proto::collection::PATH,
    tag = "layerd",
    operation_id = "LayerdCollect",
    request_body(content = Option<CollectRequest>),
    responses(
        (status = 200, description = "What was taken.", body = Collected),
        (status = "default", description = "What went wrong.", body = layer_proto::ErrorBody),
    )
)]
pub(super) async fn collect(State(app): State<App>, body: Body) -> Result<Response, Failure> {
    let body = body::bytes(body)?;
    let request = if body.is_empty() { CollectRequest::default() } else { body::json(&body)? };
    let dry_run = request.dry_run;
    let taken = app.engine.collect(collection(request, &app.collection)).await?;
    let seconds = |moment: jiff::Timestamp| moment.as_second();
    let images = taken.images.into_iter().map(|image| Evicted {
        id: image.id.to_string(),
        names: image.names,
        last_used: image.last_used.map(seconds),
        bytes: image.bytes,
    });
    Ok(answer::found(&Collected {
        images: images.collect(),
        leftovers: taken.leftovers as u64,
        partials: taken.partials as u64,
        bytes: taken.bytes,
        dry_run,
    }))
}

/// What to collect: what the request says, or else the settings.
fn collection(request: CollectRequest, settings: &Collection) -> Collection {
    let seconds = |number| std::time::Duration::from_secs(number);
    let leftovers_for = request.leftovers_for.map_or(settings.leftovers_for, seconds);
    let dry_run = request.dry_run;
    if request.keep_storage.is_none() && request.unused_for.is_none() {
        return Collection { leftovers_for, dry_run, ..settings.clone() };
    }
    Collection {
        all: request.all,
        unused_for: request.unused_for.map(seconds),
        keep_storage: request.keep_storage,
        marks: None,
        leftovers_for,
        dry_run,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use layer_engine::Marks;

    use super::*;

    #[test]
    fn a_request_that_sets_bounds_is_taken_alone() {
        let settings = Collection {
            all: true,
            unused_for: Some(Duration::from_secs(9)),
            keep_storage: Some(8),
            marks: Some(Marks { high: 90, low: 80 }),
            leftovers_for: Duration::from_secs(7),
            dry_run: false,
        };
        assert_eq!(collection(CollectRequest::default(), &settings), settings);
        let dry = CollectRequest { dry_run: true, leftovers_for: Some(1), ..CollectRequest::default() };
        let leftovers_for = Duration::from_secs(1);
        assert_eq!(collection(dry, &settings), Collection { dry_run: true, leftovers_for, ..settings.clone() });
        let keep = CollectRequest { keep_storage: Some(5), ..CollectRequest::default() };
        let want = Collection { all: false, unused_for: None, keep_storage: Some(5), marks: None, ..settings.clone() };
        assert_eq!(collection(keep, &settings), want);
    }
}
